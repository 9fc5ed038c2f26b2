use crate::config::Config;
use crate::error::{Error, Id, Message, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use std::path::{Path, PathBuf};

/// The name by which users know the channels file.
const USUAL: &str = "trdl_channels.yaml";

/// The channels file to publish, with a warning if there is another that could be meant. `flag` names one on the command
/// line, and `given` is what it says.
///
/// With a config elsewhere, the configured file is beside the config. The one in the working directory is most likely the
/// one that was just edited: which of the two is published must not depend on a rule that the user may not know.
pub(super) fn choose(config: &Config, given: Option<&Path>, flag: &str) -> Result<(PathBuf, Option<Message>)> {
    if let Some(given) = given {
        return Ok((given.to_owned(), None));
    }
    let (configured, here) = (config.channels(), Path::new(USUAL));
    if !here.is_file() || is_same(&configured, here) {
        return Ok((configured, None));
    }
    let shown = configured.display();
    if is_same_directory(config.base()) {
        let warning = format!("channels are read from {shown}, as the config says; {USUAL} differs from it and is not published");
        return Ok((configured, Some(Message::new(Id::OtherChannelsFile, warning))));
    }
    let hint = |file: &Path| format!("{flag}{}", file.display());
    if !configured.exists() {
        return Err(Error::invalid(format!(
            "the channels file of the config, {shown}, is missing; the one here, {USUAL}, is not part of it"
        ))
        .hint(format!("to publish the one here: {}", hint(here))));
    }
    Err(Error::invalid(format!("two channels files differ: {shown}, which the config names, and {USUAL} in the working directory"))
        .hint(format!("to publish the one that the config names: {}", hint(&configured)))
        .hint(format!("to publish the one here: {}", hint(here))))
}

/// Whether two paths lead to the same file, or to equal content.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| path.canonicalize().ok();
    let content = |path: &Path| read_given(path, GIVEN_FILE_LIMIT).ok();
    (place(one).is_some() && place(one) == place(other)) || (content(one).is_some() && content(one) == content(other))
}

fn is_same_directory(base: &Path) -> bool {
    let base = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    base.canonicalize().is_ok_and(|base| std::env::current_dir().and_then(|here| here.canonicalize()).is_ok_and(|here| here == base))
}
