//! One question about one picture: pixels, or regions from elsewhere, in; an answer out.
//!
//! ```text
//! picture -> regions (a detector, or a file of them) -> rows of a data set -> the task's own `predict`
//! ```
//! The tasks read data sets and know nothing of detectors. So a question becomes what `pipeline build` would have made of
//! it: a data set of a row or a few, in a temporary folder, which is gone when the answer is there. The answer is therefore
//! that of `pipeline build` and `predict --data`, to the bit.

mod ask;
mod given;
mod looking;
mod reads;
mod retrieve;
mod rows;
mod sheet;
#[cfg(test)]
mod tests;

pub use ask::{Answered, Captioned, Question};
pub use looking::{Looking, Timings};
pub use retrieve::{Found, FoundPictures, FoundTexts, ImageQuery, TextQuery};
