//! Layers of trained convolutional networks, on maps of their own.
//!
//! Beside the operations on tensors, which learn, these only compute, and so need no tensor between two layers: batch
//! normalisation is folded into weights by whoever makes a layer, activation, shortcut and the factors of
//! squeeze-and-excitation are part of the convolution, numbers may be bf16.
//!
//! * [`Maps`] hold pictures with channels side by side; [`Convolution`], [`Depthwise`], [`MaxPool`], [`cut_out`] and
//!   [`means`] go from maps to maps, [`Excitation`] from means to factors. [`training`] has those that learn.
//! * One source serves AVX-512, AVX2 and plain loops ([`VectorPath`]). On one path a picture's bits depend neither on
//!   threads nor on other pictures.
//! * A number that is not finite stays with its picture, but may spread to channels beside it: zeros stand for weights
//!   that are not there.

mod convolution;
mod depthwise;
mod excitation;
mod maps;
mod path;
mod pooling;
mod regions;
mod shared;
mod tile;
pub mod training;
mod vector;
#[cfg(target_arch = "x86_64")]
mod vector_x86;

pub use convolution::{Activation, Convolution};
pub use depthwise::Depthwise;
pub use excitation::Excitation;
pub use maps::{Maps, Number, View, ViewMut};
pub use path::VectorPath;
pub use pooling::{MaxPool, means};
pub use regions::cut_out;
