//! What every trainer shares: parameters, optimisers, schedules, averages, random numbers, checkpoints, figures.
//!
//! There is no trainer here. A loop owns its [`Parameters`], asks a [`Schedule`] for the rate of a step, adds up
//! [`Gradients`] over micro-batches and ranks, lets an [`Optimiser`] take the step, and from time to time commits a
//! [`Checkpoints`] entry. Everything that is drawn is a function of (seed, stream, step, index), so a loop that goes on
//! from a checkpoint does what it would have done without stopping, to the bit.

mod agreement;
mod average;
mod checkpoint;
pub mod config;
mod error;
mod generator;
mod gradients;
mod metrics;
pub mod optimiser;
mod parameters;
mod quantile;
mod schedule;

pub use agreement::require_same;
pub use average::WeightAverage;
pub use checkpoint::{Checkpoint, Checkpoints, Newest, State};
pub use error::{Error, Result};
pub use generator::{Generator, Stream};
pub use gradients::{Gradients, Reached, require_finite};
pub use metrics::Metrics;
pub use optimiser::{Group, Optimiser};
pub use parameters::{Parameter, Parameters};
pub use schedule::{Decay, Schedule};
