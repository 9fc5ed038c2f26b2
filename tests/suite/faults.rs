//! A publisher dies between any two storage calls. At each point a fresh client and one that holds the old state verify
//! the old or the new repository, and running the same command again finishes the work.

use crate::deaths::{Death, Dying, at_every_call};
use crate::trial::Trial;
use chrono::TimeDelta;
use publish::error::Result;
use publish::operation::{Publisher, refresh};

/// Right at the swap it is not known whether it was carried out.
fn may_fail(error: &publish::error::Error) -> bool {
    error.to_string().contains("timestamp.json")
}

fn every_point(prepare: impl Fn() -> Trial, act: impl Fn(&Trial, &Publisher) -> Result<()>, check: impl Fn(&Trial)) {
    at_every_call(|at| {
        let trial = prepare();
        let old = trial.trust();
        let before = std::fs::read(trial.path("repo/timestamp.json")).unwrap();
        let dying = Dying::new(&trial, at, Death::StorageFails);
        let result = act(&trial, &dying.publisher);
        let survived = dying.survived();
        drop(dying);
        if std::fs::read(trial.path("repo/timestamp.json")).unwrap() != before {
            // The store may still refuse everything: what follows the commit is work for the next run.
            assert!(result.is_ok() || result.as_ref().is_err_and(may_fail), "death at {at}, after the commit: {result:?}");
        }
        // Plain names follow the commit, so only what TUF clients read is promised at every instant.
        trial.updates(&old).unwrap_or_else(|failure| panic!("old client, death at {at}: {failure}"));
        trial
            .updates(
                &publish::metadata::trust::TrustedMetadata::pin(
                    &std::fs::read(trial.path("keys/1.root.json")).unwrap(),
                    publish::metadata::trust::AtExpiry::Refuse(chrono::Utc::now()),
                )
                .unwrap(),
            )
            .unwrap_or_else(|failure| panic!("fresh client, death at {at}: {failure}"));
        let verdict = trial.client();
        if let Err(errors) = &verdict.0 {
            assert!(errors.iter().all(|error| error.contains("plain name")), "death at {at}: {errors:?}");
        }
        act(&trial, &trial.publisher()).unwrap_or_else(|error| panic!("again after death at {at}: {error}"));
        check(&trial);
        trial.client().expect("complete after the second run");
        survived
    });
}

#[test]
fn a_release_survives_a_kill_at_every_point() {
    let act = |trial: &Trial, publisher: &Publisher| trial.release_on(publisher, "1.0.0").map(drop);
    let check = |trial: &Trial| assert!(trial.path("repo/targets/releases/1.0.0/linux-amd64/bin/acme").exists());
    every_point(Trial::new, act, check);
}

#[test]
fn a_channel_change_survives_a_kill_at_every_point() {
    let prepare = || {
        let trial = Trial::new();
        trial.release("1.0.0").unwrap();
        trial.release("1.0.1").unwrap();
        trial.channels_on(&trial.publisher(), "1.0.0").unwrap();
        trial
    };
    let act = |trial: &Trial, publisher: &Publisher| trial.channels_on(publisher, "1.0.1").map(drop);
    let check = |trial: &Trial| assert_eq!(std::fs::read(trial.path("repo/targets/channels/1/stable")).unwrap(), b"1.0.1\n");
    every_point(prepare, act, check);
}

#[test]
fn a_change_of_the_number_of_bins_survives_a_kill_at_every_point() {
    for (before, after) in [(4, 2), (2, 4)] {
        let act = |trial: &Trial, publisher: &Publisher| trial.bins_on(publisher, after).map(drop);
        let check = |trial: &Trial| assert_eq!(std::fs::read(trial.path("repo/targets/packages/p3.zip")).unwrap(), b"package 3");
        every_point(|| Trial::with_bins(5, before), act, check);
    }
}

#[test]
fn targets_added_to_bins_survive_a_kill_at_every_point() {
    let prepare = || {
        let trial = Trial::with_bins(3, 4);
        std::fs::create_dir_all(trial.path("new")).unwrap();
        for name in ["a.zip", "b.zip", "c.zip", "d.zip", "p1.zip"] {
            std::fs::write(trial.path("new").join(name), format!("new {name}")).unwrap();
        }
        trial
    };
    let act = |trial: &Trial, publisher: &Publisher| trial.add_on(publisher, "new").map(drop);
    let check = |trial: &Trial| assert_eq!(std::fs::read(trial.path("repo/targets/packages/p1.zip")).unwrap(), b"new p1.zip");
    every_point(prepare, act, check);
}

#[test]
fn a_refresh_of_all_roles_survives_a_kill_at_every_point() {
    let prepare = || {
        let mut trial = Trial::new();
        trial.release("1.0.0").unwrap();
        trial.wait(TimeDelta::hours(5));
        trial
    };
    // With a new root, which is a commit point of its own.
    let act = |_: &Trial, publisher: &Publisher| {
        refresh::carry_out(
            publisher,
            refresh::prepare(publisher, refresh::RefreshRequest { consistent_snapshot: Some(false), ..Default::default() })?,
        )
        .map(drop)
    };
    let check = |trial: &Trial| assert!(!trial.trust().root().consistent_snapshot());
    every_point(prepare, act, check);
}

#[test]
fn a_switch_of_consistent_snapshots_with_bins_survives_a_kill_at_every_point() {
    let act = |_: &Trial, publisher: &Publisher| {
        let wish = refresh::RefreshRequest { consistent_snapshot: Some(false), ..Default::default() };
        refresh::carry_out(publisher, refresh::prepare(publisher, wish)?).map(drop)
    };
    let check = |trial: &Trial| assert!(!trial.trust().root().consistent_snapshot());
    every_point(|| Trial::with_bins(3, 2), act, check);
}
