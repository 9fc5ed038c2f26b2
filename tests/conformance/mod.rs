//! The contract of a storage: what every one must pass. `fresh` makes an empty one each time.

use publish::error::Kind;
use publish::names::ObjectName;
use publish::storage::{Headers, Storage};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

type Fresh<'f> = &'f dyn Fn() -> Box<dyn Storage>;

pub fn name(text: &str) -> ObjectName {
    ObjectName::listed(text)
}

pub fn read(storage: &dyn Storage, object: &str) -> Option<Vec<u8>> {
    storage.get(&name(object), 64 << 20).unwrap().map(|object| object.bytes)
}

/// Everything; races run for so many rounds.
pub fn passes(fresh: Fresh<'_>, rounds: usize) {
    create_refuses_what_exists(fresh().as_ref());
    swap_refuses_what_changed(fresh().as_ref());
    put_copy_list_stat_and_delete(fresh().as_ref());
    its_clock_dates_what_is_listed(fresh().as_ref());
    names_are_taken_literally(fresh().as_ref());
    uploads_appear_whole_or_not_at_all(fresh().as_ref());
    large_uploads_keep_their_order(fresh().as_ref());
    long_objects_are_not_read(fresh().as_ref());
    headers_say_what_may_be_kept(fresh().as_ref());
    names_never_lead_out(fresh().as_ref());
    races_have_exactly_one_winner(fresh().as_ref(), rounds);
}

fn create_refuses_what_exists(storage: &dyn Storage) {
    assert!(storage.create(&name("x/y"), b"one").unwrap());
    assert!(!storage.create(&name("x/y"), b"two").unwrap());
    assert_eq!(read(storage, "x/y").unwrap(), b"one");
}

fn swap_refuses_what_changed(storage: &dyn Storage) {
    assert!(storage.compare_and_swap(&name("t"), None, b"1").unwrap());
    assert!(!storage.compare_and_swap(&name("t"), None, b"2").unwrap());
    let token = storage.get(&name("t"), 9).unwrap().unwrap().token;
    assert!(storage.compare_and_swap(&name("t"), Some(&token), b"2").unwrap());
    assert!(!storage.compare_and_swap(&name("t"), Some(&token), b"3").unwrap());
    assert!(!storage.compare_and_swap(&name("absent"), Some(&token), b"3").unwrap());
    assert_eq!((read(storage, "t").unwrap(), read(storage, "absent")), (b"2".to_vec(), None));
}

fn put_copy_list_stat_and_delete(storage: &dyn Storage) {
    storage.put(&name("d/a"), b"12345").unwrap();
    storage.put(&name("d/a"), b"123").unwrap();
    storage.copy(&name("d/a"), &name("e/f/g"), None).unwrap();
    storage.copy(&name("d/a"), &name("e/f/g"), None).unwrap();
    storage.put(&name("other"), b"new").unwrap();
    storage.copy(&name("other"), &name("e/f/g"), Some(b"new")).unwrap();
    assert_eq!((read(storage, "d/a").unwrap(), read(storage, "e/f/g").unwrap()), (b"123".to_vec(), b"new".to_vec()));
    let listed =
        |prefix: &str| storage.list(prefix).unwrap().iter().map(|stored| (stored.name.to_string(), stored.length)).collect::<Vec<_>>();
    assert_eq!(listed(""), [("d/a".into(), 3), ("e/f/g".into(), 3), ("other".into(), 3)]);
    assert_eq!(listed("e/f/"), [("e/f/g".into(), 3)]);
    assert_eq!(listed("o"), [("other".into(), 3)]);
    assert_eq!(listed("nothing/here"), []);
    let stored = storage.stat(&name("other")).unwrap().unwrap();
    assert_eq!(stored.length, 3);
    let age = std::time::SystemTime::now().duration_since(stored.modified).unwrap_or_default();
    assert!(age.as_secs() < 60, "written {age:?} ago");
    assert!(storage.stat(&name("e/f")).unwrap().is_none() && storage.stat(&name("other/below")).unwrap().is_none());
    storage.delete(&name("other")).unwrap();
    storage.delete(&name("other")).unwrap();
    assert!(read(storage, "other").is_none());
    assert_eq!(storage.copy(&name("other"), &name("z"), None).unwrap_err().kind, Kind::NotFound);
    storage.sync().unwrap();
}

/// Ages are computed by the clock that dated the object.
fn its_clock_dates_what_is_listed(storage: &dyn Storage) {
    storage.put(&name("dated"), b"now").unwrap();
    let modified = storage.stat(&name("dated")).unwrap().unwrap().modified;
    let clock = storage.clock().unwrap().expect("a store reports its time with every answer");
    let apart = clock.duration_since(modified).or_else(|_| modified.duration_since(clock)).unwrap();
    assert!(apart.as_secs() < 60, "{apart:?} apart");
    assert_eq!(storage.list("").unwrap().len(), 1, "looking at the clock leaves nothing");
}

