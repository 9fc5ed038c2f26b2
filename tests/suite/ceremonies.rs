//! Ceremonies by chance: whatever people sign, merge, rotate and let expire, in whatever order, either all clients follow
//! or the tool has refused before anything was published.

use crate::sandbox::files;
use crate::trial::Trial;
use chrono::TimeDelta;
use publish::keys::{self, KeyUri, RoleSigner};
use publish::metadata::trust::{AtExpiry, TrustedMetadata};
use publish::metadata::{KeyKind, Role};
use publish::operation::Publisher;
use publish::operation::refresh::{self, RefreshRequest};
use publish::operation::root::commit::{self, CommitRequest};
use publish::operation::root::rollback::BackTo;
use publish::operation::root::{self, RootRequest};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// Small and the same every time: a failure names its seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn of<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.below(items.len())]
    }
}

struct World {
    trial: Trial,
    people: Vec<PathBuf>,
    online: BTreeMap<Role, Vec<PathBuf>>,
    held: Vec<TrustedMetadata>,
    commits: usize,
    returns: usize,
    refusals: usize,
}

impl World {
    fn new() -> Self {
        let trial = Trial::new();
        trial.release("1.0.0").unwrap();
        let mut people = vec![trial.path("keys/root.pem")];
        for number in 0..4 {
            people.push(trial.path(&format!("keys/person-{number}.pem")));
            keys::create(people.last().unwrap(), KeyKind::Ed25519, None).unwrap();
        }
        let mut online = BTreeMap::new();
        for role in [Role::Targets, Role::Snapshot, Role::Timestamp] {
            let second = trial.path(&format!("keys/{role}-2.pem"));
            keys::create(&second, KeyKind::Ed25519, None).unwrap();
            online.insert(role, vec![trial.path(&format!("keys/{role}.pem")), second]);
        }
        let held = vec![trial.trust()];
        Self { trial, people, online, held, commits: 0, returns: 0, refusals: 0 }
    }

    fn publisher(&self) -> Publisher {
        let root = (Role::Root, self.people.clone());
        let own = self.online.iter().map(|(role, paths)| (*role, paths.clone())).chain([root]);
        let own = own.map(|(role, paths)| (role, paths.into_iter().map(KeyUri::File).collect()));
        self.trial.publisher().with_keys(|keyring| keyring.roles.extend(own))
    }

    fn signer(&self, path: &std::path::Path) -> Arc<dyn RoleSigner> {
        self.publisher().keyring().load(&KeyUri::File(path.to_owned())).unwrap()
    }

