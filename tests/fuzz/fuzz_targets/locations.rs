#![no_main]
//! Key URIs and locations of repositories, as a config or a command line gives them.

use libfuzzer_sys::fuzz_target;
use publish::keys::KeyUri;
use publish::storage::Location;
use std::path::Path;

fuzz_target!(|text: &str| {
    if let Ok(uri) = KeyUri::parse(text, Path::new("/base")) {
        let _ = uri.origin();
        let _ = uri.path();
        let _ = uri.is_preview();
    }
    if let Ok(location) = Location::parse(text, Path::new("/base")) {
        let _ = location.to_string();
    }
});
