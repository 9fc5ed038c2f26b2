//! An attacker has stolen keys and published with them: what the owners of the root can still do, and that clients follow.

use crate::deaths::{Death, Dying, at_every_call};
use crate::rotate::Rotating;
use crate::sandbox::Sandbox;
use crate::trial::Trial;
use publish::keys::{self, KeyUri};
use publish::metadata::{LAST_VERSION, Role};
use publish::operation::refresh::{self, RefreshRequest};
use publish::operation::root::commit::{self, CommitRequest};
use publish::operation::root::rollback::BackTo;
use publish::operation::root::{self, RootRequest};
use publish::operation::{Publisher, StateDocument};
use publish::repository::Versions;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const AT_ONCE: CommitRequest = CommitRequest { replace_now: true, back_to: None };

fn back_to(snapshot: u64, reset_versions: Option<u64>) -> CommitRequest {
    CommitRequest { replace_now: true, back_to: Some(BackTo { snapshot, reset_versions }) }
}

/// A repository whose online keys an attacker has copied.
struct Theft {
    rotating: Rotating,
    stolen: BTreeMap<Role, Vec<PathBuf>>,
}

impl Theft {
    fn of(trial: Trial) -> Self {
        let rotating = Rotating::new(trial);
        Self { stolen: rotating.keys.clone(), rotating }
    }

    /// The attacker publishes with versions above this one.
    fn publishes(&self, version: &str, above: u64) {
        let trial = &self.rotating.trial;
        let stolen = self.stolen.iter().map(|(role, paths)| (*role, paths.iter().cloned().map(KeyUri::File).collect()));
        let publisher = trial
            .publisher()
            .with_keys(|keyring| keyring.roles = stolen.collect())
            .with_memory(|memory| memory.state = StateDocument::file(trial.path("attacker-state.json")))
            .signing_above(Versions::all(above));
        trial.build("linux-amd64/bin/acme", b"evil");
        trial.release_on(&publisher, version).unwrap();
        trial.build("linux-amd64/bin/acme", b"one");
    }

    /// A root with other keys for these roles, signed and not yet published.
    fn draft(&mut self, roles: &[Role]) {
        let rotating = &mut self.rotating;
        let (draft, names) = (rotating.trial.path("draft.json"), rotating.trial.path("names.json"));
        let mut wish = RootRequest::default();
        for role in roles {
            let stolen = rotating.public(&rotating.keys[role][0]);
            let new = rotating.new_key(*role);
            wish.add.push((*role, rotating.public(&new), None));
            wish.remove.push((*role, stolen.id()));
            rotating.keys.insert(*role, vec![new]);
        }
        root::edit(&rotating.publisher(), &draft, &names, &wish, false).unwrap();
        let root_key = rotating.publisher().keyring().load(&KeyUri::File(rotating.keys[&Role::Root][0].clone())).unwrap();
        root::sign(None, &draft, &[root_key]).unwrap();
    }

    fn commit_on(&self, publisher: &Publisher, wish: CommitRequest) -> publish::error::Result<()> {
        let draft = self.rotating.trial.path("draft.json");
        commit::carry_out(publisher, commit::prepare(publisher, &draft, wish)?).map(drop)
    }

    fn commit(&self, wish: CommitRequest) -> publish::error::Result<()> {
        self.commit_on(&self.rotating.publisher(), wish)
    }

    /// Commits with a publisher that dies before or after its storage call of this number. Says whether it lived.
    fn commit_dying(&self, at: usize, wish: CommitRequest) -> bool {
        let dying = Dying::new(&self.rotating.trial, at, Death::StorageFails);
        self.commit_on(&self.rotating.dressed(dying.publisher), wish).is_ok()
    }

    fn versions(&self) -> Versions {
        self.rotating.publisher().load().unwrap().versions()
    }
}

/// Stolen keys are replaced at once: clients may fail between two writes, never after the command was finished, and what
/// is published never contains anything that the attacker made.
#[test]
fn a_replacement_at_once_is_finished_after_a_kill_at_every_point() {
    at_every_call(|at| {
        let mut theft = Theft::of(Trial::new());
        theft.rotating.trial.release("1.0.0").unwrap();
        let old = theft.rotating.trial.trust();
        theft.draft(&Role::ONLINE);
        let survived = theft.commit_dying(at, AT_ONCE);
        let trial = &theft.rotating.trial;
        if !survived {
            let switched = trial.path("repo/2.root.json").exists();
            assert!(trial.updates(&old).is_ok() || switched, "death at {at}");
            if trial.path("draft.json").exists() {
                theft.commit(AT_ONCE).unwrap_or_else(|error| panic!("again after death at {at}: {error:#}"));
            }
        }
        trial.updates(&old).unwrap_or_else(|failure| panic!("old client at the end, death at {at}: {failure}"));
        trial.updates(&theft.rotating.pinned_to(1)).unwrap();
        trial.client().expect("complete after the second run");
        survived
    });
}

