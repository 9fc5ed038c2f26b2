//! The keys of hashed bins, when the targets keys change: the bins follow them, or are left to keys of their own.

use crate::rotate::Rotating;
use crate::trial::Trial;
use publish::keys::{self, KeyUri, Signers};
use publish::metadata::{KeyKind, PublicKey, Role};
use publish::names::RoleName;
use publish::operation::Publisher;
use publish::operation::change::bins::{self, BinsRequest};
use publish::operation::change::carry_out;
use publish::operation::refresh::{self, RefreshRequest};
use publish::operation::root::commit::{self, CommitRequest};
use publish::operation::root::{self, RootRequest};
use publish::policy::bins::check_bin_keys;
use publish::repository::{BinKeys, Committer, Edit, NewRole, Present, Renewal, UpperRoles, Written};
use publish::storage::LocalDirectory;
use std::fs;

/// Bins that the targets key signs, and a second targets key that the root has by now. The root was committed where no online
/// key is, as with workers.
fn with_second_key() -> Rotating {
    let mut rotating = Rotating::new(Trial::with_bins(12, 4));
    let new = rotating.new_key(Role::Targets);
    let wish = RootRequest { add: vec![(Role::Targets, rotating.public(&new), None)], ..RootRequest::default() };
    drafted(&rotating, &wish);
    commit(&rotating, &administrator(&rotating)).unwrap();
    rotating.keys.get_mut(&Role::Targets).unwrap().push(new);
    rotating
}

/// A publisher without the online keys.
fn administrator(rotating: &Rotating) -> Publisher {
    let publisher = rotating.publisher();
    publisher.with_keys(|keyring| keyring.roles.retain(|role, _| *role == Role::Root))
}

fn drafted(rotating: &Rotating, wish: &RootRequest) {
    let (draft, names) = (rotating.trial.path("draft.json"), rotating.trial.path("names.json"));
    root::edit(&rotating.publisher(), &draft, &names, wish, false).unwrap();
    let root_key = rotating.publisher().keyring().load(&KeyUri::File(rotating.keys[&Role::Root][0].clone())).unwrap();
    root::sign(None, &draft, &[root_key]).unwrap();
}

fn commit(rotating: &Rotating, publisher: &Publisher) -> publish::error::Result<()> {
    let draft = rotating.trial.path("draft.json");
    commit::carry_out(publisher, commit::prepare(publisher, &draft, CommitRequest::default())?).map(drop)
}

/// The roles signed again as an earlier version of this program did: the bins stay with their keys.
fn signed_without_bins(rotating: &Rotating) {
    let publisher = rotating.publisher();
    let present = publisher.load().unwrap();
    let signers = publisher.signers(present.trust.root(), &Role::ONLINE).unwrap();
    let versions = present.versions();
    let renewals = Role::ONLINE.map(|role| Renewal { role: role.into(), version: versions.of(role) }).to_vec();
    publisher.commit(present, &Edit { renewals, ..Edit::default() }, &signers).unwrap();
}

/// The draft that drops the first targets key.
fn drop_first(rotating: &Rotating) {
    let old = rotating.public(&rotating.keys[&Role::Targets][0]);
    drafted(rotating, &RootRequest { remove: vec![(Role::Targets, old.id())], ..RootRequest::default() });
}

fn refreshed(publisher: &Publisher) -> Vec<String> {
    let prepared = refresh::prepare(publisher, RefreshRequest::default()).unwrap();
    let due = prepared.plan.due.iter().map(|due| format!("{}: {}", due.role, due.reason)).collect();
    refresh::carry_out(publisher, prepared).unwrap();
    due
}

fn adds(rotating: &Rotating, file: &str) -> publish::error::Result<()> {
    fs::create_dir_all(rotating.trial.path("new")).unwrap();
    fs::write(rotating.trial.path(&format!("new/{file}")), file).unwrap();
    rotating.trial.add_on(&rotating.publisher(), "new").map(drop)
}

fn signed_only_by(present: &Present, wanted: &[PublicKey], threshold: u64) {
    for (keys, needed) in present.keys_in_bins().unwrap() {
        assert_eq!((keys.len(), needed), (wanted.len(), threshold));
        assert!(keys.iter().all(|(_, key)| wanted.iter().any(|wanted| wanted.same_material(key))));
    }
}

fn text(error: &publish::error::Error) -> String {
    let failure = &error;
    format!("{} {:?} {:?}", failure.message, failure.details, failure.hints)
}

