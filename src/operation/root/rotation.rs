//! `publish rotate` for the key of an online role: which step comes next, the file of a new key, and the config that names it.
//! Killed anywhere, it is completed by the same command.

use super::rotate::{self, Places, Standing, Step};
use crate::error::{Error, Kind, Result};
use crate::keys::{self, KeyUri, Use};
use crate::metadata::{KeyKind, Role};
use crate::operation::Publisher;
use std::path::{Path, PathBuf};

/// The config that names the keys of a role.
pub trait KeyConfig {
    /// The URIs of a role's keys, as the config writes them.
    fn keys(&self, role: Role) -> Vec<String>;

    /// The directory that relative paths in URIs start from.
    fn base(&self) -> &Path;

    /// Writes these keys for the role; everything else stays as it was.
    fn set_keys(&self, role: Role, keys: &[String]) -> Result<()>;
}

/// A rotation of the key of one role.
#[derive(Clone, Copy)]
pub struct Rotation<'a> {
    /// The role.
    pub role: Role,
    /// The draft of the root, and the names of keys.
    pub places: Places<'a>,
    /// The config.
    pub config: &'a dyn KeyConfig,
    /// Only decide: no file is made or changed.
    pub dry_run: bool,
}

/// How a rotation begins.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The URI of the new key; a new file beside the old one without it.
    pub key: Option<String>,
    /// Encrypt a new file.
    pub encrypt: bool,
    /// Make both roots in one run.
    pub now: bool,
}

/// What the first half did.
#[derive(Debug, Default)]
pub struct FirstHalf {
    /// What was begun; `None` where an earlier run had begun it.
    pub plan: Option<RotationPlan>,
    /// The file of the new key, if this run made it.
    pub made: Option<PathBuf>,
    /// How the root's step ended, if there was one.
    pub step: Option<Step>,
    /// Whether the second half follows in the same run.
    pub goes_on: bool,
    /// Whether only the config was behind: the root had dropped keys that it still named.
    pub only_config: bool,
}

/// What a rotation that begins will do.
#[derive(Clone, Debug)]
pub struct RotationPlan {
    /// The new key's URI.
    pub new: String,
    /// The URIs of the keys that the config names now.
    pub old: Vec<String>,
    /// The version of the root that adds it.
    pub root: u64,
}

/// What the second half did, or will do.
#[derive(Debug)]
pub struct SecondHalf {
    /// The URI of the key that is dropped; `None` where only the config was behind.
    pub dropped: Option<String>,
    /// The version of the root that drops it.
    pub root: u64,
    /// How the root's step ended; `None` in a dry run.
    pub step: Option<Step>,
}

