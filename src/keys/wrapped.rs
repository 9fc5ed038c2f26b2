//! JSON in a string of another JSON document, as it is or in base64: what `vault read -format=json sys/raw/…` prints is a
//! document with the stored entry as a string, and the entry holds what was stored in base64.

use serde_json::Value;
use zeroize::Zeroizing;

/// Vault's needs two: the entry in the answer, and the content in the entry.
pub(super) const MOST_LAYERS: u8 = 4;

/// A JSON object or list in this text.
pub(super) fn json_in(text: &str) -> Option<Value> {
    let text = text.trim();
    if text.starts_with(['{', '[']) {
        return serde_json::from_str(text).ok();
    }
    // Base64 of `{` and `[`, with what may follow them.
    if !text.starts_with(['e', 'W', 'C', 'I', 'D']) {
        return None;
    }
    let compact: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
    let padded =
        Zeroizing::new(format!("{}{}", compact.trim_end_matches('='), &"==="[..(4 - compact.trim_end_matches('=').len() % 4) % 4]));
    let decoded = Zeroizing::new(openssl::base64::decode_block(&padded).ok()?);
    let inner = std::str::from_utf8(&decoded).ok()?.trim();
    if inner.starts_with(['{', '[']) { serde_json::from_str(inner).ok() } else { None }
}