/// After the old keys were dropped, what is signed with them is never accepted as a state to continue. The remedy is
/// to name the state to restore.
#[test]
fn an_attacker_who_is_faster_than_the_second_run_gets_nothing_signed() {
    let mut theft = Theft::of(Trial::new());
    theft.rotating.trial.release("1.0.0").unwrap();
    let (old, good) = (theft.rotating.trial.trust(), theft.versions());
    theft.draft(&[Role::Timestamp]);
    // Killed right after the root was written.
    let second = theft.rotating.trial.path("repo/2.root.json");
    let mut at = 0;
    while !second.exists() {
        theft.commit_dying(at, AT_ONCE);
        at += 1;
    }
    let trial = &theft.rotating.trial;
    assert!(trial.updates(&theft.rotating.pinned_to(1)).is_err(), "the window was not met");
    // The attacker restores the state of the first root for a moment and publishes with the stolen keys.
    let root = fs::read(&second).unwrap();
    fs::remove_file(&second).unwrap();
    theft.publishes("6.6.6", 0);
    fs::write(&second, &root).unwrap();
    let error = theft.commit(AT_ONCE).unwrap_err().to_string();
    assert!(error.contains("valid signatures"), "{error}");
    // The timestamp key alone cannot make that: clients that saw it would not follow a restoration.
    let error = theft.commit(back_to(good.snapshot, None)).unwrap_err().to_string();
    assert!(error.contains("of targets.json, and the snapshot to restore lists version"), "{error}");
    // An attacker with that key alone can publish an old snapshot again, and delay nothing else.
    fs::remove_file(&second).unwrap();
    fs::remove_file(trial.path("repo/timestamp.json")).unwrap();
    let storage = publish::storage::LocalDirectory::new(trial.path("repo"));
    let signers = BTreeMap::from([(
        Role::Timestamp,
        vec![trial.publisher().keyring().load(&KeyUri::File(theft.stolen[&Role::Timestamp][0].clone())).unwrap()],
    )]);
    let (timestamp, snapshot) = old.listings().unwrap();
    let listed = publish::repository::SignedRole::of(
        snapshot.version(),
        fs::read(trial.path(&format!("repo/{}.snapshot.json", good.snapshot))).unwrap(),
    );
    let forged = publish::repository::sign_timestamp(
        old.root(),
        &signers,
        timestamp,
        Some(&listed),
        70,
        publish::policy::clocks::Moment::first(trial.now(), Default::default()),
    )
    .unwrap();
    publish::storage::Storage::put(&storage, &publish::names::ObjectName::timestamp(), &forged.bytes).unwrap();
    fs::write(&second, &root).unwrap();
    assert!(theft.commit(AT_ONCE).is_err());
    theft.commit(back_to(good.snapshot, None)).unwrap();
    assert_eq!(theft.versions().timestamp, 71);
    trial.updates(&old).unwrap();
    trial.client().expect("all is well");
}

/// Versions that no client reads any more are lowered, whatever clients have seen, and wherever the publisher is killed.
#[test]
fn versions_raised_to_the_limit_are_lowered_after_a_kill_at_every_point() {
    at_every_call(|at| {
        let mut theft = Theft::of(Trial::new());
        theft.rotating.trial.release("1.0.0").unwrap();
        let (unaware, good) = (theft.rotating.trial.trust(), theft.versions());
        theft.publishes("6.6.6", LAST_VERSION - 1);
        let fooled = theft.rotating.trial.trust();
        assert_eq!(fooled.listings().unwrap().0.version(), LAST_VERSION);
        // This publisher has seen it too, and cannot go on.
        let error = theft.rotating.trial.release("1.0.1").unwrap_err().to_string();
        assert!(error.contains("clients read none above"), "{error}");
        theft.rotating.publisher().remember(&theft.versions()).unwrap();
        theft.draft(&Role::ONLINE);
        let wish = back_to(good.snapshot, Some(40));
        let survived = theft.commit_dying(at, wish);
        let trial = &theft.rotating.trial;
        let draft = trial.path("draft.json");
        if !survived && draft.exists() {
            let finished = || theft.commit(wish).unwrap_or_else(|error| panic!("again after death at {at}: {error:#}"));
            finished();
        }
        for client in [&unaware, &fooled, &theft.rotating.pinned_to(1)] {
            trial.updates(client).unwrap_or_else(|failure| panic!("death at {at}: {failure}"));
        }
        trial.client().expect("all is well");
        let now = theft.versions();
        assert!(now.targets > 40 && now.snapshot > 40 && now.timestamp > 40 && now.timestamp < 50, "death at {at}: {now:?}");
        assert!(!trial.path("repo/targets/releases/6.6.6").join("linux-amd64/bin/acme").exists());
        // And daily work goes on, above.
        trial.release_on(&theft.rotating.publisher(), "1.0.1").unwrap();
        trial.updates(&fooled).unwrap();
        trial.client().expect("all is well");
        survived
    });
}

