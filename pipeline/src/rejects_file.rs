//! Rejects on disk: a small Parquet table, written as they come and read back by the tools.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use data_specs::RejectsEntry;
use data_specs::durable::PendingFile;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Reject};

/// Rejects held before they are written as a batch.
const BATCH: usize = 4096;

/// Writes rejects; the file appears when committed.
pub(crate) struct RejectsWriter {
    name: String,
    path: std::path::PathBuf,
    writer: ArrowWriter<PendingFile>,
    waiting: Vec<Reject>,
    entries: u64,
}

impl RejectsWriter {
    /// Starts the file `name` of the data set in `folder`.
    pub(crate) fn create(folder: &Path, name: &str, owner: &str) -> Result<RejectsWriter, Error> {
        let path = folder.join(name);
        let properties = WriterProperties::builder().set_created_by("oscar pipeline".into()).build();
        let writer = ArrowWriter::try_new(PendingFile::create(&path, owner)?, schema(), Some(properties))
            .map_err(data_specs::Error::parquet(&path))?;
        Ok(RejectsWriter { name: name.to_string(), path, writer, waiting: Vec::new(), entries: 0 })
    }

    /// Adds one.
    pub(crate) fn push(&mut self, reject: Reject) -> Result<(), Error> {
        self.entries += 1;
        self.waiting.push(reject);
        if self.waiting.len() >= BATCH { self.write_waiting() } else { Ok(()) }
    }

    /// Ends and commits the file.
    pub(crate) fn commit(mut self) -> Result<RejectsEntry, Error> {
        self.write_waiting()?;
        let RejectsWriter { name, path, writer, entries, .. } = self;
        let mut file = writer.into_inner().map_err(data_specs::Error::parquet(&path))?;
        file.flush().map_err(Error::io("write", &path))?;
        file.commit(&|_| {})?;
        let bytes = std::fs::metadata(&path).map_err(Error::io("read", &path))?.len();
        Ok(RejectsEntry { name, entries, bytes, blake3: data_specs::hash_file(&path)? })
    }

    fn write_waiting(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let batch =
            to_batch(&self.waiting).map_err(|error| data_specs::Error::parquet(&self.path)(error.into()))?;
        self.writer.write(&batch).map_err(data_specs::Error::parquet(&self.path))?;
        self.waiting.clear();
        Ok(())
    }
}

/// Reads the rejects of `entry`, some thousand at a time.
pub(crate) fn read_rejects(
    folder: &Path,
    entry: &RejectsEntry,
    mut each: impl FnMut(Reject) -> Result<(), Error>,
) -> Result<(), Error> {
    let path = folder.join(&entry.name);
    let file = File::open(&path).map_err(Error::io("read", &path))?;
    let found = data_specs::hash_file(&path)?;
    if found != entry.blake3 {
        return Err(damaged(&path, format!("has BLAKE3 {found}, its manifest says {}", entry.blake3)));
    }
    let batches = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(BATCH).build())
        .map_err(data_specs::Error::parquet(&path))?;
    for batch in batches {
        let batch = batch.map_err(|error| data_specs::Error::parquet(&path)(error.into()))?;
        for reject in from_batch(&batch).map_err(|what| damaged(&path, what))? {
            each(reject)?;
        }
    }
    Ok(())
}

fn damaged(path: &Path, what: String) -> Error {
    Error::Output { path: path.to_path_buf(), what, hint: "build again into a new folder".into() }
}

fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        Arc::new(Schema::new(vec![
            text("outcome"),
            text("unit"),
            text("stage"),
            text("code"),
            text("source"),
            text("file"),
            Field::new("line", DataType::Int64, true),
            text("key"),
            text("message"),
            Field::new("retryable", DataType::Boolean, false),
        ]))
    });
    SCHEMA.clone()
}

fn to_batch(rejects: &[Reject]) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let text = |of: &dyn Fn(&Reject) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rejects.iter().map(of)))
    };
    RecordBatch::try_new(
        schema(),
        vec![
            text(&|reject| word(&reject.outcome)),
            text(&|reject| word(&reject.unit)),
            text(&|reject| word(&reject.stage)),
            text(&|reject| word(&reject.code)),
            text(&|reject| reject.source.clone()),
            text(&|reject| reject.file.clone()),
            Arc::new(
                rejects.iter().map(|reject| reject.line.map(|line| line as i64)).collect::<Int64Array>(),
            ),
            text(&|reject| reject.key.clone()),
            text(&|reject| reject.message.clone()),
            Arc::new(rejects.iter().map(|reject| Some(reject.retryable)).collect::<BooleanArray>()),
        ],
    )
}

fn from_batch(batch: &RecordBatch) -> Result<Vec<Reject>, String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("column `{name}` is missing"));
    let text = |name: &str| column(name).map(|column| column.as_string::<i32>());
    let lines = column("line")?.as_primitive::<Int64Type>();
    let retryable = column("retryable")?.as_boolean();
    (0..batch.num_rows())
        .map(|row| {
            Ok(Reject {
                outcome: from_word(text("outcome")?.value(row))?,
                unit: from_word(text("unit")?.value(row))?,
                stage: from_word(text("stage")?.value(row))?,
                code: from_word(text("code")?.value(row))?,
                source: text("source")?.value(row).to_string(),
                file: text("file")?.value(row).to_string(),
                line: lines.is_valid(row).then(|| lines.value(row) as u64),
                key: text("key")?.value(row).to_string(),
                message: text("message")?.value(row).to_string(),
                retryable: retryable.value(row),
            })
        })
        .collect()
}

/// The word that serde gives a variant: one spelling in files, reports and code.
pub(crate) fn word<T: Serialize>(variant: &T) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => word,
        _ => unreachable!("these enums have only unit variants"),
    }
}

fn from_word<T: DeserializeOwned>(word: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(word.to_string())).map_err(|error| error.to_string())
}
