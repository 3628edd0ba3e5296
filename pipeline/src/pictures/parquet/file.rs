//! One Parquet file: its footer, and the values of single columns, read by position.

use std::any::Any;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use ::parquet::column::page::PageReader;
use ::parquet::column::reader::ColumnReaderImpl;
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use ::parquet::file::reader::{ChunkReader, Length};
use ::parquet::file::serialized_reader::SerializedPageReader;
use bytes::Bytes;

use super::columns::leaf;
use crate::Error;

/// A file with its footer read; threads may share it.
pub(super) struct ParquetFile {
    bytes: Arc<Positioned>,
    footer: ParquetMetaData,
}

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum Failure {
    /// The operating system refused.
    Io(io::Error),
    /// The file is not what its format promises.
    Content(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Io(error) => error.fmt(f),
            Failure::Content(what) => f.write_str(what),
        }
    }
}

impl Failure {
    /// The error of a build that meets it in `path`.
    pub(super) fn of(self, path: &Path) -> Error {
        match self {
            Failure::Io(error) => Error::io("read", path)(error),
            Failure::Content(what) => Error::Input {
                path: path.to_path_buf(),
                line: None,
                what,
                hint: "is this a Parquet file, and is it whole?".into(),
            },
        }
    }
}

impl From<ParquetError> for Failure {
    fn from(error: ParquetError) -> Failure {
        Failure::Content(format!("cannot be read as Parquet: {error}"))
    }
}

