//! Promises to clients that hold for every sender of a change, and whatever the request leaves out: edits are committed as a
//! worker would commit them, with the real keys and no plan.

use crate::sandbox::Sandbox;
use crate::verify::Never;
use publish::error::{Error, Kind};
use publish::metadata::Target;
use publish::repository::{Change, Committed, Committer, Edit, PlainNames, load, stage_bytes};
use publish::storage::LocalDirectory;
use std::fs;

const TOOL: &str = "releases/2.0.0/linux-amd64/bin/acme";

/// Two releases, and a channel that points at the second.
struct Published {
    sandbox: Sandbox,
    storage: LocalDirectory,
}

impl Published {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.channels(&[("1", "stable", "2.0.0")]);
        sandbox.release("1.0.0").ok();
        sandbox.publish(&["release", "2.0.0", "--from", "dist", "--channels"]).ok();
        let storage = LocalDirectory::new(sandbox.path("repo"));
        Self { sandbox, storage }
    }

    fn stage(&self, name: &str, content: &[u8]) -> Option<Target> {
        Some(stage_bytes(&self.storage, name, content, false).unwrap())
    }

    fn target(&self, name: &str) -> Option<Target> {
        self.present().targets.get(name).unwrap()
    }

    fn present(&self) -> publish::repository::Present {
        load(&self.storage, &self.pinned(), chrono::Utc::now()).unwrap()
    }

    fn pinned(&self) -> Vec<u8> {
        fs::read(self.sandbox.path("keys/1.root.json")).unwrap()
    }

    /// An edit that sets targets to content, or removes them.
    fn edit(&self, targets: &[(&str, Option<&[u8]>)]) -> Edit {
        let change = |(name, content): &(&str, Option<&[u8]>)| Change {
            name: (*name).to_owned(),
            expected: self.target(name),
            wanted: content.and_then(|content| self.stage(name, content)),
            keep_existing: false,
            content: None,
        };
        Edit { changes: targets.iter().map(change).collect(), ..Edit::default() }
    }

    /// Everything of a release, removed.
    fn removal(&self, version: &str) -> Vec<Change> {
        let targets = self.present().targets;
        let below = |of: &str| targets.below(&format!("{of}/{version}/")).map(str::to_owned).collect::<Vec<_>>();
        let names = [below("releases"), below("signatures")].concat();
        let change =
            |name: String| Change { expected: targets.get(&name).unwrap(), name, wanted: None, keep_existing: false, content: None };
        names.into_iter().map(change).collect()
    }

    fn commit(&self, edits: &[Edit]) -> Vec<Result<Committed, Error>> {
        let mut signers = publish::keys::Signers::new();
        for role in publish::metadata::Role::ALL {
            let uri = publish::keys::KeyUri::File(self.sandbox.path(&format!("keys/{role}.pem")));
            signers.entry(role).or_default().push(publish::keys::load(&uri, &Never).unwrap());
        }
        let committer = Committer {
            storage: &self.storage,
            pinned: &self.pinned(),
            signers: &signers,
            plain_names: PlainNames::All,
            clock: &chrono::Utc::now,
            lifetimes: Default::default(),
            progress: &publish::repository::Quiet,
            upper: None,
            replacement: None,
            floor: Default::default(),
            witness: None,
        };
        committer.commit_all(self.present(), edits).unwrap()
    }

    #[track_caller]
    fn refuses(&self, edit: Edit, words: &str) {
        let before = self.present().digest();
        let failure = self.commit(&[edit]).remove(0).expect_err(words);
        assert!(failure.message.contains(words), "`{words}` is not in {failure:?}");
        assert!(matches!(failure.kind, Kind::Conflict | Kind::Invalid), "{failure:?}");
        assert_eq!(self.present().digest(), before, "nothing was published: {words}");
    }

    #[track_caller]
    fn accepts(&self, edit: Edit) {
        assert!(self.commit(&[edit]).remove(0).unwrap().changed);
    }
}

