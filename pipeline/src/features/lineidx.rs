//! The `.lineidx` beside a TSV: one decimal byte offset a row.
//!
//! Rows are found by reading the file, so an index is never needed; one that is there is compared
//! with the file, because a stale index means that somebody changed one of the two.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::rows::broken;
use crate::{Error, inputs::Span};

/// Longest sensible line of an index: 20 digits and an end of line, generously.
const LONGEST: u64 = 64;

/// The index of one TSV while its rows pass by.
#[derive(Debug)]
pub(crate) enum LineIndex {
    /// There is none.
    Absent,
    /// One is there and has to fit.
    Checked(Check),
    /// None was there, and one is wanted.
    Written(BufWriter<NamedTempFile>, PathBuf),
    /// All is said.
    Done,
}

/// An index that is being compared.
#[derive(Debug)]
pub(crate) struct Check {
    reader: BufReader<File>,
    path: PathBuf,
    tsv: PathBuf,
    tsv_bytes: u64,
    line: u64,
}

impl LineIndex {
    /// Opens the index of `tsv` if there is one; otherwise begins it if `write`.
    pub(crate) fn beside(tsv: &Path, write: bool) -> Result<LineIndex, Error> {
        let path = tsv.with_extension("lineidx");
        match File::open(&path) {
            Ok(file) => {
                let tsv_bytes = tsv.metadata().map_err(Error::io("read", tsv))?.len();
                let reader = BufReader::new(file);
                Ok(LineIndex::Checked(Check { reader, path, tsv: tsv.to_path_buf(), tsv_bytes, line: 0 }))
            }
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("read", &path)(error)),
            Err(_) if write => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let temporary = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
                    .map_err(Error::io("create", &path))?;
                Ok(LineIndex::Written(BufWriter::new(temporary), path))
            }
            Err(_) => Ok(LineIndex::Absent),
        }
    }

    /// Takes the next row of the file.
    pub(crate) fn row(&mut self, row: Span) -> Result<(), Error> {
        match self {
            LineIndex::Absent | LineIndex::Done => Ok(()),
            LineIndex::Checked(check) => check.row(row),
            LineIndex::Written(writer, path) => {
                writeln!(writer, "{}", row.offset).map_err(Error::io("write", path))
            }
        }
    }

    /// The file has no more rows.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        match std::mem::replace(self, LineIndex::Done) {
            LineIndex::Absent | LineIndex::Done => Ok(()),
            LineIndex::Checked(mut check) => check.end(),
            LineIndex::Written(writer, path) => {
                let temporary =
                    writer.into_inner().map_err(|error| Error::io("write", &path)(error.into()))?;
                temporary.as_file().sync_all().map_err(Error::io("write", &path))?;
                temporary.persist(&path).map_err(|error| Error::io("rename", &path)(error.error))?;
                Ok(())
            }
        }
    }
}

impl Check {
    fn row(&mut self, row: Span) -> Result<(), Error> {
        let Some(offset) = self.next_offset()? else {
            let what = format!(
                "the index ends after {} rows, but {} has a row at line {}",
                self.line - 1,
                self.tsv.display(),
                row.line
            );
            return Err(self.stale(what));
        };
        if offset == row.offset {
            return Ok(());
        }
        let tsv = self.tsv.display();
        let what = if offset >= self.tsv_bytes {
            format!("offset {offset} is beyond the {} bytes of {tsv}", self.tsv_bytes)
        } else {
            format!("offset {offset}, but row {} of {tsv} starts at byte {}", row.line, row.offset)
        };
        Err(self.stale(what))
    }

    fn end(&mut self) -> Result<(), Error> {
        match self.next_offset()? {
            None => Ok(()),
            Some(offset) if offset >= self.tsv_bytes => Err(self.stale(format!(
                "offset {offset} is beyond the {} bytes of {}",
                self.tsv_bytes,
                self.tsv.display()
            ))),
            Some(_) => {
                let what =
                    format!("the index goes on, but {} has {} rows", self.tsv.display(), self.line - 1);
                Err(self.stale(what))
            }
        }
    }

    fn next_offset(&mut self) -> Result<Option<u64>, Error> {
        self.line += 1;
        let mut text = Vec::new();
        let read = (&mut self.reader).take(LONGEST).read_until(b'\n', &mut text);
        if read.map_err(Error::io("read", &self.path))? == 0 {
            return Ok(None);
        }
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        number.map(Some).ok_or_else(|| self.stale("not a byte offset".into()))
    }

    fn stale(&self, what: String) -> Error {
        let hint =
            "the index is stale: remove it (it is not needed), or put the file back that it was made for";
        broken(&self.path, Some(self.line), what, hint)
    }
}
