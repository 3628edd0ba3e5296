//! VQA: accuracy after the official evaluator, answer normalisation, vocabularies and soft targets.

mod accuracy;
mod answers;
mod files;
mod normalise;

pub use accuracy::{Annotation, Answer, VqaCounts, VqaScores, score};
pub use answers::{AnswerVocabulary, soft_targets};
pub use files::score_files;
pub use normalise::{normalise, tidy};
