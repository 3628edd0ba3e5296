//! Captions out of a model that scores the next token: the best one ([`decoding`]), the best one that names given things
//! (NoCaps, [`constrained`]), and what a drawn one is worth to self-critical training ([`rewards`]).
//!
//! Nothing here knows tensors. A model comes in through [`NextToken`](decoding::NextToken), which says what a cache of its
//! layers has to follow.

pub mod constrained;
pub mod decoding;
mod error;
#[cfg(test)]
mod made_up;
mod reward;
mod text;

pub use error::{Error, Result};
pub use reward::{Baseline, Rewards, rewards};
pub use text::caption_text;