#[test]
fn a_root_that_leaves_the_bins_without_keys_is_refused() {
    let rotating = with_second_key();
    signed_without_bins(&rotating);
    let before = rotating.trial.trust();
    drop_first(&rotating);
    let refused = text(&commit(&rotating, &administrator(&rotating)).unwrap_err());
    assert!(refused.contains("root 3 drops a targets key that bins.json depends on"), "{refused}");
    assert!(refused.contains("publish refresh --all") && refused.contains(&rotating.public(&rotating.keys[&Role::Targets][0]).id()));
    assert!(!rotating.trial.path("repo/3.root.json").exists());
    // The step that it names, which is due by itself; then it is published.
    let due = refreshed(&rotating.publisher());
    assert!(due[0].starts_with("targets: the bins are signed by other keys"), "{due:?}");
    commit(&rotating, &administrator(&rotating)).unwrap();
    rotating.trial.updates(&before).unwrap();
    rotating.trial.client().unwrap();
}

/// Once the root was published all the same, or by an earlier version: the old key is deleted.
fn stranded() -> Rotating {
    let mut rotating = with_second_key();
    signed_without_bins(&rotating);
    drop_first(&rotating);
    let file = root::read_draft(&rotating.trial.path("draft.json")).unwrap().root_file().unwrap();
    fs::write(rotating.trial.path("repo/3.root.json"), file).unwrap();
    fs::remove_file(rotating.trial.path("draft.json")).unwrap();
    let old = rotating.keys.get_mut(&Role::Targets).unwrap().remove(0);
    fs::remove_file(old).unwrap();
    rotating
}

#[test]
fn bins_of_a_deleted_key_are_repaired_by_the_command_that_the_message_names() {
    for days in [0, 25, 100] {
        let mut rotating = stranded();
        let before = rotating.trial.trust();
        rotating.trial.wait(chrono::TimeDelta::days(days));
        let refused = text(&adds(&rotating, "later.zip").unwrap_err());
        assert!(refused.contains("needs 1 signature") && refused.contains("`publish refresh`"), "{refused}");
        let due = refreshed(&rotating.publisher());
        assert!(due.iter().any(|due| due.contains("the bins are signed by other keys")), "{due:?}");
        let present = rotating.publisher().load().unwrap();
        signed_only_by(&present, &[rotating.public(&rotating.keys[&Role::Targets][0])], 1);
        adds(&rotating, "later.zip").unwrap();
        rotating.trial.updates(&before).unwrap();
        rotating.trial.client().unwrap();
        let plan = refresh::prepare(&rotating.publisher(), RefreshRequest::default()).unwrap().plan;
        assert!(plan.empty, "{:?}", plan.due);
    }
}

/// A publisher that pins a later root does not know which keys were targets keys before: the operator asks for it.
#[test]
fn bins_of_unknown_keys_are_delegated_anew_on_request_only() {
    let rotating = stranded();
    let before = rotating.trial.trust();
    fs::copy(rotating.trial.path("repo/3.root.json"), rotating.trial.path("keys/3.root.json")).unwrap();
    let publisher = rotating.publisher();
    let publisher = publisher.with_pinned_root(rotating.trial.path("keys/3.root.json"));
    assert!(refresh::prepare(&publisher, RefreshRequest::default()).unwrap().plan.empty);
    fs::create_dir_all(rotating.trial.path("new")).unwrap();
    fs::write(rotating.trial.path("new/later.zip"), "later").unwrap();
    let refused = text(&rotating.trial.add_on(&publisher, "new").unwrap_err());
    assert!(refused.contains("`publish bins --rekey`"), "{refused}");
    let request = BinsRequest { count: None, rekey: true, key_ids: None, not_for_trdl: false };
    let prepared = bins::prepare(&publisher, request).unwrap();
    let plan = &prepared.plan;
    assert!(plan.rekey && !plan.empty && plan.roles.len() == 3);
    carry_out(&publisher, prepared).unwrap();
    signed_only_by(&publisher.load().unwrap(), &[rotating.public(&rotating.keys[&Role::Targets][0])], 1);
    assert!(bins::prepare(&publisher, request).unwrap().plan.empty);
    rotating.trial.add_on(&publisher, "new").unwrap();
    rotating.trial.updates(&before).unwrap();
    rotating.trial.client().unwrap();
}

#[test]
fn bins_follow_a_changed_threshold() {
    let mut rotating = with_second_key();
    refreshed(&rotating.publisher());
    let before = rotating.trial.trust();
    for threshold in [2, 1] {
        drafted(&rotating, &RootRequest { thresholds: vec![(Role::Targets, threshold)], ..RootRequest::default() });
        commit(&rotating, &rotating.publisher()).unwrap();
        let wanted: Vec<PublicKey> = rotating.keys[&Role::Targets].iter().map(|path| rotating.public(path)).collect();
        signed_only_by(&rotating.publisher().load().unwrap(), &wanted, threshold);
        adds(&rotating, &format!("with-{threshold}.zip")).unwrap();
        rotating.trial.updates(&before).unwrap();
        rotating.trial.client().unwrap();
    }
    // One of two keys may be away where one suffices, for the bins too.
    let away = rotating.keys.get_mut(&Role::Targets).unwrap();
    fs::remove_file(&away[0]).unwrap();
    adds(&rotating, "with-one-key.zip").unwrap();
}

