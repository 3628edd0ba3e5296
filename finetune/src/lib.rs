//! Fine-tuning, evaluation and scoring of the seven tasks. For now: the scores.

pub mod score;
