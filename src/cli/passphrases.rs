use super::arguments::Global;
use crate::config::Config;
use crate::error::{Error, Id, Kind, Result};
use crate::keys::{Passphrases, Secret, Use};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How often a person may type the passphrase of a key.
const TRIES: u8 = 3;

/// Passphrases from flags, variables, the config or a prompt; each is got once a run.
pub(super) struct Sources {
    roles: Source,
    openpgp: Source,
    /// Starts no command and shows no prompt.
    dry_run: bool,
    known: Mutex<HashMap<Use, Secret>>,
    /// Sources that could not be read: a silent pipe is waited for once, and not again for each key.
    failed: Mutex<HashMap<Use, Unreadable>>,
    /// Several keys may be opened at once; one of them asks, and the others get what was answered.
    asking: Mutex<()>,
    /// All passphrases that were got.
    typed: Mutex<Vec<Secret>>,
    /// What was tried on each key.
    tries: Mutex<HashMap<String, Tries>>,
}

/// What was tried on one key.
#[derive(Default)]
struct Tries {
    /// How many of those that were typed for other keys.
    known: usize,
    /// How many were typed for it.
    asked: u8,
}

/// Why a source could not be read, for each key that needs it.
struct Unreadable {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

impl Unreadable {
    fn of(failure: &Error) -> Self {
        Self { kind: failure.kind, message: failure.with_cause(), hints: failure.hints.clone() }
    }

    fn failure(&self) -> Error {
        self.hints.iter().fold(Error::new(self.kind, &self.message), Error::hint)
    }
}

#[derive(Default)]
struct Source {
    file: Option<PathBuf>,
    command: Option<String>,
    variable: &'static str,
}

impl Sources {
    /// Flags and their variables first, then the secret variables, then the config.
    pub fn new(global: &Global, config: &Config) -> Self {
        let source =
            |file: &Option<PathBuf>, command: &Option<String>, variable, config_file: Option<PathBuf>, config_command: Option<String>| {
                let given = file.is_some() || command.is_some();
                let from_variable = !given && std::env::var_os(variable).is_some();
                let fall_back = !given && !from_variable;
                Source {
                    file: file.clone().or(config_file.filter(|_| fall_back)),
                    command: command.clone().or(config_command.filter(|_| fall_back)),
                    variable,
                }
            };
        Self {
            roles: source(
                &global.passphrase_file,
                &global.passphrase_command,
                "PUBLISH_PASSPHRASE",
                config.passphrase_file(),
                config.passphrase_command.clone(),
            ),
            openpgp: source(
                &global.openpgp_passphrase_file,
                &global.openpgp_passphrase_command,
                "PUBLISH_OPENPGP_PASSPHRASE",
                config.openpgp_passphrase_file(),
                None,
            ),
            dry_run: global.dry_run,
            known: Mutex::default(),
            failed: Mutex::default(),
            asking: Mutex::default(),
            typed: Mutex::default(),
            tries: Mutex::default(),
        }
    }

    /// The files that passphrases are read from.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = [&self.roles, &self.openpgp].into_iter().filter_map(|source| source.file.clone()).collect();
        files.dedup();
        files
    }

    fn source(&self, purpose: Use) -> &Source {
        // The OpenPGP key opens with the passphrase of the role keys unless configured otherwise.
        if purpose == Use::OpenPgp && self.openpgp.is_given() { &self.openpgp } else { &self.roles }
    }

