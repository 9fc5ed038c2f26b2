//! Trees that others can change, as every command opens them: by one call, and component by component where a kernel or a
//! sandbox refuses that call.

use crate::sandbox::{Run, Sandbox};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

/// The binary on a kernel that answers `openat2` with this error.
fn without_openat2(sandbox: &Sandbox, error: &str, arguments: &[&str]) -> Run {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=openat2", "-e"]).arg(format!("inject=openat2:error={error}"));
    command.arg(env!("CARGO_BIN_EXE_publish")).args(arguments).current_dir(sandbox.dir.path());
    command.output().expect("strace is installed (.ci/test does it)").into()
}

fn on_every_kernel(sandbox: &Sandbox, arguments: &[&str], check: impl Fn(Run)) {
    check(sandbox.publish(arguments));
    for error in ["ENOSYS", "EPERM"] {
        check(without_openat2(sandbox, error, arguments));
    }
}

#[test]
fn links_and_special_files_are_refused_on_every_kernel() {
    let sandbox = Sandbox::new();
    sandbox.write("elsewhere/secret", "secret");
    sandbox.write("pool/fine", "fine");
    fs::create_dir_all(sandbox.path("pool/d")).unwrap();
    symlink("../../elsewhere", sandbox.path("pool/d/directory")).unwrap();
    symlink("../../elsewhere/secret", sandbox.path("pool/d/file")).unwrap();
    assert!(Command::new("mkfifo").arg(sandbox.path("pool/d/pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("pool/d/socket")).unwrap();
    on_every_kernel(&sandbox, &["add-targets", "pool", "-n"], |run| {
        let words = ["directory", "file", "pipe", "socket"].map(|name| format!("pool/d/{name}: neither a file nor a directory"));
        run.fails(6, &words.each_ref().map(String::as_str));
    });
    fs::rename(sandbox.path("pool/d"), sandbox.path("dist/linux-amd64/d")).unwrap();
    on_every_kernel(&sandbox, &["release", "1.0.0", "--from", "dist", "-n"], |run| {
        run.fails(6, &["d/directory: a symbolic link", "d/file: a symbolic link", "d/pipe: neither", "d/socket: neither"]);
    });
}

#[test]
fn the_way_to_a_tree_may_lead_through_links_on_every_kernel() {
    let sandbox = Sandbox::new();
    sandbox.write("real/pool/d/a", "a");
    symlink("real", sandbox.path("way")).unwrap();
    symlink("dist", sandbox.path("build")).unwrap();
    on_every_kernel(&sandbox, &["release", "1.0.0", "--from", "build", "-n"], |run| drop(run.ok().says(&["bin/acme"])));
    let names = |files: &str, base: &str, name: &str| {
        on_every_kernel(&sandbox, &["add-targets", files, "--base", base, "-n"], |run| drop(run.ok().says(&[name])));
    };
    names("way/pool", "way", "+ pool/d/a");
    names("real", "way", "+ pool/d/a");
    symlink("pool", sandbox.path("real/current")).unwrap();
    names("way/current/d/a", "real", "+ pool/d/a");
    // A link below the base, named by the user: its target counts if it is below the base too.
    names("real/current", "real", "+ pool/d/a");
    symlink("/etc/hostname", sandbox.path("real/pool/h")).unwrap();
    sandbox.publish(&["add-targets", "real/pool/h", "--base", "real"]).fails(6, &["pool/h: neither a file nor a directory"]);
}

#[test]
fn uploads_are_published_on_every_kernel() {
    for error in ["ENOSYS", "EPERM"] {
        let sandbox = Sandbox::new();
        let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
        sandbox.write("publish.yaml", format!("{config}monitor:\n  drop_box: box\n"));
        sandbox.write("box/tuf_ready_1/a/b/c", "c");
        sandbox.write("box/tuf_ready_2/d", "d");
        fs::create_dir(sandbox.path("box/tuf_ready_3")).unwrap();
        symlink("/etc", sandbox.path("box/tuf_ready_3/link")).unwrap();
        let run = without_openat2(&sandbox, error, &["monitor", "--once", "--json"]).ok();
        assert!(run.stdout.contains("set aside"), "{run:?}");
        assert_eq!(fs::read_to_string(sandbox.path("repo/targets/a/b/c")).unwrap(), "c");
        assert!(!sandbox.path("box/tuf_done_1").exists() && sandbox.path("box/tuf_failed_3").exists());
    }
}

#[test]
fn a_mount_below_an_upload_is_not_entered() {
    for error in [None, Some("ENOSYS")] {
        let sandbox = Sandbox::new();
        let config = fs::read_to_string(sandbox.path("publish.yaml")).unwrap();
        sandbox.write("publish.yaml", format!("{config}monitor:\n  drop_box: box\n"));
        sandbox.write("box/tuf_ready_1/d/a", "a");
        sandbox.write("box/tuf_ready_2/b", "b");
        let publish = env!("CARGO_BIN_EXE_publish");
        let strace =
            error.map_or(String::new(), |error| format!("strace -f -qq -o /dev/null -e trace=openat2 -e inject=openat2:error={error} "));
        let script = format!("mount -t tmpfs none box/tuf_ready_1/d; echo m >box/tuf_ready_1/d/m; {strace}{publish} monitor --once --json");
        let mut command = Command::new("unshare");
        let run: Run =
            command.args(["--map-root-user", "--mount", "sh", "-ec", &script]).current_dir(sandbox.dir.path()).output().unwrap().into();
        let run = run.ok();
        assert!(run.stdout.contains("on another file system"), "{run:?}");
        assert!(sandbox.path("repo/targets/b").exists() && !sandbox.path("repo/targets/d/m").exists());
    }
}

#[test]
fn a_huge_file_beside_keys_is_not_read() {
    let sandbox = Sandbox::new();
    let huge = fs::File::create(sandbox.write("keys/huge", "")).unwrap();
    huge.set_len(8 << 30).unwrap();
    let publish = env!("CARGO_BIN_EXE_publish");
    let script = format!("ulimit -v 4000000; exec {publish} adopt repo --keys keys --config new/publish.yaml -n");
    let run: Run = Command::new("sh").args(["-ec", &script]).current_dir(sandbox.dir.path()).output().unwrap().into();
    run.ok().says(&["targets.pem"]);
}
