//! Key files as editors, shells and CI secrets hand them over: with a byte order mark, as UTF-16, as base64 of the whole
//! file, with `\n` written out, or with their line breaks lost. Each of them is turned into what the file was; what is not
//! recognised stays as it is. No copy of a key is left in memory that is not wiped.

use crate::error::{Error, Result};
use zeroize::Zeroizing;

/// PEM has at most so many characters in a line.
const WIDTH: usize = 64;
const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// The content that a key file contains. `what` names the file.
pub(super) fn plain(file: &[u8], what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let Some(text) = text_of(file, what)? else { return Ok(Zeroizing::new(file.to_vec())) };
    let text = unescaped(text.trim());
    if let Some(decoded) = whole_base64(&text) {
        // A secret key packet of OpenPGP, in the old form and in the new.
        if matches!(decoded.first(), Some(0x94..=0x97 | 0xc5)) {
            return Ok(decoded);
        }
        let inner = text_of(&decoded, what).ok().flatten();
        if let Some(inner) = inner.filter(|inner| inner.trim_start().starts_with(['-', '{'])) {
            return lines(&inner, what).map(bytes_of);
        }
    }
    lines(&text, what).map(bytes_of)
}

fn bytes_of(text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.as_bytes().to_vec())
}

/// The text of a file; `None` if it is none, such as a binary OpenPGP key.
fn text_of(file: &[u8], what: &str) -> Result<Option<Zeroizing<String>>> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| -> Result<Option<Zeroizing<String>>> {
        let units: Zeroizing<Vec<u16>> = Zeroizing::new(bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect());
        let text = String::from_utf16(&units).ok().map(Zeroizing::new).filter(|_| bytes.len().is_multiple_of(2));
        text.map(Some).ok_or_else(|| {
            Error::invalid(format!("{what} looks like UTF-16 but is not"))
                .hint("write it as UTF-8: in PowerShell, Out-File -Encoding utf8 instead of `>`")
        })
    };
    match file {
        [0xef, 0xbb, 0xbf, rest @ ..] => Ok(std::str::from_utf8(rest).ok().map(|text| Zeroizing::new(text.to_owned()))),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [b'-' | b'{' | b'[' | b'"', 0, ..] => utf16(file, u16::from_le_bytes),
        [0, b'-' | b'{' | b'[' | b'"', ..] => utf16(file, u16::from_be_bytes),
        _ => Ok(std::str::from_utf8(file).ok().map(|text| Zeroizing::new(text.to_owned()))),
    }
}

/// Without the quotes and the written-out line breaks of a shell, a `.env` file or a JSON string around an armored key.
fn unescaped(text: &str) -> Zeroizing<String> {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let inner = quoted('"').or_else(|| quoted('\'')).unwrap_or(text);
    if !inner.starts_with(BEGIN) || !inner.contains("\\n") {
        return Zeroizing::new(if inner.starts_with(BEGIN) { inner } else { text }.to_owned());
    }
    // Each step makes another copy of the key.
    let steps = [("\\r", ""), ("\\n", "\n"), ("\\/", "/"), ("\\u002b", "+")];
    steps.iter().fold(Zeroizing::new(inner.to_owned()), |text, (from, to)| Zeroizing::new(text.replace(from, to)))
}

/// What a text decodes to that is base64 as a whole.
fn whole_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte) || byte.is_ascii_whitespace()) {
        return None;
    }
    let packed: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
    openssl::base64::decode_block(&packed).ok().map(Zeroizing::new)
}

/// An armored key with its lines as they must be.
fn lines(text: &str, what: &str) -> Result<Zeroizing<String>> {
    let text = text.trim();
    let one_block = text.starts_with(BEGIN) && text.matches(BEGIN).count() == 1;
    let Some((label, rest)) = text.strip_prefix(BEGIN).filter(|_| one_block).and_then(|rest| rest.split_once(DASHES)) else {
        return Ok(Zeroizing::new(text.to_owned()));
    };
    let end = format!("{DASHES}END {label}{DASHES}");
    let Some((body, _)) = rest.split_once(end.as_str()) else {
        return Err(Error::invalid(format!("{what} begins with {BEGIN}{label}{DASHES} and has no end"))
            .hint("it was cut off, or only its first line was pasted: copy it again as a file, or as base64 (base64 -w0 FILE)"));
    };
    let kept = rest.starts_with(['\n', '\r']);
    let mut whole = Zeroizing::new(String::with_capacity(text.len() + text.len() / 32 + 64));
    whole.push_str(&format!("{BEGIN}{label}{DASHES}\n"));
    if body.contains(':') {
        // Headers: they end with their lines.
        if !kept {
            return Err(Error::invalid(format!("{what} has lost its line breaks, and its armor headers cannot be read without them"))
                .hint("store the secret again as base64, which needs no line breaks: base64 -w0 FILE"));
        }
        body.lines().skip(1).for_each(|line| {
            whole.push_str(line.trim());
            whole.push('\n');
        });
    } else {
        let packed: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let (data, sum) = if label.starts_with("PGP") { checksum(&packed) } else { (packed.as_str(), "") };
        if label.starts_with("PGP") {
            whole.push('\n');
        }
        for at in (0..data.len()).step_by(WIDTH) {
            whole.push_str(data.get(at..data.len().min(at + WIDTH)).unwrap_or_default());
            whole.push('\n');
        }
        if !sum.is_empty() {
            whole.push_str(sum);
            whole.push('\n');
        }
    }
    whole.push_str(&end);
    whole.push('\n');
    Ok(whole)
}

/// The data and the checksum of OpenPGP armor, which is `=` and four characters.
fn checksum(packed: &str) -> (&str, &str) {
    match packed.len().checked_sub(5).and_then(|at| packed.split_at_checked(at)) {
        Some((data, sum)) if sum.starts_with('=') && !sum[1..].contains('=') => (data, sum),
        _ => (packed, ""),
    }
}
