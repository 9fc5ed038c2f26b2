//! What a publisher with a wrong clock signs, and what it refuses to delete.

use crate::fakes::gcs::Gcs;
use crate::rotate::Rotating;
use crate::sandbox::Sandbox;
use crate::trial::Trial;
use chrono::{DateTime, TimeDelta, Utc};
use publish::metadata::{Expiry, Lifetimes, Role};
use publish::names::ObjectName;
use publish::operation::change::add_targets::{self, AddTargetsRequest};
use publish::operation::change::carry_out;
use publish::operation::root::commit::{self, CommitRequest};
use publish::operation::root::{self, RootRequest};
use publish::operation::{Publisher, prune, refresh, verify};
use publish::repository::{Change, Edit, Progress, stage_bytes};
use publish::storage::{LocalDirectory, Observed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keeps the warnings of a command.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Progress for Warnings {
    fn phase(&self, _: &str) {}
    fn expect(&self, _: u64, _: u64) {}
    fn bytes(&self, _: u64) {}
    fn file(&self) {}
    fn status(&self, _: &str) {}
    fn warning(&self, message: &publish::error::Message) {
        self.0.lock().unwrap().push(message.to_string());
    }
}

fn refresh_all(publisher: &Publisher) {
    let request = refresh::RefreshRequest { all: true, ..Default::default() };
    refresh::carry_out(publisher, refresh::prepare(publisher, request).unwrap()).unwrap();
}

/// When each role expires, the bins and the role that lists them too.
fn expiries(trial: &Trial) -> Vec<(String, Expiry)> {
    let publisher = trial.publisher();
    let mut present = publisher.load().unwrap();
    present.read_all_bins(publisher.storage()).unwrap();
    let (timestamp, snapshot) = present.trust.listings().unwrap();
    let mut all = vec![
        ("root".to_owned(), present.trust.root().expires()),
        ("targets".into(), present.targets.expires()),
        ("snapshot".into(), snapshot.expires()),
        ("timestamp".into(), timestamp.expires()),
    ];
    if let Some(bins) = &present.bins {
        all.push(("bins".into(), bins.role.expires()));
        all.extend(bins.known_by_name().map(|(name, bin)| (name.to_owned(), bin.expires())));
    }
    all
}

#[track_caller]
fn none_is_earlier(trial: &Trial, before: &[(String, Expiry)]) {
    for (role, expires) in expiries(trial) {
        let earlier = before.iter().find(|(known, then)| *known == role && expires < *then);
        assert!(earlier.is_none(), "{role} expires on {expires}, and the one before it on {earlier:?}");
    }
}

#[test]
fn roles_signed_by_a_clock_that_is_behind_expire_no_earlier() {
    for behind in [TimeDelta::minutes(6), TimeDelta::days(2), TimeDelta::days(100), TimeDelta::days(500)] {
        let mut trial = Trial::with_bins(6, 4);
        trial.wait(TimeDelta::days(600));
        refresh_all(&trial.publisher());
        let publisher = trial.publisher();
        refresh::carry_out(&publisher, refresh::prepare(&publisher, Default::default()).unwrap()).unwrap();
        trial.client().unwrap();
        let before = expiries(&trial);
        trial.wait(-behind);
        trial.release("1.1.0").unwrap();
        std::fs::create_dir_all(trial.path("more")).unwrap();
        std::fs::write(trial.path("more/p3.zip"), b"changed").unwrap();
        trial.add_on(&trial.publisher(), "more").unwrap();
        refresh_all(&trial.publisher());
        // Roles that there were none of before have no earlier expiry to keep.
        trial.bins_on(&trial.publisher(), 8).unwrap();
        none_is_earlier(&trial, &before);
        trial.wait(behind);
        trial.client().unwrap();
    }
}

#[test]
fn a_root_signed_by_a_clock_that_is_behind_expires_no_earlier() {
    let mut trial = Trial::new();
    let before = expiries(&trial);
    trial.wait(TimeDelta::days(-2));
    let publisher = trial.publisher();
    let switch = refresh::RefreshRequest { consistent_snapshot: Some(false), ..Default::default() };
    refresh::carry_out(&publisher, refresh::prepare(&publisher, switch).unwrap()).unwrap();
    assert_eq!(trial.trust().root().version(), 2);
    none_is_earlier(&trial, &before);
}

#[test]
fn a_root_lives_shorter_only_where_that_is_asked_for() {
    let mut trial = Trial::new();
    trial.wait(TimeDelta::days(-100));
    let (draft, names) = (trial.path("draft.json"), trial.path("names.json"));
    let edit = |wish: &RootRequest| root::edit(&trial.publisher(), &draft, &names, wish, false).unwrap();
    let longest = trial.trust().root().expires();
    let report = edit(&RootRequest { thresholds: vec![(Role::Root, 1)], ..RootRequest::default() });
    assert!(!report.changes.iter().any(|change| change.contains("expires")), "{:?}", report.changes);
    let report = edit(&RootRequest { expires: Some(longest - TimeDelta::days(9)), ..RootRequest::default() });
    assert!(report.changes.iter().any(|change| change.contains("expires") && change.ends_with("(earlier)")), "{:?}", report.changes);
}

fn replace_online_keys(rotating: &mut Rotating) {
    let (draft, names) = (rotating.trial.path("draft.json"), rotating.trial.path("names.json"));
    let mut wish = RootRequest::default();
    for role in Role::ONLINE {
        let (old, new) = (rotating.public(&rotating.keys[&role][0]), rotating.new_key(role));
        wish.add.push((role, rotating.public(&new), None));
        wish.remove.push((role, old.id()));
        rotating.keys.insert(role, vec![new]);
    }
    root::edit(&rotating.publisher(), &draft, &names, &wish, false).unwrap();
    let key = publish::keys::KeyUri::File(rotating.keys[&Role::Root][0].clone());
    let key = rotating.publisher().keyring().load(&key).unwrap();
    root::sign(None, &draft, &[key]).unwrap();
    let publisher = rotating.publisher();
    let wish = CommitRequest { replace_now: true, back_to: None };
    commit::carry_out(&publisher, commit::prepare(&publisher, &draft, wish).unwrap()).unwrap();
}

/// What a clock that was years ahead has signed does not prevent publishing; only replaced keys invalidate it.
#[test]
fn roles_signed_by_a_clock_that_was_ahead_are_ended_by_replacing_their_keys() {
    let mut rotating = Rotating::new(Trial::new());
    let years = TimeDelta::days(3653);
    rotating.trial.release("1.0.0").unwrap();
    rotating.trial.wait(years);
    refresh_all(&rotating.trial.publisher());
    rotating.trial.wait(-years);
    let before = expiries(&rotating.trial);
    let publisher = rotating.publisher();
    let warnings = Warnings::default();
    let publisher = publisher.with_progress(Box::new(warnings.clone()));
    rotating.trial.release_on(&publisher, "1.0.1").unwrap();
    refresh_all(&publisher);
    let said = warnings.0.lock().unwrap().clone();
    assert_eq!(said.len(), 1, "once for each command: {said:?}");
    assert!(said[0].contains("more than 24 hours after this machine's time"), "{said:?}");
    none_is_earlier(&rotating.trial, &before);
    replace_online_keys(&mut rotating);
    rotating.trial.client().unwrap();
    for (role, expires) in expiries(&rotating.trial).into_iter().skip(1) {
        assert!(expires < rotating.trial.now() + TimeDelta::days(122), "{role} expires on {expires}");
    }
}

#[test]
fn keys_replaced_at_once_by_a_clock_that_is_behind_sign_nothing_that_expires_earlier() {
    let mut rotating = Rotating::new(Trial::new());
    let before = expiries(&rotating.trial);
    rotating.trial.wait(TimeDelta::days(-20));
    replace_online_keys(&mut rotating);
    none_is_earlier(&rotating.trial, &before);
    rotating.trial.wait(TimeDelta::days(20));
    rotating.trial.client().unwrap();
}

#[test]
fn a_foreign_expiry_is_written_in_the_form_that_every_client_reads() {
    use publish::metadata::{format_expiry, is_exact, parse_expiry};
    use publish::policy::clocks::Moment;
    let now = Utc::now();
    for foreign in [
        "2990-12-31T23:59:60Z",
        "2990-12-31T23:59:59.999999999Z",
        "2990-12-31T23:59:59.000000001+05:30",
        "2990-12-31t23:59:59z",
        "9999-12-31T23:59:59.5-12:00",
        "0000-01-01T00:00:00+05:00",
        "9999-12-31T23:59:60-23:59",
    ] {
        let before = parse_expiry(foreign).unwrap();
        let expires = Moment::after(now, Lifetimes::default(), before).expiry(Role::Targets, Some(before));
        let text = format_expiry(expires);
        assert!(is_exact(&text), "{foreign} became {text}");
        assert!(expires >= before.min("9999-12-31T23:59:59Z".parse::<DateTime<Utc>>().unwrap()), "{foreign} became {text}");
    }
}

fn with_store_clock(trial: &Trial, ahead: TimeDelta) -> (Publisher, Warnings) {
    let storage = Box::new(LocalDirectory::new(trial.path("repo")));
    let stores = trial.now() + ahead;
    let publisher = trial.publisher();
    let publisher = publisher.with_storage(Box::new(Observed::new(storage, |_| Ok(())).with_clock(move || stores.into())));
    let warnings = Warnings::default();
    let publisher = publisher.with_progress(Box::new(warnings.clone()));
    (publisher, warnings)
}

#[test]
fn a_clock_that_is_not_the_stores_is_reported_once_and_nothing_is_deleted() {
    let trial = Trial::new();
    trial.release("1.0.0").unwrap();
    let grace = Duration::from_secs(30 * 24 * 3600);
    for (minutes, apart) in [(0, false), (4, false), (-4, false), (6, true), (-6, true), (60 * 24 * 40, true), (-60 * 24 * 40, true)] {
        let (publisher, warnings) = with_store_clock(&trial, TimeDelta::minutes(minutes));
        refresh_all(&publisher);
        refresh_all(&publisher);
        let said = warnings.0.lock().unwrap().clone();
        assert_eq!(said.len(), usize::from(apart), "{minutes} minutes: {said:?}");
        assert!(said.iter().all(|line| line.contains(" here, ") && line.contains(" there")), "{said:?}");
        match prune::plan(&publisher, grace) {
            Ok(_) => assert!(!apart, "{minutes} minutes"),
            Err(error) => assert!(apart && error.to_string().contains("the store's differ"), "{minutes} minutes: {error}"),
        }
    }
}

/// Clients refuse an OpenPGP signature from the future, and a published one stays as it is.
#[test]
fn a_clock_that_is_ahead_dates_no_signature() {
    let trial = Trial::new();
    std::fs::create_dir_all(trial.path("more")).unwrap();
    std::fs::write(trial.path("more/file"), b"new").unwrap();
    let add = |publisher: &Publisher| {
        let request = AddTargetsRequest {
            files: vec![trial.path("more")],
            base: trial.path("more"),
            prefix: "packages".into(),
            sign: true,
            only_changed: false,
            metadata_only: false,
        };
        carry_out(publisher, add_targets::prepare(publisher, &request)?)
    };
    let before = std::fs::read(trial.path("repo/timestamp.json")).unwrap();
    let (publisher, _) = with_store_clock(&trial, TimeDelta::days(-1));
    for error in [trial.release_on(&publisher, "1.0.0").unwrap_err(), add(&publisher).unwrap_err()] {
        let failure = &error;
        assert!(failure.message.contains("this machine's clock and the store's differ by 24 hours"), "{failure:?}");
        assert!(failure.details[0].contains("nothing was published") && failure.hints[0].contains("correct the clock"), "{failure:?}");
    }
    assert_eq!(std::fs::read(trial.path("repo/timestamp.json")).unwrap(), before);
    // A signature of yesterday is as good as one of today.
    for minutes in [-4, 60 * 24] {
        let (publisher, _) = with_store_clock(&trial, TimeDelta::minutes(minutes));
        trial.release_on(&publisher, &format!("1.0.{}", minutes + 4)).unwrap();
        add(&publisher).unwrap();
    }
}

#[test]
fn status_names_a_wrong_clock() {
    let mut trial = Trial::new();
    let clock = |publisher: &Publisher| publish::operation::status::status(publisher, None).unwrap().clock;
    for (minutes, words) in [(4, None), (60 * 24, Some("differ by 24 hours")), (-60 * 24, Some("correct the clock that is wrong"))] {
        let said = clock(&with_store_clock(&trial, TimeDelta::minutes(minutes)).0);
        assert!(said.as_deref().map(|said| words.is_some_and(|words| said.contains(words))).unwrap_or(words.is_none()), "{said:?}");
    }
    // A directory has no clock that is known without a write, but the timestamp has its date.
    trial.wait(-TimeDelta::days(1));
    let publisher = trial.publisher();
    let publisher = publisher.with_storage(Box::new(LocalDirectory::new(trial.path("repo"))));
    assert!(clock(&publisher).unwrap().contains("more than 24 hours after this machine's time"));
}

#[test]
fn a_bucket_reports_its_time_with_every_answer() {
    let gcs = Gcs::start();
    let sandbox = Sandbox::empty();
    sandbox.write("publish.yaml", format!("name: acme\nrepo: gs://bucket/acme\nstore:\n  endpoint: {}\n", gcs.url));
    sandbox.publish(&["init", "--no-passphrase"]).ok();
    assert!(!sandbox.release("1.0.0").ok().stderr.contains("warning"));
    sandbox.publish(&["prune", "--dry-run"]).ok();
    gcs.set_ahead(600);
    let run = sandbox.publish(&["refresh", "--all", "--quiet"]).ok();
    assert!(run.stderr.matches("the store's differ by").count() == 1, "{run:?}");
    sandbox.publish(&["prune", "--confirm", "acme"]).fails(5, &["the store's differ by", "hint: correct the clock that is wrong"]);
    sandbox.publish(&["prune", "--dry-run"]).fails(5, &["nothing was deleted"]);
}

/// A publisher whose clock jumps by this when its storage is called so.
fn jumping(trial: &Trial, by: TimeDelta, method: &'static str) -> Publisher {
    let now = Arc::new(Mutex::new(trial.now()));
    let (jump, from) = (now.clone(), trial.now());
    let watch = move |call: publish::storage::Call| {
        if call.method == method && call.done {
            *jump.lock().unwrap() = from + by;
        }
        Ok(())
    };
    let storage = Observed::new(Box::new(LocalDirectory::new(trial.path("repo"))), watch);
    let publisher = trial.publisher_on(Box::new(storage));
    publisher.with_clock(Box::new(move || *now.lock().unwrap()))
}

#[test]
fn an_openpgp_key_that_expires_while_a_release_is_made_is_noticed() {
    let mut trial = Trial::new();
    let path = trial.path("keys/openpgp.asc");
    trial.wait(TimeDelta::minutes(1));
    let key = std::fs::read(crate::sandbox::testdata().join("openpgp/ed25519.asc")).unwrap();
    let extend = |until: TimeDelta| {
        let no_passphrase = |_: &str| unreachable!("the key is not encrypted");
        let written = publish::openpgp::extend(&key, "key", Some(trial.now() + until), trial.now(), &no_passphrase).unwrap();
        std::fs::write(&path, &*written).unwrap();
    };
    extend(TimeDelta::hours(1));
    let before = std::fs::read(trial.path("repo/timestamp.json")).unwrap();
    std::fs::create_dir_all(trial.path("more")).unwrap();
    std::fs::write(trial.path("more/file"), b"new").unwrap();
    let add = |publisher: &Publisher| {
        let request = AddTargetsRequest {
            files: vec![trial.path("more")],
            base: trial.path("more"),
            prefix: "packages".into(),
            sign: true,
            only_changed: false,
            metadata_only: false,
        };
        carry_out(publisher, add_targets::prepare(publisher, &request)?)
    };
    // While artifacts are staged, and after the roles were signed.
    for method in ["upload", "create"] {
        let publisher = jumping(&trial, TimeDelta::hours(2), method);
        for error in [trial.release_on(&publisher, "1.0.0").unwrap_err(), add(&jumping(&trial, TimeDelta::hours(2), method)).unwrap_err()] {
            let failure = &error;
            assert!(failure.message.contains("expired on") && failure.hints[0].contains("key extend"), "{method}: {failure:?}");
        }
        assert_eq!(std::fs::read(trial.path("repo/timestamp.json")).unwrap(), before, "{method}");
    }
    extend(TimeDelta::hours(3));
    trial.release_on(&jumping(&trial, TimeDelta::hours(2), "upload"), "1.0.0").unwrap();
    add(&jumping(&trial, TimeDelta::hours(2), "create")).unwrap();
    trial.client().unwrap();
}

/// A publisher that was suspended for a month finds what it staged deleted, and publishes nothing without it.
#[test]
fn a_slow_publisher_looks_again_whether_its_content_is_there() {
    let mut trial = Trial::new();
    for slow in [TimeDelta::hours(1), TimeDelta::days(31)] {
        let publisher = trial.publisher();
        let present = publisher.load().unwrap();
        let name = format!("packages/{}", slow.num_hours());
        let wanted = stage_bytes(publisher.storage(), &name, name.as_bytes(), false).unwrap();
        let staged = ObjectName::hashed_target(&name, &hex::encode(wanted.hashes.sha256.unwrap()));
        let change = Change { name, expected: None, wanted: Some(wanted), keep_existing: false, content: None };
        let edit = Edit { changes: vec![change], ..Edit::default() };
        let signers = publisher.signers(present.trust.root(), &Role::ONLINE).unwrap();
        trial.wait(slow);
        let late = trial.publisher();
        if slow > TimeDelta::days(1) {
            refresh_all(&late);
            publisher.storage().delete(&staged).unwrap();
            let failure = late.commit(present, &edit, &signers).unwrap_err();
            assert!(failure.message.contains("is gone; nothing was published"), "{failure:?}");
        } else {
            late.commit(present, &edit, &signers).unwrap();
        }
        trial.client().unwrap();
    }
}

/// A machine whose clock is a day behind must not report what is good as bad, nor give advice that makes it worse.
#[test]
fn verify_with_a_clock_behind_warns_about_the_clock() {
    let sandbox = Sandbox::new();
    sandbox.publish(&["release", "1.0.0", "--from", "dist"]).ok();
    let storage = LocalDirectory::new(sandbox.path("repo"));
    let verify_at = |now| {
        let anchor = verify::Anchor::File(std::fs::read(sandbox.path("keys/1.root.json")).unwrap());
        let progress = Warnings::default();
        let request = verify::VerifyRequest {
            source: &storage,
            anchor,
            certificates: Vec::new(),
            now,
            lifetimes: Default::default(),
            progress: &progress,
            metadata_only: false,
        };
        verify::verify(&request).unwrap()
    };
    let report = verify_at(Utc::now() - TimeDelta::days(1));
    assert!(report.is_good(), "{:#?}", report.findings);
    assert_eq!(report.signatures, 1);
    let warnings: Vec<String> = report
        .findings
        .iter()
        .filter(|finding| finding.severity == verify::Severity::Warning)
        .map(|finding| format!("{finding:?}"))
        .collect();
    assert!(warnings.len() == 2 && warnings.iter().all(|warning| warning.contains("check this machine's clock")), "{warnings:#?}");
    let report = verify_at(Utc::now() + TimeDelta::days(30));
    let expired = report.findings.iter().find(|finding| finding.subject == "timestamp").unwrap();
    assert!(!report.is_good() && format!("{expired:?}").contains("29 days before this machine's time"), "{:#?}", report.findings);
}
