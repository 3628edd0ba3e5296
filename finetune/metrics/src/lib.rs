//! The scores of the field's seven tasks, equal to the reference evaluators.

pub mod captions;