    /// A dry run is safe to run on what has not been reviewed: it starts nothing that a config names.
    fn check_dry_run(&self, purpose: Use, what: &str) -> Result<()> {
        let source = self.source(purpose);
        if !self.dry_run || (source.command.is_none() && source.is_given()) {
            return Ok(());
        }
        Err(Error::new(Kind::Passphrase, format!("{what} is encrypted, and a dry run starts no passphrase command and asks for none"))
            .hint("give the passphrase with a file or a variable, or run the command without --dry-run"))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Use, Secret>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self, purpose: Use, read: impl FnOnce() -> Result<Secret>) -> Result<Secret> {
        let _asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secret) = self.known().get(&purpose) {
            return Ok(secret.clone());
        }
        if let Some(unreadable) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).get(&purpose) {
            return Err(unreadable.failure());
        }
        let secret = read().inspect_err(|failure| {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(purpose, Unreadable::of(failure));
        })?;
        self.typed.lock().unwrap_or_else(PoisonError::into_inner).push(secret.clone());
        self.known().insert(purpose, secret.clone());
        Ok(secret)
    }
}

impl Passphrases for Sources {
    fn get(&self, purpose: Use, what: &str) -> Result<Secret> {
        let roles = self.known().get(&Use::Roles).cloned();
        self.check_dry_run(purpose, what)?;
        // A source that serves both uses is read once: a pipe has nothing left afterwards.
        let serves_both = self.roles.is_given() && !self.openpgp.is_given();
        self.remembered(if serves_both { Use::Roles } else { purpose }, || match (self.source(purpose).read()?, roles) {
            (Some(secret), _) => Ok(secret),
            // Mostly they are the same: the one that opened another key is tried before anything is asked.
            (None, Some(roles)) => Ok(roles),
            (None, None) => prompt(&format!("passphrase for {what}: "), what, purpose),
        })
    }

    /// On a terminal: the key may have a passphrase of its own, or it was mistyped.
    fn again(&self, purpose: Use, what: &str) -> Result<Option<Secret>> {
        if self.source(purpose).is_given() || !std::io::stdin().is_terminal() {
            return Ok(None);
        }
        let _asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut typed = self.typed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = tries.entry(what.to_owned()).or_default();
        // First what opened other keys meanwhile, then the person.
        if let Some(secret) = typed.get(tries.known) {
            tries.known += 1;
            return Ok(Some(secret.clone()));
        }
        tries.asked += 1;
        if tries.asked >= TRIES {
            return Ok(None);
        }
        let question = format!("that passphrase does not open {what}; passphrase (attempt {} of {TRIES}): ", tries.asked + 1);
        let secret = prompt(&question, what, purpose)?;
        typed.push(secret.clone());
        tries.known = typed.len();
        self.known().insert(purpose, secret.clone());
        Ok(Some(secret))
    }

    fn choose(&self, purpose: Use) -> Result<Secret> {
        // One passphrase for all new keys, unless the OpenPGP key was given its own.
        let purpose = if self.openpgp.is_given() { purpose } else { Use::Roles };
        self.check_dry_run(purpose, "a new key")?;
        self.remembered(purpose, || {
            if let Some(secret) = self.source(purpose).read()? {
                return Ok(secret);
            }
            let what = if purpose == Use::Roles { "the new keys" } else { "the new OpenPGP key" };
            let first = prompt(&format!("new passphrase for {what}: "), what, purpose)
                .map_err(|failure| failure.hint("or leave the new keys unencrypted with --no-passphrase"))?;
            let second = prompt("the same again: ", what, purpose)?;
            if first.expose() == second.expose() && !first.expose().is_empty() {
                return Ok(first);
            }
            Err(Error::new(Kind::Passphrase, "the two passphrases differ or are empty; nothing was made"))
        })
    }
}

impl Source {
    fn is_given(&self) -> bool {
        self.file.is_some() || self.command.is_some() || std::env::var_os(self.variable).is_some()
    }

    fn read(&self) -> Result<Option<Secret>> {
        if let Some(file) = &self.file {
            let bytes = crate::keys::read_passphrase(file)?;
            return Secret::new(bytes.as_slice()).first_line(&format!("the passphrase file {}", file.display())).map(Some);
        }
        if let Some(command) = &self.command {
            return run(command).map(Some);
        }
        match std::env::var_os(self.variable) {
            None => Ok(None),
            Some(value) => Secret::new(value.into_encoded_bytes()).first_line(&format!("the variable {}", self.variable)).map(Some),
        }
    }
}

