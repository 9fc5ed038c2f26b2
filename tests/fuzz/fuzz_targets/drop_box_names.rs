#![no_main]
//! Names that pipelines give to directories in the drop box, and the order of uploads.

use libfuzzer_sys::fuzz_target;
use publish::operation::drop_box::{candidates, marked, order};
use std::cmp::Ordering;

fuzz_target!(|names: (&str, &str, &str)| {
    let (a, b, c) = names;
    for name in [a, b, c] {
        let _ = marked(name.as_bytes());
        assert_eq!(order(name, name), Ordering::Equal, "{name:?}");
        for candidate in candidates(name, "failed") {
            assert!(candidate.len() <= 255 || candidate.contains('/'), "{candidate:?} does not fit into a directory");
        }
    }
    assert_eq!(order(a, b), order(b, a).reverse(), "{a:?} {b:?}");
    assert_eq!(order(a, b) == Ordering::Equal, a == b, "{a:?} {b:?}");
    if order(a, b).is_le() && order(b, c).is_le() {
        assert!(order(a, c).is_le(), "{a:?} {b:?} {c:?}");
    }
});
