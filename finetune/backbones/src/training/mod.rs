//! Training for classification.
//!
//! [`train`] is THE loop and reads from top to bottom. It sees pictures through [`LabelledPictures`], so that where they
//! come from and how they are changed by chance is not its business; ranks through a [`Collective`]; and whoever watches
//! it through [`Watch`].
//!
//! The unit of everything is the micro-batch: normalisation takes its statistics over one, whichever rank computes it.
//! A step takes the micro-batches of one global batch, adds up their gradients, and moves the running statistics once,
//! towards the mean of what all micro-batches saw. With one micro-batch a step that is what PyTorch does; with several,
//! it makes the run independent of the number of ranks.
//!
//! [`Collective`]: pretrain_comm::Collective

mod confusion;
mod error;
mod evaluate;
mod forward;
mod learner;
mod mixing;
mod pictures;
mod settings;
mod targets;
#[cfg(test)]
mod tests;
mod train;
mod trained;

pub use confusion::Confusion;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate};
pub use forward::Forward;
pub use learner::Learner;
pub use mixing::Mixing;
pub use pictures::{LabelledPictures, Pixels, Unreadable, View};
pub use settings::{
    BatchSettings, Decayed, LossSettings, NetworkSettings, OptimiserSettings, RunSettings, ScheduleSettings,
    Settings,
};
pub use train::{Outcome, Progress, Watch, train};
pub use trained::{Card, Trained};
