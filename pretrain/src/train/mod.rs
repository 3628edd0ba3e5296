//! Pre-training: settings, the step, the loop, evaluation.

mod sizes;
mod step;

pub use sizes::{DataSizes, ModelSettings, Sizes};
pub use step::{Learner, MicroBatch};
