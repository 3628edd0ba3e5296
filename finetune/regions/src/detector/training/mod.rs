//! Training of detectors. Paper: 1506.01497, section 3.1.2 and 3.2; attributes: 1707.07998, section 3.1.
//!
//! [`train`] is THE loop and reads from top to bottom. It sees pictures through [`TrainingPictures`](super::TrainingPictures),
//! ranks through a [`Collective`], and whoever watches it through [`Watch`].
//!
//! An update is over the pictures of one global batch, each looked at by itself in its own size. Losses are divided by what
//! counts in all pictures of all ranks: anchors that are learned from, proposals that are, objects among these. Only then
//! they are computed backward, so a rank holds what the backward pass of its share needs at once.
//!
//! [`Collective`]: pretrain_comm::Collective

mod learner;
mod losses;
mod matcher;
mod sampler;
mod settings;
#[cfg(test)]
mod tests;
mod train;

pub use matcher::{Match, Matcher};
pub use sampler::Sampler;
pub use settings::{
    LossSettings, Norm, OptimiserSettings, RunSettings, SampleSettings, ScheduleSettings, TrainingSettings,
};
pub use train::{Outcome, Progress, Run, Watch, train};