#[test]
fn keys_of_their_own_stay_with_the_bins() {
    let trial = Trial::new();
    fs::create_dir(trial.path("pool")).unwrap();
    fs::write(trial.path("pool/one.zip"), "one").unwrap();
    trial.add_on(&trial.publisher(), "pool").unwrap();
    let own = |trial: &Trial, name: &str| {
        let path = trial.path(&format!("keys/{name}.pem"));
        keys::create(&path, KeyKind::Ed25519, None).unwrap();
        path
    };
    let first = own(&trial, "bins");
    let mut rotating = Rotating::new(trial);
    let with = |rotating: &Rotating, path: &std::path::Path| {
        let publisher = rotating.publisher();
        publisher.with_keys(|keyring| keyring.bins = vec![KeyUri::File(path.to_owned())])
    };
    rotating.trial.bins_on(&with(&rotating, &first), 4).unwrap();
    let before = rotating.trial.trust();
    rotating.begin(Role::Targets);
    rotating.finish(Role::Targets);
    // Whether or not the config names them.
    refreshed(&rotating.publisher());
    refreshed(&with(&rotating, &first));
    signed_only_by(&rotating.publisher().load().unwrap(), &[rotating.public(&first)], 1);
    // Their key is lost: the targets key delegates to another.
    let second = own(&rotating.trial, "bins-2");
    let key = rotating.public(&first);
    fs::remove_file(&first).unwrap();
    let publisher = with(&rotating, &second);
    fs::write(rotating.trial.path("pool/two.zip"), "two").unwrap();
    let refused = text(&rotating.trial.add_on(&publisher, "pool").unwrap_err());
    assert!(refused.contains("`publish bins --rekey`"), "{refused}");
    let request = BinsRequest { count: None, rekey: true, key_ids: None, not_for_trdl: false };
    carry_out(&publisher, bins::prepare(&publisher, request).unwrap()).unwrap();
    let present = publisher.load().unwrap();
    signed_only_by(&present, &[rotating.public(&second)], 1);
    assert!(!present.targets.field("delegations").unwrap().contains(&key.id()));
    rotating.trial.add_on(&publisher, "pool").unwrap();
    rotating.trial.updates(&before).unwrap();
    rotating.trial.client().unwrap();
}

/// A bin's own key that was a targets key too may leave the root: the bins' owner still has it.
#[test]
fn a_targets_key_that_the_config_names_for_the_bins_may_leave_the_root() {
    let rotating = with_second_key();
    signed_without_bins(&rotating);
    drop_first(&rotating);
    let publisher = administrator(&rotating);
    let publisher = publisher.with_keys(|keyring| keyring.bins = vec![KeyUri::File(rotating.keys[&Role::Targets][0].clone())]);
    commit(&rotating, &publisher).unwrap();
    rotating.trial.client().unwrap();
}

/// The snapshot worker and the timestamp worker, who know of the targets worker's work what is in the store.
pub struct Upper<'a> {
    pub publisher: &'a Publisher,
    pub asked: Vec<Edit>,
}

impl Upper<'_> {
    fn with<T>(&self, work: impl FnOnce(Committer<'_>) -> T) -> T {
        let (pinned, root) = (self.publisher.pinned().unwrap(), self.publisher.load().unwrap().trust.root().clone());
        let signers = self.publisher.signers(&root, &[Role::Snapshot, Role::Timestamp]).unwrap();
        work(committer(self.publisher, &pinned, &signers, None))
    }
}

impl UpperRoles for Upper<'_> {
    fn snapshot(&self, _: &Present, new: &[NewRole]) -> publish::error::Result<Option<Written>> {
        let written = |new: &NewRole| Written { version: new.signed.version, sha256: new.signed.digests.hex() };
        let roles: Vec<(RoleName, Written)> = new.iter().map(|new| (new.role.clone(), written(new))).collect();
        self.with(|committer| committer.list_roles(&mut self.publisher.load()?, &roles, &self.asked))
    }

    fn timestamp(&self, _: &Present, snapshot: Option<&Written>) -> publish::error::Result<bool> {
        self.with(|committer| committer.show_snapshot(&self.publisher.load()?, snapshot))
    }
}

pub fn committer<'a>(publisher: &'a Publisher, pinned: &'a [u8], signers: &'a Signers, upper: Option<&'a dyn UpperRoles>) -> Committer<'a> {
    Committer { upper, ..publisher.committer(pinned, signers) }
}

