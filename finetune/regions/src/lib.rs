//! Pictures in: bytes to pixels, pixels to what a backbone reads, near-duplicates, and pictures of the result.

pub mod augmentation;
pub mod decoding;
mod described;
pub mod detection_samples;
mod detections;
pub mod detector;
pub mod drawing;
mod encoding;
mod error;
mod extractor;
mod fingerprint;
mod grid;
pub mod preparation;

pub use described::Naming;
pub use detections::Detections;
pub use encoding::{encode_png, thumbnail};
pub use error::Error;
pub use extractor::{Extractor, instructions};
pub use fingerprint::Fingerprint;
pub use grid::Grid;
