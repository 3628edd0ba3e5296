//! Fine-tuning, evaluation and scoring of the seven tasks. The tasks themselves are in crates of
//! their own; here are the scores, the backbones, the detectors, and single questions.

pub mod backbone;
pub mod chart;
pub mod detector;
pub mod explain;
pub mod question;
pub mod score;
