//! A publisher's directory and the binary run in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

pub struct Sandbox {
    pub dir: TempDir,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Every secret that a test gives away to the binary. None may come back, whatever is asked of it.
const SECRETS: [&str; 9] = [
    "test only p\u{e4}ssphrase",
    "test only passphrase",
    "test-only\n",
    "the first secret",
    "the second secret",
    "hvs.test-only-token-of-the-operator",
    "hvs.of-the-role",
    "test-only-secret-id",
    "test-only-secret-access-key",
];

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        let run = Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) };
        for secret in SECRETS {
            for output in [&run.stdout, &run.stderr] {
                assert!(!output.contains(secret), "the secret `{secret}` is in {run:#?}");
            }
        }
        run
    }
}

impl Run {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// It exited with this code and printed all of these texts on stderr.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in {self:#?}");
        }
        self
    }

    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stdout.contains(word), "`{word}` is not in {self:#?}");
        }
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl Sandbox {
    /// An empty directory with a build of one platform in `dist`.
    pub fn empty() -> Self {
        let dir = TempDir::new().unwrap();
        let sandbox = Self { dir };
        sandbox.write("dist/linux-amd64/bin/acme", b"#!/bin/sh\necho hello\n");
        sandbox
    }

    /// The same with an initialised repository.
    pub fn new() -> Self {
        let sandbox = Self::empty();
        sandbox.publish(&["init", "--name", "acme", "--no-passphrase"]).ok();
        sandbox
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    pub fn write(&self, relative: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A file that only its owner may read.
    pub fn secret(&self, relative: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(relative, bytes);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A file of `testdata/openpgp` as a private key file.
    pub fn openpgp(&self, name: &str) -> PathBuf {
        let path = self.write(&format!("imported/{name}"), fs::read(testdata().join("openpgp").join(name)).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn channels(&self, entries: &[(&str, &str, &str)]) {
        let mut text = "groups:\n".to_owned();
        let mut groups: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for (group, channel, version) in entries {
            groups.entry(group).or_default().push((channel, version));
        }
        for (group, channels) in groups {
            text += &format!("- name: \"{group}\"\n  channels:\n");
            for (channel, version) in channels {
                text += &format!("  - name: {channel}\n    version: {version}\n");
            }
        }
        self.write("trdl_channels.yaml", text);
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_publish"));
        command.current_dir(self.dir.path()).stdin(std::process::Stdio::null()).env_remove("PUBLISH_PASSPHRASE");
        // What people signed is remembered for each user.
        command.env("XDG_STATE_HOME", self.path("state"));
        // Nothing of the machine's own stores.
        let stores = ["AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_"];
        for (name, _) in std::env::vars_os().filter(|(name, _)| stores.iter().any(|store| name.to_string_lossy().starts_with(store))) {
            command.env_remove(name);
        }
        command
    }

    pub fn publish(&self, arguments: &[&str]) -> Run {
        self.command().args(arguments).output().unwrap().into()
    }

    pub fn release(&self, version: &str) -> Run {
        self.publish(&["release", version, "--from", "dist"])
    }

    /// Every file below the repository but our own locks, with its content.
    pub fn repository(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.path("repo"))
    }

    /// Runs something that must not change the repository.
    #[track_caller]
    pub fn unchanged(&self, run: impl FnOnce() -> Run) -> Run {
        let before = self.repository();
        let run = run();
        assert!(before == self.repository(), "the repository changed: {run:#?}");
        run
    }
}

pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

pub fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    walkdir::WalkDir::new(root)
        .into_iter()
        .filter_entry(|entry| entry.file_name() != ".staging")
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && entry.file_name() != ".lock")
        .map(|entry| (entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned(), fs::read(entry.path()).unwrap()))
        .collect()
}

impl Sandbox {
    /// Runs something that may stage content but must not publish any.
    #[track_caller]
    pub fn unchanged_metadata(&self, run: impl FnOnce() -> Run) -> Run {
        let metadata = |sandbox: &Self| sandbox.repository().into_iter().filter(|(name, _)| name.ends_with(".json")).collect::<Vec<_>>();
        let before = metadata(self);
        let run = run();
        assert!(before == metadata(self), "metadata changed: {run:#?}");
        run
    }
}
