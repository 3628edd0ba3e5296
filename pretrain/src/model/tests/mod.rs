//! The model against PyTorch (golden/generate.py), and against itself in other arrangements.

mod golden;
pub(crate) mod packing;
