//! What clients require of a root beyond the specification, as observed with each of them. A client that refuses one root
//! refuses the repository from then on, so the rules are applied before a root is published.

mod php_tuf;

use crate::error::{Error, Kind, Result};
use crate::metadata::{Envelope, KeyKind, LAST_VERSION, ROOT_LIMIT, Role, Root, Signature, format_expiry};
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// A client of TUF repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// trdl's, built on go-tuf 0.5.
    Trdl,
    /// The reference implementation.
    PythonTuf,
    /// Used by npm.
    TufJs,
    /// go-tuf from 2.0.
    GoTuf,
    /// Built on the `tuf` crate.
    TufCrate,
    /// That of Drupal and Joomla.
    PhpTuf,
}

impl Client {
    /// Clients whose users must be able to follow every root: one that they refuse is not published.
    pub const PROMISED: [Self; 4] = [Self::Trdl, Self::PythonTuf, Self::TufJs, Self::GoTuf];

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trdl => "the trdl client",
            Self::PythonTuf => "python-tuf",
            Self::TufJs => "tuf-js",
            Self::GoTuf => "go-tuf 2",
            Self::TufCrate => "clients built on the `tuf` crate",
            Self::PhpTuf => "php-tuf",
        }
    }

    /// Whether a root that it refuses is not published.
    pub fn is_promised(self) -> bool {
        Self::PROMISED.contains(&self)
    }

    /// Whether its users stay: they follow the root before, or must be able to follow every root. No root suits php-tuf and
    /// every other client, so it is kept where it is served, and not promised.
    fn stays(self, before: Option<&[Self]>) -> bool {
        match before {
            Some(lost) => (self.is_promised() || self == Self::PhpTuf) && !lost.contains(&self),
            None => self.is_promised(),
        }
    }
}

/// A rule, the clients that have it, and what in a root breaks it.
struct Rule {
    clients: &'static [Client],
    broken_by: fn(&RootFile<'_>) -> Vec<String>,
}

/// A root with the signatures that are published with it; a draft may have none yet.
struct RootFile<'r> {
    root: &'r Root,
    signatures: &'r [Signature],
}

use Client::{GoTuf, PhpTuf, PythonTuf, Trdl, TufCrate, TufJs};

/// Every rule that is known.
const RULES: [Rule; 22] = [
    Rule { clients: &[PythonTuf, TufJs, GoTuf, PhpTuf], broken_by: other_type },
    Rule { clients: &[PythonTuf, TufJs, GoTuf, PhpTuf], broken_by: no_spec_version },
    Rule { clients: &[PythonTuf, TufJs, PhpTuf], broken_by: other_spec_version },
    Rule { clients: &[PythonTuf], broken_by: unusual_expiry },
    Rule { clients: &[Trdl, TufJs, GoTuf, PhpTuf], broken_by: unusual_consistent_snapshot },
    Rule { clients: &[PythonTuf], broken_by: unknown_role },
    Rule { clients: &[PythonTuf, TufJs], broken_by: repeated_key_id },
    Rule { clients: &Client::PROMISED, broken_by: too_few_keys },
    Rule { clients: &[PythonTuf, TufJs, GoTuf], broken_by: no_scheme },
    Rule { clients: &[PythonTuf], broken_by: unknown_scheme },
    Rule { clients: &[Trdl], broken_by: keytype_that_trdl_refuses },
    Rule { clients: &[PythonTuf, TufJs, PhpTuf], broken_by: repeated_signature },
    Rule { clients: &[Trdl], broken_by: signature_that_is_not_hex },
    Rule { clients: &Client::PROMISED, broken_by: too_long_or_too_high },
    Rule { clients: &[TufCrate], broken_by: not_ed25519 },
    Rule { clients: &[PhpTuf], broken_by: not_ed25519 },
    Rule { clients: &[TufCrate], broken_by: ids_of_another_style },
    Rule { clients: &[PhpTuf], broken_by: php_tuf::key_ids },
    Rule { clients: &[PhpTuf], broken_by: php_tuf::keys },
    Rule { clients: &[PhpTuf], broken_by: php_tuf::roles },
    Rule { clients: &[PhpTuf], broken_by: php_tuf::other_fields },
    Rule { clients: &[PhpTuf], broken_by: php_tuf::signatures },
];

/// Clients that refuse a root, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lockout {
    /// The clients.
    pub clients: Vec<Client>,
    /// What in the root they refuse.
    pub why: String,
}

impl Lockout {
    /// Whether a root with this is not published.
    pub fn is_grave(&self) -> bool {
        self.clients.iter().any(|client| client.is_promised())
    }
}

