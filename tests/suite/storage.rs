//! The contract of a storage, run against every one that needs no server but our own fakes.

use crate::conformance::{name, passes, read};
use crate::fakes::gcs::Gcs;
use crate::trial::fast_directory;
use publish::error::Kind;
use publish::storage::{LocalDirectory, Location, Memory, Remote, Rivals, Source, Storage, StoreOptions};
use std::fs;
use std::path::Path;

#[test]
fn memory_keeps_the_contract() {
    passes(&|| Box::<Memory>::default(), 200);
}

#[test]
fn a_local_directory_keeps_the_contract() {
    let directory = fast_directory();
    let fresh = || tempfile::tempdir_in(directory.path()).unwrap().keep().join("a/b");
    passes(&|| Box::new(LocalDirectory::new(fresh())), 200);
}

#[test]
fn a_local_directory_without_links_keeps_the_contract() {
    let directory = fast_directory();
    let fresh = || tempfile::tempdir_in(directory.path()).unwrap().keep().join("c");
    passes(&|| Box::new(LocalDirectory::without_links(fresh())), 200);
}

/// The repository `gs://bucket/prefix` of an imitation.
pub fn on_gcs(gcs: &Gcs, prefix: &str, options: StoreOptions) -> Remote {
    let location = Location::parse(&format!("gs://bucket/{prefix}"), Path::new("")).unwrap();
    Remote::open(&location, &StoreOptions { endpoint: Some(gcs.url.clone()), ..options }).unwrap()
}

#[test]
fn google_cloud_storage_as_imitated_keeps_the_contract() {
    let gcs = Gcs::start();
    let counter = std::sync::atomic::AtomicUsize::new(0);
    let fresh = || format!("p{}/repo", counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    passes(&|| Box::new(on_gcs(&gcs, &fresh(), StoreOptions::default())), 100);
}

#[test]
fn local_names_never_leave_the_directory() {
    let directory = fast_directory();
    let storage = LocalDirectory::new(directory.path().join("repo"));
    for hostile in ["../x", "/etc/passwd", "a/../../x", "", ".", "a/./b\0"] {
        assert_eq!(storage.put(&name(hostile), b"x").unwrap_err().kind, Kind::Untrusted, "{hostile}");
        assert_eq!(storage.get(&name(hostile), 9).unwrap_err().kind, Kind::Untrusted, "{hostile}");
    }
    assert!(!directory.path().join("x").exists());
}

#[test]
fn leftovers_of_killed_publishers_are_removed_and_those_of_running_ones_are_not() {
    let directory = fast_directory();
    let living = LocalDirectory::new(directory.path());
    let mut upload = living.begin(None).unwrap();
    upload.write(b"still at it").unwrap();
    let dead = directory.path().join(".staging/0123456789abcdef");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.with_extension("lock"), b"").unwrap();
    fs::write(dead.join("0"), b"left behind").unwrap();
    let next = LocalDirectory::new(directory.path());
    next.put(&name("x"), b"x").unwrap();
    assert!(!dead.exists() && !dead.with_extension("lock").exists());
    assert_eq!(next.rivals().unwrap(), Rivals::Somebody);
    upload.finish(&name("y")).unwrap();
    drop(living);
    assert_eq!(next.rivals().unwrap(), Rivals::Nobody);
    assert_eq!(read(&next, "y").unwrap(), b"still at it");
}

#[test]
fn directories_are_removed_with_their_last_file_while_others_write() {
    let directory = fast_directory();
    let storage = LocalDirectory::new(directory.path().join("repo"));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let storage = &storage;
            scope.spawn(move || {
                for round in 0..300 {
                    let object = name(&format!("a/b/c{}/{worker}", round % 3));
                    storage.put(&object, b"x").unwrap();
                    storage.delete(&object).unwrap();
                }
            });
        }
    });
    assert!(!directory.path().join("repo/a").exists());
    storage.put(&name("a/b"), b"x").unwrap();
    storage.delete(&name("a/c")).unwrap();
    assert!(directory.path().join("repo/a/b").exists());
}
