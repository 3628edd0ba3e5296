//! VQA, GQA, NLVR2.

use std::path::PathBuf;

use finetune_metrics::{gqa, layouts::TextFile, nlvr2, vqa};

use super::{Error, Form};

/// The three official files of VQA.
#[derive(Debug)]
pub struct Vqa {
    /// Questions.
    pub questions: PathBuf,
    /// Annotations.
    pub annotations: PathBuf,
    /// Results: a list of `{question_id, answer}`.
    pub results: PathBuf,
}

impl Vqa {
    /// `overall`, `per_answer_type`, `per_question_type`, `per_question`: unrounded, times 100.
    pub fn run(&self, form: Form) -> Result<String, Error> {
        let (questions, annotations) = TextFile::read_both(&self.questions, &self.annotations)?;
        let results = TextFile::read(&self.results)?;
        Ok(form.write(&vqa::score_files(&questions, &annotations, &results)?))
    }
}

/// The files of GQA.
#[derive(Debug)]
pub struct Gqa {
    /// Questions of the official layout; for consistency the file of all questions.
    pub questions: PathBuf,
    /// A list of `{questionId, prediction}`.
    pub predictions: PathBuf,
    /// Valid and plausible answers of each question.
    pub choices: Option<PathBuf>,
}

impl Gqa {
    /// The official scores and tables, times 100; what cannot be computed is null.
    pub fn run(&self, form: Form) -> Result<String, Error> {
        let predictions = TextFile::read(&self.predictions)?;
        Ok(form.write(&gqa::score_files(&self.questions, &predictions, self.choices.as_deref())?))
    }
}

/// The files of NLVR2.
#[derive(Debug)]
pub struct Nlvr2 {
    /// JSON lines of the official layout.
    pub data: PathBuf,
    /// CSV lines `identifier,True|False`.
    pub predictions: PathBuf,
}

impl Nlvr2 {
    /// `accuracy` and `consistency` as fractions.
    pub fn run(&self, form: Form) -> Result<String, Error> {
        let (data, predictions) = TextFile::read_both(&self.data, &self.predictions)?;
        Ok(form.write(&nlvr2::score_files(&data, &predictions)?))
    }
}
