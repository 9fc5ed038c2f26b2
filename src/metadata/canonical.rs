//! OLPC canonical JSON, the form that TUF signs: no white space, keys sorted by code point, only `"` and `\` escaped,
//! control characters raw, integers only.
//!
//! [`canonical`] borrows its input when that is canonical already, which our own files and those of most tools are;
//! then the bytes that were signed are the bytes that are stored, and nothing is copied.

use crate::error::{Error, Result};
use serde_json::Value;
use std::borrow::Cow;

/// Deepest nesting that is read; serde_json stops at the same depth.
const MAX_DEPTH: usize = 127;

/// The canonical form of a JSON text.
///
/// # Errors
/// When the text is not JSON, or holds a number that is no 64-bit integer.
pub fn canonical(json: &[u8]) -> Result<Cow<'_, [u8]>> {
    let mut scanner = Scanner { bytes: json, at: 0 };
    // Bytes that pass the scan are JSON but for UTF-8, which is checked in one go.
    if scanner.value(0).is_some() && scanner.at == json.len() && std::str::from_utf8(json).is_ok() {
        return Ok(Cow::Borrowed(json));
    }
    let value: Value = serde_json::from_slice(json).map_err(|error| Error::invalid(format!("not JSON: {error}")))?;
    let mut out = Vec::with_capacity(json.len());
    write_canonical(&mut out, &value)?;
    Ok(Cow::Owned(out))
}

/// Appends the canonical form of a value.
pub fn write_canonical(out: &mut Vec<u8>, value: &Value) -> Result<()> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Number(number) => return Err(Error::invalid(format!("the number {number} is not a 64-bit integer and cannot be signed"))),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_canonical(out, item)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            out.push(b'{');
            // serde_json's map is a BTreeMap here: iteration is in code point order.
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(out, key);
                out.push(b':');
                write_canonical(out, item)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// Appends a string in canonical form.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', rest[at]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Checks that bytes are canonical JSON and JSON at once; every method answers `None` when they are not.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn literal(&mut self, text: &[u8]) -> Option<()> {
        if !self.bytes[self.at..].starts_with(text) {
            return None;
        }
        self.at += text.len();
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(drop),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.integer(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.literal(b"{")?;
        if self.peek()? == b'}' {
            return self.literal(b"}");
        }
        let mut previous: Option<&[u8]> = None;
        loop {
            let key = self.string()?;
            // Keys with escapes compare differently escaped and plain: leave those to the slow path. UTF-8 sorts
            // bytewise as code points do.
            if key.contains(&b'\\') || previous.is_some_and(|before| before >= key) {
                return None;
            }
            previous = Some(key);
            self.literal(b":")?;
            self.value(depth + 1)?;
            match self.peek()? {
                b',' => self.at += 1,
                _ => return self.literal(b"}"),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.literal(b"[")?;
        if self.peek()? == b']' {
            return self.literal(b"]");
        }
        loop {
            self.value(depth + 1)?;
            match self.peek()? {
                b',' => self.at += 1,
                _ => return self.literal(b"]"),
            }
        }
    }

    /// The text between the quotes, escapes as they are.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.literal(b"\"")?;
        let start = self.at;
        // Nearly all strings are plain: found by their closing quote, then checked in one go.
        let plain = &self.bytes[start..start + memchr::memchr(b'"', &self.bytes[start..])?];
        if !plain.iter().fold(false, |odd, b| odd | (*b < 0x20) | (*b == b'\\')) {
            self.at += plain.len() + 1;
            return Some(plain);
        }
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => match self.bytes.get(self.at + 1)? {
                    b'"' | b'\\' => self.at += 2,
                    _ => return None,
                },
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(&self.bytes[start..self.at - 1])
    }

    fn integer(&mut self) -> Option<()> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let digits = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        let text = &self.bytes[digits..self.at];
        let minus = digits > start;
        // 18 digits always fit 64 bits; longer ones take the slow path, as do -0 and leading zeros.
        (!text.is_empty() && text.len() <= 18 && (text[0] != b'0' || (text.len() == 1 && !minus))).then_some(())
    }
}
