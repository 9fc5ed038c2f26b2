#![no_main]
//! What arrives at a worker: sealed requests and the change sets that they name.

use libfuzzer_sys::fuzz_target;
use publish::broker::Sealed;
use publish::repository::Edit;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(sealed) = Sealed::parse(bytes) {
        let _ = sealed.open(|_| None);
        sealed.to_bytes().expect("a message that was read can be written");
    }
    if let Ok(edit) = Edit::from_change_set(bytes) {
        let written = edit.to_change_set().expect("a change set that was read can be written");
        Edit::from_change_set(&written).expect("our own file parses");
    }
});
