//! Keys of online roles change while clients of every age follow.

use crate::deaths::{Death, Dying, at_every_call};
use crate::sandbox::Sandbox;
use crate::trial::Trial;
use publish::keys::{self, KeyUri};
use publish::metadata::trust::{AtExpiry, TrustedMetadata};
use publish::metadata::{KeyKind, PublicKey, Role};
use publish::operation::Publisher;
use publish::operation::root::rotate::{self, Places, Step};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const ONLINE: [Role; 3] = [Role::Targets, Role::Snapshot, Role::Timestamp];

/// A trial whose roles have other keys by now.
pub struct Rotating {
    pub trial: Trial,
    pub keys: std::collections::BTreeMap<Role, Vec<PathBuf>>,
    made: usize,
}

impl Rotating {
    pub fn new(trial: Trial) -> Self {
        let keys = Role::ALL.into_iter().map(|role| (role, vec![trial.path(&format!("keys/{role}.pem"))])).collect();
        Self { trial, keys, made: 0 }
    }

    pub fn publisher(&self) -> Publisher {
        self.dressed(self.trial.publisher())
    }

    pub fn dressed(&self, publisher: Publisher) -> Publisher {
        let own = self.keys.iter().map(|(role, paths)| (*role, paths.iter().cloned().map(KeyUri::File).collect()));
        publisher.with_keys(|keyring| keyring.roles = own.collect())
    }

