use super::output::{Output, eprint, interrupt_document, print};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that is set when the process is asked to stop; asked a second time, it stops at once.
pub(super) fn drain() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// A flag that is set by SIGHUP.
pub(super) fn reload() -> anyhow::Result<Arc<AtomicBool>> {
    let reload = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, reload.clone())?;
    Ok(reload)
}

/// Ends the process with words and the usual code when it is interrupted. Nothing needs to be undone: whatever instant
/// it is, the published repository is valid, and leftovers are swept by the next run.
pub(super) fn watch(output: Output) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let message = "interrupted; the published repository is valid, and the same command finishes the work";
            let code = 128 + signal;
            if output.is_json() {
                print(&interrupt_document(message, code));
            } else {
                eprint(&format!("\nerror: {message}\n"));
            }
            std::process::exit(code);
        }
    });
}
