//! The command line: arguments in, exit codes out, everything between in the library.

mod arguments;
mod commands;
mod composition;
mod exit;
mod progress;
mod report;
mod stdout;
mod synth;

pub(crate) use arguments::Arguments;

use std::process::ExitCode;

use exit::Exit;

/// Runs the command and says how it ended.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let exit = match commands::run(arguments.command) {
        Ok(exit) => exit,
        Err(error) => {
            // Our own errors name their cause themselves; the alternate form would say it twice.
            match error.downcast_ref::<pipeline::Error>() {
                Some(error) => eprintln!("error: {error}"),
                None => eprintln!("error: {error:#}"),
            }
            Exit::of(&error)
        }
    };
    ExitCode::from(exit.code())
}
