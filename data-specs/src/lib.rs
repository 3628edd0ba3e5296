//! The data contract: what a sample is, how it lies in Parquet shards, and in which order it is read.

mod canonical_json;
mod error;
mod sample;

pub use canonical_json::{canonical_fields, canonical_json};
pub use error::Error;
pub use sample::{Answer, EncodedImage, FeatureType, Picture, Sample, Tag, Text, TextKind};
