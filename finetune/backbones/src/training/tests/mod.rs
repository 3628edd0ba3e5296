//! Proof of training: against PyTorch, against itself cut in other pieces, and by learning something.

mod learning;
mod parity;
mod shapes;
