#![no_main]

use libfuzzer_sys::fuzz_target;
use publish::channels::ChannelsFile;

fuzz_target!(|bytes: &[u8]| {
    let _ = ChannelsFile::parse(bytes, "f");
});
