//! Pictures in: bytes to pixels, pixels to what a backbone reads, near-duplicates, and pictures of the result.

pub mod augmentation;
pub mod decoding;
pub mod drawing;
mod encoding;
mod error;
mod extractor;
mod fingerprint;
pub mod preparation;

pub use encoding::{encode_png, thumbnail};
pub use error::Error;
pub use extractor::{Extractor, Grid, instructions};
pub use fingerprint::Fingerprint;
