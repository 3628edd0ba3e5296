//! A caption of a picture, an answer to a question about it, whether a statement is true of two.

use std::path::PathBuf;

use data_specs::Picture;
use finetune_captioning::Write;
use finetune_harness::classification::{Classification, Predict};
use finetune_harness::{DeviceChoice, Result};
use pretrain_kernels::Precision;
use serde::Serialize;

use super::looking::{Looker, Looking, Timings};
use super::rows::{Rows, row, text};

/// Tasks answer every row that they read, and refuse data sets without any.
const ONE_ROW: &str = "the data set has one row, which is answered";

/// What is asked of pictures.
#[derive(Debug, Clone)]
pub struct Question {
    /// Fine-tuned model folder.
    pub model: PathBuf,
    /// The pictures, as many as the task has; without pixels where regions say all.
    pub images: Vec<Option<PathBuf>>,
    /// Where regions come from.
    pub looking: Looking,
    /// What products are computed in.
    pub precision: Precision,
    /// Where the network computes.
    pub device: DeviceChoice,
}

/// A caption.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Captioned {
    /// The picture's file.
    pub image: String,
    /// The best caption.
    pub caption: String,
    /// Its probability a token.
    pub confidence: f64,
    /// Further captions with their probabilities, where more were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(String, f64)>,
    /// What was seen: names and scores, in the order of the regions.
    pub tags: Vec<(String, Option<f32>)>,
    /// How long it took.
    pub timings: Timings,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answered {
    /// The pictures' files.
    pub images: Vec<String>,
    /// What was asked.
    pub text: String,
    /// The answer.
    pub answer: String,
    /// Its probability.
    pub confidence: f64,
    /// What was seen in each picture: names and scores, in the order of the regions.
    pub tags: Vec<Vec<(String, Option<f32>)>>,
    /// How long it took.
    pub timings: Timings,
}

impl Question {
    /// Captions the picture; `set` are settings of decoding over the model's.
    ///
    /// # Errors
    /// A picture, regions, a model or settings that do not fit.
    pub fn caption(&self, set: Vec<String>) -> Result<Captioned> {
        let mut looker = Looker::open(&self.model, &self.looking)?;
        let pictures = self.look(&mut looker)?;
        let tags = tags(&pictures[0]);
        let image = pictures[0].image_id.clone();
        let mut rows = Rows::new(looker.reads.width)?;
        rows.push(row(pictures, vec![]))?;
        let asked = rows.finish()?;
        let write = Write {
            model: self.model.clone(),
            data: asked.path().to_owned(),
            key: None,
            set,
            constraints: None,
            captioned: false,
            at_once: 1,
            precision: self.precision,
            device: self.device,
        };
        let written = looker.timed(|| write.run())?.pop().expect(ONE_ROW);
        let (caption, confidence, others) = (written.caption, written.confidence, written.others);
        Ok(Captioned { image, caption, confidence, others, tags, timings: looker.timings })
    }

    /// Answers `words` by the task `C`; `key` is what an error calls them.
    ///
    /// # Errors
    /// A picture, regions, or a model that do not fit; no words.
    pub fn answer<C: Classification>(&self, words: &str, key: &str) -> Result<Answered> {
        let asked = text("question".to_owned(), C::KIND, words, key)?;
        let mut looker = Looker::open(&self.model, &self.looking)?;
        let pictures = self.look(&mut looker)?;
        let (images, tags) = (
            pictures.iter().map(|picture| picture.image_id.clone()).collect(),
            pictures.iter().map(tags).collect(),
        );
        let mut rows = Rows::new(looker.reads.width)?;
        rows.push(row(pictures, vec![asked]))?;
        let set = rows.finish()?;
        let (model, data) = (self.model.clone(), set.path().to_owned());
        let (precision, device) = (self.precision, self.device);
        let predict = Predict { model, data, key: None, out: None, micro: 1, precision, device };
        let answer = looker.timed(|| predict.run::<C>())?.pop().expect(ONE_ROW);
        let (text, answer, confidence) = (answer.text, answer.answer, answer.confidence);
        Ok(Answered { images, text, answer, confidence, tags, timings: looker.timings })
    }

    fn look(&self, looker: &mut Looker<'_>) -> Result<Vec<Picture>> {
        let pictures = self.images.iter().enumerate();
        pictures.map(|(number, image)| looker.look(image.as_deref(), number)).collect()
    }
}

fn tags(picture: &Picture) -> Vec<(String, Option<f32>)> {
    picture.tags.iter().map(|tag| (tag.name.clone(), tag.score)).collect()
}