    pub fn with_places<T>(&self, work: impl FnOnce(Places<'_>) -> T) -> T {
        work(Places { draft: &self.trial.path("draft.json"), names: &self.trial.path("names.json") })
    }

    pub fn new_key(&mut self, role: Role) -> PathBuf {
        self.made += 1;
        let path = self.trial.path(&format!("keys/{role}-{}.pem", self.made));
        keys::create(&path, KeyKind::Ed25519, None).unwrap();
        path
    }

    pub fn public(&self, path: &std::path::Path) -> PublicKey {
        self.publisher().keyring().load(&KeyUri::File(path.to_owned())).unwrap().public().clone()
    }

    pub fn begin(&mut self, role: Role) {
        let new = self.new_key(role);
        self.keys.get_mut(&role).unwrap().push(new);
        let step = self.with_places(|places| rotate::add(&self.publisher(), places, role)).unwrap();
        assert!(matches!(step, Step::Done { .. }), "{step:?}");
    }

    pub fn finish(&mut self, role: Role) {
        let old = self.keys[&role][0].clone();
        let key = self.public(&old);
        self.with_places(|places| rotate::drop_key(&self.publisher(), places, role, &key)).unwrap();
        self.keys.get_mut(&role).unwrap().remove(0);
    }

    /// What a client trusts that starts from this root.
    pub fn pinned_to(&self, version: u64) -> TrustedMetadata {
        let file = fs::read(self.trial.path(&format!("repo/{version}.root.json"))).unwrap();
        TrustedMetadata::pin(&file, AtExpiry::Refuse(chrono::Utc::now())).unwrap()
    }
}

#[test]
fn clients_of_every_age_follow_rotation_after_rotation() {
    let mut rotating = Rotating::new(Trial::new());
    rotating.trial.release("1.0.0").unwrap();
    let mut held = vec![rotating.trial.trust()];
    for number in 0..18_u64 {
        let role = ONLINE[number as usize % 3];
        for half in 0..2 {
            if half == 0 {
                rotating.begin(role)
            } else {
                rotating.finish(role)
            }
            // Pinned to any root, as users are who typed `trdl add` on some day.
            let newest = rotating.trial.trust().root().version();
            assert_eq!(newest, 2 + 2 * number + half);
            for version in [1, newest - 1, newest, 1 + (number * 7919) % newest] {
                rotating
                    .trial
                    .updates(&rotating.pinned_to(version))
                    .unwrap_or_else(|failure| panic!("pinned to {version} of {newest}: {failure}"));
            }
            // With the state of any day in the cache.
            for at in [0, held.len() - 1, (number as usize * 104_729) % held.len()] {
                rotating
                    .trial
                    .updates(&held[at])
                    .unwrap_or_else(|failure| panic!("state {at} of {}, root {newest}: {failure}", held.len()));
            }
            held.push(rotating.trial.trust());
        }
    }
    rotating.trial.client().expect("all is well");
    // All pairs of roots, in memory: each leads to each that came after it.
    let roots: Vec<Vec<u8>> =
        (1..=37).map(|version| fs::read(rotating.trial.path(&format!("repo/{version}.root.json"))).unwrap()).collect();
    for (at, pinned) in roots.iter().enumerate() {
        let mut trust = TrustedMetadata::pin(pinned, AtExpiry::Refuse(chrono::Utc::now())).unwrap();
        for next in &roots[at + 1..] {
            trust.next_root(next).unwrap();
        }
        trust.end_of_roots().unwrap();
    }
}

#[test]
fn bins_that_the_targets_key_signs_follow_it() {
    let mut rotating = Rotating::new(Trial::with_bins(12, 4));
    let before = rotating.trial.trust();
    let first = rotating.public(&rotating.keys[&Role::Targets][0]);
    rotating.begin(Role::Targets);
    rotating.trial.updates(&before).unwrap();
    rotating.finish(Role::Targets);
    rotating.trial.updates(&before).unwrap();
    rotating.trial.client().expect("all is well");
    // The old key is nowhere any more.
    let storage = publish::storage::LocalDirectory::new(rotating.trial.path("repo"));
    let pinned = fs::read(rotating.trial.path("keys/1.root.json")).unwrap();
    let present = publish::repository::load(&storage, &pinned, chrono::Utc::now()).unwrap();
    let (keys, _) = present.bins.as_ref().unwrap().keys();
    assert!(keys.len() == 1 && !keys[0].1.same_material(&first));
    assert!(!present.targets.field("delegations").unwrap().contains(&first.id()));
    // And publishing goes on.
    fs::create_dir_all(rotating.trial.path("new")).unwrap();
    fs::write(rotating.trial.path("new/later.zip"), "later").unwrap();
    rotating.trial.add_on(&rotating.publisher(), "new").unwrap();
    rotating.trial.client().expect("all is well");
}

/// A publisher is killed between any two storage calls of either half; clients of any age never notice, and the same command
/// finishes the work.
#[test]
fn both_halves_of_a_rotation_survive_a_kill_at_every_point() {
    for half in 0..2 {
        at_every_call(|at| {
            let mut rotating = Rotating::new(Trial::new());
            rotating.trial.release("1.0.0").unwrap();
            if half == 0 {
                let new = rotating.new_key(Role::Timestamp);
                rotating.keys.get_mut(&Role::Timestamp).unwrap().push(new);
            } else {
                rotating.begin(Role::Timestamp);
            }
            let (old, pinned) = (rotating.trial.trust(), rotating.pinned_to(1));
            let dropped = rotating.public(&rotating.keys[&Role::Timestamp][0]);
            let act = |publisher: &Publisher| {
                rotating.with_places(|places| {
                    if rotate::resume(publisher, rotate::draft_of(publisher, places, Role::Timestamp)?)? {
                        return Ok(());
                    }
                    match half {
                        0 => rotate::add(publisher, places, Role::Timestamp).map(drop),
                        _ => rotate::drop_key(publisher, places, Role::Timestamp, &dropped).map(drop),
                    }
                })
            };
            let dying = Dying::new(&rotating.trial, at, Death::StorageFails);
            let survived = act(&rotating.dressed(dying.publisher)).is_ok();
            for client in [&old, &pinned] {
                rotating.trial.updates(client).unwrap_or_else(|failure| panic!("half {half}, death at {at}: {failure}"));
            }
            if !survived {
                match act(&rotating.publisher()) {
                    Ok(()) => {}
                    // It had been done but for the answer.
                    Err(error) => assert!(
                        error.to_string().contains("the root has all keys") || error.to_string().contains("is not a key of timestamp"),
                        "half {half}, death at {at}: {error}"
                    ),
                }
            }
            assert_eq!(rotating.trial.trust().root().keys_of(Role::Timestamp).count(), 2 - half, "half {half}, death at {at}");
            rotating.trial.updates(&old).unwrap();
            rotating.trial.client().expect("complete after the second run");
            survived
        });
    }
}

#[test]
fn the_command_makes_the_key_and_writes_the_config() {
    let sandbox = Sandbox::new();
    sandbox.release("1.0.0").ok();
    sandbox.unchanged(|| {
        sandbox.publish(&["rotate", "snapshot", "--no-passphrase", "-n"]).ok().says(&["root 2 adds it", "Nothing was written"])
    });
    assert!(!sandbox.path("keys/snapshot-2.pem").exists());
    // A config that is private and at another place stays so.
    let kept = sandbox.path("kept.yaml");
    fs::rename(sandbox.path("publish.yaml"), &kept).unwrap();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("kept.yaml", sandbox.path("publish.yaml")).unwrap();
    sandbox.publish(&["rotate", "snapshot", "--no-passphrase"]).ok().says(&["made keys/snapshot-2.pem", "root 2 is published", "--finish"]);
    assert!(sandbox.path("publish.yaml").is_symlink());
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    assert!(config.contains("  snapshot: [file:keys/snapshot.pem, file:keys/snapshot-2.pem]\n"), "{config}");
    sandbox.publish(&["status"]).ok().says(&["signed by 2 of 2 keys"]);
    sandbox.unchanged(|| sandbox.publish(&["rotate", "snapshot"]).fails(5, &["the first half of a rotation is done", "--finish"]));
    sandbox.release("1.0.1").ok();
    sandbox.publish(&["rotate", "snapshot", "--finish"]).ok().says(&["root 3 drops file:keys/snapshot.pem", "root 3 is published"]);
    let after = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    assert_eq!(
        after,
        config.replace("[file:keys/snapshot.pem, file:keys/snapshot-2.pem]", "file:keys/snapshot-2.pem"),
        "nothing else changed"
    );
    fs::remove_file(sandbox.path("keys/snapshot.pem")).unwrap();
    sandbox.release("1.0.2").ok();
    sandbox.publish(&["verify"]).ok();
    sandbox.unchanged(|| sandbox.publish(&["rotate", "snapshot", "--finish"]).fails(5, &["no rotation of snapshot to finish"]));
    sandbox.publish(&["rotate", "targets", "--no-passphrase", "--now"]).ok().says(&["root 4 is published", "root 5 is published"]);
    sandbox.publish(&["verify"]).ok();
}

#[test]
fn a_root_that_needs_other_people_is_left_as_a_draft() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["key", "new", "bob-secret.pem", "--no-passphrase"]).ok();
    let bob = sandbox.publish(&["key", "export", "bob-secret.pem", "--form", "json"]).ok().stdout;
    sandbox.write("bob.json", bob);
    sandbox.publish(&["root", "edit", "--add-key", "root=bob.json", "--threshold", "root=2"]).ok();
    sandbox.publish(&["root", "sign", "--yes"]).ok();
    sandbox.publish(&["root", "sign", "--key", "bob-secret.pem", "--yes"]).ok();
    sandbox.publish(&["root", "commit"]).ok();
    sandbox
        .publish(&["rotate", "timestamp", "--no-passphrase"])
        .ok()
        .says(&["root 3 is a draft in root-draft.json: 1 of 2, waiting for bob", "publish root sign --draft"]);
    sandbox.unchanged(|| sandbox.publish(&["rotate", "timestamp"]).fails(5, &["there is already a draft of the next root"]));
    // Publishing is not held up meanwhile.
    sandbox.release("1.0.0").ok();
    sandbox.publish(&["root", "sign", "--key", "bob-secret.pem", "--yes"]).ok().says(&["2 of 2: complete"]);
    sandbox.publish(&["rotate", "timestamp"]).ok().says(&["root 3 is published"]);
    sandbox.publish(&["rotate", "timestamp", "--finish"]).ok().says(&["root 4 is a draft", "waiting for bob"]);
    sandbox.publish(&["root", "sign", "--key", "bob-secret.pem", "--yes"]).ok();
    sandbox.publish(&["rotate", "timestamp", "--finish"]).ok().says(&["root 4 is published"]);
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    assert!(config.contains("  timestamp: file:keys/timestamp-2.pem\n"), "{config}");
    sandbox.publish(&["verify"]).ok();
}

