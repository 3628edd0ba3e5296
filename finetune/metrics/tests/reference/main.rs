//! The reference's values on real data: `OSCAR_REFERENCE_DATA`, or `../shared/data` beside the checkout.

mod captions;
mod cider;
mod questions;

use std::path::{Path, PathBuf};

use finetune_metrics::{
    captions::{Pair, pair},
    layouts::{Candidates, References, TextFile},
};
use serde_json::Value;

fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("OSCAR_REFERENCE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    skipped();
    None
}

#[expect(clippy::print_stdout, reason = "a skipped check must be seen")]
fn skipped() {
    println!("skipped: no reference data");
}

fn json(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("the reference data is JSON")
}

fn file(path: impl AsRef<Path>) -> TextFile {
    TextFile::read(path.as_ref()).expect("the reference data is there")
}

/// References and candidates, whose texts stay in memory until the test ends.
fn pairs(references: impl AsRef<Path>, candidates: impl AsRef<Path>) -> Vec<Pair<'static>> {
    let (references, candidates) =
        (Box::leak(Box::new(file(references))), Box::leak(Box::new(file(candidates))));
    let references = References::read(references).expect("references");
    let pairs = pair(&references, &Candidates::read(candidates).expect("candidates"));
    let pairs = pairs.expect("the files fit");
    assert_eq!(pairs.len(), references.images.len());
    pairs
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    value.as_array().expect("a list").iter().map(text).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn close(got: f64, wanted: f64, tolerance: f64, what: &str) {
    assert!((got - wanted).abs() <= tolerance, "{what}: {got}, not {wanted}");
}
