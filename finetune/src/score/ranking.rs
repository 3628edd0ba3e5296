//! Retrieval.

use std::path::PathBuf;

use finetune_metrics::retrieval::{Recall, ScoreMatrix, recall};
use serde_json::{Value, json};

use super::Error;

/// Scores of every picture against every caption.
#[derive(Debug)]
pub struct Retrieval {
    /// NumPy or JSON; rows are pictures.
    pub scores: PathBuf,
    /// Column `j` belongs to picture `j / captions_per_image`.
    pub captions_per_image: usize,
}

impl Retrieval {
    /// `i2t` and `t2i` with R@1, R@5, R@10 as fractions.
    pub fn run(&self) -> Result<Value, Error> {
        let matrix = ScoreMatrix::read(&self.scores)?;
        let (to_captions, to_pictures) =
            matrix.ranks(self.captions_per_image).ok_or_else(|| Error::Shape {
                path: self.scores.clone(),
                rows: matrix.rows(),
                columns: matrix.columns(),
                captions_per_image: self.captions_per_image,
            })?;
        Ok(json!({
            "i2t": object(recall(&to_captions)),
            "t2i": object(recall(&to_pictures)),
            "counts": { "images": matrix.rows(), "captions": matrix.columns() },
        }))
    }
}

fn object(recall: Recall) -> Value {
    json!({ "R@1": recall.at_1, "R@5": recall.at_5, "R@10": recall.at_10 })
}
