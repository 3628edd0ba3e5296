//! What is hidden and what is exchanged (Paper: 2004.06165, equations 2 to 4).
//!
//! A sample is words a, tags or an answer b, and regions. Sometimes a or b is exchanged for those of another picture, and
//! the network has to say so; then the two are laid out as `[CLS] a [SEP] b [SEP]` and some of their tokens are hidden, and
//! the network has to say which they were. Everything here is a pure function of (seed, step, place in the batch).

mod contrast;
mod layout;
mod masking;
mod settings;

pub(crate) use contrast::{Exchange, PollutionDraws};
pub use layout::Sequence;
pub(crate) use masking::Masking;
pub use settings::{ObjectiveSettings, WrongTags};

#[cfg(test)]
mod tests;
