//! The names in a drop box: `tuf_<marker>_<x>`, in either case.

use std::cmp::Ordering;

/// The state of a directory, according to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Complete: `tuf_ready_`.
    Ready,
    /// Claimed by a monitor: `tuf_processing_`.
    Processing,
    /// Published: `tuf_done_`.
    Done,
}

/// Longer names are shortened when they get another marker; a reason file's name still fits then.
const LONGEST: usize = 200;
/// What fits everywhere, encrypting file systems included.
const SHORT: usize = 60;

/// The marker of a name and what follows it, where the monitor has to do with it.
pub fn marked(file_name: &[u8]) -> Option<(Marker, &[u8])> {
    let (head, rest) = file_name.split_at_checked(4)?;
    let end = rest.iter().position(|byte| *byte == b'_')?;
    let (marker, name) = (&rest[..end], &rest[end + 1..]);
    let markers = [("ready", Marker::Ready), ("processing", Marker::Processing), ("done", Marker::Done)];
    let (_, marker) = markers.into_iter().find(|(text, _)| marker.eq_ignore_ascii_case(text.as_bytes()))?;
    (head.eq_ignore_ascii_case(b"tuf_") && !name.is_empty()).then_some((marker, name))
}

/// Names with another marker in the case of the old one, the first choice first. Others may have taken all that can be
/// foreseen, so the last ones are random; and the very last is short.
pub fn candidates(file_name: &str, marker: &str) -> Vec<String> {
    let (head, rest) = file_name.split_at_checked(4).unwrap_or(("tuf_", file_name));
    let (old, name) = rest.split_once('_').unwrap_or(("", rest));
    let upper = old.bytes().any(|byte| byte.is_ascii_uppercase());
    let marker = if upper { marker.to_ascii_uppercase() } else { marker.to_owned() };
    let base = format!("{head}{marker}_{}", shortened(name, LONGEST));
    let mut all = vec![base.clone()];
    all.extend((2..10).map(|number| format!("{base}.{number}")));
    all.extend((0..3).map(|_| format!("{base}.{}", random())));
    all.push(format!("{head}{marker}_{}.{}", shortened(name, SHORT), random()));
    all
}

fn shortened(name: &str, longest: usize) -> String {
    if name.len() <= longest {
        return name.to_owned();
    }
    let digest = hex::encode(&openssl::sha::sha256(name.as_bytes())[..4]);
    let end = (0..=longest - 9).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    format!("{}~{digest}", &name[..end])
}

fn random() -> String {
    let mut bytes = [0_u8; 4];
    // Without randomness the name is foreseeable, and an occupied one is an error that is reported.
    let _ = openssl::rand::rand_bytes(&mut bytes);
    hex::encode(bytes)
}

/// The order in which uploads count: numbers by their value, whatever their length and with decimals if they have any; then
/// all other names as text. A total order, equal for equal names only.
pub fn order(a: &str, b: &str) -> Ordering {
    match (Number::parse(a), Number::parse(b)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
    .then_with(|| a.cmp(b))
}

/// A decimal number without the zeros that do not count. Compared field by field: of two whole parts the longer one is the
/// larger; decimals compare as text.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Number<'a> {
    digits: usize,
    whole: &'a str,
    decimals: &'a str,
}

impl<'a> Number<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        Some(Self { digits: whole.len(), whole, decimals: decimals.trim_end_matches('0') })
    }
}
