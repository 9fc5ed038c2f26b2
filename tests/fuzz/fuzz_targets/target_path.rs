#![no_main]

use libfuzzer_sys::fuzz_target;
use publish::names::{Platform, ReleaseVersion, TargetPath};

fuzz_target!(|name: &str| {
    if let Ok(path) = TargetPath::parse(name) {
        let inside = std::path::Path::new(path.as_str()).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        assert!(inside, "{name:?}");
    }
    let _ = Platform::parse(name);
    let _ = ReleaseVersion::parse(name);
});