impl fmt::Display for Lockout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients: Vec<&str> = self.clients.iter().map(|client| client.name()).collect();
        write!(f, "{} cannot read this root: {}", clients.join(", "), self.why)
    }
}

/// The clients that a root locks out.
pub fn lockouts(root: &Root, signatures: &[Signature]) -> Vec<Lockout> {
    let file = RootFile { root, signatures };
    let of_rule = |rule: &Rule| {
        let lockout = |why: String| Lockout { clients: rule.clients.to_vec(), why };
        (rule.broken_by)(&file).into_iter().map(lockout).collect::<Vec<_>>()
    };
    RULES.iter().flat_map(of_rule).collect()
}

/// The same for a file.
pub fn lockouts_of_file(file: &[u8], what: &str) -> Result<Vec<Lockout>> {
    let envelope = Envelope::parse(file, what)?;
    Ok(lockouts(&Root::parse(&envelope, what)?, &envelope.signatures))
}

/// What the next root adds: clients that it locks out and that the root before it does not, among those whose users must
/// be able to follow. A repository that was adopted may have lost some clients long ago.
pub fn newly_locked_out(before: Option<&Root>, next: &[Lockout]) -> Vec<String> {
    let lost: Option<Vec<Client>> = before.map(|root| lockouts(root, &[]).into_iter().flat_map(|lockout| lockout.clients).collect());
    let newly = |lockout: &&Lockout| lockout.clients.iter().any(|client| client.stays(lost.as_deref()));
    next.iter().filter(newly).map(ToString::to_string).collect()
}

/// Refuses to publish a root that locks out clients which follow until now.
pub fn check(before: Option<&Root>, file: &[u8], what: &str) -> Result<()> {
    let lost = newly_locked_out(before, &lockouts_of_file(file, what)?);
    match lost.split_first() {
        None => Ok(()),
        Some((first, more)) => Err(Error::new(Kind::Conflict, format!("{what} is not published: {first}")).details(more.to_vec())),
    }
}

fn other_type(file: &RootFile<'_>) -> Vec<String> {
    let fits = file.root.field("_type").and_then(Value::as_str) == Some(Role::Root.name());
    if fits { Vec::new() } else { vec!["_type is not `root`".into()] }
}

fn no_spec_version(file: &RootFile<'_>) -> Vec<String> {
    let fits = file.root.field("spec_version").is_some_and(Value::is_string);
    if fits { Vec::new() } else { vec!["it has no spec_version".into()] }
}

fn other_spec_version(file: &RootFile<'_>) -> Vec<String> {
    let Some(version) = file.root.field("spec_version").and_then(Value::as_str) else { return Vec::new() };
    let parts: Vec<&str> = version.split('.').collect();
    let numbers = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if numbers && matches!(parts.len(), 2 | 3) && parts[0] == "1" {
        return Vec::new();
    }
    vec![format!("it has spec_version `{}`, not 1.x", version.escape_debug())]
}

fn unusual_expiry(file: &RootFile<'_>) -> Vec<String> {
    let text = file.root.field("expires").and_then(Value::as_str).unwrap_or_default();
    if text == format_expiry(file.root.expires()) {
        return Vec::new();
    }
    vec![format!("expires `{}` is not of the form YYYY-MM-DDTHH:MM:SSZ", text.escape_debug())]
}

fn unusual_consistent_snapshot(file: &RootFile<'_>) -> Vec<String> {
    let fits = file.root.field("consistent_snapshot").is_none_or(Value::is_boolean);
    if fits { Vec::new() } else { vec!["consistent_snapshot is neither true nor false".into()] }
}

/// The entries of an object in the root.
fn entries<'r>(file: &RootFile<'r>, field: &str) -> impl Iterator<Item = (&'r String, &'r Value)> {
    file.root.field(field).and_then(Value::as_object).into_iter().flatten()
}

fn unknown_role(file: &RootFile<'_>) -> Vec<String> {
    let known = |name: &str| Role::ALL.iter().any(|role| role.name() == name);
    let more = entries(file, "roles").filter(|(name, _)| !known(name));
    more.map(|(name, _)| format!("it has a role `{}`", name.escape_debug())).collect()
}

fn repeated_key_id(file: &RootFile<'_>) -> Vec<String> {
    let repeats = |role: Role| {
        let ids = &file.root.role(role).keyids;
        let again = ids.iter().enumerate().find(|(at, id)| ids[..*at].contains(id));
        again.map(|(_, id)| format!("{role} lists key {} twice", id.escape_debug()))
    };
    Role::ALL.into_iter().filter_map(repeats).collect()
}

