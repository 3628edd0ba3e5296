//! A small detector against torchvision's, and against itself on ranks and after a stop.

mod learning;
mod parity;
