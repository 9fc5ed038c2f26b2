//! Lines as wide as the terminal: they break between words, not where the terminal's edge happens to be.

use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Lines with one of these commands stay whole: they are copied into a shell.
const COMMANDS: [&str; 8] = ["publish ", "trdl ", "curl ", "gpg ", "gh ", "glab ", "Invoke-WebRequest ", "sha512sum "];

/// In fewer columns than these, the rest of a row starts at the left instead of below the last column.
const LEAST: usize = 16;

/// The columns of the terminal behind stdout; `None` where there is none, and nothing is wrapped.
pub(super) fn stdout() -> Option<usize> {
    columns(std::io::stdout())
}

/// The columns of the terminal behind stderr.
pub(super) fn stderr() -> Option<usize> {
    columns(std::io::stderr())
}

fn columns(stream: impl IsTerminal + AsFd) -> Option<usize> {
    let size = stream.is_terminal().then(|| rustix::termios::tcgetwinsize(stream).ok()).flatten();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns >= LEAST)
}

/// The text with every line that is too long broken at a space. What is between backticks stays together if it fits.
pub(super) fn wrapped(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let mut lines = text.split('\n').map(|line| if fits(line, width) { line.to_owned() } else { broken(line, width) });
    let first = lines.next().unwrap_or_default();
    lines.fold(first, |text, line| text + "\n" + &line)
}

fn fits(line: &str, width: usize) -> bool {
    length(line) <= width || COMMANDS.iter().any(|command| line.trim_start().starts_with(command))
}

/// Breaks one line. What follows is indented like the last column of a row, or two spaces deeper than the line where that
/// has a label (`hint:`) or is indented itself.
fn broken(line: &str, width: usize) -> String {
    let margin = line.len() - line.trim_start_matches(' ').len();
    let column = line.trim_end().rfind("  ").map_or(0, |at| length(&line[..at]) + 2);
    let labelled = line.find(": ").is_some_and(|at| length(&line[..at]) < LEAST);
    let indent = match () {
        () if column > margin && column + LEAST <= width => column,
        () if margin > 0 || labelled => (margin + 2).min(width / 2),
        () => 0,
    };
    let mut lines: Vec<String> = Vec::new();
    let mut current = " ".repeat(margin);
    let mut empty = true;
    for word in words(&line[margin..], width - indent) {
        if !empty && length(&current) + length(word.trim_end()) > width {
            lines.push(current.trim_end().to_owned());
            current = " ".repeat(indent);
        }
        current.push_str(word);
        empty = false;
    }
    // A prompt ends with a space.
    lines.push(current);
    lines.join("\n")
}

/// The words of a line, each with the spaces behind it.
fn words(line: &str, longest: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    while let Some(word) = line.get(start..).filter(|rest| !rest.is_empty()) {
        let end = end_of_word(word, longest);
        words.push(&word[..end]);
        start += end;
    }
    words
}

fn end_of_word(text: &str, longest: usize) -> usize {
    let spaces = |from: usize| text[from..].find(|c| c != ' ').map_or(text.len(), |more| from + more);
    let plain = text.find(' ').unwrap_or(text.len());
    let quoted = text.find('`').filter(|at| *at < plain).and_then(|at| Some(at + 1 + text[at + 1..].find('`')? + 1));
    let Some(close) = quoted else { return spaces(plain) };
    let end = text[close..].find(' ').map_or(text.len(), |more| close + more);
    if length(&text[..end]) <= longest { spaces(end) } else { spaces(plain) }
}

/// The columns that a text takes: colours take none.
fn length(text: &str) -> usize {
    let mut hidden = false;
    text.chars()
        .filter(|c| match (hidden, c) {
            (false, '\x1b') => {
                hidden = true;
                false
            }
            (true, 'm') => {
                hidden = false;
                false
            }
            (hidden, _) => !hidden,
        })
        .count()
}