/// A rotation publishes what it began, not another draft that is there.
#[test]
fn a_signed_draft_of_something_else_is_not_published_in_passing() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["root", "edit", "--expires", "100d"]).ok();
    sandbox.publish(&["key", "new", "bob.pem", "--no-passphrase"]).ok();
    sandbox.publish(&["root", "edit", "--add-key", "root=bob.pem"]).ok();
    sandbox.publish(&["root", "sign", "--yes"]).ok().says(&["complete"]);
    for arguments in [&["rotate", "timestamp", "--no-passphrase"][..], &["rotate", "timestamp", "--finish"], &["rotate", "timestamp", "-n"]]
    {
        sandbox.unchanged(|| sandbox.publish(arguments).fails(5, &["there is already a draft of the next root"]));
    }
    assert!(!sandbox.path("repo/2.root.json").exists() && !sandbox.path("keys/timestamp-2.pem").exists());
    sandbox.publish(&["root", "commit"]).ok();
    sandbox.publish(&["rotate", "timestamp", "--no-passphrase", "--now"]).ok();
}

#[test]
fn keys_are_listed_shown_exported_and_encrypted_anew() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["key", "list"]).ok().says(&[
        "root: 1 of 1 must sign",
        "has signed what is published",
        "looked for in file:keys/targets.pem: there",
    ]);
    sandbox.publish(&["key", "show", "keys/targets.pem"]).ok().says(&["signs:  targets (1 of its keys needed"]);
    for (kind, words) in [("p256", "ecdsa-sha2-nistp256"), ("rsa", "rsa")] {
        let file = format!("keys/{kind}.pem");
        sandbox.publish(&["key", "new", &file, "--kind", kind, "--no-passphrase"]).ok().says(&[words]);
        let pem = sandbox.publish(&["key", "export", &file]).ok().stdout;
        assert!(openssl::pkey::PKey::public_key_from_pem(pem.as_bytes()).is_ok(), "{pem}");
    }
    let id = |run: crate::sandbox::Run| run.ok().json()["key_id"].as_str().unwrap().to_owned();
    let before = id(sandbox.publish(&["key", "show", "keys/p256.pem", "--json"]));
    sandbox.secret("first", "the first secret\n");
    sandbox.secret("second", "the second secret\n");
    for (old, new) in [(None, Some("first")), (Some("first"), Some("second")), (Some("second"), None)] {
        let mut arguments = vec!["key", "passphrase", "keys/p256.pem"];
        arguments.extend(old.iter().flat_map(|file| ["--passphrase-file", file]));
        arguments.extend(new.map_or(vec!["--no-passphrase"], |file| vec!["--new-passphrase-file", file]));
        sandbox.publish(&arguments).ok();
        let pem = fs::read(sandbox.path("keys/p256.pem")).unwrap();
        assert_eq!(pem.starts_with(b"-----BEGIN ENCRYPTED"), new.is_some());
        let secret = new.map_or(String::new(), |file| fs::read_to_string(sandbox.path(file)).unwrap());
        openssl::pkey::PKey::private_key_from_pem_passphrase(&pem, secret.trim_end().as_bytes()).unwrap();
    }
    assert_eq!(id(sandbox.publish(&["key", "show", "keys/p256.pem", "--json"])), before);
    sandbox.publish(&["key", "passphrase", "keys/p256.pem"]).fails(12, &["a new passphrase is needed", "PUBLISH_NEW_PASSPHRASE"]);
    // A key in a variable is as good as one in a file.
    let pem = fs::read_to_string(sandbox.path("keys/targets.pem")).unwrap();
    let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
    sandbox.write("publish.yaml", config.replace("file:keys/targets.pem", "env:TARGETS_KEY"));
    fs::remove_file(sandbox.path("keys/targets.pem")).unwrap();
    sandbox.unchanged(|| sandbox.release("1.0.0").fails(7, &["the variable TARGETS_KEY is not set"]));
    let run: crate::sandbox::Run =
        sandbox.command().args(["release", "1.0.0", "--from", "dist"]).env("TARGETS_KEY", pem).output().unwrap().into();
    run.ok();
    // One of several keys may be missing where the threshold does not need it.
    sandbox.write(
        "publish.yaml",
        config
            .replace("file:keys/snapshot.pem", "[file:keys/snapshot.pem, file:keys/elsewhere.pem]")
            .replace("file:keys/targets.pem", "env:TARGETS_KEY"),
    );
    let refreshed: crate::sandbox::Run = sandbox.publish(&["refresh", "--all"]).ok();
    assert!(refreshed.stderr.contains("going on without a key: cannot open the key file keys/elsewhere.pem"), "{refreshed:#?}");
    assert!(
        refreshed.stderr.contains("targets is due (requested; valid for 89 more days), but its key is not on this machine"),
        "{refreshed:#?}"
    );
}
