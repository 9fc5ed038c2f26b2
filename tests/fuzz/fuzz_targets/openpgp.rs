#![no_main]

use libfuzzer_sys::fuzz_target;
use publish::openpgp::{Certificates, DetachedSignature, SigningKey};

fuzz_target!(|bytes: &[u8]| {
    let locked = |_: &str| Err(publish::error::Error::invalid("locked"));
    let _ = SigningKey::load(bytes, "f", chrono::Utc::now(), &locked);
    let _ = Certificates::default().add(bytes, "f");
    let _ = DetachedSignature::parse(bytes, "f");
});