    /// Somebody starts, changes, signs, merges or commits a draft; any of it may be refused.
    fn step(&mut self, chance: &mut Chance) -> publish::error::Result<()> {
        let (draft, names) = (self.trial.path("draft.json"), self.trial.path("names.json"));
        let publisher = self.publisher();
        // Without a draft there is nothing else to do than to start one, or to let time pass.
        let what = match draft.exists() {
            false => *chance.of(&[0, 0, 14, 14, 12]),
            // Seldom enough that it is brought to an end.
            true if self.all_replaced(&draft) => *chance.of(&[0, 3, 7, 7, 9, 9, 9, 12, 13]),
            true => chance.below(14),
        };
        match what {
            0..3 => {
                let mut wish = RootRequest::default();
                let role = *chance.of(&Role::ALL);
                let pool = if role == Role::Root { &self.people } else { &self.online[&role] };
                let key = self.signer(chance.of(pool.as_slice()).as_path()).public().clone();
                match chance.below(4) {
                    0 | 1 => wish.add.push((role, key, None)),
                    2 => wish.remove.push((role, key.id())),
                    _ => wish.thresholds.push((role, 1 + chance.below(3) as u64)),
                }
                root::edit(&publisher, &draft, &names, &wish, false).map(drop)
            }
            3..7 => {
                // On a copy that comes back at once, or later and perhaps stale.
                let copy = self.trial.path(&format!("copy-{}.json", chance.below(3)));
                if chance.below(3) > 0 || !copy.exists() {
                    fs::copy(&draft, &copy).unwrap();
                }
                let signer = self.signer(chance.of(self.people.as_slice()).as_path());
                root::sign(None, &copy, &[signer])?;
                root::merge(Some(&publisher), &root::TrustedRoots::default(), &draft, &[copy]).map(drop)
            }
            7..9 => {
                // A meeting: every key holder signs.
                for person in &self.people {
                    let _ = root::sign(Some(&publisher), &draft, &[self.signer(person)]);
                }
                Ok(())
            }
            9..12 => {
                let replace_now = chance.below(2) == 0 || self.all_replaced(&draft);
                // To any snapshot, and to versions above any number: what clients would not follow is refused.
                let newest = self.trial.trust().listings().map_or(1, |(_, snapshot)| snapshot.version()) as usize;
                let back_to = (replace_now && chance.below(4) > 0).then(|| BackTo {
                    snapshot: 1 + chance.below(newest) as u64,
                    reset_versions: (chance.below(2) == 0).then(|| 1 + chance.below(60) as u64),
                });
                let prepared = commit::prepare(&publisher, &draft, CommitRequest { replace_now, back_to })?;
                self.returns += usize::from(prepared.plan.rollback.is_some());
                commit::carry_out(&publisher, prepared)?;
                self.commits += 1;
                Ok(())
            }
            14 => {
                // All online keys are exchanged for the others of their roles.
                let mut wish = RootRequest::default();
                let trust = self.trial.trust();
                for (role, paths) in &self.online {
                    let keys = paths.iter().map(|path| self.signer(path).public().clone());
                    let (known, other): (Vec<_>, Vec<_>) =
                        keys.partition(|key| trust.root().keys_of(*role).any(|(_, of)| of.same_material(key)));
                    wish.add.extend(other.into_iter().map(|key| (*role, key, None)));
                    wish.remove.extend(known.into_iter().map(|key| (*role, key.id())));
                    wish.thresholds.push((*role, 1));
                }
                root::edit(&publisher, &draft, &names, &wish, false).map(drop)
            }
            12 => {
                self.trial.wait(TimeDelta::hours(chance.below(24 * 120) as i64));
                let publisher = self.publisher();
                refresh::carry_out(&publisher, refresh::prepare(&publisher, RefreshRequest::default())?).map(drop)
            }
            _ => {
                let _ = fs::remove_file(&draft);
                Ok(())
            }
        }
    }

    /// Whether a draft replaces every online key.
    fn all_replaced(&self, draft: &std::path::Path) -> bool {
        root::read_draft(draft).is_ok_and(|draft| draft.present().online_keys_kept_by(draft.next()).is_empty())
    }

    fn check(&self, seed: u64, at: usize) {
        let newest = self.trial.trust().root().version();
        for version in 1..=newest {
            let file = fs::read(self.trial.path(&format!("repo/{version}.root.json"))).unwrap();
            let pinned = TrustedMetadata::pin(&file, AtExpiry::Refuse(self.trial.now())).unwrap();
            self.trial
                .updates(&pinned)
                .unwrap_or_else(|failure| panic!("seed {seed}, step {at}: pinned to {version} of {newest}: {failure}"));
        }
        for (number, held) in self.held.iter().enumerate() {
            self.trial.updates(held).unwrap_or_else(|failure| panic!("seed {seed}, step {at}: state {number}: {failure}"));
        }
    }
}

#[test]
fn all_clients_follow_or_nothing_was_published() {
    let (mut commits, mut returns, mut refusals) = (0, 0, 0);
    for seed in 0..20 {
        let (mut world, mut chance) = (World::new(), Chance(seed));
        for at in 0..100 {
            let before = files(&world.trial.path("repo"));
            match world.step(&mut chance) {
                Ok(()) => {}
                Err(error) => {
                    world.refusals += 1;
                    let after = files(&world.trial.path("repo"));
                    let visible = |files: &BTreeMap<String, Vec<u8>>| {
                        files
                            .iter()
                            .filter(|(name, _)| name.contains("root.json") || *name == "timestamp.json")
                            .map(|(name, file)| (name.clone(), file.clone()))
                            .collect::<Vec<_>>()
                    };
                    assert!(visible(&before) == visible(&after), "seed {seed}, step {at}: {error:#}");
                }
            }
            if files(&world.trial.path("repo")) != before {
                world.check(seed, at);
                world.held.push(world.trial.trust());
            }
        }
        world.trial.release("2.0.0").map_or_else(|_| (), drop);
        commits += world.commits;
        returns += world.returns;
        refusals += world.refusals;
    }
    // A test in which nothing happens proves nothing.
    assert!(commits > 20 && returns > 8 && refusals > 100, "{commits} commits, {returns} of them back, {refusals} refusals");
}
