use super::bin_keys::BinKeys;
use super::bins::{BINS, Bins, Home, bin_names};
use super::edit::Rebin;
use super::present::Present;
use crate::error::{Error, Kind, Result};
use crate::metadata::{Delegations, Expiry, PublicKey, Role, TargetEdits, Targets};
use crate::names::{RoleName, TargetName};
use crate::policy::clocks::Moment;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A targets role to be written: the top-level one, the one that lists the bins, or a bin.
pub(super) struct Draft<'a> {
    /// Its name.
    pub(super) role: RoleName,
    /// The version it follows; 0 if it is new.
    pub(super) base: u64,
    /// When the role expires that it replaces, if it replaces one.
    pub(super) replaced: Option<Expiry>,
    /// Who signs it.
    pub(super) keys: Keys,
    /// Stands for the content but for version and expiry: what an earlier attempt wrote for the same is written still.
    pub(super) content_id: [u8; 32],
    /// Writes it, as JSON, with this version and expiry.
    pub(super) content: Content<'a>,
}

/// Keys by id, and how many of them must sign.
pub(super) type Keys = (Vec<(String, PublicKey)>, u64);

type Content<'a> = Box<dyn Fn(u64, Expiry) -> Result<Vec<u8>> + Send + Sync + 'a>;

/// The roles to write so that the edits are made and the renewed roles signed again. The bins of all edited names must
/// have been read, and all of them if the role that lists them is renewed. `every_bin` renews also those that are not due.
pub(super) fn drafts<'a>(
    present: &'a Present,
    edits: &TargetEdits,
    renewed: &BTreeSet<RoleName>,
    rekey: Option<&BinKeys>,
    undelegate: &[String],
    every_bin: bool,
    moment: &Moment,
) -> Result<Vec<Draft<'a>>> {
    let mut by_home: BTreeMap<Home, TargetEdits> = BTreeMap::new();
    for (name, target) in edits {
        by_home.entry(present.home(name)?).or_default().insert(name.clone(), target.clone());
    }
    if renewed.contains(&Role::Targets.into()) {
        by_home.entry(Home::Top).or_default();
    }
    let mut drafts = Vec::new();
    // The role that delegates and those that are delegated to change their keys in one commit.
    let rekey = rekey.zip(present.bins.as_ref());
    let mut top_fields = None;
    if let Some((keys, bins)) = rekey {
        by_home.entry(Home::Top).or_default();
        for (bin, _) in bins.known() {
            by_home.entry(Home::Bin(bin)).or_default();
        }
        top_fields = Some(keys.top_delegations(present)?);
        let (role, delegations) = (&bins.role, keys.bin_delegations(bins)?);
        drafts.push(Draft {
            role: RoleName::Bins,
            base: listed(present, BINS),
            replaced: Some(role.expires()),
            keys: (keys.keys.clone(), keys.threshold),
            content_id: digest([&delegations]),
            content: Box::new(move |version, expires| {
                role.edited_with(version, expires, &TargetEdits::new(), &[("delegations", &delegations)])
            }),
        });
    } else if let Some(bins) = present.bins.as_ref().filter(|_| renewed.contains(&RoleName::Bins)) {
        // All bins that are due are renewed with the role that lists them: a refresh need not read a thousand bins every hour
        // to know that none is.
        for (bin, _) in bins.known().filter(|(_, targets)| every_bin || moment.is_due(Role::Targets, targets.expires())) {
            by_home.entry(Home::Bin(bin)).or_default();
        }
        let role = &bins.role;
        let content = Box::new(move |version, expires| role.edited(version, expires, &TargetEdits::new()));
        drafts.push(Draft {
            role: RoleName::Bins,
            base: listed(present, BINS),
            replaced: Some(role.expires()),
            keys: keys_of_bins(present)?,
            content_id: digest(["renewed"]),
            content,
        });
    }
    if !undelegate.is_empty() {
        by_home.entry(Home::Top).or_default();
        let block = top_fields.or_else(|| present.targets.field("delegations").map(str::to_owned)).unwrap_or_else(|| "{}".into());
        top_fields = Some(Delegations::without(&block, undelegate)?);
    }
    for (home, edits) in by_home {
        let (role, name, keys) = match (home, &present.bins) {
            (Home::Bin(bin), Some(bins)) => (bins.get(bin)?, RoleName::of(bins.name(bin)), bin_keys(bins, bin)),
            _ => (&present.targets, Role::Targets.into(), top_keys(present)),
        };
        let base = listed(present, name.as_str());
        let (keys, set) = match (home, rekey) {
            (Home::Bin(_), Some((rekey, _))) => ((rekey.keys.clone(), rekey.threshold), None),
            (Home::Top, _) => (keys, top_fields.clone()),
            (Home::Bin(_), None) => (keys, None),
        };
        let with_keys = rekey.iter().flat_map(|(rekey, _)| rekey.keys.iter().map(|(id, _)| id.clone()));
        let said =
            edits.iter().flat_map(|(name, target)| [name.clone(), target.as_ref().map_or(String::new(), |target| format!("{target:?}"))]);
        let content_id = digest(said.chain(with_keys).chain(undelegate.iter().cloned()));
        let content: Content<'a> = Box::new(move |version, expires| {
            let set: Vec<(&str, &str)> = set.iter().map(|delegations: &String| ("delegations", delegations.as_str())).collect();
            role.edited_with(version, expires, &edits, &set)
        });
        drafts.push(Draft { role: name, base, replaced: Some(role.expires()), keys, content_id, content });
    }
    Ok(drafts)
}