#[test]
fn published_platforms_are_sealed_for_every_sender() {
    let t = Published::new();
    let sealed = "a published platform never changes";
    t.refuses(t.edit(&[(TOOL, Some(b"evil"))]), sealed);
    let signature = fs::read(t.sandbox.path("repo/targets/signatures/2.0.0/linux-amd64/bin/acme.sig")).unwrap();
    for more in ["bin/evil", "lib/x", "acme"] {
        let (name, sig) = (format!("releases/2.0.0/linux-amd64/{more}"), format!("signatures/2.0.0/linux-amd64/{more}.sig"));
        t.refuses(t.edit(&[(&name, Some(b"evil")), (&sig, Some(&signature))]), sealed);
    }
    t.refuses(t.edit(&[(TOOL, None)]), "removed without a yank");
    t.refuses(t.edit(&[(TOOL, None), ("signatures/2.0.0/linux-amd64/bin/acme.sig", None)]), "removed without a yank");
    // Removed and published again in one batch.
    let mut removal = Edit { changes: t.removal("2.0.0"), ..Edit::default() };
    removal.changes.retain(|change| change.name.starts_with("releases/"));
    let again = Edit {
        changes: vec![Change { name: TOOL.into(), expected: None, wanted: t.stage(TOOL, b"evil"), keep_existing: false, content: None }],
        ..Edit::default()
    };
    assert!(t.commit(&[removal, again]).iter().all(Result::is_err));
    // A platform that is not published yet may be added, signed.
    let windows = "releases/2.0.0/windows-amd64/bin/acme.exe";
    t.refuses(t.edit(&[(windows, Some(b"MZ"))]), "has no signature");
    t.accepts(t.edit(&[(windows, Some(b"MZ")), ("signatures/2.0.0/windows-amd64/bin/acme.exe.sig", Some(&signature))]));
}

#[test]
fn new_names_of_releases_are_a_versions_and_a_platforms() {
    let t = Published::new();
    for (name, words) in [
        ("releases/x", "is not releases/<version>/<os>-<arch>/<file>"),
        ("releases/3.0.0/x", "is not releases/<version>/<os>-<arch>/<file>"),
        ("releases/v3.0.0/linux-amd64/x", "starts with a v"),
        ("releases/3.0/linux-amd64/x", "is not a semantic version"),
        ("releases/3.0.0/linux/x", "is not a platform directory"),
        ("releases/3.0.0/beos-amd64/x", "unknown operating system"),
        ("releases/3.0.0/windows-amd64/lib/nul.txt", "Windows cannot hold"),
        ("releases/3.0.0/windows-any/bin./x", "Windows cannot hold"),
        ("Releases/3.0.0/linux-amd64/x", "reserved directory releases/"),
        ("YANKED/2.0.0", "reserved directory yanked/"),
        ("yanked", "reserved directory yanked/"),
        ("channels", "reserved directory channels/"),
    ] {
        t.refuses(t.edit(&[(name, Some(b"x"))]), words);
    }
}

