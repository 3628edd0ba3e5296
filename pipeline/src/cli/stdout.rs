//! Standard output that may end early: `pipeline peek OUT | head -3` is no mistake.

use std::fmt::Arguments;
use std::io::{self, Write};

/// `print!` for a reader who may have seen enough.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::stdout::write(format_args!($($text)*)) };
}

/// `println!` for a reader who may have seen enough.
macro_rules! say_line {
    ($($text:tt)*) => { $crate::cli::stdout::write(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {say, say_line};

/// Writes to standard output; a closed pipe swallows the text, all else is an error.
pub(crate) fn write(text: Arguments<'_>) -> anyhow::Result<()> {
    match io::stdout().lock().write_fmt(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(anyhow::Error::new(error).context("cannot write to standard output")),
        Ok(()) => Ok(()),
    }
}
