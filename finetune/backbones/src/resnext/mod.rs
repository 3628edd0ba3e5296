//! ResNeXt.

mod description;
#[cfg(test)]
mod forms;
mod network;

pub(crate) use description::Description;
pub(crate) use network::Network;
