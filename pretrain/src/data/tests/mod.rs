pub(crate) mod corpus;
mod errors;
mod reading;
mod samples;
