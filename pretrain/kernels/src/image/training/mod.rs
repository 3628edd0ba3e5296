//! Layers of convolutional networks that learn, on maps.
//!
//! What normalisation and activation make of a map is never written: whoever reads the map computes it on the way in
//! ([`Source`]), and what a normalisation needs to know of a map, or of its gradient, is added up on the way out
//! ([`Sink`], [`Sums`]). Of a layer only its convolution's output stays in memory until its gradient is there.
//!
//! * [`convolve`] goes from maps to maps, forward and to the gradient of the input; [`Packed`] holds a step's weights for
//!   either. [`pointwise_gradient`], [`grouped_gradient`] and [`stem_gradient`] are those of weights; [`Depthwise`] has all
//!   three. [`Norm`] is what a batch says, [`Gate`] squeezes and excites, [`LearningPool`] takes the largest, [`join`] adds.
//! * Gradients of weights are added to what is there.
//! * All sums are cut by sizes alone: on one [`VectorPath`](super::VectorPath) bits depend neither on threads nor on
//!   memory.

mod convolution;
mod depthwise;
mod depthwise_gradient;
mod excitation;
mod filter;
mod function;
mod grouped_gradient;
mod norm;
mod outer;
mod passes;
mod patch;
mod pool;
mod scratch;
mod sink;
mod source;
mod stem_gradient;
mod sums;
mod weight_gradient;

pub use convolution::convolve;
pub use depthwise::Depthwise;
pub use excitation::{Excited, Gate, GateGradients};
pub use filter::{Filter, Packed};
pub use grouped_gradient::{grouped_fits, grouped_gradient};
pub use norm::{Norm, Terms};
pub use passes::{Beside, activation_sums, join, lay_out, spread};
pub use pool::LearningPool;
pub use sink::{Behind, Sink};
pub use source::{Activated, Gradient, Source};
pub use stem_gradient::stem_gradient;
pub use sums::Sums;
pub use weight_gradient::pointwise_gradient;
