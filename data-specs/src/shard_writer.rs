//! Writing one shard: Parquet, hashed on the way out, committed whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::encode_arrow_schema;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::columns::to_batch;
use crate::durable::{CommitPhase, PendingFile};
use crate::schema::{DICTIONARY_COLUMNS, LONG_COLUMNS, hugging_face_metadata, schema};
use crate::{Error, SCHEMA_VERSION, Sample, ShardEntry};

/// Row groups end here: well under the 100 MB that viewers accept, and what a writer holds in memory.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Rows of short features would otherwise make row groups of millions.
const ROW_GROUP_ROWS: usize = 8192;
/// Pages end here, so that one row can be read without its row group.
const PAGE_BYTES: usize = 1 << 20;

/// Writes samples into one Parquet file.
pub struct ShardWriter {
    path: PathBuf,
    name: String,
    writer: ArrowWriter<Hashed<PendingFile>>,
    rows: u64,
    texts: u64,
}

impl ShardWriter {
    /// Starts the shard `name` in `folder`; `owner` marks its temporary file (the build's id).
    pub fn create(folder: &Path, name: &str, owner: &str) -> Result<ShardWriter, Error> {
        let path = folder.join(name);
        let file =
            Hashed { inner: PendingFile::create(&path, owner)?, hasher: blake3::Hasher::new(), bytes: 0 };
        let options = ArrowWriterOptions::new()
            .with_properties(properties())
            // The schema in the file names plain binary columns; views are only our way to write them.
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, crate::schema::view_schema(), options)
            .map_err(Error::parquet(&path))?;
        Ok(ShardWriter { path, name: name.to_string(), writer, rows: 0, texts: 0 })
    }

    /// Appends rows.
    ///
    /// Memory: the current row group, 64 MiB and one call's samples at most.
    pub fn write(&mut self, samples: &[Sample]) -> Result<(), Error> {
        let batch = to_batch(samples).map_err(|error| Error::parquet(&self.path)(error.into()))?;
        self.writer.write(&batch).map_err(Error::parquet(&self.path))?;
        self.rows += samples.len() as u64;
        self.texts += samples.iter().map(|sample| sample.texts.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Ends the file and commits it, replacing an older one of that name.
    pub fn commit(self, on_phase: &dyn Fn(CommitPhase)) -> Result<ShardEntry, Error> {
        let ShardWriter { path, name, writer, rows, texts } = self;
        let file = writer.into_inner().map_err(Error::parquet(&path))?;
        file.inner.commit(on_phase)?;
        let blake3 = file.hasher.finalize().to_hex().to_string();
        Ok(ShardEntry { name, rows, texts, bytes: file.bytes, blake3 })
    }
}

/// No time, host or thread count reaches a file: equal rows give equal bytes.
fn properties() -> WriterProperties {
    // pyarrow takes a schema's metadata from the Arrow schema alone, so `huggingface` stands there too.
    let arrow = schema().as_ref().clone();
    let arrow = arrow.with_metadata([("huggingface".to_string(), hugging_face_metadata())].into());
    let metadata = vec![
        KeyValue::new("oscar.schema_version".to_string(), SCHEMA_VERSION.to_string()),
        KeyValue::new("huggingface".to_string(), hugging_face_metadata()),
        KeyValue::new("ARROW:schema".to_string(), encode_arrow_schema(&arrow)),
    ];
    let mut properties = WriterProperties::builder()
        .set_created_by("oscar data-specs".to_string())
        .set_key_value_metadata(Some(metadata))
        .set_compression(Compression::UNCOMPRESSED)
        .set_encoding(Encoding::PLAIN)
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for column in DICTIONARY_COLUMNS {
        properties = properties.set_column_dictionary_enabled(path_of(column), true);
    }
    for column in LONG_COLUMNS {
        properties = properties.set_column_statistics_enabled(path_of(column), EnabledStatistics::None);
    }
    properties.build()
}

fn path_of(column: &str) -> ColumnPath {
    ColumnPath::new(column.split('.').map(str::to_string).collect())
}

/// Hashes what passes through, so that a shard's hash costs no second reading.
struct Hashed<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
