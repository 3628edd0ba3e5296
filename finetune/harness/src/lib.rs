//! What the seven tasks share: rows become batches, THE loop of fine-tuning, evaluation, result files.
//!
//! The loop ([`fine_tune`]) knows a [`Task`]: samples, a network, a loss, scores. [`classification`] is the task of those
//! who choose one of several answers to a text about one picture or two; what differs between them is in their crates.

mod attention;
mod batches;
pub mod classification;
mod fine_tuning;
mod folder;
mod settings;
mod start;
mod task;
mod texts;
mod training;

pub use attention::{Attention, Explained};
pub use fine_tuning::{Best, Outcome, Progress, Watch, fine_tune};
pub use folder::Description;
pub use pretrain::{DeviceChoice, Error, Result};
pub use settings::{
    DataSettings, Layout, ModelSettings, RunSettings, ScheduleSettings, SetSettings, Settings,
};
pub use start::{FirstWeights, Network};
pub use task::{Scores, Task};
pub use texts::{Asked, Opening, Pictures, Place, Texts};
pub use training::{Opened, Train};
