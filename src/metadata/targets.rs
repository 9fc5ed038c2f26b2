use super::canonical::write_string;
use super::envelope::Common;
use super::{Envelope, Expiry, Role, SPEC_VERSION, Target, format_expiry, parse_expiry};
use crate::error::{Error, Kind, Result};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// A targets role with the bytes of its file: fields and entries are places in those bytes, and an entry is parsed only
/// when it is requested.
#[derive(Clone, Debug)]
pub struct Targets {
    file: String,
    version: u64,
    expires: Expiry,
    /// Sorted by name.
    entries: Vec<(Text, Span)>,
    /// Every other field of the role, as it is.
    others: BTreeMap<String, Span>,
}

/// A part of the file.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    length: usize,
}

/// A string of the file: a place in it, or its own text where escapes make the two differ.
#[derive(Clone, Debug)]
enum Text {
    Plain(Span),
    Escaped(Box<str>),
}

/// New entries by name; `None` removes one.
pub type TargetEdits = BTreeMap<String, Option<Target>>;

/// Names with their unparsed entries, sorted by name.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of targets")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut entries: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                let mut sorted = true;
                while let Some((Name(name), entry)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    sorted &= entries.last().is_none_or(|(last, _)| *last < name);
                    entries.push((name, entry));
                }
                if !sorted {
                    entries.sort_by(|a, b| a.0.cmp(&b.0));
                    if let Some(twice) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                        return Err(serde::de::Error::custom(format!("target {} is listed twice", twice[0].0)));
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Targets {
    /// A role without targets.
    pub fn empty() -> Self {
        Self { file: String::new(), version: 0, expires: Expiry::UNIX_EPOCH, entries: Vec::new(), others: BTreeMap::new() }
    }

    /// Reads the role in a file, without checking any signature.
    pub fn parse(file: Vec<u8>, what: &str) -> Result<Self> {
        let file = Self::as_text(file, what)?;
        let parts = Parts::of(&Envelope::parse(&file, what)?, &file, what)?;
        Ok(Self::from_parts(file, parts))
    }

    /// The file as text, checked once.
    pub(super) fn as_text(file: Vec<u8>, what: &str) -> Result<String> {
        String::from_utf8(file).map_err(|error| Error::new(Kind::Untrusted, format!("{what} is not UTF-8")).source(error))
    }

    pub(super) fn from_parts(file: String, parts: Parts) -> Self {
        let Parts { version, expires, entries, others } = parts;
        Self { file, version, expires, entries, others }
    }

    /// The whole file.
    pub fn file(&self) -> &[u8] {
        self.file.as_bytes()
    }

    fn at(&self, span: Span) -> &str {
        // Spans are only made from strings of this very file.
        self.file.get(span.start..span.start + span.length).unwrap_or("")
    }

    fn text<'t>(&'t self, text: &'t Text) -> &'t str {
        match text {
            Text::Plain(span) => self.at(*span),
            Text::Escaped(text) => text,
        }
    }

    /// Version, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it stops being valid.
    pub fn expires(&self) -> Expiry {
        self.expires
    }

    /// How many targets there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The target of this name.
    pub fn get(&self, name: &str) -> Result<Option<Target>> {
        match self.entries.binary_search_by(|(known, _)| self.text(known).cmp(name)) {
            Ok(at) => Target::parse(self.at(self.entries[at].1), name).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Whether there is a target of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.binary_search_by(|(known, _)| self.text(known).cmp(name)).is_ok()
    }

    /// All names, sorted by code point.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.entries.iter().map(|(name, _)| self.text(name))
    }

    /// Names with their entries in JSON, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, entry)| (self.text(name), self.at(*entry)))
    }

    /// The names that start with `prefix`.
    pub fn below<'t>(&'t self, prefix: &'t str) -> impl Iterator<Item = &'t str> {
        let start = self.entries.partition_point(|(name, _)| self.text(name) < prefix);
        self.entries[start..].iter().map(|(name, _)| self.text(name)).take_while(move |name| name.starts_with(prefix))
    }

    /// A field we do not model, as JSON; `delegations` is one.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.others.get(name).map(|span| self.at(*span))
    }

    /// Writes the role that follows this one: entries merged with the edits, all other fields as they were.
    /// The result is JSON; it is canonical when this role's fields are.
    pub fn edited(&self, version: u64, expires: Expiry, edits: &TargetEdits) -> Result<Vec<u8>> {
        self.edited_with(version, expires, edits, &[])
    }

    /// The same with some fields (names with their JSON) set.
    pub fn edited_with(&self, version: u64, expires: Expiry, edits: &TargetEdits, set: &[(&str, &str)]) -> Result<Vec<u8>> {
        self.write(version, expires, set, |out| self.write_entries(out, edits))
    }

    /// Writes the role that follows this one with other entries (names with their JSON, sorted by name) and with some
    /// fields (names with their JSON) set; all other fields as they were.
    pub fn rewritten<'e>(
        &self,
        version: u64,
        expires: Expiry,
        entries: impl Iterator<Item = (&'e str, &'e str)>,
        set: &[(&str, &str)],
    ) -> Result<Vec<u8>> {
        self.write(version, expires, set, |out| {
            for (i, (name, entry)) in entries.enumerate() {
                write_entry(out, i == 0, name, entry)?;
            }
            Ok(())
        })
    }

    fn write(
        &self,
        version: u64,
        expires: Expiry,
        set: &[(&str, &str)],
        entries: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.file.len() + 4096);
        let mut entries = Some(entries);
        let mut fields: BTreeMap<&str, Field<'_>> =
            self.others.iter().map(|(name, span)| (name.as_str(), Field::Raw(self.at(*span)))).collect();
        fields.extend(set.iter().map(|(name, json)| (*name, Field::Raw(json))));
        fields.insert("_type", Field::Text("targets".into()));
        fields.insert("expires", Field::Text(format_expiry(expires)));
        fields.insert("version", Field::Number(version));
        fields.insert("targets", Field::Entries);
        fields.entry("spec_version").or_insert_with(|| Field::Text(SPEC_VERSION.into()));
        out.push(b'{');
        for (i, (name, field)) in fields.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            json_string(&mut out, name)?;
            out.push(b':');
            match field {
                Field::Raw(raw) => out.extend_from_slice(raw.as_bytes()),
                Field::Text(text) => json_string(&mut out, text)?,
                Field::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
                Field::Entries => {
                    out.push(b'{');
                    entries.take().map_or(Ok(()), |write| write(&mut out))?;
                    out.push(b'}');
                }
            }
        }
        out.push(b'}');
        Ok(out)
    }

    fn write_entries(&self, out: &mut Vec<u8>, edits: &TargetEdits) -> Result<()> {
        let mut old = self.iter().peekable();
        let mut new = edits.iter().peekable();
        let mut first = true;
        let mut write = |out: &mut Vec<u8>, name: &str, entry: &str| write_entry(out, std::mem::take(&mut first), name, entry);
        loop {
            let take_new = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some((name, _)), Some((edit, _))) => {
                    if *name == edit.as_str() {
                        old.next();
                        continue;
                    }
                    edit.as_str() < *name
                }
            };
            if take_new {
                if let Some((name, Some(target))) = new.next() {
                    write(out, name, &target.to_json()?)?;
                }
            } else if let Some((name, entry)) = old.next() {
                write(out, name, entry)?;
            }
        }
    }
}

