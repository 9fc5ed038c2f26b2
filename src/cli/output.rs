use super::arguments::Global;
use super::exit;
use super::wrap::{self, wrapped};
use crate::error::{Error, Id, Kind, Message};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Result, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The first error of a write to stdout. A closed pipe is not an error: the reading process needs no more.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Where a command prints: results to stdout, everything else to stderr.
#[derive(Clone, Debug)]
pub(super) struct Output {
    json: bool,
    quiet: bool,
    color: bool,
    /// The warnings of the run so far, for the JSON document at its end.
    kept: Arc<Mutex<Vec<Message>>>,
    /// A plan that `--quiet` kept back.
    withheld: Arc<Mutex<Option<String>>>,
    /// Lists in full.
    pub verbose: bool,
}

/// What the text of a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It follows a change, and `--quiet` drops it.
    Change,
    /// It is what was asked for.
    Answer,
    /// It is for another program, and its lines are not wrapped.
    Program,
}

/// The result of a command, printed at its end.
pub(super) struct Report {
    command: &'static str,
    text: String,
    json: Value,
    warnings: Vec<Message>,
    notes: Vec<Message>,
    /// The exit code.
    pub exit: u8,
}

impl Report {
    /// A report in both forms.
    pub fn new(command: &'static str, text: String, json: Value) -> Self {
        Self { command, text, json, warnings: Vec::new(), notes: Vec::new(), exit: 0 }
    }

    /// The answer of a dry run: the plan, and nothing else.
    pub fn planned(command: &'static str, text: String, plan: &impl Serialize) -> Self {
        Self::new(command, text, json!({"dry_run": true, "plan": plan}))
    }

    /// The answer of a dry run whose plan is one sentence: what the command would do.
    pub fn dry_run(command: &'static str, what: &str) -> Self {
        Self::new(command, nothing_written(what), json!({"dry_run": true}))
    }

    /// What a command has done, by its plan.
    pub fn done(command: &'static str, text: String, plan: &impl Serialize, result: &impl Serialize) -> Self {
        Self::new(command, text, json!({"dry_run": false, "plan": plan, "result": result}))
    }

    /// A report that is its text.
    pub fn text(command: &'static str, text: String) -> Self {
        let json = json!({"text": text});
        Self::new(command, text, json)
    }

    /// The end of a service that has reported everything while it ran.
    pub fn silent(command: &'static str) -> Self {
        Self::new(command, String::new(), Value::Null)
    }

    /// Adds warnings, which are shown even when quiet.
    #[must_use]
    pub fn warnings(mut self, warnings: &[Message]) -> Self {
        self.warnings.extend_from_slice(warnings);
        self
    }

    /// Adds the ids of notes, which are in the text already.
    #[must_use]
    pub fn notes(mut self, notes: &[Message]) -> Self {
        self.notes.extend_from_slice(notes);
        self
    }

    /// Sets another exit code than 0.
    #[must_use]
    pub fn exit(mut self, code: u8) -> Self {
        self.exit = code;
        self
    }
}

/// The end of a dry run: how to do `what` was planned.
pub(super) fn nothing_written(what: &str) -> String {
    format!("Nothing was written. Run it without --dry-run to {what}.\n")
}

/// Whether the terminal has no escape sequences.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Whether colours are welcome on a terminal.
pub(super) fn wants_color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !is_dumb()
}

impl Output {
    /// Text without colours, before the flags are known.
    pub fn plain() -> Self {
        Self { json: false, quiet: false, color: false, verbose: false, kept: Arc::default(), withheld: Arc::default() }
    }

    /// As the global flags and `NO_COLOR` request.
    pub fn new(global: &Global) -> Self {
        let color = wants_color() && std::io::stderr().is_terminal() && !global.json;
        Self { json: global.json, quiet: global.quiet, color, verbose: global.verbose, kept: Arc::default(), withheld: Arc::default() }
    }

