//! The secret keys: whether each opens and is a key of its role. No key makes a signature, so a device needs no PIN but the one
//! that opens it. They are opened before any request over the network, because a person may have to type a passphrase.

use super::check::{Checklist, Item, Verdict, described};
use super::{Publisher, STORE_PATIENCE};
use crate::error::{Error, Kind, Result};
use crate::keys::{KEY_FILES_MISSING, KeyUri, Passphrases, RoleSigner, Secret, Use};
use crate::metadata::{PublicKey, Role, format_expiry};
use crate::openpgp::{Certificates, SigningKey, Standing};
use crate::operation::bounded::within;
use crate::repository::Present;
use chrono::TimeDelta;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An OpenPGP key that ends sooner should be extended now.
const OPENPGP_AHEAD: TimeDelta = TimeDelta::days(30);

/// Tells a passphrase that was not given from one that is wrong.
pub(super) struct Recorded {
    inner: Box<dyn Passphrases>,
    missing: Arc<AtomicBool>,
}

/// The placeholder in the publisher while its passphrases are wrapped.
struct Nothing;

impl Recorded {
    /// Wraps the passphrases of a publisher. The flag is set when one was needed and could not be got.
    pub fn around(publisher: &mut Publisher) -> Arc<AtomicBool> {
        let missing = Arc::new(AtomicBool::new(false));
        let inner = std::mem::replace(&mut publisher.keyring.passphrases, Box::new(Nothing));
        publisher.keyring.passphrases = Box::new(Self { inner, missing: missing.clone() });
        missing
    }

    fn noted<T>(&self, got: Result<T>) -> Result<T> {
        got.inspect_err(|_| self.missing.store(true, Ordering::Relaxed))
    }
}

impl Passphrases for Recorded {
    fn get(&self, purpose: Use, what: &str) -> Result<Secret> {
        self.noted(self.inner.get(purpose, what))
    }

    fn again(&self, purpose: Use, what: &str) -> Result<Option<Secret>> {
        self.inner.again(purpose, what)
    }

    fn choose(&self, purpose: Use) -> Result<Secret> {
        self.noted(self.inner.choose(purpose))
    }
}

impl Passphrases for Nothing {
    fn get(&self, _: Use, what: &str) -> Result<Secret> {
        Err(Error::new(Kind::Passphrase, format!("there is no passphrase for {what}")))
    }

    fn choose(&self, purpose: Use) -> Result<Secret> {
        self.get(purpose, "a new key")
    }
}

/// How opening a key went.
enum Opened<T> {
    Key(T),
    /// It is not on this machine.
    Absent(Error),
    /// It is encrypted, and no passphrase was given.
    Locked,
    Failed(Error),
}