/// Another publisher of the same repository, which has recorded the attacker's versions, follows the root by itself. One
/// whose keys stay is not followed down.
#[test]
fn publishers_forget_what_they_saw_before_the_keys_were_replaced() {
    let mut theft = Theft::of(Trial::new());
    theft.rotating.trial.release("1.0.0").unwrap();
    let good = theft.versions();
    theft.publishes("6.6.6", 5000);
    theft.rotating.publisher().remember(&theft.versions()).unwrap();
    let other = theft.rotating.trial.path("other-state.json");
    fs::copy(theft.rotating.trial.path("state.json"), &other).unwrap();
    theft.draft(&Role::ONLINE);
    theft.commit(back_to(good.snapshot, Some(20))).unwrap();
    let low = theft.versions();
    assert!(low.timestamp < 30);
    let publisher = theft.rotating.publisher();
    let publisher = publisher.with_memory(|memory| memory.state = StateDocument::file(other));
    // The attacker's versions do not come back, not even with the option that accepts a restored backup.
    let publisher = publisher.accepting_rollback(true);
    theft.rotating.trial.release_on(&publisher, "1.0.1").unwrap();
    let publisher = publisher.accepting_rollback(false);
    theft.rotating.trial.release_on(&publisher, "1.0.2").unwrap();
    assert!(publisher.load().unwrap().versions().timestamp < 30);
    // From then on they are remembered as ever.
    let backup = fs::read(theft.rotating.trial.path("repo/timestamp.json")).unwrap();
    theft.rotating.trial.release_on(&publisher, "1.0.3").unwrap();
    fs::write(theft.rotating.trial.path("repo/timestamp.json"), backup).unwrap();
    let error = theft.rotating.trial.release_on(&publisher, "1.0.4").unwrap_err().to_string();
    assert!(error.contains("older state than this publisher has seen"), "{error}");
}

/// Bins that the stolen key signed are signed by the new one in the same commit.
#[test]
fn bins_follow_a_key_that_is_replaced_at_once() {
    for rollback in [false, true] {
        let mut theft = Theft::of(Trial::with_bins(12, 4));
        let (old, good) = (theft.rotating.trial.trust(), theft.versions());
        let stolen = theft.rotating.public(&theft.stolen[&Role::Targets][0]);
        if rollback {
            theft.publishes("6.6.6", 900_000);
        }
        theft.draft(&Role::ONLINE);
        theft.commit(if rollback { back_to(good.snapshot, Some(30)) } else { AT_ONCE }).unwrap();
        let present = theft.rotating.publisher().load().unwrap();
        let (keys, _) = present.bins.as_ref().unwrap().keys();
        assert!(keys.iter().all(|(_, key)| !key.same_material(&stolen)));
        assert!(!present.targets.field("delegations").unwrap().contains(&stolen.id()));
        assert!(present.trust.listings().unwrap().1.files().values().all(|listed| listed.version < 100));
        let trial = &theft.rotating.trial;
        trial.updates(&old).unwrap();
        fs::create_dir_all(trial.path("new")).unwrap();
        fs::write(trial.path("new/later.zip"), "later").unwrap();
        trial.add_on(&theft.rotating.publisher(), "new").unwrap();
        trial.updates(&old).unwrap();
        trial.client().expect("all is well");
    }
}

