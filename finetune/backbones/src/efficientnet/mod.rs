//! EfficientNet.

mod description;
mod network;

pub(crate) use description::{Description, Scaling};
pub(crate) use network::Network;