    /// Prints a command's report. The text is the purpose of read-only commands, so `--quiet` only drops what follows a
    /// change.
    pub fn report(&self, report: &Report, purpose: Purpose) {
        if report.json.is_null() {
            return;
        }
        if self.json {
            let mut document = json!({"schema": 1, "command": report.command});
            if let (Some(document), Value::Object(fields)) = (document.as_object_mut(), &report.json) {
                document.extend(fields.clone());
                report.warnings.iter().for_each(|warning| self.keep(warning));
                document.insert("messages".into(), self.messages(&report.notes));
            }
            print(&format!("{document}\n"));
            return;
        }
        report.warnings.iter().for_each(|warning| self.warning(warning));
        let width = if purpose == Purpose::Program { None } else { wrap::stdout() };
        if !self.quiet || purpose != Purpose::Change || report.exit != 0 {
            print(&wrapped(&visible(&report.text), width));
        }
    }

    /// Prints a plan before it is carried out.
    pub fn plan(&self, text: Option<String>, warnings: &[Message]) {
        for warning in warnings {
            if self.json { self.keep(warning) } else { self.warning(warning) }
        }
        let Some(text) = text else { return };
        if !self.is_silent() {
            print(&format!("{}\n", wrapped(&visible(&text), wrap::stdout())));
        } else if let Ok(mut withheld) = self.withheld.lock() {
            *withheld = Some(text);
        }
    }

    /// The plan that was not printed because of `--quiet`, if any: a person who is asked to confirm it must see it.
    pub fn withheld_plan(&self) -> Option<String> {
        self.withheld.lock().ok().and_then(|mut withheld| withheld.take())
    }

    /// A status line, as it happens.
    pub fn status(&self, line: &str) {
        if !self.quiet && !self.json {
            eprint_wrapped(&format!("{}\n", one_line(line)));
        }
    }

    /// A warning, on stderr in every mode.
    pub fn warning(&self, warning: &Message) {
        self.keep(warning);
        eprint_wrapped(&format!("{} {}\n", self.paint("warning:", "33"), one_line(warning)));
    }

