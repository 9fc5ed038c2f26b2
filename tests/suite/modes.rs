//! Who may read and write what is made: private files are private under any umask, published ones are for all.

use crate::sandbox::{Run, Sandbox};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn under(umask: &str, sandbox: &Sandbox, arguments: &str) -> Run {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec {} {arguments}", env!("CARGO_BIN_EXE_publish"))]);
    command.current_dir(sandbox.dir.path()).env_remove("PUBLISH_PASSPHRASE").output().unwrap().into()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o7777
}

fn each(root: &Path) -> impl Iterator<Item = walkdir::DirEntry> {
    walkdir::WalkDir::new(root).into_iter().filter_map(Result::ok)
}

#[test]
fn private_files_are_private_under_any_umask() {
    for umask in ["000", "002", "027", "077", "777"] {
        let sandbox = Sandbox::empty();
        under(umask, &sandbox, "init --name acme --no-passphrase").ok();
        under(umask, &sandbox, "release 1.0.0 --from dist").ok();
        under(umask, &sandbox, "key new more/deeper/new.pem --no-passphrase").fails(7, &[]);
        under(umask, &sandbox, "adopt repo --keys keys --config adopted/publish.yaml --no-passphrase").ok();
        for directory in ["keys", "adopted/keys"] {
            for entry in each(&sandbox.path(directory)).filter(|entry| !entry.file_name().to_string_lossy().ends_with("root.json")) {
                let expected = if entry.file_type().is_dir() { 0o700 } else { 0o600 };
                assert_eq!(mode(entry.path()), expected, "umask {umask}: {}", entry.path().display());
            }
        }
        assert_eq!(mode(&sandbox.path("publish.yaml")) & 0o022, 0, "umask {umask}: a config names commands");
        // Published for all, whatever the umask.
        for entry in each(&sandbox.path("repo/targets")) {
            let expected = if entry.file_type().is_dir() { 0o755 } else { 0o644 };
            assert_eq!(mode(entry.path()), expected, "umask {umask}: {}", entry.path().display());
        }
    }
}

#[test]
fn published_files_stay_the_groups_where_the_directory_is() {
    for (umask, file, directory) in [("002", 0o664, 0o2775), ("022", 0o644, 0o2755), ("007", 0o664, 0o2775), ("077", 0o644, 0o2755)] {
        let sandbox = Sandbox::empty();
        fs::create_dir(sandbox.path("repo")).unwrap();
        fs::set_permissions(sandbox.path("repo"), fs::Permissions::from_mode(0o2775)).unwrap();
        under(umask, &sandbox, "init --name acme --no-passphrase").ok();
        under(umask, &sandbox, "release 1.0.0 --from dist").ok();
        for entry in each(&sandbox.path("repo/targets")) {
            let expected = if entry.file_type().is_dir() { directory } else { file };
            assert_eq!(mode(entry.path()), expected, "umask {umask}: {}", entry.path().display());
        }
        assert_eq!(mode(&sandbox.path("repo/timestamp.json")), file, "umask {umask}");
    }
}

#[test]
fn passphrase_files_that_others_can_read_are_refused() {
    let sandbox = Sandbox::empty();
    sandbox.secret("word", "test only passphrase\n");
    sandbox.publish(&["key", "new", "key.pem", "--passphrase-file", "word"]).ok();
    for open in [0o644, 0o640, 0o604, 0o620, 0o602] {
        fs::set_permissions(sandbox.path("word"), fs::Permissions::from_mode(open)).unwrap();
        let words = ["the passphrase file word can be read or written by others", "chmod 600 word", "--passphrase-command 'cat word'"];
        sandbox.publish(&["key", "show", "key.pem", "--passphrase-file", "word"]).fails(4, &words);
        sandbox
            .publish(&["key", "passphrase", "key.pem", "--passphrase-command", "cat word", "--new-passphrase-file", "word"])
            .fails(4, &words);
        sandbox.write("publish.yaml", "passphrase_file: word\n");
        sandbox.publish(&["key", "show", "key.pem"]).fails(4, &words);
    }
    // A shell's pipe is for this process only.
    let piped = format!("{} key show key.pem --passphrase-file <(cat word)", env!("CARGO_BIN_EXE_publish"));
    let run: Run = Command::new("bash").args(["-c", &piped]).current_dir(sandbox.dir.path()).output().unwrap().into();
    run.ok();
    sandbox.publish(&["key", "show", "key.pem", "--passphrase-file", "dist"]).fails(6, &["is a directory"]);
}