impl<T> Opened<T> {
    fn of(result: Result<T>, is_at_hand: bool, missing: &AtomicBool) -> Self {
        let locked = missing.swap(false, Ordering::Relaxed);
        match result {
            Ok(key) => Self::Key(key),
            Err(failure) if locked && failure.kind == Kind::Passphrase => Self::Locked,
            Err(failure) if !is_at_hand => Self::Absent(failure),
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// The keys of a role.
struct RoleKeys {
    item: Item,
    name: &'static str,
    keys: Vec<(KeyUri, Opened<Arc<dyn RoleSigner>>)>,
    /// The role, if this process signs it.
    signs: Option<Role>,
}

/// All keys, as they were opened.
pub(super) struct OpenedKeys {
    roles: Vec<RoleKeys>,
    bins: Option<RoleKeys>,
    openpgp: Opened<SigningKey>,
}

const ITEMS: [(Role, Item); 4] = [
    (Role::Root, Item::RootKey),
    (Role::Targets, Item::TargetsKey),
    (Role::Snapshot, Item::SnapshotKey),
    (Role::Timestamp, Item::TimestampKey),
];

/// Opens every key, one after the other, so that it is known which of them lacks a passphrase.
pub(super) fn open_all(publisher: &Arc<Publisher>, missing: &AtomicBool) -> OpenedKeys {
    let open_these = |uris: &[KeyUri]| -> Vec<_> {
        uris.iter().map(|uri| (uri.clone(), Opened::of(open(publisher, uri), uri.is_at_hand(), missing))).collect()
    };
    let roles = ITEMS.into_iter().map(|(role, item)| RoleKeys {
        item,
        name: role.name(),
        keys: open_these(publisher.keyring.of(role)),
        signs: publisher.signs(role).then_some(role),
    });
    let roles = roles.collect();
    let bins = (!publisher.keyring.bins.is_empty()).then(|| RoleKeys {
        item: Item::BinsKey,
        name: "bins",
        keys: open_these(&publisher.keyring.bins),
        signs: publisher.signs(Role::Targets).then_some(Role::Targets),
    });
    OpenedKeys { roles, bins, openpgp: open_openpgp(publisher, missing) }
}

/// Judges the keys by what the published metadata accepts.
pub(super) fn check(publisher: &Publisher, opened: &OpenedKeys, present: Option<&Present>, list: &mut Checklist) {
    let root = present.map(|present| present.trust.root());
    for (keys, (role, _)) in opened.roles.iter().zip(ITEMS) {
        let accepted = root.map(|root| Accepted {
            keys: root.keys_of(role).map(|(_, key)| key.clone()).collect(),
            threshold: root.role(role).threshold,
            by: format!("root {}", root.version()),
        });
        check_role(keys, accepted, list);
    }
    match &opened.bins {
        None => list.not_checked(Item::BinsKey, "none is configured: the targets key signs hashed bins, if there are any"),
        Some(keys) => {
            let bins = present.and_then(|present| present.bins.as_ref()).map(|bins| {
                let (keys, threshold) = bins.keys();
                Accepted { keys: keys.into_iter().map(|(_, key)| key).collect(), threshold, by: "targets.json".into() }
            });
            check_role(keys, bins, list);
        }
    }
    check_openpgp(publisher, &opened.openpgp, list);
}

/// The published keys of a role.
struct Accepted {
    keys: Vec<PublicKey>,
    threshold: u64,
    by: String,
}

fn check_role(keys: &RoleKeys, accepted: Option<Accepted>, list: &mut Checklist) {
    let RoleKeys { item, name, keys: opened, signs } = keys;
    let (item, signs) = (*item, *signs);
    if opened.is_empty() {
        return list.not_checked(item, "none is configured on this machine");
    }
    let fits = |signer: &Arc<dyn RoleSigner>| {
        accepted.as_ref().is_none_or(|accepted| accepted.keys.iter().any(|key| key.same_material(signer.public())))
    };
    let usable = opened.iter().filter(|(_, opened)| matches!(opened, Opened::Key(signer) if fits(signer))).count() as u64;
    let enough = accepted.as_ref().is_some_and(|accepted| usable >= accepted.threshold);
    for (uri, opened) in opened {
        let place = uri.origin();
        match opened {
            Opened::Key(signer) if fits(signer) => {
                let kind = signer.public().keytype();
                match &accepted {
                    Some(accepted) => list.ok(item, format!("{place} opens ({kind}), and {} accepts it", accepted.by)),
                    None => list.ok(item, format!("{place} opens ({kind}); the published root is not known")),
                }
            }
            Opened::Key(signer) => {
                let by = accepted.as_ref().map_or("the root", |accepted| &accepted.by);
                list.failed(
                    item,
                    format!("{place} opens, but {by} does not accept it for {name}: its key id is {}", signer.public().id()),
                    format!("publish key list shows the ids that it accepts; correct `keys: {{{name}: …}}` in the config, or replace the key: docs/rotation.md"),
                );
            }
            Opened::Locked => list.not_checked_but(
                item,
                format!("{place} is encrypted, and no passphrase was given"),
                "--passphrase-file, --passphrase-command or the variable PUBLISH_PASSPHRASE; on a terminal it is asked for",
            ),
            Opened::Absent(_) if signs == Some(Role::Root) => {
                list.not_checked(item, format!("{place} is not on this machine; only changes of the root need it"))
            }
            Opened::Absent(_) if signs.is_none() => list.not_checked(item, format!("{place} is not on this machine; workers sign {name}")),
            Opened::Absent(failure) => {
                let remedy = match uri {
                    KeyUri::Env(variable) => format!("set {variable}, which holds what the key file would"),
                    _ => KEY_FILES_MISSING.to_owned(),
                };
                if enough {
                    list.warning(item, format!("{}; other keys reach the threshold of {name}", described(failure)), remedy);
                } else {
                    list.failed(item, format!("{}: {name} cannot be signed here", described(failure)), remedy);
                }
            }
            Opened::Failed(failure) => {
                let verdict = if enough { Verdict::Warning } else { Verdict::Failed };
                list.failure(item, verdict, failure, "publish key check shows whether a key can sign: docs/keys.md");
            }
        }
    }
}

/// Opens a key. A service may not answer; a file is opened at once, and a person may take time to type its passphrase.
fn open(publisher: &Arc<Publisher>, uri: &KeyUri) -> Result<Arc<dyn RoleSigner>> {
    if !uri.is_remote() {
        return publisher.keyring.load(uri);
    }
    let (publisher, key) = (publisher.clone(), uri.clone());
    let opened = within(STORE_PATIENCE, move || publisher.keyring.load(&key));
    opened.map_err(|timeout| Error::new(Kind::Storage, format!("{uri} did not answer: {}", timeout.message))).and_then(|signer| signer)
}

fn open_openpgp(publisher: &Arc<Publisher>, missing: &AtomicBool) -> Opened<SigningKey> {
    let uri = &publisher.keyring.openpgp;
    let result = if uri.is_remote() {
        let publisher = publisher.clone();
        within(STORE_PATIENCE, move || publisher.openpgp_key()).and_then(|key| key)
    } else {
        publisher.openpgp_key()
    };
    Opened::of(result, uri.is_at_hand(), missing)
}

fn check_openpgp(publisher: &Publisher, opened: &Opened<SigningKey>, list: &mut Checklist) {
    let uri = &publisher.keyring.openpgp;
    let place = uri.origin();
    match opened {
        Opened::Key(key) => list.ok(Item::OpenPgpKey, format!("{place} opens: {}", key.fingerprint())),
        Opened::Locked => list.not_checked_but(
            Item::OpenPgpKey,
            format!("{place} is encrypted, and no passphrase was given"),
            "--openpgp-passphrase-file, or the same as for the role keys: --passphrase-file, PUBLISH_PASSPHRASE",
        ),
        Opened::Absent(failure) => {
            let remedy = match uri {
                KeyUri::Env(variable) => format!("set {variable}, which holds what the key file would"),
                _ => KEY_FILES_MISSING.to_owned(),
            };
            list.failed(Item::OpenPgpKey, format!("{}: releases cannot be signed here", described(failure)), remedy);
        }
        Opened::Failed(failure) => list.failure(Item::OpenPgpKey, Verdict::Failed, failure, "docs/keys.md#which-openpgp-key"),
    }
    check_openpgp_expiry(publisher, list);
}

/// The expiry is in the certificate, so no passphrase is needed.
fn check_openpgp_expiry(publisher: &Publisher, list: &mut Checklist) {
    let mut certificates = Certificates::default();
    let now = publisher.now();
    let added = publisher.keyring.certificate().and_then(|bytes| certificates.add(&bytes, &publisher.keyring.openpgp.origin()));
    let fingerprint = match added {
        Ok(fingerprint) => fingerprint,
        Err(failure) => return list.not_checked(Item::OpenPgpExpiry, described(&failure)),
    };
    let extend = match publisher.keyring.openpgp {
        KeyUri::File(_) => "publish key extend 730d".to_owned(),
        _ => format!("gpg --quick-set-expire {fingerprint} 2y where the key is; then `publish key certify`: docs/keys.md"),
    };
    let standing = certificates.standings(now).next().map(|(_, standing)| standing);
    let until = certificates.signing_ends(now).into_iter().next().map(|(_, until)| until);
    match (standing, until) {
        (Some(Standing::Revoked), _) => {
            let remedy = "replace it: docs/recovery.md#the-openpgp-key-was-stolen-or-is-lost";
            list.failed(Item::OpenPgpExpiry, format!("{fingerprint} is revoked"), remedy);
        }
        (Some(Standing::Weak), _) => {
            let remedy = "publish rotate openpgp: docs/rotation.md#the-openpgp-key";
            list.failed(Item::OpenPgpExpiry, format!("{fingerprint} is refused by today's cryptographic policy"), remedy);
        }
        (Some(Standing::NotYet(made)), _) => list.failed(
            Item::OpenPgpExpiry,
            format!("{fingerprint} was made on {}, after this machine's time {}", format_expiry(made), format_expiry(now)),
            "correct this machine's clock: date -u; if it is right, the clock that made the key was ahead, and the key can be used from then on",
        ),
        (Some(Standing::Good), Some(None)) => list.ok(Item::OpenPgpExpiry, "it does not expire"),
        (Some(Standing::Good), Some(Some(until))) if until - now < OPENPGP_AHEAD => {
            list.warning(Item::OpenPgpExpiry, format!("it can sign until {}", format_expiry(until)), extend);
        }
        (Some(Standing::Good), Some(Some(until))) => list.ok(Item::OpenPgpExpiry, format!("it can sign until {}", format_expiry(until))),
        _ => list.failed(Item::OpenPgpExpiry, format!("{fingerprint} has expired, or has no key that can sign now"), extend),
    }
}