/// The roles to write so that all targets that are not at the top level are spread over so many bins. All bins must have
/// been read. Empty if they are spread that way already.
pub(super) fn rebin<'a>(present: &'a Present, rebin: &Rebin) -> Result<Vec<Draft<'a>>> {
    let same_keys = |bins: &Bins| {
        let (keys, threshold) = bins.keys();
        let known = |key: &PublicKey| keys.iter().any(|(_, other)| other.same_material(key));
        threshold == rebin.threshold && keys.len() == rebin.keys.len() && rebin.keys.iter().all(|(_, key)| known(key))
    };
    let is_done = present.bins.as_ref().is_some_and(|bins| bins.count() == rebin.count && same_keys(bins));
    let moved = |name: &str| !TargetName::of(name).lives_at_top();
    if is_done && !present.targets.names().any(moved) {
        return Ok(Vec::new());
    }
    let before: Vec<String> = present.bins.as_ref().map(Bins::names).unwrap_or_default();
    let names = bin_names(&before, rebin.count);
    let delegations = Delegations::write_bins(&names, &rebin.keys, rebin.threshold)?;
    let delegations = String::from_utf8(delegations).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))?;
    let unsorted = || Error::new(Kind::Unexpected, "the new bins do not cover all names");
    let index = Delegations::parse(&delegations, "bins.json")?.bins().ok_or_else(unsorted)?;
    let mut entries: BTreeMap<&str, &str> = BTreeMap::new();
    for (_, bin) in present.bins.iter().flat_map(Bins::known) {
        entries.extend(bin.iter());
    }
    // Clients ask the top-level role first: its entry for a name applies.
    entries.extend(present.targets.iter().filter(|(name, _)| moved(name)));
    let mut shares: Vec<Vec<(&str, &str)>> = vec![Vec::new(); rebin.count];
    for (name, entry) in entries {
        shares[index.find(name).ok_or_else(unsorted)?].push((name, entry));
    }
    let mut drafts = Vec::new();
    for (name, share) in names.iter().zip(shares) {
        let content_id = digest(share.iter().flat_map(|(name, entry)| [*name, *entry]));
        let content = Box::new(move |version, expires| Targets::empty().rewritten(version, expires, share.iter().copied(), &[]));
        let before = present.bins.iter().flat_map(Bins::known_by_name).find(|(known, _)| known == name);
        // A new bin expires with the role that lists it, whose expiry decides when all bins are signed again.
        let replaced = before.map(|(_, bin)| bin.expires()).or(present.bins.as_ref().map(|bins| bins.role.expires()));
        let keys = (rebin.keys.clone(), rebin.threshold);
        drafts.push(Draft { role: RoleName::of(name), base: listed(present, name), replaced, keys, content_id, content });
    }
    let content_id = digest([&delegations]);
    let content = Box::new(move |version, expires| {
        Targets::empty().rewritten(version, expires, std::iter::empty(), &[("delegations", &delegations)])
    });
    let (keys, replaced) = ((rebin.keys.clone(), rebin.threshold), present.bins.as_ref().map(|bins| bins.role.expires()));
    drafts.push(Draft { role: RoleName::Bins, base: listed(present, BINS), replaced, keys, content_id, content });
    if !present.bins.as_ref().is_some_and(same_keys) || present.targets.names().any(moved) {
        let delegations = delegate_to_bins(present, rebin)?;
        let top = &present.targets;
        let content_id = digest([&delegations]);
        let content = Box::new(move |version, expires| {
            top.rewritten(version, expires, top.iter().filter(|(name, _)| !moved(name)), &[("delegations", &delegations)])
        });
        let keys = top_keys(present);
        let replaced = Some(top.expires());
        drafts.push(Draft { role: Role::Targets.into(), base: listed(present, Role::Targets.name()), replaced, keys, content_id, content });
    }
    Ok(drafts)
}