fn names_are_taken_literally(storage: &dyn Storage) {
    let names = ["d/a+b ~é", "d/1.0.0~rc1+dfsg-1_amd64.deb", "d/a&b=c", "d/x@y,z;(1)!$'", "d/%41", "d/€ 日本"];
    for (at, object) in names.iter().enumerate() {
        storage.put(&name(object), format!("{at}").as_bytes()).unwrap();
    }
    for (at, object) in names.iter().enumerate() {
        assert_eq!(read(storage, object).unwrap(), format!("{at}").as_bytes(), "{object}");
        let hashed = format!("copies/{at}+ ~é");
        storage.copy(&name(object), &name(&hashed), None).unwrap();
        assert_eq!(read(storage, &hashed).unwrap(), format!("{at}").as_bytes(), "{object}");
    }
    assert!(read(storage, "d/A").is_none(), "an escape was read");
    let mut listed: Vec<String> = storage.list("d/").unwrap().iter().map(|stored| stored.name.to_string()).collect();
    let mut expected = names.map(str::to_owned).to_vec();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
}

fn uploads_appear_whole_or_not_at_all(storage: &dyn Storage) {
    let mut upload = storage.begin(None).unwrap();
    upload.write(b"half").unwrap();
    assert!(read(storage, "u/v").is_none());
    upload.write(b" and half").unwrap();
    upload.finish(&name("u/v")).unwrap();
    assert_eq!(read(storage, "u/v").unwrap(), b"half and half");
    drop(storage.begin(None).unwrap());
    let mut abandoned = storage.begin(Some((&name("u/w"), 20 << 20))).unwrap();
    abandoned.write(&vec![1; 10 << 20]).unwrap();
    drop(abandoned);
    assert_eq!(storage.list("").unwrap().len(), 1);
}

fn large_uploads_keep_their_order(storage: &dyn Storage) {
    let content: Vec<u8> = (0..21_000_000_u32).map(|at| (at >> 8) as u8).collect();
    let mut upload = storage.begin(Some((&name("large"), content.len() as u64))).unwrap();
    content.chunks(77_777).for_each(|chunk| upload.write(chunk).unwrap());
    upload.finish(&name("large")).unwrap();
    assert!(read(storage, "large").unwrap() == content);
    let mut opened = Vec::new();
    std::io::Read::read_to_end(&mut storage.open(&name("large")).unwrap().unwrap(), &mut opened).unwrap();
    assert!(opened == content);
}

fn long_objects_are_not_read(storage: &dyn Storage) {
    storage.put(&name("long"), &[0; 100]).unwrap();
    assert_eq!(storage.get(&name("long"), 99).unwrap_err().kind, Kind::Untrusted);
    assert!(storage.get(&name("long"), 100).unwrap().is_some());
    assert!(storage.get(&name("absent"), 0).unwrap().is_none() && storage.open(&name("absent")).unwrap().is_none());
}

/// A copy between names with different headers must not take those of its source along.
fn headers_say_what_may_be_kept(storage: &dyn Storage) {
    let hash = "0".repeat(64);
    let (hashed, plain) = (name(&format!("targets/channels/1/{hash}.stable")), name("targets/channels/1/stable"));
    storage.put(&hashed, b"1.0.0\n").unwrap();
    storage.copy(&hashed, &plain, None).unwrap();
    let Some((cache, kind)) = storage.upkeep().headers(&plain).unwrap() else { return };
    assert_eq!((cache.as_str(), kind.as_str()), ("no-cache", "text/plain; charset=utf-8"));
    let (cache, _) = storage.upkeep().headers(&hashed).unwrap().unwrap();
    assert_eq!(cache, "public, max-age=31536000, immutable");
    assert_eq!(Headers::of(&plain).cache_control, "no-cache");
}

fn names_never_lead_out(storage: &dyn Storage) {
    for hostile in ["../x", "/etc/passwd", "a/../../x", "", ".", "a/./b"] {
        assert_eq!(storage.put(&name(hostile), b"x").unwrap_err().kind, Kind::Untrusted, "{hostile}");
        assert_eq!(storage.get(&name(hostile), 9).unwrap_err().kind, Kind::Untrusted, "{hostile}");
    }
}

fn races_have_exactly_one_winner(storage: &dyn Storage, rounds: usize) {
    for round in 0..rounds {
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
        race(&|rival| storage.compare_and_swap(&object, Some(&token), format!("swapper {rival}").as_bytes()).unwrap());
    }
}
