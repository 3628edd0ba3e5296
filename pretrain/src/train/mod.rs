//! Pre-training: settings, the step, THE loop, evaluation.

mod evaluate;
mod pretraining;
mod run;
mod settings;
mod sizes;
mod start;
mod step;

pub use evaluate::{Evaluation, Probes, evaluate};
pub use pretraining::{Outcome, Progress, Watch, Workplace, pretrain};
pub use run::{Run, in_threads};
pub use settings::{BatchSettings, OptimiserSettings, RunSettings, ScheduleSettings, Settings};
pub use sizes::{DataSizes, ModelSettings, PrecisionName, Sizes};
pub use start::Start;
pub use step::{Learner, MicroBatch};

#[cfg(test)]
mod tests;