/// Bins that others sign do not prevent the replacement of another role's key.
#[test]
fn bins_of_others_do_not_hold_up_the_replacement_of_a_timestamp_key() {
    let trial = Trial::new();
    fs::create_dir(trial.path("pool")).unwrap();
    fs::write(trial.path("pool/one.zip"), "one").unwrap();
    trial.add_on(&trial.publisher(), "pool").unwrap();
    let own = trial.path("keys/bins.pem");
    keys::create(&own, publish::metadata::KeyKind::Ed25519, None).unwrap();
    let publisher = trial.publisher();
    let publisher = publisher.with_keys(|keyring| keyring.bins = vec![KeyUri::File(own)]);
    trial.bins_on(&publisher, 4).unwrap();
    let mut theft = Theft::of(trial);
    let old = theft.rotating.trial.trust();
    theft.draft(&[Role::Timestamp]);
    theft.commit(AT_ONCE).unwrap();
    theft.rotating.trial.updates(&old).unwrap();
    theft.rotating.trial.client().expect("all is well");
}

/// A root that others than `rotate` made takes the bins along too.
#[test]
fn bins_follow_a_root_that_was_committed_manually() {
    let mut theft = Theft::of(Trial::with_bins(12, 4));
    let rotating = &mut theft.rotating;
    let (draft, names) = (rotating.trial.path("draft.json"), rotating.trial.path("names.json"));
    let new = rotating.new_key(Role::Targets);
    let wish = RootRequest { add: vec![(Role::Targets, rotating.public(&new), None)], ..RootRequest::default() };
    rotating.keys.get_mut(&Role::Targets).unwrap().push(new.clone());
    root::edit(&rotating.publisher(), &draft, &names, &wish, false).unwrap();
    let root_key = rotating.publisher().keyring().load(&KeyUri::File(rotating.keys[&Role::Root][0].clone())).unwrap();
    root::sign(None, &draft, &[root_key]).unwrap();
    theft.commit(CommitRequest::default()).unwrap();
    let present = theft.rotating.publisher().load().unwrap();
    let (keys, _) = present.bins.as_ref().unwrap().keys();
    let new = theft.rotating.public(&new);
    assert!(keys.len() == 2 && keys.iter().any(|(_, key)| key.same_material(&new)));
    theft.rotating.trial.client().expect("all is well");
}

/// Without consistent snapshots the attacker has overwritten what changed: it is not listed until it is published again.
#[test]
fn what_an_attacker_has_overwritten_is_left_out() {
    let mut theft = Theft::of(Trial::with(false));
    let trial = &theft.rotating.trial;
    trial.release("1.0.0").unwrap();
    trial.channels_on(&trial.publisher(), "1.0.0").unwrap();
    let (old, good) = (trial.trust(), theft.versions());
    theft.publishes("6.6.6", 5000);
    let trial = &theft.rotating.trial;
    let evil = trial.publisher();
    let evil = evil.with_memory(|memory| memory.state = StateDocument::file(trial.path("attacker-state.json")));
    trial.channels_on(&evil, "6.6.6").unwrap();
    theft.draft(&Role::ONLINE);
    theft.commit(back_to(good.snapshot, Some(30))).unwrap();
    let trial = &theft.rotating.trial;
    trial.updates(&old).unwrap();
    trial.client().expect("nothing is listed that is not there");
    let listed = theft.rotating.publisher().load().unwrap().targets;
    assert!(listed.names().any(|name| name == "releases/1.0.0/linux-amd64/bin/acme"));
    assert!(!listed.names().any(|name| name.starts_with("channels/")), "they said 1.0.0 and hold 6.6.6");
    trial.channels_on(&theft.rotating.publisher(), "1.0.0").unwrap();
    trial.client().expect("all is well");
}

