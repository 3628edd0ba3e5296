//! What takes too long for `cargo test`: one command a claim.
//!
//!     cargo run --release -p conformance --bin evidence -- picture-mutants [COUNT]
#![expect(clippy::print_stdout, reason = "evidence is shown")]

use std::process::Command;

use anyhow::{Result, bail, ensure};
use conformance::binaries::root;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["picture-mutants"] => picture_mutants(2000),
        ["picture-mutants", count] => picture_mutants(count.parse()?),
        _ => bail!("evidence picture-mutants [COUNT]"),
    }
}

/// COUNT mutants of each picture format, and all bombs, decoded in child processes with limits on memory and time: no
/// escaped panic, no abort, no hang, at most 64 MiB for a refused picture. One line of figures a format.
fn picture_mutants(count: u32) -> Result<()> {
    println!("{count} mutants a format");
    let status = Command::new(env!("CARGO"))
        .args(["test", "--release", "-p", "finetune-regions", "--test", "hostile", "--", "--nocapture"])
        .env("OSCAR_MUTANTS", count.to_string())
        .current_dir(root())
        .status()?;
    ensure!(status.success(), "a decoder did what it must not: see above");
    Ok(())
}
