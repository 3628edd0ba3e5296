//! The build engine: ready features and texts become verified Parquet shards, and no row is lost.

mod bench;
pub mod boxes;
mod build;
mod contact_sheet;
mod draw;
mod error;
mod explain;
pub mod features;
mod features_check;
pub mod inputs;
mod output;
mod peek;
pub mod pictures;
mod plan;
mod reject;
mod rejects_file;
mod retry;
mod sources;
pub mod stats;
pub mod texts;
mod verify;
mod watch;

pub use bench::{ReadBench, bench_read};
pub use build::{BuildOptions, BuildReport, build, commit, dry_run, plan_only, run_task};
pub use contact_sheet::draw_contact_sheet;
pub use draw::draw_rows;
pub use error::Error;
pub use explain::{Finding, explain};
pub use features_check::{CheckOptions, CheckedSet, Cosines, FeaturesCheck, TagOverlap, features_check};
pub use peek::{peek, row_as_text};
pub use plan::Plan;
pub use reject::{Code, Outcome, Reject, RejectReason, Stage, Unit};
pub use retry::{Retried, retry};
pub use stats::{Stats, stats, stats_page};
pub use verify::{Verification, VerifiedShard, verify};
pub use watch::{Phase, Unwatched, Watch};
