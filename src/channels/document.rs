//! A YAML document with the line of every node. Scalars keep their source text: typed first, an unquoted `1.10` would
//! become 1.1.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Deeper than any channels file; stops hostile nesting.
const MAX_DEPTH: usize = 16;

/// A mistake with its line, from 1.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) message: String,
}

/// A node of the document.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) content: Content,
    plain: bool,
}

#[derive(Debug)]
pub(super) enum Content {
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Whether nothing, or a null, is written here.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.content, Content::Scalar(text) if text.is_empty() || (self.plain && matches!(text.as_str(), "~" | "null" | "Null" | "NULL")))
    }
}

/// Parses the only document of `text`.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let mut reader = Reader { events: Parser::new_from_str(text), text };
    let mut root: Option<Node> = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(_), span) if root.is_some() => {
                return Err(problem(span, "a second document starts here; the file must contain one"));
            }
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            (event, span) => root = Some(reader.node(event, span, 0)?),
        }
    }
    root.ok_or(Problem { line: 1, message: "the file is empty; to publish no channels write `groups: []`".into() })
}

struct Reader<'t> {
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    text: &'t str,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        match self.events.next_event() {
            None => Ok((Event::StreamEnd, Span::default())),
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let line = error.marker().line().max(1);
                // Scanners notice a tab late, as something else; the nearest line that starts with one is the cause.
                let tab = self
                    .text
                    .lines()
                    .take(line + 1)
                    .enumerate()
                    .filter(|(_, text)| text.trim_start_matches(' ').starts_with('\t'))
                    .map(|(at, _)| at + 1)
                    .last();
                Err(match tab {
                    Some(line) => Problem { line, message: "a tab is used for indentation; YAML allows spaces only".into() },
                    None => Problem { line, message: format!("not YAML: {}", error.info()) },
                })
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Problem> {
        if depth > MAX_DEPTH {
            return Err(problem(span, "too deeply nested"));
        }
        let line = span.start.line().max(1);
        let plain = matches!(&event, Event::Scalar(_, ScalarStyle::Plain, ..));
        let content = match event {
            Event::Alias(_) => return Err(problem(span, "aliases (*name) are not allowed in a channels file")),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) if anchor != 0 => {
                return Err(problem(span, "anchors (&name) are not allowed in a channels file"));
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return Err(problem(span, "tags (!name) are not allowed in a channels file"));
            }
            Event::Scalar(text, ..) => Content::Scalar(text.into_owned()),
            Event::SequenceStart(..) => Content::List(self.list(depth)?),
            Event::MappingStart(..) => Content::Map(self.map(depth)?),
            _ => return Err(problem(span, "not YAML")),
        };
        Ok(Node { line, content, plain })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Problem> {
        let mut entries = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (event, span) => self.node(event, span, depth + 1)?,
            };
            let (event, span) = self.next()?;
            entries.push((key, self.node(event, span, depth + 1)?));
        }
    }
}

fn problem(span: Span, message: &str) -> Problem {
    Problem { line: span.start.line().max(1), message: message.into() }
}
