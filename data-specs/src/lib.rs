//! The data contract: what a sample is, how it lies in Parquet shards, and in which order it is read.

mod canonical_json;
mod columns;
mod corpus;
mod dataset;
pub mod durable;
mod error;
mod manifest;
mod order;
mod positional;
mod sample;
mod schema;
mod shard_reader;
mod shard_writer;
mod tokenizer;

pub use canonical_json::{canonical_fields, canonical_json};
pub use corpus::{
    AnswersPart, BoxesFormat, BoxesSpec, Column, Composition, CompositionSource, CorpusSpec, ExcludeSpec,
    FeaturesFormat, FeaturesPart, FeaturesSpec, IdMatching, ImagesFormat, ImagesSpec, KeepImage,
    NetworkNumbers, Provider, RegionsSpec, RejectsSpec, ShardSpec, Spec, TableColumns, TextsFormat,
    TextsSpec, WeightsFlavour, WithoutText,
};
pub use dataset::{Dataset, Verify};
pub use error::Error;
pub use manifest::{
    Account, Computed, FeatureInfo, Manifest, RejectsEntry, SCHEMA_VERSION, ShardEntry, manifest_path,
};
pub use order::{
    Batch, BatchShare, Batches, EpochOrder, LastBatch, OrderOptions, ReaderState, RowId, SampleOrder,
};
pub use sample::{Answer, EncodedImage, FeatureType, Picture, Sample, Tag, Text, TextKind};
pub use schema::schema;
pub use shard_reader::{ShardReader, hash_file};
pub use shard_writer::ShardWriter;
pub use tokenizer::{SpecialIds, Tokenizer, Vocabulary, VocabularyOptions, WordCounts, clean_up};
