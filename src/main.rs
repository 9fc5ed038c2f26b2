//! The `publish` binary: parse, run, print the error, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    publish::cli::main(std::env::args_os())
}
