//! Captions: how they are learnt, written and compared (Paper: 2004.06165, section 5 and appendix).
//!
//! A caption comes out of a model that scores the next token: the best one ([`decoding`]), the best one that names given things
//! (NoCaps, [`constrained`]), and what a drawn one is worth to self-critical training ([`rewards`]). These know no tensors: a
//! model comes in through [`NextToken`](decoding::NextToken). The model itself is [`Captioner`], and [`Learning`] is the task
//! that the loop of fine-tuning trains it by.

mod captioner;
mod commands;
pub mod constrained;
pub mod decoding;
mod error;
mod folder;
mod learning;
mod losses;
#[cfg(test)]
mod made_up;
mod masking;
mod pictures;
mod remembering;
mod reward;
mod scoring;
mod self_critical;
mod sequence;
mod settings;
#[cfg(test)]
mod tests;
mod text;
mod writing;

pub use captioner::Captioner;
pub use commands::{ConstraintFiles, Write, train};
pub use error::{Error, Result};
pub use learning::{CaptionExample, Learning};
pub use reward::{Baseline, Rewards, rewards};
pub use scoring::{Captioned, official_id};
pub use settings::{BaselineKind, Captioning, Decoding, FrequencySource, SelfCritical};
pub use text::caption_text;
