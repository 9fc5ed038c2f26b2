//! The contract of a storage, run against every one we have.

use crate::trial::fast_directory;
use publish::failure::Kind;
use publish::layout::ObjectName;
use publish::storage::{LocalDirectory, Memory, Rivals, Source, Storage};
use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

fn name(text: &str) -> ObjectName {
    ObjectName::listed(text)
}

fn each(test: impl Fn(&dyn Storage)) {
    test(&Memory::default());
    let directory = fast_directory();
    test(&LocalDirectory::new(directory.path().join("a/b")));
    test(&LocalDirectory::without_links(directory.path().join("c")));
}

fn read(storage: &dyn Storage, object: &str) -> Option<Vec<u8>> {
    storage.get(&name(object), 1 << 20).unwrap().map(|object| object.bytes)
}

#[test]
fn create_refuses_what_exists() {
    each(|storage| {
        assert!(storage.create(&name("x/y"), b"one").unwrap());
        assert!(!storage.create(&name("x/y"), b"two").unwrap());
        assert_eq!(read(storage, "x/y").unwrap(), b"one");
    });
}

#[test]
fn swap_refuses_what_changed() {
    each(|storage| {
        assert!(storage.swap(&name("t"), None, b"1").unwrap());
        assert!(!storage.swap(&name("t"), None, b"2").unwrap());
        let token = storage.get(&name("t"), 9).unwrap().unwrap().token;
        assert!(storage.swap(&name("t"), Some(&token), b"2").unwrap());
        assert!(!storage.swap(&name("t"), Some(&token), b"3").unwrap());
        assert!(!storage.swap(&name("absent"), Some(&token), b"3").unwrap());
        assert_eq!((read(storage, "t").unwrap(), read(storage, "absent")), (b"2".to_vec(), None));
    });
}

#[test]
fn put_copy_list_stat_and_delete() {
    each(|storage| {
        storage.put(&name("d/a+b ~é"), b"12345").unwrap();
        storage.put(&name("d/a+b ~é"), b"123").unwrap();
        storage.copy(&name("d/a+b ~é"), &name("e/f/g")).unwrap();
        storage.copy(&name("d/a+b ~é"), &name("e/f/g")).unwrap();
        storage.put(&name("other"), b"new").unwrap();
        storage.copy(&name("other"), &name("e/f/g")).unwrap();
        assert_eq!((read(storage, "d/a+b ~é").unwrap(), read(storage, "e/f/g").unwrap()), (b"123".to_vec(), b"new".to_vec()));
        let listed =
            |prefix: &str| storage.list(prefix).unwrap().iter().map(|stored| (stored.name.to_string(), stored.length)).collect::<Vec<_>>();
        assert_eq!(listed(""), [("d/a+b ~é".into(), 3), ("e/f/g".into(), 3), ("other".into(), 3)]);
        assert_eq!(listed("e/f/"), [("e/f/g".into(), 3)]);
        assert_eq!(listed("o"), [("other".into(), 3)]);
        assert_eq!(listed("nothing/here"), []);
        assert_eq!(storage.stat(&name("other")).unwrap().unwrap().length, 3);
        assert!(storage.stat(&name("e/f")).unwrap().is_none() && storage.stat(&name("other/below")).unwrap().is_none());
        storage.delete(&name("other")).unwrap();
        storage.delete(&name("other")).unwrap();
        assert!(read(storage, "other").is_none());
        assert_eq!(storage.copy(&name("other"), &name("z")).unwrap_err().kind, Kind::NotFound);
        storage.barrier().unwrap();
    });
}

#[test]
fn uploads_appear_whole_or_not_at_all() {
    each(|storage| {
        let mut upload = storage.begin().unwrap();
        upload.write(b"half").unwrap();
        assert!(read(storage, "u/v").is_none());
        upload.write(b" and half").unwrap();
        upload.finish(&name("u/v")).unwrap();
        assert_eq!(read(storage, "u/v").unwrap(), b"half and half");
        drop(storage.begin().unwrap());
        assert_eq!(storage.list("").unwrap().len(), 1);
    });
}

#[test]
fn long_objects_are_not_read() {
    each(|storage| {
        storage.put(&name("long"), &[0; 100]).unwrap();
        assert_eq!(storage.get(&name("long"), 99).unwrap_err().kind, Kind::Untrusted);
        assert!(storage.get(&name("long"), 100).unwrap().is_some());
        assert!(storage.get(&name("absent"), 0).unwrap().is_none() && storage.open(&name("absent")).unwrap().is_none());
    });
}

#[test]
fn races_have_exactly_one_winner() {
    each(|storage| {
        for round in 0..100 {
            let race = |act: &(dyn Fn(usize) -> bool + Sync)| {
                let (start, won) = (Barrier::new(8), AtomicUsize::new(0));
                std::thread::scope(|scope| {
                    for rival in 0..8 {
                        let (start, won) = (&start, &won);
                        scope.spawn(move || {
                            start.wait();
                            won.fetch_add(usize::from(act(rival)), Ordering::Relaxed);
                        });
                    }
                });
                assert_eq!(won.load(Ordering::Relaxed), 1, "round {round}");
            };
            let object = name(&format!("create/{round}"));
            race(&|rival| storage.create(&object, format!("rival {rival}").as_bytes()).unwrap());
            assert!(read(storage, object.as_str()).unwrap().starts_with(b"rival "));
            let token = storage.get(&object, 99).unwrap().unwrap().token;
            race(&|rival| storage.swap(&object, Some(&token), format!("swapper {rival}").as_bytes()).unwrap());
        }
    });
}

#[test]
fn local_names_never_lead_out() {
    let directory = fast_directory();
    let storage = LocalDirectory::new(directory.path().join("repo"));
    for hostile in ["../x", "/etc/passwd", "a/../../x", "", ".", "a/./b\0"] {
        assert_eq!(storage.put(&name(hostile), b"x").unwrap_err().kind, Kind::Untrusted, "{hostile}");
        assert_eq!(storage.get(&name(hostile), 9).unwrap_err().kind, Kind::Untrusted, "{hostile}");
    }
    assert!(!directory.path().join("x").exists());
}

#[test]
fn leftovers_of_the_dead_are_swept_and_those_of_the_living_are_not() {
    let directory = fast_directory();
    let living = LocalDirectory::new(directory.path());
    let mut upload = living.begin().unwrap();
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
