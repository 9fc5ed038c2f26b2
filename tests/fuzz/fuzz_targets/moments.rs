#![no_main]
//! Spans and moments of options and settings, and the expiry in metadata.

use chrono::{DateTime, Utc};
use libfuzzer_sys::fuzz_target;
use publish::metadata::{format_expiry, is_exact, parse_expiry, parse_moment, parse_span};

fuzz_target!(|text: &str| {
    if let Ok(span) = parse_span(text) {
        assert!(span.num_seconds() >= 0, "{text:?}");
    }
    for now in [DateTime::<Utc>::UNIX_EPOCH, "9999-12-31T23:59:59Z".parse().expect("a moment")] {
        if let Ok(moment) = parse_moment(text, now) {
            let written = format_expiry(moment);
            assert!(is_exact(&written), "{text:?} becomes {written}");
            assert_eq!(parse_expiry(&written).expect("our own form parses"), moment);
        }
    }
    if is_exact(text) {
        assert_eq!(format_expiry(parse_expiry(text).expect("an exact moment parses")), text);
    }
});
