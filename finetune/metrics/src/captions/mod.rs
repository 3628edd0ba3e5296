//! Scores of captions.

pub mod ptb;
