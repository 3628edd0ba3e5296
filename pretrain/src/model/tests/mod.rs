//! The model against PyTorch (golden/generate.py), and against itself in other arrangements.

mod attention_weights;
mod composed;
mod golden;
pub(crate) mod packing;
mod precision;
