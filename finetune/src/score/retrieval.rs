//! Retrieval.

use std::path::PathBuf;

use finetune_metrics::retrieval::{Recall, ScoreMatrix, recall};
use serde::Serialize;

use super::{Error, Form};

/// Scores of every picture against every caption.
#[derive(Debug)]
pub struct Retrieval {
    /// NumPy or JSON; rows are pictures.
    pub scores: PathBuf,
    /// Column `j` belongs to picture `j / captions_per_image`.
    pub captions_per_image: usize,
}

#[derive(Serialize)]
struct Report {
    i2t: Recall,
    t2i: Recall,
    counts: Counts,
}

#[derive(Serialize)]
struct Counts {
    images: usize,
    captions: usize,
}

impl Retrieval {
    /// `i2t` and `t2i` with R@1, R@5, R@10 as fractions.
    pub fn run(&self, form: Form) -> Result<String, Error> {
        let matrix = ScoreMatrix::read(&self.scores)?;
        let (to_captions, to_pictures) =
            matrix.ranks(self.captions_per_image).ok_or_else(|| Error::Shape {
                path: self.scores.clone(),
                rows: matrix.rows(),
                columns: matrix.columns(),
                captions_per_image: self.captions_per_image,
            })?;
        Ok(form.write(&Report {
            i2t: recall(&to_captions),
            t2i: recall(&to_pictures),
            counts: Counts { images: matrix.rows(), captions: matrix.columns() },
        }))
    }
}
