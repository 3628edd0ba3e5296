//! VQA: accuracy after the official evaluator, answer normalisation, vocabularies and soft targets.

mod accuracy;
mod answers;
mod normalise;

pub use accuracy::{Annotation, Answer, VqaCounts, VqaScores, read_and_score, score};
pub use answers::{AnswerVocabulary, soft_targets};
pub use normalise::{normalise, tidy};
