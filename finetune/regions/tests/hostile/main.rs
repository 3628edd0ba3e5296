//! Pictures that want to hurt: mutants and bombs, each batch in a process of its own with limits on memory and time.
//!
//! `OSCAR_MUTANTS=2000` sets the number of mutants a format (300 without it).
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test, a panic is the report, and figures are"
)]

mod bombs;
mod child;
mod mutants;
