//! `pipeline`: from feature files and captions to verified shards of word-tag-region triples.
#![expect(clippy::print_stderr, reason = "a command line talks to its user")]

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
