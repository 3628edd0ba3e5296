//! Captions that name what a detector saw (NoCaps; Paper: 1812.08658, section 4.2; the search: 1612.00576, section 3).
//!
//! Detections of a picture become up to three constraints ([`ConstraintFilter`]), a constraint becomes pieces of words
//! ([`ConstraintWords`]), pieces become the transitions of an [`Automaton`], and the search keeps beams for each of its states.
//! The best caption among states that satisfy enough constraints is the picture's.

mod automaton;
mod boxes;
mod filter;
mod hierarchy;
mod lines;
mod search;
#[cfg(test)]
mod tests;
mod words;

pub use automaton::{Automaton, MAX_CONSTRAINTS, MAX_PIECES};
pub use boxes::{ConstraintBoxes, Detection};
pub use filter::{ConstraintFilter, Overlap};
pub use hierarchy::Hierarchy;
pub use search::{ConstrainedSettings, Found, StateCaption, constrained_beam_search};
pub use words::{Constraint, ConstraintWords};
