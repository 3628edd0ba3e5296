//! ResNeXt.

mod description;
mod forms;
mod network;

pub(crate) use description::Description;
pub use forms::Form;
pub(crate) use network::Network;
