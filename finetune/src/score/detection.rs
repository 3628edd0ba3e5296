//! Detection.

use std::path::PathBuf;

use finetune_metrics::{detection, layouts::TextFile};

use super::{Error, Form};

/// The files of a detector, in COCO's layouts.
#[derive(Debug)]
pub struct Detection {
    /// Instances: images, categories, annotations.
    pub truth: PathBuf,
    /// A list of `{image_id, category_id, bbox, score}`.
    pub predictions: PathBuf,
}

impl Detection {
    /// COCO's figures as fractions, by class too, and the pooled ones of Visual Genome.
    pub fn run(&self, form: Form) -> Result<String, Error> {
        let (truth, predictions) = TextFile::read_both(&self.truth, &self.predictions)?;
        Ok(form.write(&detection::score_files(&truth, &predictions)?))
    }
}