fn write_entry(out: &mut Vec<u8>, first: bool, name: &str, entry: &str) -> Result<()> {
    if !first {
        out.push(b',');
    }
    json_string(out, name)?;
    out.push(b':');
    out.extend_from_slice(entry.as_bytes());
    Ok(())
}

enum Field<'a> {
    Raw(&'a str),
    Text(String),
    Number(u64),
    Entries,
}

/// A parsed role whose file is still borrowed elsewhere.
pub(super) struct Parts {
    version: u64,
    expires: Expiry,
    entries: Vec<(Text, Span)>,
    others: BTreeMap<String, Span>,
}

impl Parts {
    /// Reads the role in an envelope that was parsed from `file`.
    pub(super) fn of(envelope: &Envelope<'_>, file: &str, what: &str) -> Result<Self> {
        let broken = |why: String| Error::new(Kind::Untrusted, format!("{what} is not a targets role: {why}"));
        let mut deserializer = serde_json::Deserializer::from_str(envelope.signed());
        let (entries, mut others) = deserializer.deserialize_map(FieldsReader).map_err(|error| broken(error.to_string()))?;
        let entries = entries.ok_or_else(|| broken("no targets".into()))?;
        let mut text = |field: &str| -> Result<&str> {
            let raw: &RawValue = others.remove(field).ok_or_else(|| broken(format!("no {field}")))?;
            Ok(raw.get())
        };
        let common = format!("{{\"_type\":{},\"version\":{},\"expires\":{}}}", text("_type")?, text("version")?, text("expires")?);
        let common = Common::parse(&common, Role::Targets, what)?;
        let expires = parse_expiry(&common.expires).map_err(|failure| broken(failure.message))?;
        let base = file.as_ptr() as usize;
        let span = |text: &str| Span { start: text.as_ptr() as usize - base, length: text.len() };
        let name = |name: Cow<'_, str>| match name {
            Cow::Borrowed(text) => Text::Plain(span(text)),
            Cow::Owned(text) => Text::Escaped(text.into()),
        };
        let entries = entries.0.into_iter().map(|(text, entry)| (name(text), span(entry.get()))).collect();
        let others = others.into_iter().map(|(name, raw)| (name.into_owned(), span(raw.get()))).collect();
        Ok(Self { version: common.version, expires, entries, others })
    }
}

/// The fields of the role, each once: the targets parsed, the others as they are.
struct FieldsReader;

impl<'de> Visitor<'de> for FieldsReader {
    type Value = (Option<Entries<'de>>, BTreeMap<Cow<'de, str>, &'de RawValue>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut entries = None;
        let mut others = BTreeMap::new();
        while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
            let twice = if name == "targets" {
                entries.replace(map.next_value()?).is_some()
            } else {
                others.insert(name.clone(), map.next_value()?).is_some()
            };
            if twice {
                return Err(serde::de::Error::custom(format!("field {name} occurs twice")));
            }
        }
        Ok((entries, others))
    }
}

/// JSON needs control characters escaped where canonical JSON has them raw; names without any are the same in both.
fn json_string(out: &mut Vec<u8>, text: &str) -> Result<()> {
    if text.bytes().all(|b| b >= 0x20) {
        write_string(out, text);
        return Ok(());
    }
    serde_json::to_writer(out, text).map_err(|error| Error::new(Kind::Unexpected, error.to_string()))
}
