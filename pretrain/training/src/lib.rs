//! What every trainer shares. For now: where its random numbers come from.

mod generator;
mod quantile;

pub use generator::{Generator, Stream};
