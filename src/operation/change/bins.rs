//! `publish bins`: spreads targets over hashed bins, or over another number of them, in one commit.

use super::{Keys, Prepared, Work};
use crate::error::{Error, Id, Message, Result};
use crate::keys::Signers;
use crate::metadata::{KeyIdStyle, Role};
use crate::names::TargetName;
use crate::operation::{Publisher, RoleStep, steps};
use crate::repository::{BinKeys, Bins, Edit, Present, Rebin};
use serde::Serialize;

/// What `bins` and `verify` report.
pub(crate) const GO_TUF_AND_BINS: &str =
    "go-tuf 2.0 to 2.4.2 finds no target in hashed bins: it compares the prefixes of hashes in another encoding";

/// What the user requests.
#[derive(Clone, Copy, Debug)]
pub struct BinsRequest {
    /// How many bins there shall be; as many as there are without a number.
    pub count: Option<usize>,
    /// Have the configured keys sign the bins from now on.
    pub rekey: bool,
    /// How the ids of new keys are computed, if not as those of the root.
    pub key_ids: Option<KeyIdStyle>,
    /// The operator knows that the trdl client reads top-level targets only.
    pub not_for_trdl: bool,
}

/// What spreading will do.
#[derive(Debug, Serialize)]
pub struct BinsPlan {
    /// How many bins there are; 0 for none.
    pub from: usize,
    /// How many there will be.
    pub to: usize,
    /// How many targets are in bins then.
    pub spread: usize,
    /// How many stay in the top-level role.
    pub at_top: usize,
    /// Bins that nothing is delegated to any more and that stay in the snapshot for ever.
    pub left_over: usize,
    /// Whether other keys sign the bins from now on.
    pub rekey: bool,
    /// Clients that do not find what is in bins.
    pub warnings: Vec<Message>,
    /// Roles that will be signed besides the bins.
    pub roles: Vec<RoleStep>,
    /// Whether there is nothing to do.
    pub empty: bool,
}

/// What is decided about bins before their keys are opened.
#[derive(Clone, Debug)]
pub(in crate::operation) struct BinsChoice {
    /// How many there shall be, if the targets are spread anew.
    count: Option<usize>,
    /// Have the configured keys sign them.
    rekey: bool,
    /// How the ids of new keys are computed.
    key_ids: Option<KeyIdStyle>,
}

/// Decides what spreading will do.
pub fn prepare(publisher: &Publisher, request: BinsRequest) -> Result<Prepared<BinsPlan>> {
    let mut present = publisher.load()?;
    publisher.check_root(&present)?;
    let from = present.bins.as_ref().map_or(0, Bins::count);
    let to = request.count.unwrap_or(from);
    if from == 0 && request.count.is_none() {
        return Err(Error::invalid("this repository has no hashed bins").hint("create them with --count N"));
    }
    let reshapes = to != from || request.count.is_some();
    if reshapes && !request.not_for_trdl {
        return Err(Error::invalid("the trdl client reads top-level targets only: it does not find what is in bins")
            .hint("releases and channels stay at the top level, but no trdl user will see any other target")
            .hint("if no trdl client needs them, add --not-for-trdl"));
    }
    if reshapes && (!to.is_power_of_two() || !(2..=1 << 16).contains(&to)) {
        return Err(Error::invalid(format!("{to} bins: their number must be a power of two from 2 to 65536")));
    }
    if reshapes && !present.trust.root().consistent_snapshot() {
        return Err(Error::invalid("without consistent snapshots, clients would see old and new bins at the same time")
            .hint("switch them on first: `consistent_snapshot: true` in the config, then `publish refresh`"));
    }
    present.read_all_bins(publisher.storage.as_ref())?;
    let at_top = present.targets.names().filter(|name| TargetName::of(name).lives_at_top()).count();
    let spread = present.entries().count() - at_top;
    // Keys of their own are not opened for a plan; those of the targets role are in the root.
    let behind =
        from > 0 && publisher.keyring.bins.is_empty() && (present.bins_behind()?.is_some() || other_keys(&present, request.rekey)?);
    let rekey = behind || (request.rekey && !publisher.keyring.bins.is_empty());
    let spreads = reshapes && (from != to || present.targets.len() != at_top);
    let empty = !spreads && !rekey;
    let (mut roles, mut keys) = (Vec::new(), Keys::OfNames);
    if !empty {
        let top = rekey || from == 0 || present.targets.len() != at_top;
        roles = steps(publisher, &present, if top { &Role::ONLINE } else { &[Role::Snapshot, Role::Timestamp] })?;
        let signing = roles.iter().map(|step| step.role).collect();
        // A request to workers has one form for both: the number of bins and their keys.
        let spread_anew = spreads || publisher.workers.is_some();
        keys = Keys::Bins(signing, BinsChoice { count: spread_anew.then_some(to), rekey, key_ids: request.key_ids });
    }
    let left_over = from.saturating_sub(to);
    // Reported where targets move into bins for the first time.
    let warnings = if from == 0 { vec![Message::new(Id::BinsNotReadByGoTuf, GO_TUF_AND_BINS)] } else { Vec::new() };
    Ok(Prepared {
        plan: BinsPlan { from, to, spread, at_top, left_over, rekey, warnings, roles, empty },
        work: Work { keys, ..Work::on(present) },
    })
}

/// Whether the bins have other keys than the root's targets keys, where that is asked about.
fn other_keys(present: &Present, asked: bool) -> Result<bool> {
    Ok(asked && !present.bins_have(&BinKeys::of_targets(present.trust.root()))?)
}

/// Opens the keys of the bins, and completes the edit with them.
pub(super) fn decide_keys(
    publisher: &Publisher,
    present: &Present,
    choice: &BinsChoice,
    signers: &mut Signers,
    edit: &mut Edit,
) -> Result<()> {
    let keys = if choice.rekey || present.bins.is_none() {
        configured(publisher, present, choice.key_ids, signers)?
    } else {
        publisher.add_bin_signers(present, signers)?;
        let (keys, threshold) = present.bins.as_ref().map(Bins::keys).unwrap_or_default();
        BinKeys { keys, threshold }
    };
    match choice.count {
        Some(count) => edit.rebin = Some(Rebin { count, keys: keys.keys, threshold: keys.threshold }),
        None => edit.rekey = Some(keys),
    }
    Ok(())
}

/// The keys that the config has for the bins: their own, or those of the targets role.
fn configured(publisher: &Publisher, present: &Present, style: Option<KeyIdStyle>, signers: &mut Signers) -> Result<BinKeys> {
    let root = present.trust.root();
    if publisher.keyring.bins.is_empty() {
        return Ok(BinKeys::of_targets(root));
    }
    let mut own = Vec::new();
    for uri in &publisher.keyring.bins {
        let signer = publisher.keyring.load(uri)?;
        own.push(style.unwrap_or_else(|| root.style_for(Role::Targets)).keyed(signer.public())?);
        signers.entry(Role::Targets).or_default().push(signer);
    }
    // A threshold that bins with keys of their own had is not lowered in passing.
    let before = present.bins.as_ref().map_or(1, |bins| bins.keys().1);
    let threshold = if present.bins_follow_targets()? { 1 } else { before.min(own.len() as u64).max(1) };
    Ok(BinKeys { keys: own, threshold })
}