/// The guide (docs/recovery.md), command by command.
#[test]
fn the_guide_lowers_versions() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    let good = sandbox.publish(&["status", "--json"]).ok().json();
    let version = |at: usize| good["status"]["roles"][at]["version"].as_u64().unwrap();
    let (snapshot, highest) = (version(2).to_string(), version(1).max(version(2)).max(version(3)));
    // The attacker, on another machine.
    let evil = sandbox.path("dist/linux-amd64/bin/acme");
    let mine = fs::read(&evil).unwrap();
    fs::write(&evil, "evil").unwrap();
    sandbox.publish(&["refresh", "--all", "--versions-above", "9007199254740980", "--confirm", "9007199254740980"]).ok();
    sandbox.publish(&["release", "6.6.6", "--from", "dist"]).ok();
    fs::write(&evil, mine).unwrap();
    sandbox.publish(&["refresh", "--all", "--versions-above", "9007199254740990", "--confirm", "9007199254740990"]).ok();
    sandbox.unchanged(|| sandbox.release("1.0.1").fails(9, &["clients read none above 9007199254740991", "docs/recovery.md"]));
    sandbox
        .publish(&["refresh", "--all", "--versions-above", "9007199254740991", "--confirm", "9007199254740991"])
        .fails(2, &["--versions-above"]);
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    let replace = |role: &str| {
        let old =
            sandbox.publish(&["key", "show", &format!("keys/{role}.pem"), "--json"]).ok().json()["key_id"].as_str().unwrap().to_owned();
        sandbox.publish(&["key", "new", &format!("keys/{role}-2.pem"), "--no-passphrase"]).ok();
        sandbox
            .publish(&["root", "edit", "--add-key", &format!("{role}=keys/{role}-2.pem"), "--remove-key", &format!("{role}={old}")])
            .ok()
            .says(&["timestamp is not signed for it"]);
    };
    replace("timestamp");
    replace("snapshot");
    sandbox.publish(&["root", "sign", "--yes"]).ok();
    let with_new = |roles: &[&str]| {
        roles.iter().fold(config.clone(), |text, role| text.replace(&format!("keys/{role}.pem"), &format!("keys/{role}-2.pem")))
    };
    sandbox.write("publish.yaml", with_new(&["timestamp", "snapshot"]));
    let commit = |more: &[&str]| sandbox.publish(&[&["root", "commit", "--replace-now", "--confirm", "2"], more].concat());
    // The versions come down only with all three.
    sandbox.unchanged(|| {
        commit(&["--back-to", &snapshot, "--reset-versions", &highest.to_string()])
            .fails(5, &["every key of targets, snapshot and timestamp", "stays: targets key"])
    });
    replace("targets");
    sandbox.publish(&["root", "sign", "--yes"]).ok();
    sandbox.write("publish.yaml", with_new(&["timestamp", "snapshot", "targets"]));
    sandbox.publish(&["root", "commit", "--back-to", &snapshot]).fails(2, &["--replace-now"]);
    commit(&["--reset-versions", "20"]).fails(2, &["--back-to"]);
    sandbox.unchanged(|| commit(&["--back-to", &snapshot, "--reset-versions", "1"]).fails(6, &["cannot continue above 1"]));
    sandbox.unchanged(|| {
        commit(&["--back-to", "77", "--reset-versions", "20"]).fails(9, &["the state of snapshot 77 cannot be restored", "missing"])
    });
    sandbox.unchanged(|| commit(&["--back-to", &snapshot]).fails(9, &["clients read none above"]));
    sandbox.unchanged(|| {
        commit(&["--back-to", &snapshot, "--reset-versions", &highest.to_string(), "--dry-run"]).ok().says(&[
            "- target releases/6.6.6/linux-amd64/bin/acme",
            "versions are lowered",
            "Nothing was written",
        ])
    });
    commit(&["--back-to", &snapshot, "--reset-versions", &highest.to_string()]).ok().says(&["root 2 is published"]);
    let status = sandbox.publish(&["status", "--json"]).ok().json();
    let versions: Vec<u64> = status["status"]["roles"].as_array().unwrap().iter().map(|role| role["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [2, highest + 1, highest + 1, highest + 1]);
    sandbox.publish(&["verify"]).ok().says(&["good: 0 errors"]);
    sandbox.release("1.0.1").ok();
    sandbox.publish(&["verify"]).ok();
}

/// The attacker's timestamp need not be valid.
#[test]
fn a_published_state_that_cannot_be_read_does_not_prevent_the_recovery() {
    let mut theft = Theft::of(Trial::new());
    theft.rotating.trial.release("1.0.0").unwrap();
    let (old, good) = (theft.rotating.trial.trust(), theft.versions());
    let timestamp = theft.rotating.trial.path("repo/timestamp.json");
    let text = fs::read_to_string(&timestamp).unwrap();
    fs::write(&timestamp, text.replace("\"version\":", "\"version\":99999999999999999999")).unwrap();
    theft.draft(&Role::ONLINE);
    assert!(theft.commit(AT_ONCE).is_err());
    let error = theft.commit(back_to(good.snapshot, None)).unwrap_err();
    assert!(format!("{error:#}").contains("the versions that clients have seen are not known"), "{error:#}");
    theft.commit(back_to(good.snapshot, Some(good.timestamp.max(good.snapshot)))).unwrap();
    theft.rotating.trial.updates(&old).unwrap();
    theft.rotating.trial.client().expect("all is well");
    let all = RefreshRequest { consistent_snapshot: None, all: true, rehash: false };
    let publisher = theft.rotating.publisher();
    refresh::carry_out(&publisher, refresh::prepare(&publisher, all).unwrap()).unwrap();
}
