#![no_main]

use libfuzzer_sys::fuzz_target;
use publish::config::Config;

fuzz_target!(|text: &str| {
    let _ = Config::parse(text, "f");
});
