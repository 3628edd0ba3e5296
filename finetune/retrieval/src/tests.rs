//! Against PyTorch, and against itself in other arrangements.

mod golden;
mod made;
mod sampling;
mod scores;
