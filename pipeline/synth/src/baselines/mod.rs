//! How far one gets without looking: what a corpus gives away through its words, its tags, its raw pixels.

mod captions;
pub(crate) mod files;
mod pixels;
mod questions;
mod readme;
mod text_model;

pub use readme::record;

use std::path::Path;

use serde::Serialize;

use crate::Error;

/// Figures about a corpus; shares lie between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baselines {
    /// Answers by the words of the question alone, task by task.
    pub words: Vec<WordsAlone>,
    /// Classes of crops by a linear function of their pixels.
    pub pixels: Pixels,
    /// Captions found by their words alone, and by the tags of the pictures.
    pub retrieval: Vec<Retrieval>,
    /// How varied the captions are.
    pub captions: CaptionFigures,
}

/// A task of questions or statements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WordsAlone {
    /// `VQA v2`, `GQA (balanced)`, `NLVR2`.
    pub task: &'static str,
    /// Questions that were learned from.
    pub train: usize,
    /// Questions that were asked: those of both held-out splits.
    pub asked: usize,
    /// Accuracy of the answer that is the most frequent one in training, always given.
    pub majority: f64,
    /// Accuracy of the best text-only model: logistic regression on words and pairs of words.
    pub text_only: f64,
}

/// The crops.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pixels {
    /// Classes.
    pub classes: usize,
    /// Crops that were learned from.
    pub train: usize,
    /// Crops that were classified.
    pub asked: usize,
    /// Accuracy of the most frequent class.
    pub majority: f64,
    /// Accuracy of the best linear classifier on pixels, over the sizes that were tried.
    pub linear: f64,
}

/// Recall of one way to score pictures against captions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Retrieval {
    /// What the score sees.
    pub scorer: &'static str,
    /// Pictures; each has five captions.
    pub pictures: usize,
    /// Share of pictures with one of their captions in the first 1, 5, 10.
    pub to_text: [f64; 3],
    /// Share of captions with their picture in the first 1, 5, 10.
    pub to_picture: [f64; 3],
    /// What guessing finds, in the same order.
    pub chance_to_text: [f64; 3],
    /// The same for pictures.
    pub chance_to_picture: [f64; 3],
}

/// Words of the training captions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaptionFigures {
    /// Captions.
    pub captions: usize,
    /// Words in all.
    pub tokens: usize,
    /// Different words.
    pub types: usize,
    /// Share of captions that no other is equal to.
    pub unique: f64,
    /// Words a caption, on average.
    pub length: f64,
}

/// Measures the corpus in `folder`.
///
/// # Errors
/// Files that are missing or have another layout.
pub fn measure(folder: &Path) -> Result<Baselines, Error> {
    Ok(Baselines {
        words: questions::all(folder)?,
        pixels: pixels::measure(folder)?,
        retrieval: captions::retrieval(folder)?,
        captions: captions::figures(folder)?,
    })
}
