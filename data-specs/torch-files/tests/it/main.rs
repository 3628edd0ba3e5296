//! One binary: golden files, attacks, mutants, and the reference data where it is at hand.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod attacks;
mod golden;
mod mutants;
mod reference;

use std::path::{Path, PathBuf};

/// The folder of golden files; `generate.py` in it makes them.
fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Golden files with one of the endings, sorted.
fn golden_files(endings: &[&str]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden_dir()).unwrap();
    let mut files: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)));
    files.sort();
    files
}
