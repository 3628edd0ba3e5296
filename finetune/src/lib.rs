//! Fine-tuning, evaluation and scoring of the seven tasks. The tasks themselves are in crates of
//! their own; here are the scores and the backbones.

pub mod backbone;
pub mod explain;
pub mod score;
