//! Tasks whose answer is one of several labels: VQA, GQA, NLVR2.

mod answering;
mod classified;
mod commands;
mod folder;
mod head;

use data_specs::{Text, TextKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use answering::Answered;
pub use classified::{Classified, ClassifiedExample};
pub use commands::{Eval, Predict, Prediction};
pub use head::{Classifier, Form, Head, HeadSettings, LossType};

use crate::Result;
use crate::task::Scores;
use crate::texts::{Asked, Pictures};

/// What such a task is: rows, head, score, submission. It is the section `task` of the settings.
pub trait Classification:
    Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The task's name in commands and in `config.json`.
    const NAME: &'static str;
    /// The texts that it reads.
    const KIND: TextKind;
    /// A spec that builds what it learns from.
    const SPEC: &'static str;

    // ---- rows

    /// How pictures are read.
    fn pictures(&self) -> Pictures;

    /// Labels that do not depend on the data: fixed ones, or those of a file that the settings name.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn given_labels(&self) -> Result<Option<Vec<String>>>;

    /// The label that a text's annotation counts for where labels are taken from the data.
    fn label_of(&self, text: &Text) -> Option<String>;

    /// Labels from those of all texts that are learnt from.
    fn vocabulary(&self, labels: &[String]) -> Vec<String>;

    /// What is asked of a text under these labels. Texts of other kinds do not come here.
    fn asking(&self, labels: &[String]) -> Box<dyn Fn(&Text) -> Asked + Send + Sync>;

    // ---- head

    /// Classifier and loss.
    fn head(&self) -> HeadSettings;

    // ---- score

    /// The official scores, from all texts of the data with their answers.
    ///
    /// # Errors
    /// What is missing, in words: fields that no shard has, texts without annotation.
    fn score(&self, answered: &[Answered]) -> std::result::Result<Scores, String>;

    // ---- submission

    /// The official result file.
    ///
    /// # Errors
    /// An id that the official file cannot hold, in words.
    fn submission(&self, answered: &[Answered]) -> std::result::Result<String, String>;
}

#[cfg(test)]
mod tests;
