use super::output::{Output, eprint_wrapped, interrupt_document, print};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Whether the last message is a JSON document.
static JSON: AtomicBool = AtomicBool::new(false);
/// Whether the command changes nothing: then there is no work to finish.
static ONLY_READS: AtomicBool = AtomicBool::new(false);

/// The form and the text of the last message.
pub(super) fn report_as(output: &Output, only_reads: bool) {
    JSON.store(output.is_json(), Ordering::Relaxed);
    ONLY_READS.store(only_reads, Ordering::Relaxed);
}

/// The terminal as it was before a prompt switched its echo off. Every exit of the process restores it.
static BEFORE_PROMPT: Mutex<Option<(File, Termios)>> = Mutex::new(None);

static ENDING: Mutex<()> = Mutex::new(());
/// How long the thread of a prompt may take to end the process.
const PROMPT_ENDS: Duration = Duration::from_millis(200);

/// Held while a prompt shows nothing of what is typed.
pub(super) struct Prompting(());

impl Prompting {
    /// Remembers the terminal as it is, and has ctrl-C arrive as a character from now on. As a signal it could restore the
    /// terminal in the moment before the prompt switches its echo off.
    pub fn begin() -> Self {
        let terminal = File::open("/dev/tty").ok();
        let known = terminal.and_then(|terminal| tcgetattr(&terminal).ok().map(|before| (terminal, before)));
        let mut remembered = BEFORE_PROMPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((terminal, before)) = &known {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ISIG | LocalModes::ICANON | LocalModes::ECHO);
            // Where it fails, the prompt switches the echo off by itself.
            let _ = tcsetattr(terminal, OptionalActions::Now, &quiet);
        }
        *remembered = known;
        Self(())
    }
}

impl Drop for Prompting {
    fn drop(&mut self) {
        restore();
        *BEFORE_PROMPT.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Restores the terminal and returns whether a prompt was open.
fn restore() -> bool {
    let before = BEFORE_PROMPT.lock().unwrap_or_else(PoisonError::into_inner);
    before.as_ref().is_some_and(|(terminal, before)| tcsetattr(terminal, OptionalActions::Now, before).is_ok())
}

/// A flag that is set when the process is asked to stop; asked a second time, or at a prompt, it stops at once.
pub(super) fn drain() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let asked = stop.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let at_prompt = restore();
            if asked.swap(true, Ordering::SeqCst) || at_prompt {
                std::process::exit(128 + signal);
            }
        }
    });
    Ok(stop)
}

/// A file that exceeds the limit of the process (`ulimit -f`) fails the write, as a full disk does, and does not kill.
pub(super) fn survive_file_limit() {
    // Where it cannot be set, the signal kills as before: at any instant the repository is valid.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

#[cfg(feature = "monitor")]
/// A flag that is set by SIGHUP.
pub(super) fn reload() -> anyhow::Result<Arc<AtomicBool>> {
    let reload = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, reload.clone())?;
    Ok(reload)
}

/// Ends the process with a message and the usual code when it is interrupted. Nothing needs to be undone: whatever instant
/// it is, the published repository is valid, and leftovers are swept by the next run.
pub(super) fn watch() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // For a ctrl-C, the prompt sends this process a signal and then restores the terminal as it found it, without
            // echo. The thread of the prompt ends the process after that, with the terminal as it was before.
            if BEFORE_PROMPT.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                std::thread::sleep(PROMPT_ENDS);
            }
            end(signal);
        }
    });
}

/// Ends the process as a signal does: ctrl-C at a prompt arrives as a character.
pub(super) fn interrupted() -> ! {
    end(SIGINT)
}

fn end(signal: i32) -> ! {
    // Held until the process ends, so that one of two threads reports it.
    let _ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
    restore();
    let message = if ONLY_READS.load(Ordering::Relaxed) {
        "interrupted"
    } else {
        "interrupted; the published repository is valid, and the same command finishes the work"
    };
    let code = 128 + signal;
    if JSON.load(Ordering::Relaxed) {
        print(&interrupt_document(message, code));
    } else {
        eprint_wrapped(&format!("\nerror: {message}\n"));
    }
    std::process::exit(code);
}