/// The new passphrase of a key file that has one already.
pub(super) fn new_passphrase(file: Option<&Path>, what: &str) -> Result<Secret> {
    let source = Source { file: file.map(Path::to_owned), command: None, variable: "PUBLISH_NEW_PASSPHRASE" };
    if let Some(secret) = source.read()? {
        return Ok(secret);
    }
    let missing = || {
        Error::new(Kind::Passphrase, format!("a new passphrase is needed for {what}, and there is no terminal to ask on"))
            .id(Id::PassphraseNeeded)
            .hint("give it with --new-passphrase-file or the variable PUBLISH_NEW_PASSPHRASE")
    };
    if !std::io::stdin().is_terminal() {
        return Err(missing());
    }
    let (first, second) = (ask(&format!("new passphrase for {what}: "), missing)?, ask("the same again: ", missing)?);
    if first.expose() == second.expose() && !first.expose().is_empty() {
        return Ok(first);
    }
    Err(Error::new(Kind::Passphrase, "the two passphrases differ or are empty; nothing was changed"))
}

impl Secret {
    /// Without the line end that files and commands add.
    fn first_line(&self, what: &str) -> Result<Self> {
        let mut line = self.expose();
        while let Some(rest) = line.strip_suffix(b"\n").or_else(|| line.strip_suffix(b"\r")) {
            line = rest;
        }
        if line.is_empty() {
            return Err(Error::new(Kind::Passphrase, format!("{what} contains no passphrase")));
        }
        Ok(Self::new(line))
    }
}

fn run(command: &str) -> Result<Secret> {
    let mut child = Command::new("sh");
    child.arg("-c").arg(command).stdin(Stdio::null()).stderr(Stdio::inherit());
    for (secret, _) in super::arguments::SECRET_VARIABLES {
        child.env_remove(secret);
    }
    let failed = |why: String| {
        Error::new(Kind::Passphrase, format!("the passphrase command failed: {why}"))
            .hint("run the command in a shell; it must print the passphrase and exit with 0")
    };
    let output = child.output().map_err(|error| failed(error.to_string()))?;
    let secret = Secret::new(output.stdout);
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    secret.first_line("the output of the passphrase command")
}

fn prompt(question: &str, what: &str, purpose: Use) -> Result<Secret> {
    let (file, command, variable) = match purpose {
        Use::Roles => ("--passphrase-file", "--passphrase-command", "PUBLISH_PASSPHRASE"),
        Use::OpenPgp => ("--openpgp-passphrase-file", "--openpgp-passphrase-command", "PUBLISH_OPENPGP_PASSPHRASE"),
    };
    let missing = || {
        Error::new(Kind::Passphrase, format!("a passphrase is needed for {what}, and there is no terminal to ask on"))
            .id(Id::PassphraseNeeded)
            .hint(format!("give it with {file}, {command} or the variable {variable}"))
    };
    if !std::io::stdin().is_terminal() {
        return Err(missing());
    }
    ask(question, missing)
}

/// Asks on the terminal, which has its echo again however this ends.
fn ask(question: &str, missing: impl FnOnce() -> Error) -> Result<Secret> {
    use std::io::ErrorKind;
    let prompting = super::interrupt::Prompting::begin();
    let answer = rpassword::prompt_password(super::wrap::wrapped(question, super::wrap::stderr()));
    drop(prompting);
    match answer {
        Ok(typed) => Ok(Secret::new(typed)),
        Err(error) if error.kind() == ErrorKind::Interrupted => super::interrupt::interrupted(),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(Error::new(Kind::Passphrase, "the terminal was closed before a passphrase was typed"))
        }
        Err(error) => Err(missing().source(error)),
    }
}
