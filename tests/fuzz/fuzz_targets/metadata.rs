#![no_main]

use libfuzzer_sys::fuzz_target;
use publish::metadata::canonical::{canonical, write_canonical};
use publish::metadata::{Delegations, Envelope, Listing, Role, Root, TargetEdits, Targets, seal};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(fast) = canonical(bytes) {
        // The fast way accepts only JSON, and gives the same result as the slow way.
        let value = serde_json::from_slice(bytes).expect("canonical accepts only JSON");
        let mut slow = Vec::new();
        write_canonical(&mut slow, &value).expect("canonical accepted the numbers");
        assert_eq!(fast.as_ref(), slow);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Delegations::parse(text, "f");
    }
    if let Ok(envelope) = Envelope::parse(bytes, "f") {
        let _ = Root::parse(&envelope, "f");
        let _ = Listing::parse(&envelope, Role::Snapshot, "f");
    }
    if let Ok(targets) = Targets::parse(bytes.to_vec(), "f") {
        // What an edit without edits writes must parse to the same names.
        let edited = targets.edited(targets.version(), targets.expires(), &TargetEdits::new()).expect("an edit");
        let again = Targets::parse(seal(&edited, &[]), "f").expect("our own file parses");
        assert!(targets.names().eq(again.names()));
    }
});