#[test]
fn signatures_mirror_artifacts_for_every_sender() {
    let t = Published::new();
    let signature = "signatures/2.0.0/linux-amd64/bin/acme.sig";
    t.refuses(t.edit(&[(signature, None)]), "would lose its signature");
    t.refuses(t.edit(&[("signatures/2.0.0/linux-amd64/bin/gone.sig", Some(b"x"))]), "which is not a target");
    t.refuses(t.edit(&[("signatures/2.0.0/linux-amd64/bin/acme", Some(b"x"))]), "does not end in .sig");
    // The same for targets that are no release.
    t.sandbox.write("packages/p.zip", "p");
    t.sandbox.publish(&["add-targets", "packages", "--sign"]).ok();
    t.refuses(t.edit(&[("packages/p.zip", None)]), "its signature signatures/packages/p.zip.sig would stay");
    t.refuses(t.edit(&[("packages/p.zip", Some(b"q"))]), "its signature signatures/packages/p.zip.sig would stay");
    t.refuses(t.edit(&[("signatures/packages/p.zip.sig", None)]), "would lose its signature");
    t.accepts(t.edit(&[("packages/p.zip", None), ("signatures/packages/p.zip.sig", None)]));
    // A target whose name begins with a version shares the name of its signature with a release's artifact.
    let twin = "2.0.0/linux-amd64/bin/acme";
    for content in [Some("one"), Some("two"), None] {
        let before = t.target(signature);
        match content {
            Some(content) => {
                t.sandbox.write(twin, content);
                t.sandbox.publish(&["add-targets", "2.0.0"]).ok();
            }
            None => drop(t.sandbox.publish(&["remove-targets", twin, "--confirm", "1"]).ok()),
        }
        assert!(t.target(signature) == before && before.is_some(), "the release's signature stays");
    }
    t.refuses(t.edit(&[("3.0.0/x", Some(b"x")), ("signatures/3.0.0/x.sig", Some(b"x"))]), "have the name of a release's signature");
    // Signed again.
    t.sandbox.publish(&["release", "2.0.0", "--from", "dist", "--resign"]).ok();
}

#[test]
fn channels_certificates_and_signatures_have_no_signatures() {
    let t = Published::new();
    let targets = t.present().targets;
    let certificate = targets.below("openpgp/").next().unwrap().to_owned();
    let signature = "signatures/2.0.0/linux-amd64/bin/acme.sig";
    for artifact in ["channels/1/stable", &certificate, signature, TOOL] {
        let words = format!("signatures/{artifact}.sig would sign {artifact}, which has no detached signature");
        t.refuses(t.edit(&[(&format!("signatures/{artifact}.sig"), Some(b"x"))]), &words);
    }
    // One that an earlier version accepted is reported, is in the way of no change, and can be removed.
    let stray = ["signatures/channels/1/stable.sig".to_owned(), format!("signatures/{TOOL}.sig")];
    for name in &stray {
        crate::verify::with_target(&t.sandbox, name, &fs::read(t.sandbox.path("repo/targets").join(signature)).unwrap());
    }
    let verify = t.sandbox.publish(&["verify", "--root", "keys/1.root.json"]);
    verify.says(&["signs channels/1/stable, which has no detached signature of this name", TOOL]);
    t.accepts(t.edit(&[("channels/1/stable", Some(b"1.0.0\n"))]));
    t.sandbox.publish(&["remove-targets", signature]).fails(6, &["which other commands manage"]);
    t.sandbox.publish(&["remove-targets", &stray[1], "--confirm", "1"]).ok();
    t.accepts(t.edit(&[(&stray[0], None)]));
    assert!(t.target(signature).is_some() && stray.iter().all(|name| t.target(name).is_none()));
}