fn too_few_keys(file: &RootFile<'_>) -> Vec<String> {
    let lacks = |role: Role| {
        let (keys, threshold) = (file.root.distinct_keys_of(role), file.root.role(role).threshold);
        (keys < threshold).then(|| format!("{role} needs {threshold} signatures and has {keys} distinct keys"))
    };
    Role::ALL.into_iter().filter_map(lacks).collect()
}

fn no_scheme(file: &RootFile<'_>) -> Vec<String> {
    let lacking = entries(file, "keys").filter(|(_, key)| key.get("scheme").and_then(Value::as_str).is_none());
    lacking.map(|(id, _)| format!("key {} has no scheme", id.escape_debug())).collect()
}

/// Keytypes and schemes that python-tuf (securesystemslib) supports.
fn unknown_scheme(file: &RootFile<'_>) -> Vec<String> {
    let text = |key: &Value, field: &str| key.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let known = |keytype: &str, scheme: &str| match keytype {
        "ed25519" => scheme == "ed25519",
        "ecdsa" => matches!(scheme, "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521"),
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => scheme == keytype,
        "rsa" => ["rsassa-pss-sha", "rsa-pkcs1v15-sha"]
            .iter()
            .any(|prefix| scheme.strip_prefix(prefix).is_some_and(|bits| matches!(bits, "256" | "384" | "512"))),
        "ml-dsa" => matches!(scheme, "ml-dsa-44/1" | "ml-dsa-65/1" | "ml-dsa-87/1"),
        _ => false,
    };
    let strange = |(id, key): (&String, &Value)| {
        let (keytype, scheme) = (text(key, "keytype"), text(key, "scheme"));
        let why =
            || format!("key {} has the keytype `{}` with scheme `{}`", id.escape_debug(), keytype.escape_debug(), scheme.escape_debug());
        (!known(&keytype, &scheme)).then(why)
    };
    entries(file, "keys").filter_map(strange).collect()
}

fn keytype_that_trdl_refuses(file: &RootFile<'_>) -> Vec<String> {
    let strange = |(id, key): (&String, &Value)| {
        let keytype = key.get("keytype").and_then(Value::as_str).unwrap_or_default();
        let known = matches!(keytype, "ed25519" | "ecdsa-sha2-nistp256" | "rsa");
        (!known).then(|| {
            format!(
                "key {} has the keytype `{}`; it refuses a root with any key it does not know",
                id.escape_debug(),
                keytype.escape_debug()
            )
        })
    };
    let unreadable = file.root.unreadable_keys().iter().map(|(id, why)| format!("key {}: {why}", id.escape_debug()));
    let mut found: Vec<String> = entries(file, "keys").filter_map(strange).collect();
    if found.is_empty() {
        found.extend(unreadable);
    }
    found
}

fn repeated_signature(file: &RootFile<'_>) -> Vec<String> {
    let ids: Vec<&String> = file.signatures.iter().map(|signature| &signature.keyid).collect();
    let again = ids.iter().enumerate().find(|(at, id)| ids[..*at].contains(id));
    again.map(|(_, id)| format!("two signatures have the key id {}", id.escape_debug())).into_iter().collect()
}

fn signature_that_is_not_hex(file: &RootFile<'_>) -> Vec<String> {
    let broken = file.signatures.iter().find(|signature| hex::decode(&signature.sig).is_err());
    broken.map(|signature| format!("the signature of key {} is not hexadecimal", signature.keyid.escape_debug())).into_iter().collect()
}

fn too_long_or_too_high(file: &RootFile<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let length = file.root.to_signed_json().len() as u64;
    if length > ROOT_LIMIT {
        found.push(format!("it has {length} bytes; clients stop at {ROOT_LIMIT}"));
    }
    if file.root.version() > LAST_VERSION {
        found.push(format!("version {} is above {LAST_VERSION}", file.root.version()));
    }
    found
}

fn not_ed25519(file: &RootFile<'_>) -> Vec<String> {
    let others = file.root.keys().iter().filter(|(_, key)| key.kind() != KeyKind::Ed25519);
    others.map(|(id, _)| format!("key {id} is not an Ed25519 key")).collect()
}

/// They compute the ids themselves, as the specification defines.
fn ids_of_another_style(file: &RootFile<'_>) -> Vec<String> {
    let others = file.root.keys().iter().filter(|(id, key)| **id != key.id()).count();
    let all = file.root.keys().len();
    if others == 0 { Vec::new() } else { vec![format!("{others} of its {all} key ids are not computed as the specification says")] }
}
