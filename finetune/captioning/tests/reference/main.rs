//! Published values: `OSCAR_REFERENCE_DATA`, or `../shared/data` beside the checkout.

mod constrained;
mod decoding;
mod reward;

use std::path::{Path, PathBuf};

use data_specs::SpecialIds;
use finetune_captioning::decoding::{ModelError, NextToken, Open};
use serde_json::Value;

const SPECIAL: SpecialIds = SpecialIds { pad: 0, unk: u32::MAX, cls: 1, sep: 2, mask: 3 };

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

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(|value| value.as_str().expect("a text").to_owned()).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    list(value).iter().map(|id| id.as_u64().expect("an id") as u32).collect()
}

fn whole(value: &Value) -> usize {
    value.as_u64().expect("a whole number") as usize
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[track_caller]
fn close(got: f64, wanted: f64, tolerance: f64, what: &str) {
    assert!((got - wanted).abs() <= tolerance, "{what}: {got}, not {wanted}");
}

/// The table model of the cases: logits are the sum of a row for the last token, one for the position, one for the picture.
struct Tables {
    last_token: Vec<Vec<f32>>,
    position: Vec<Vec<f32>>,
    picture: Vec<Vec<f32>>,
    vocabulary: Vec<String>,
    /// Pictures of the batch.
    pictures: Vec<usize>,
}

impl Tables {
    fn read(file: &Value) -> Self {
        let table = |name: &str| {
            let row = |row: &Value| list(row).iter().map(|logit| number(logit) as f32).collect();
            list(&file[name]).iter().map(row).collect()
        };
        let picture: Vec<Vec<f32>> = table("S_image");
        Self {
            last_token: table("A_last_token"),
            position: table("B_position"),
            pictures: (0..picture.len()).collect(),
            picture,
            vocabulary: texts(&file["vocab"]),
        }
    }

    fn id(&self, token: &str) -> u32 {
        self.vocabulary.iter().position(|known| known == token).expect("a token of the vocabulary") as u32
    }
}

impl NextToken for Tables {
    fn vocabulary(&self) -> usize {
        self.vocabulary.len()
    }

    fn logits(&mut self, open: &Open, logits_rv: &mut [f32]) -> Result<(), ModelError> {
        for (row, logits_v) in logits_rv.chunks_mut(self.vocabulary.len()).enumerate() {
            let picture = &self.picture[self.pictures[open.rows()[row].image]];
            let last_token = &self.last_token[open.newest(row) as usize];
            let position = &self.position[open.length() - 1];
            for (token, logit) in logits_v.iter_mut().enumerate() {
                *logit = last_token[token] + position[token] + picture[token];
            }
        }
        Ok(())
    }
}
