//! What people would write about a picture.

mod captions;
mod phrases;
mod statements;

pub(crate) use captions::captions;
pub(crate) use phrases::{a, capital, number_word};
pub(crate) use statements::{Pair, plain_statements, statements};