/// Calls into the reader, which may meet bytes that its authors did not foresee.
pub(super) fn guarded<T>(read: impl FnOnce() -> ParquetResult<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(outcome) => Ok(outcome?),
        Err(panic) => Err(Failure::Content(format!("the Parquet reader gave up: {}", message(&*panic)))),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

impl ParquetFile {
    /// Opens `path` and reads its footer, and its offset index if it has one.
    pub(super) fn open(path: &Path) -> Result<ParquetFile, Failure> {
        let file = File::open(path).map_err(Failure::Io)?;
        let len = file.metadata().map_err(Failure::Io)?.len();
        let bytes = Positioned { file: Arc::new(file), len };
        let footer = guarded(|| {
            ParquetMetaDataReader::new()
                .with_column_index_policy(PageIndexPolicy::Skip)
                .with_offset_index_policy(PageIndexPolicy::Optional)
                .parse_and_finish(&bytes)
        })?;
        Ok(ParquetFile { bytes: Arc::new(bytes), footer })
    }

    pub(super) fn footer(&self) -> &ParquetMetaData {
        &self.footer
    }

    pub(super) fn groups(&self) -> usize {
        self.footer.num_row_groups()
    }

    /// Rows of a group.
    pub(super) fn rows(&self, group: usize) -> Result<usize, Failure> {
        let rows = self.footer.row_group(group).num_rows();
        usize::try_from(rows).map_err(|_| Failure::Content(format!("row group {group} has {rows} rows")))
    }

    /// The values of leaf column `leaf` in a row group, which must be of type `T`.
    pub(super) fn values<T: DataType>(&self, group: usize, leaf: usize) -> Result<Values<T>, Failure> {
        let reader = guarded(|| {
            let metadata = self.footer.row_group(group);
            let column = metadata.column(leaf);
            let index = self.footer.offset_index();
            let pages =
                index.and_then(|index| index.get(group)?.get(leaf)).map(|index| index.page_locations());
            let pages = pages.filter(|pages| !pages.is_empty()).cloned();
            let rows = usize::try_from(metadata.num_rows())?;
            let pages = SerializedPageReader::new(Arc::clone(&self.bytes), column, rows, pages)?;
            let pages: Box<dyn PageReader> = Box::new(pages);
            Ok(ColumnReaderImpl::new(column.column_descr_ptr(), pages))
        })?;
        let levels = self.footer.row_group(group).column(leaf).column_descr().max_def_level();
        Ok(Values { reader, levels })
    }

    /// The pictures of `column` in a group from `row` on: at least that one, and of those behind it in its
    /// page (or that are read without an index) as many as `limits` allow, in number and bytes.
    pub(super) fn pictures(
        &self,
        column: &str,
        group: usize,
        row: usize,
        limits: (usize, usize),
    ) -> Result<Vec<Option<Bytes>>, Failure> {
        if group >= self.groups() || row >= self.rows(group)? {
            return Err(Failure::Content(format!("has no row {row} in row group {group} any more")));
        }
        let leaf = leaf(self, column).map_err(|(what, _)| Failure::Content(what))?;
        let end = self.page_end(group, leaf, row).unwrap_or(usize::MAX).min(self.rows(group)?);
        let mut values = self.values::<ByteArrayType>(group, leaf)?;
        values.skip(row)?;
        let mut pictures: Vec<Option<Bytes>> = Vec::new();
        let mut bytes = 0;
        loop {
            let value = match values.next(1) {
                Ok(mut value) => value.pop().flatten(),
                // Told when its own row is read.
                Err(_) if !pictures.is_empty() => break,
                Err(failure) => return Err(failure),
            };
            bytes += value.as_ref().map_or(0, ByteArray::len);
            if bytes > limits.1 && !pictures.is_empty() {
                break;
            }
            pictures.push(value.map(|value| Bytes::copy_from_slice(value.data())));
            if pictures.len() >= limits.0 || row + pictures.len() >= end {
                break;
            }
        }
        Ok(pictures)
    }

    /// The first row behind the page that `row` is in, where the file has an offset index.
    fn page_end(&self, group: usize, leaf: usize, row: usize) -> Option<usize> {
        let pages = self.footer.offset_index()?.get(group)?.get(leaf)?.page_locations();
        let next = pages.iter().map(|page| page.first_row_index).find(|&first| first > row as i64)?;
        usize::try_from(next).ok()
    }
}

/// The values of a column, null or not, in the order of the rows.
pub(super) struct Values<T: DataType> {
    reader: ColumnReaderImpl<T>,
    levels: i16,
}

impl<T: DataType> Values<T> {
    /// The next `rows` values.
    pub(super) fn next(&mut self, rows: usize) -> Result<Vec<Option<T::T>>, Failure> {
        guarded(|| {
            let (mut levels, mut present) = (Vec::new(), Vec::new());
            let (read, ..) = self.reader.read_records(rows, Some(&mut levels), None, &mut present)?;
            if read != rows {
                return Err(ParquetError::General(format!(
                    "a column has {} rows less than its group",
                    rows - read
                )));
            }
            if self.levels == 0 {
                return Ok(present.into_iter().map(Some).collect());
            }
            let mut present = present.into_iter();
            Ok(levels
                .into_iter()
                .map(|level| if level == self.levels { present.next() } else { None })
                .collect())
        })
    }

    /// Passes over the next `rows` values.
    fn skip(&mut self, rows: usize) -> Result<(), Failure> {
        let skipped = guarded(|| self.reader.skip_records(rows))?;
        if skipped == rows {
            Ok(())
        } else {
            Err(Failure::Content("a column is shorter than its group".into()))
        }
    }
}

/// A file read by position: the readers of `std::fs::File` share one cursor, and threads share the file.
struct Positioned {
    file: Arc<File>,
    len: u64,
}

/// Reads on from a position.
struct ReadFrom {
    file: Arc<File>,
    offset: u64,
}

impl Read for ReadFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl Length for Positioned {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Positioned {
    type T = BufReader<ReadFrom>;

    fn get_read(&self, start: u64) -> ParquetResult<BufReader<ReadFrom>> {
        Ok(BufReader::new(ReadFrom { file: Arc::clone(&self.file), offset: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        // Before anything is allocated: a damaged file may ask for anything.
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            let what = format!("{length} bytes from byte {start} on are asked for, of {}", self.len);
            return Err(ParquetError::EOF(what));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}
