//! EfficientNet.

mod description;
mod network;

pub(crate) use description::{Description, Scaling, round_filters, round_repeats};
pub(crate) use network::Network;