#[test]
fn a_yank_is_whole_and_permanent_for_every_sender() {
    let t = Published::new();
    let yank = |version: &str, content: &[u8]| {
        let mut edit = t.edit(&[(&format!("yanked/{version}"), Some(content))]);
        edit.changes.extend(t.removal(version));
        edit
    };
    t.refuses(yank("2.0.0", b"2.0.0\n"), "channels point at it");
    t.refuses(t.edit(&[("yanked/1.0.0", Some(b"1.0.0\n"))]), "leaves some targets");
    t.refuses(yank("1.0.0", b"9.9.9\n"), "does not begin with the version");
    t.refuses(t.edit(&[("yanked/7.0.0", Some(b"7.0.0\n"))]), "there is no release 7.0.0");
    t.refuses(t.edit(&[("yanked/1.0", Some(b"1.0.0\n"))]), "is not a semantic version");
    let mut part = yank("1.0.0", b"1.0.0\n");
    part.changes.retain(|change| !change.name.starts_with("signatures/"));
    t.refuses(part, "would stay");
    t.accepts(yank("1.0.0", b"1.0.0\nbroken\n"));
    t.refuses(t.edit(&[("yanked/1.0.0", None)]), "never changed or removed");
    t.refuses(t.edit(&[("yanked/1.0.0", Some(b"1.0.0\nother\n"))]), "never changed or removed");
    let signature = fs::read(t.sandbox.path("repo/targets/signatures/2.0.0/linux-amd64/bin/acme.sig")).unwrap();
    let publish = |version: &str| {
        let (name, sig) = (format!("releases/{version}/linux-amd64/bin/acme"), format!("signatures/{version}/linux-amd64/bin/acme.sig"));
        t.edit(&[(&name, Some(b"again")), (&sig, Some(&signature))])
    };
    t.refuses(publish("1.0.0"), "was yanked");
    // In any spelling.
    t.accepts(publish("3.0.0-rc1"));
    t.refuses(publish("3.0.0-RC1"), "only in case");
    t.accepts(yank("3.0.0-rc1", b"3.0.0-rc1\n"));
    t.refuses(publish("3.0.0-RC1"), "was yanked as 3.0.0-rc1");
    t.sandbox.release("3.0.0-RC1").fails(5, &["was yanked as 3.0.0-rc1"]);
    // A yank and a release of the version in one batch: whichever comes second fails alone.
    t.accepts(publish("4.0.0"));
    let answers = t.commit(&[yank("4.0.0", b"4.0.0\n"), publish("4.0.0"), publish("4.0.1")]);
    assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok(), "{answers:?}");
    let record = t.edit(&[("channels/1/beta", Some(b"4.0.1\n"))]);
    let answers = t.commit(&[record, yank("4.0.1", b"4.0.1\n")]);
    assert!(
        answers[0].is_ok() && answers[1].as_ref().is_err_and(|failure| failure.message.contains("channels point at it")),
        "{answers:?}"
    );
}

#[test]
fn a_yank_moves_the_channels_of_its_release() {
    let t = Published::new();
    let stage = |name: &str, content: &[u8]| {
        let (name, wanted) = (name.to_owned(), t.stage(name, content));
        Change { expected: t.target(&name), name, wanted, keep_existing: false, content: None }
    };
    let mut changes = t.removal("2.0.0");
    changes.push(stage("yanked/2.0.0", b"2.0.0\n"));
    let mut cut_off = changes.clone();
    cut_off.extend(t.edit(&[("channels/1/stable", None)]).changes);
    t.refuses(Edit { changes: cut_off, ..Edit::default() }, "and the channels that point at it removed");
    changes.push(stage("channels/1/stable", b"1.0.0\n"));
    t.accepts(Edit { changes, ..Edit::default() });
    // A channel that is gone and comes back at a release with fewer platforms: the plan shows it.
    t.sandbox.write("wide/any-any/acme", "x");
    t.sandbox.publish(&["release", "3.0.0", "--from", "wide"]).ok();
    t.sandbox.release("3.0.1").ok();
    t.sandbox.channels(&[("3", "stable", "3.0.1")]);
    let plan = t.sandbox.publish(&["channels", "--dry-run", "--json"]).ok().json();
    assert!(plan.to_string().contains("3/stable is new and points at 3.0.1, which has nothing for"), "{plan}");
}

#[test]
fn machines_keep_the_directory_that_they_use() {
    let t = Published::new();
    for (version, first) in [("3.0.0", "any-any"), ("4.0.0", "linux-any"), ("5.0.0", "any-amd64")] {
        t.sandbox.write(&format!("{version}/{first}/acme"), "x");
        t.sandbox.publish(&["release", version, "--from", version]).ok();
        let (name, signature) = (format!("releases/{version}/linux-amd64/acme"), format!("signatures/{version}/linux-amd64/acme.sig"));
        let more = t.edit(&[(&name, Some(b"evil")), (&signature, Some(b"x"))]);
        t.refuses(more.clone(), &format!("release {version} would change for machines that already use it"));
        t.accepts(Edit { may_lose_platforms: true, ..more });
    }
    // Machines that found nothing may find something.
    let more = [("releases/4.0.0/any-arm64/acme", Some(&b"x"[..])), ("signatures/4.0.0/any-arm64/acme.sig", Some(b"x"))];
    t.accepts(t.edit(&more));
    // With a plan it is shown, and then done.
    t.sandbox.write("5.0.0/linux-any/acme", "y");
    t.sandbox.write("5.0.0/linux-arm64/acme", "y");
    t.sandbox.publish(&["release", "5.0.0", "--from", "5.0.0"]).ok();
    t.sandbox.write("3.0.0/darwin-amd64/acme", "y");
    t.sandbox.publish(&["release", "3.0.0", "--from", "3.0.0"]).ok();
}