/// The snapshot worker lists bins with other keys only where those are the targets keys of the root, and only when it is shown a
/// request for the targets role to be signed again.
#[test]
fn the_snapshot_worker_lists_only_bins_that_follow_the_root() {
    let rotating = with_second_key();
    let publisher = rotating.publisher();
    let pinned = publisher.pinned().unwrap();
    let of_targets = |keys: BinKeys| -> (Edit, Signers) {
        let present = publisher.load().unwrap();
        let mut signers = publisher.signers(present.trust.root(), &[Role::Targets]).unwrap();
        let stranger = KeyUri::File(rotating.trial.path("keys/stranger.pem"));
        signers.get_mut(&Role::Targets).unwrap().extend(publisher.keyring().load(&stranger));
        let renewals = vec![Renewal { role: Role::Targets.into(), version: present.versions().targets }];
        (Edit { renewals, rekey: Some(keys), ..Edit::default() }, signers)
    };
    let asked = || vec![of_targets(BinKeys { keys: Vec::new(), threshold: 1 }).0];
    let attempt = |keys: BinKeys, asked: Vec<Edit>| {
        let (edit, signers) = of_targets(keys);
        let upper = Upper { publisher: &publisher, asked };
        committer(&publisher, &pinned, &signers, Some(&upper)).commit(publisher.load().unwrap(), &edit).map(drop)
    };
    keys::create(&rotating.trial.path("keys/stranger.pem"), KeyKind::Ed25519, None).unwrap();
    let stranger = rotating.public(&rotating.trial.path("keys/stranger.pem"));
    let root = publisher.load().unwrap().trust.root().clone();
    let good = BinKeys::of_targets(&root);
    let mut more = good.clone();
    more.keys.push((stranger.id(), stranger.clone()));
    let before = fs::read(rotating.trial.path("repo/timestamp.json")).unwrap();
    for (keys, asked) in [
        (BinKeys { keys: vec![(stranger.id(), stranger.clone())], threshold: 1 }, asked()),
        (more, asked()),
        (good.clone(), Vec::new()),
        (good.clone(), vec![Edit { renewals: vec![Renewal { role: Role::Snapshot.into(), version: 1 }], ..Edit::default() }]),
    ] {
        let refused = attempt(keys, asked).unwrap_err();
        assert!(refused.message.contains("which no request contains"), "{refused}");
        assert_eq!(fs::read(rotating.trial.path("repo/timestamp.json")).unwrap(), before);
    }
    attempt(good, asked()).unwrap();
    let wanted: Vec<PublicKey> = rotating.keys[&Role::Targets].iter().map(|path| rotating.public(path)).collect();
    signed_only_by(&publisher.load().unwrap(), &wanted, 1);
    rotating.trial.client().unwrap();
}

#[test]
fn a_request_brings_no_key_of_its_own_for_the_bins() {
    let rotating = with_second_key();
    let present = rotating.publisher().load().unwrap();
    let root = present.trust.root();
    let good = BinKeys::of_targets(root);
    keys::create(&rotating.trial.path("keys/stranger.pem"), KeyKind::Ed25519, None).unwrap();
    let stranger = rotating.public(&rotating.trial.path("keys/stranger.pem"));
    let check = |keys: &[(String, PublicKey)], threshold, own: &[PublicKey]| check_bin_keys(root, &[], own, keys, threshold);
    check(&good.keys, 1, &[]).unwrap();
    assert!(check(&good.keys, 0, &[]).is_err());
    let mut more = good.keys.clone();
    more.push((stranger.id(), stranger.clone()));
    assert!(check(&more, 1, &[]).unwrap_err().message.contains("which is not one of their keys"));
    check(&more, 1, &[stranger]).unwrap();
}

/// The names and the shares of bins stay, whatever tool chose them: only their keys change.
#[test]
fn bins_follow_as_they_are() {
    let rotating = with_second_key();
    let storage = LocalDirectory::new(rotating.trial.path("repo"));
    let read = || publish::repository::load(&storage, &rotating.publisher().pinned().unwrap(), rotating.trial.now()).unwrap();
    let shares = |present: &Present| {
        let block: serde_json::Value = serde_json::from_str(present.bins.as_ref().unwrap().role.field("delegations").unwrap()).unwrap();
        let share = |role: &serde_json::Value| (role["name"].clone(), role["path_hash_prefixes"].clone());
        block["roles"].as_array().unwrap().iter().map(share).collect::<Vec<_>>()
    };
    let before = shares(&read());
    refreshed(&rotating.publisher());
    assert_eq!(shares(&read()), before);
    let wanted: Vec<PublicKey> = rotating.keys[&Role::Targets].iter().map(|path| rotating.public(path)).collect();
    signed_only_by(&read(), &wanted, 1);
}
