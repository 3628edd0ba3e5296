//! Fine-tuning, evaluation and scoring of the seven tasks. For now: the scores, and the backbones as they are.

pub mod backbone;
pub mod score;