#[test]
fn channels_point_at_releases_for_every_sender() {
    let t = Published::new();
    let not_released = "which is not released";
    for content in [&b"9.9.9\n"[..], b"1.0.0", b"1.0.0\n\n", b"1.0.0\r\n", b" 1.0.0\n", b"v1.0.0\n", b"", b"\x1b[2J\n"] {
        t.refuses(t.edit(&[("channels/1/stable", Some(content))]), not_released);
        t.refuses(t.edit(&[("channels/1/beta", Some(content))]), not_released);
    }
    t.refuses(t.edit(&[("channels/1/nightly", Some(b"1.0.0\n"))]), "unknown channel");
    t.refuses(t.edit(&[("channels/1/a/stable", Some(b"1.0.0\n"))]), "unknown channel");
    t.refuses(t.edit(&[("channels/stable", Some(b"1.0.0\n"))]), "is not channels/<group>/<channel>");
    t.accepts(t.edit(&[("channels/1/stable", Some(b"1.0.0\n"))]));
    t.accepts(t.edit(&[("channels/1/stable", None)]));
}

#[test]
fn certificates_stay_under_their_fingerprints_for_every_sender() {
    let t = Published::new();
    let name = t.present().targets.below("openpgp/").next().unwrap().to_owned();
    let stranger = Published::new();
    let other_name = stranger.present().targets.below("openpgp/").next().unwrap().to_owned();
    let other = fs::read(stranger.sandbox.path("repo/targets").join(&other_name)).unwrap();
    t.refuses(t.edit(&[(&name, None)]), "users need it");
    t.refuses(t.edit(&[(&name, Some(&other))]), "would hold the certificate");
    t.refuses(t.edit(&[(&name, Some(b"garbage"))]), "is not an OpenPGP key");
    t.refuses(t.edit(&[("openpgp/key.asc", Some(&other))]), "would hold the certificate");
    t.accepts(t.edit(&[(&other_name, Some(&other))]));
}

/// Names that an adopted repository brought along stop nothing.
#[test]
fn odd_names_stay_and_stop_nothing() {
    let t = Published::new();
    for (name, content) in [
        ("releases/v0.0.2/linux-amd64/bin/acme", &b"old"[..]),
        ("releases/1.2/x", b"old"),
        ("releases/notes.txt", b"old"),
        ("signatures/stray", b"old"),
        ("channels/latest", b"v0.0.2"),
        ("channels/old/stable", b"v0.0.2"),
        ("yanked/v0.0.1", b"gone"),
        ("openpgp/key.asc", b"not a key"),
        ("Releases/x", b"old"),
    ] {
        crate::verify::with_target(&t.sandbox, name, content);
    }
    t.sandbox.release("2.0.1").ok();
    t.sandbox.release("0.0.1").fails(5, &["was yanked as v0.0.1"]);
    t.sandbox.publish(&["yank", "1.0.0", "--confirm", "1.0.0"]).ok();
    t.sandbox.channels(&[("1", "stable", "2.0.1")]);
    t.sandbox.publish(&["channels"]).ok();
    t.sandbox.write("packages/p.zip", "p");
    t.sandbox.publish(&["add-targets", "packages", "--sign"]).ok();
    t.accepts(t.edit(&[("signatures/stray", None)]));
    t.accepts(t.edit(&[("channels/latest", Some(b"2.0.1\n"))]));
}
