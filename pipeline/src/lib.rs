//! The build engine: ready features and texts become verified Parquet shards, and no row is lost.

mod error;
pub mod features;
pub mod inputs;
mod reject;
pub mod texts;

pub use error::Error;
pub use reject::{Code, Outcome, Reject, RejectReason, Stage, Unit};
