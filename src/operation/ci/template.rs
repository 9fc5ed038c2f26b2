//! Values in templates. Each stands in a YAML file and most in a shell script there, so only values that mean the same in
//! both are let in.

use super::Program;
use super::secrets::{Secret, Secrets};
use crate::error::{Error, Result};
use std::fmt::Write;

/// The values that come from outside; checked.
pub(super) struct Values {
    /// The lines of the build command.
    pub build: Vec<String>,
    /// Where the build is.
    pub from: String,
    /// The channels file.
    pub channels: String,
    /// The archive with the program.
    pub program: Option<Program>,
}

impl Values {
    /// The template with everything filled in; the first line states its origin.
    pub fn fill(&self, forge: &str, template: &str, secrets: &Secrets) -> String {
        let mut text = format!(
            "# Written by `publish ci {forge}`; docs/ci.md of publish describes it. Change it as you like: it is written again only\n# with --force.\n"
        );
        for line in template.lines() {
            match line {
                "@BUILD@" => self.build.iter().for_each(|line| push(&mut text, 10 - 2 * usize::from(forge == "gitlab"), line)),
                _ => {
                    let line = line
                        .replace("@FROM@", &self.from)
                        .replace("@CHANNELS@", &self.channels)
                        .replace("@CREDENTIAL@", secrets.credential());
                    let _ = writeln!(text, "{line}");
                }
            }
        }
        text
    }
}

fn push(text: &mut String, indent: usize, line: &str) {
    let _ = writeln!(text, "{}", format!("{}{line}", " ".repeat(indent)).trim_end());
}

/// The lines of a command for a block of YAML.
pub(super) fn command(text: &str) -> Result<Vec<String>> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::invalid("the build command is empty").hint("give it with --build, for example --build 'make dist'"));
    }
    if text
        .chars()
        .any(|c| (c.is_control() && c != '\n') || ('\u{7f}'..='\u{9f}').contains(&c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
    {
        return Err(
            Error::invalid("the build command has control characters").hint("put it into a script, and give the script with --build")
        );
    }
    Ok(text.lines().map(|line| line.trim_end().to_owned()).collect())
}

/// An archive that can be named in a workflow.
pub(super) fn checked(program: &Program) -> Result<Program> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?&=%+,".contains(&b);
    let web = ["https://", "http://"].iter().any(|scheme| program.url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if !web || !program.url.bytes().all(plain) {
        return Err(Error::invalid(format!("`{}` is not an http(s) URL of plain characters", program.url.escape_debug()))
            .hint("give the URL of publish-VERSION-linux-ARCH.tar.gz with --url"));
    }
    let sha256 = program.sha256.to_ascii_lowercase();
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::invalid("--sha256 is not 64 hex digits").hint("SHA256SUMS beside the archive has it"));
    }
    Ok(Program { url: program.url.clone(), sha256 })
}

/// The lines that hand secrets to a step of GitHub; `prefix` stands before the names there.
pub(super) fn environment(secrets: &[&Secret], prefix: &str) -> String {
    let lines: Vec<String> = secrets.iter().map(|secret| format!("          {0}: ${{{{ secrets.{prefix}{0} }}}}", secret.name)).collect();
    lines.join("\n")
}