/// The top-level delegations with everything delegated to the role that lists the bins; other delegations stay.
pub(super) fn delegate_to_bins(present: &Present, rebin: &Rebin) -> Result<String> {
    let block = present.targets.field("delegations").map_or(Ok(json!({})), serde_json::from_str::<Value>);
    let mut block =
        block.map_err(|error| Error::new(Kind::Untrusted, format!("targets.json has delegations that cannot be read: {error}")))?;
    let prefixes: Vec<String> = (0..16).map(|digit| format!("{digit:x}")).collect();
    let keyids: Vec<&String> = rebin.keys.iter().map(|(id, _)| id).collect();
    let role = json!({"keyids": keyids, "name": BINS, "path_hash_prefixes": prefixes, "terminating": true, "threshold": rebin.threshold});
    if !block["keys"].is_object() {
        block["keys"] = json!({});
    }
    for (id, key) in &rebin.keys {
        block["keys"][id] = key.to_json();
    }
    match block["roles"].as_array_mut() {
        Some(roles) => {
            roles.retain(|other| other["name"] != BINS);
            roles.push(role);
        }
        None => block["roles"] = json!([role]),
    }
    // A key that no role needs any more, such as one that was rotated out, is removed.
    let roles = block["roles"].as_array().cloned().unwrap_or_default();
    let used = |id: &String| roles.iter().any(|role| role["keyids"].as_array().is_some_and(|ids| ids.iter().any(|known| known == id)));
    if let Some(keys) = block["keys"].as_object_mut() {
        keys.retain(|id, _| used(id));
    }
    Ok(block.to_string())
}

/// The version of a role that the snapshot lists, 0 if it does not.
fn listed(present: &Present, role: &str) -> u64 {
    present.trust.listed(&format!("{role}.json")).map_or(0, |listed| listed.version)
}

fn owned<'k>(keys: impl Iterator<Item = (&'k str, &'k PublicKey)>) -> Vec<(String, PublicKey)> {
    keys.map(|(id, key)| (id.to_owned(), key.clone())).collect()
}

fn top_keys(present: &Present) -> Keys {
    let root = present.trust.root();
    (owned(root.keys_of(Role::Targets)), root.role(Role::Targets).threshold)
}

fn bin_keys(bins: &Bins, bin: usize) -> Keys {
    let role = &bins.delegations.roles[bin];
    (owned(bins.delegations.keys_of(role)), role.keys.threshold)
}

/// The keys of the role that lists the bins.
pub(super) fn keys_of_bins(present: &Present) -> Result<Keys> {
    let Some(json) = present.targets.field("delegations") else { return Ok(Keys::default()) };
    let parent = Delegations::parse(json, "targets.json")?;
    let role = parent.roles.iter().find(|role| role.name == BINS);
    Ok(role.map(|role| (owned(parent.keys_of(role)), role.keys.threshold)).unwrap_or_default())
}

fn digest(texts: impl IntoIterator<Item = impl AsRef<str>>) -> [u8; 32] {
    let mut hasher = openssl::sha::Sha256::new();
    for text in texts {
        // The length keeps two texts from being taken for two others.
        hasher.update(&(text.as_ref().len() as u64).to_le_bytes());
        hasher.update(text.as_ref().as_bytes());
    }
    hasher.finish()
}
