//! Captions word by word, as published for Oscar (Paper: 2004.06165, section 4 and appendix).
//!
//! A caption begins as `[CLS]`. At every step the model scores the token that comes next, one token is put behind, and `[SEP]`
//! ends the caption. A caption has room for `max_length` tokens, `[CLS]` and `[SEP]` counted; the last room is `[SEP]`'s: the
//! token that was chosen for it is scored, but `[SEP]` stands there.
//!
//! The score of a caption is the sum of the log-probabilities of its tokens, `[CLS]` excepted, divided by their number (to the
//! power of the length penalty, in beam search).

mod beam;
mod caption;
mod logits;
mod model;
mod sampling;
mod settings;
#[cfg(test)]
mod tests;

pub use beam::beam_search;
pub use caption::Caption;
pub use model::{ModelError, NextToken, Open, Row};
pub use sampling::{Draws, greedy, sample};
pub use settings::{BeamSettings, GreedySettings, SamplingSettings};

pub(crate) use logits::{Place, best, descending, log_normaliser};
pub(crate) use model::{Grown, Steps};
pub(crate) use settings::{at_least_one, fits};
