//! What people would write about a picture.

mod captions;
mod phrases;

pub(crate) use captions::captions;
pub(crate) use phrases::{a, capital, number_word};
