//! `publish bins`.

use crate::cli::arguments::{Global, KeyIds};
use crate::cli::change::{Change, Confirmation, Next, Screen};
use crate::cli::output::{Output, Report};
use crate::cli::publisher::open;
use crate::cli::text::{count, size};
use crate::config::Config;
use crate::operation::change::bins::{self, BinsRequest};
use crate::operation::change::carry_out;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::fmt::Write;

/// Distribute very many targets over hashed bins
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Clients then download one bin instead of one large role. Releases, their signatures, channels and certificates stay in targets.json; the hash of its name assigns every other target to a bin. A commit rewrites only the bins that change. The number of bins can be changed in one commit. The snapshot keeps old bins, because clients refuse a snapshot that loses an entry; the plan lists them.\n\nExamples:\n  publish bins --count 1024 --not-for-trdl --dry-run\n  publish bins --count 1024 --not-for-trdl --confirm 1024"
)]
pub(in crate::cli) struct Bins {
    /// The number of bins: a power of two, about one for each 1000 targets
    #[arg(long, value_name = "COUNT", required_unless_present = "rekey")]
    pub count: Option<usize>,
    /// Delegate the bins to the configured keys (keys: bins:, or else the root's targets keys) and sign all of them again
    #[arg(long)]
    pub rekey: bool,
    /// With keys: bins: how to compute the ids of new keys [default: as those of the root]
    #[arg(long, value_enum, value_name = "STYLE")]
    pub key_ids: Option<KeyIds>,
    /// Confirm that no trdl client needs the targets in bins: it reads targets.json only
    #[arg(long)]
    pub not_for_trdl: bool,
    /// Confirm: the number of bins again
    #[arg(long, value_name = "COUNT")]
    pub confirm: Option<String>,
}

/// What a bin costs in the snapshot, in bytes: its name, version, length and digest.
const SNAPSHOT_ENTRY: u64 = 130;

/// `publish bins`.
pub(in crate::cli) fn run(global: &Global, arguments: &Bins, output: &Output) -> Result<Report> {
    let config = Config::read(&global.config)?;
    let publisher = open(global, &config, output)?;
    let request = BinsRequest {
        count: arguments.count,
        rekey: arguments.rekey,
        key_ids: arguments.key_ids.map(KeyIds::style),
        not_for_trdl: arguments.not_for_trdl,
    };
    let prepared = bins::prepare(&publisher, request)?;
    let plan = &prepared.plan;
    let mut text = match plan.from {
        0 => format!("  + {}\n", count(plan.to, "bin")),
        from if from == plan.to => format!("  = {}\n", count(from, "bin")),
        from => format!("  ~ {from} -> {}\n", count(plan.to, "bin")),
    };
    let _ = writeln!(text, "  ~ {} in them, {} at the top level", count(plan.spread, "target"), plan.at_top);
    if plan.rekey {
        let whose = if publisher.keyring().bins.is_empty() { "the root's targets keys" } else { "the keys in `keys: bins:`" };
        let _ = writeln!(text, "  ~ delegated to {whose}, and all signed by them");
    }
    if plan.left_over > 0 {
        let _ = writeln!(
            text,
            "  ! {} without targets stay listed in the snapshot for ever, about {} of it: clients refuse one that loses an entry",
            count(plan.left_over, "bin"),
            size(plan.left_over as u64 * SNAPSHOT_ENTRY)
        );
    }
    let reshapes = !plan.empty && plan.from != plan.to;
    let change = Change {
        command: "bins",
        document: json!(plan),
        screen: match plan.empty {
            true => Screen::after(text, true, &[]),
            false => Screen::before(text, false, &plan.roles),
        },
        warnings: plan.warnings.clone(),
        confirmation: reshapes.then(|| Confirmation {
            value: plan.to.to_string(),
            given: arguments.confirm.clone(),
            what: format!("distribute targets over {} bins", plan.to),
        }),
        done: format!("{} spread over {}", count(plan.spread, "target"), count(plan.to, "bin")),
        nothing: if plan.empty { "the bins are already as requested; nothing to do".into() } else { String::new() },
        next: Next::Nothing,
    };
    change.run(global, output, || carry_out(&publisher, prepared))
}
