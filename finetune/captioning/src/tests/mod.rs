mod decoding;
mod errors;
mod golden;
mod made;
mod runs;