    /// Keeps a warning for the document at the end.
    fn keep(&self, warning: &Message) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.contains(warning) {
            kept.push(warning.clone());
        }
    }

    /// Every message of the run with its id, for programs.
    fn messages(&self, notes: &[Message]) -> Value {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = |severity: &'static str, message: &Message| json!({"id": message.id, "severity": severity, "message": message});
        let warnings = kept.iter().map(|message| listed("warning", message));
        warnings.chain(notes.iter().map(|message| listed("note", message))).collect()
    }

    /// Prints an error with its details, causes and hints.
    pub fn error(&self, error: &anyhow::Error) {
        if self.json {
            let mut document = error_document(error);
            document["messages"] = self.messages(&[]);
            print(&format!("{document}\n"));
            return;
        }
        self.error_text(error);
    }

    fn error_text(&self, error: &anyhow::Error) {
        let mut text = format!("{} {}\n", self.paint("error:", "31"), one_line(&error.to_string()));
        if let Some(failure) = error.downcast_ref::<Error>() {
            failure.details.iter().for_each(|detail| text.push_str(&format!("  {}\n", one_line(detail))));
        }
        error.chain().skip(1).for_each(|cause| text.push_str(&format!("caused by: {}\n", visible(&cause.to_string()))));
        if let Some(failure) = error.downcast_ref::<Error>() {
            failure.hints.iter().for_each(|hint| text.push_str(&format!("{} {}\n", self.paint("hint:", "36"), one_line(hint))));
        }
        eprint_wrapped(&text);
    }

    /// Reports on stderr that stdout took not all of what was printed, and returns the exit code for that. A command that
    /// changed something has changed it: its result is in the error.
    pub fn check_stdout(&self, report: Option<&Report>) -> Option<u8> {
        // A service has its log, which can be lost while it works.
        if report.is_some_and(|report| report.json.is_null()) {
            return None;
        }
        let error = LOST.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let mut failure = Error::new(Kind::Storage, "cannot write to standard output");
        // A plan or an answer can be requested again; what was done is stated here.
        if let Some(report) = report.filter(|report| report.json["dry_run"] == json!(false)) {
            let what = if report.json["result"]["changed"] == json!(true) { "the commit happened" } else { "the command was carried out" };
            let result = report.text.lines().find(|line| !line.is_empty() && !line.starts_with(' ')).unwrap_or("done");
            failure = failure.detail(format!("{what}, only its report is lost: {result}")).hint("`publish status` shows what is published");
        }
        let failure = failure.source(error).hint("free some space, or write the output to another place");
        self.error_text(&failure.into());
        Some(exit::code_of(Kind::Storage))
    }

    /// Whether the answer is a JSON document.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether status lines are wanted at all.
    pub fn is_silent(&self) -> bool {
        self.quiet || self.json
    }

    fn paint(&self, text: &str, color: &str) -> String {
        if self.color { format!("\x1b[1;{color}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn error_document(error: &anyhow::Error) -> Value {
    let failure = error.downcast_ref::<Error>();
    let kind = failure.map_or(Kind::Unexpected, |failure| failure.kind).name();
    json!({"schema": 1, "error": {
        "id": failure.map_or(Id::Unexpected, Error::known_as),
        "kind": kind,
        "exit_code": exit::code(error),
        "message": error.to_string(),
        "details": failure.map(|failure| failure.details.clone()).unwrap_or_default(),
        "causes": error.chain().skip(1).map(ToString::to_string).collect::<Vec<_>>(),
        "hints": failure.map(|failure| failure.hints.clone()).unwrap_or_default(),
    }})
}

/// A usage error as a document.
pub(super) fn usage_document(error: &clap::Error, hint: Option<&str>) -> String {
    let message = error.to_string();
    let message = message.strip_prefix("error: ").unwrap_or(&message).trim();
    format!(
        "{}\n",
        json!({"schema": 1, "error": {"id": Id::Usage, "kind": "usage", "exit_code": exit::USAGE, "message": message, "details": [], "causes": [], "hints": hint.into_iter().collect::<Vec<_>>()}, "messages": []})
    )
}

/// An interruption as a document.
pub(super) fn interrupt_document(message: &str, code: i32) -> String {
    format!(
        "{}\n",
        json!({"schema": 1, "error": {"id": Id::Interrupted, "kind": "interrupted", "exit_code": code, "message": message, "details": [], "causes": [], "hints": ["run the same command again"]}, "messages": []})
    )
}

/// The text without what a terminal obeys. Names, ids and reasons come from files, stores and brokers that an attacker may
/// write to; none may move the cursor, hide a line or reverse one.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let hides = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if !text.contains(hides) {
        return Cow::Borrowed(text);
    }
    text.chars()
        .fold(String::with_capacity(text.len() + 16), |mut shown, c| {
            if hides(c) {
                shown.extend(c.escape_unicode())
            } else {
                shown.push(c)
            }
            shown
        })
        .into()
}

/// The same for a text that is one line: a line break in a name starts no line of its own.
pub(super) fn one_line(text: &str) -> String {
    visible(text).replace('\n', "\\n")
}

/// Writes to stdout.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout();
    keep_error(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

/// Remembers that something could not be printed.
pub(super) fn keep_error(result: Result<()>) {
    let Some(error) = result.err().filter(|error| error.kind() != ErrorKind::BrokenPipe) else { return };
    LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

/// Writes to stderr. Where that fails, the exit code is all that is left.
pub(super) fn eprint(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writes text for people to stderr, in lines that fit the terminal.
pub(super) fn eprint_wrapped(text: &str) {
    eprint(&wrapped(text, wrap::stderr()));
}