impl Rotation<'_> {
    /// The first half: a root that has the new key beside the old one, and roles that both sign.
    pub fn begin(&self, publisher: Publisher, beginning: &Beginning) -> Result<FirstHalf> {
        if !self.dry_run {
            self.complete_key_files()?;
        }
        let (resumed, standing) = self.resume(&publisher)?;
        if let Some(step) = self.drop_from_config(&publisher, &standing)? {
            return Ok(FirstHalf { step: Some(step), only_config: true, ..FirstHalf::default() });
        }
        let mut listed = self.config.keys(self.role);
        let all_known = standing.known.iter().all(|known| *known);
        let both = standing.known.len() > 1 && all_known;
        if both && resumed {
            let step = Step::Done { root: standing.root, outcome: rotate::published(&publisher)? };
            return Ok(FirstHalf { step: Some(step), goes_on: beginning.now, ..FirstHalf::default() });
        }
        if both && beginning.key.as_ref().is_none_or(|key| listed.contains(key)) {
            if beginning.now {
                // A run that makes both roots was killed between them.
                return Ok(FirstHalf { goes_on: true, ..FirstHalf::default() });
            }
            let role = self.role;
            let what = format!("the root has all keys of {role} that are configured here: the first half of a rotation is done");
            return Err(
                Error::new(Kind::Conflict, what).hint(format!("once every publisher has the new key: publish rotate {role} --finish"))
            );
        }
        let new = match &beginning.key {
            Some(key) => key.clone(),
            None if all_known => self.next_file(&listed),
            None => listed.last().cloned().unwrap_or_default(),
        };
        let plan = Some(RotationPlan { new: new.clone(), old: listed.clone(), root: standing.root + 1 });
        if self.dry_run {
            return Ok(FirstHalf { plan, ..FirstHalf::default() });
        }
        let mut made = None;
        if all_known {
            if !listed.contains(&new) {
                listed.push(new.clone());
            }
            made = self.add_to_config(&publisher, &new, &listed, beginning.encrypt)?;
        }
        let uris = listed.iter().map(|text| KeyUri::parse(text, self.config.base())).collect::<Result<Vec<_>>>()?;
        let publisher = publisher.with_keys(|keyring| drop(keyring.roles.insert(self.role, uris)));
        let step = rotate::add(&publisher, self.places, self.role)?;
        let goes_on = beginning.now && matches!(step, Step::Done { .. });
        Ok(FirstHalf { plan, made, step: Some(step), goes_on, only_config: false })
    }

    /// The second half: a root without the oldest of the configured keys.
    pub fn finish(&self, publisher: &Publisher) -> Result<SecondHalf> {
        let (_, standing) = self.resume(publisher)?;
        if let Some(step) = self.drop_from_config(publisher, &standing)? {
            return Ok(SecondHalf { dropped: None, root: standing.root, step: Some(step) });
        }
        let role = self.role;
        let (Some(old), true) = (standing.configured.first(), standing.known.iter().filter(|known| **known).count() > 1) else {
            let what = format!("there is no rotation of {role} to finish: the root has one key that is configured here");
            return Err(Error::new(Kind::Conflict, what)
                .details(standing.elsewhere.iter().map(|id| format!("another key of {role}: {id}")))
                .hint(format!("begin one with `publish rotate {role}`")));
        };
        let mut listed = self.config.keys(role);
        let (dropped, root) = (listed.first().cloned(), standing.root + 1);
        if self.dry_run {
            return Ok(SecondHalf { dropped, root, step: None });
        }
        let step = rotate::drop_key(publisher, self.places, role, old.public())?;
        if let Step::Done { .. } = &step {
            listed.remove(0);
            self.config.set_keys(role, &listed)?;
        }
        Ok(SecondHalf { dropped, root, step: Some(step) })
    }

    /// Finishes a draft that an earlier run left, if it has all its signatures; says whether there was one, and how root and
    /// config stand then.
    fn resume(&self, publisher: &Publisher) -> Result<(bool, Standing)> {
        let draft = rotate::draft_of(publisher, self.places, self.role)?;
        let resumed = !self.dry_run && rotate::resume(publisher, draft)?;
        Ok((resumed, rotate::standing(publisher, self.role)?))
    }

    /// Takes keys that the root has dropped out of the config: an earlier run ended before it did.
    fn drop_from_config(&self, publisher: &Publisher, standing: &Standing) -> Result<Option<Step>> {
        if self.dry_run || !standing.only_config_is_behind() {
            return Ok(None);
        }
        let listed = self.config.keys(self.role).into_iter().zip(&standing.known);
        let kept: Vec<String> = listed.filter(|(_, known)| **known).map(|(text, _)| text).collect();
        self.config.set_keys(self.role, &kept)?;
        Ok(Some(Step::Done { root: standing.root, outcome: rotate::published(publisher)? }))
    }

    /// Names the new key in the config, and makes its file if there is none; returns the file if it was made. The file has its
    /// name once the config names it: a killed run leaves no key that the next one does not know of.
    fn add_to_config(&self, publisher: &Publisher, new: &str, listed: &[String], encrypt: bool) -> Result<Option<PathBuf>> {
        let uri = KeyUri::parse(new, self.config.base())?;
        let made = uri.path().filter(|path| !path.exists());
        match made {
            Some(path) => {
                let passphrases = &publisher.keyring().passphrases;
                let passphrase = if encrypt { Some(passphrases.choose(Use::Roles)?) } else { None };
                let unnamed = unnamed(path);
                let _ = std::fs::remove_file(&unnamed);
                keys::create(&unnamed, KeyKind::Ed25519, passphrase.as_ref())?;
            }
            // Not with a key that cannot be opened.
            None => drop(publisher.keyring().load(&uri)?),
        }
        self.config.set_keys(self.role, listed)?;
        if let Some(path) = made {
            name_key_file(path)?;
            publisher.keyring().load(&uri)?;
        }
        Ok(made.map(Path::to_owned))
    }

    /// Names the key files that a run killed in between left unnamed, and removes those that the config does not name.
    fn complete_key_files(&self) -> Result<()> {
        let listed = self.config.keys(self.role);
        for text in &listed {
            let uri = KeyUri::parse(text, self.config.base())?;
            if let Some(path) = uri.path().filter(|path| !path.exists() && unnamed(path).exists()) {
                name_key_file(path)?;
            }
        }
        let next = KeyUri::parse(&self.next_file(&listed), self.config.base())?;
        if let Some(path) = next.path() {
            let _ = std::fs::remove_file(unnamed(path));
        }
        Ok(())
    }

    /// A file that does not exist, named after the role.
    fn next_file(&self, listed: &[String]) -> String {
        let directory = listed
            .iter()
            .find_map(|text| text.strip_prefix("file:").and_then(|path| Path::new(path).parent()?.to_str().map(str::to_owned)))
            .unwrap_or_else(|| "keys".into());
        let is_free =
            |text: &String| KeyUri::parse(text, self.config.base()).is_ok_and(|uri| uri.path().is_some_and(|path| !path.exists()));
        (2..).map(|number| format!("file:{directory}/{}-{number}.pem", self.role)).find(is_free).unwrap_or_default()
    }
}

/// A new key's file before the config names it.
fn unnamed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Gives a new key's file its name.
fn name_key_file(path: &Path) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = std::fs::rename(unnamed(path), path).and_then(|()| std::fs::File::open(directory)?.sync_all());
    named.map_err(|error| Error::io("name the key file", path.display(), error))
}
