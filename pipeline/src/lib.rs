//! The build engine: ready features and texts become verified Parquet shards, and no row is lost.

mod build;
mod error;
pub mod features;
pub mod inputs;
mod output;
mod plan;
mod reject;
mod rejects_file;
mod sources;
pub mod stats;
pub mod texts;
mod watch;

pub use build::{BuildOptions, BuildReport, build, commit, dry_run, plan_only, run_task};
pub use error::Error;
pub use plan::Plan;
pub use reject::{Code, Outcome, Reject, RejectReason, Stage, Unit};
pub use stats::{Stats, stats, stats_page};
pub use watch::{Phase, Unwatched, Watch};
