//! The scores of the field's seven tasks, equal to the reference evaluators': captioning (NoCaps too),
//! VQA, GQA, NLVR2, retrieval; and of detectors. No tensors, no Java.

pub mod captions;
pub mod detection;
mod error;
pub mod gqa;
pub mod layouts;
pub mod nlvr2;
pub mod retrieval;
mod table;
pub mod vqa;
mod white_space;

pub use error::Error;
