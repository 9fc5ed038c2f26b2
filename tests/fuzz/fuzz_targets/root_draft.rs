#![no_main]
//! Drafts of roots, which travel from hand to hand.

use libfuzzer_sys::fuzz_target;
use publish::metadata::RootDraft;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(draft) = RootDraft::parse(bytes, "f") {
        let written = draft.to_bytes().expect("a draft that was read can be written");
        let again = RootDraft::parse(&written, "f").expect("our own file parses");
        assert_eq!(draft.message().expect("canonical"), again.message().expect("canonical"), "people sign the same bytes");
        let _ = draft.root_file();
    }
});
