//! JSON maps from picture id to row number (`imageid2idx.json`) or byte offset (`..._offset_map.json`).
//!
//! As with `.lineidx`: nothing is taken from them, but a map that contradicts its file means that
//! somebody changed one of the two.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use super::rows::broken;
use crate::{Error, inputs::Span};

/// What the numbers of a map count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// Rows from 0.
    Rows,
    /// Bytes before the row.
    Bytes,
}

/// A map while the rows of its file pass by.
#[derive(Debug)]
pub(super) struct IdIndex {
    path: PathBuf,
    counts: Counts,
    /// Entries whose row has not come yet.
    open: HashMap<String, u64>,
    /// Rows that cannot be looked up, each of which excuses an entry without a row.
    nameless: usize,
}

impl IdIndex {
    /// Reads the map at `path`, if there is one.
    pub(super) fn read(path: &Path, counts: Counts) -> Result<Option<IdIndex>, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let open = serde_json::from_reader(BufReader::new(file)).map_err(|error| {
            let what = format!("not a JSON map from picture id to number: {error}");
            broken(path, Some(error.line() as u64), what, "mend the map or remove it; it is not needed")
        })?;
        Ok(Some(IdIndex { path: path.to_path_buf(), counts, open, nameless: 0 }))
    }

    /// Compares the entry of `id` with its row in `tsv`.
    pub(super) fn row(&mut self, tsv: &Path, id: &str, span: Span) -> Result<(), Error> {
        let (found, unit) = match self.counts {
            Counts::Rows => (span.line - 1, "row"),
            Counts::Bytes => (span.offset, "byte"),
        };
        let what = match self.open.remove(id) {
            Some(stated) if stated == found => return Ok(()),
            Some(stated) => format!("puts picture {id} at {unit} {stated}; it stands at {unit} {found}"),
            None => format!("has no entry (or no second one) for picture {id} at {unit} {found}"),
        };
        Err(self.stale(tsv, Some(span.line), &what))
    }

    /// Takes note of a row without a readable id.
    pub(super) fn nameless_row(&mut self) {
        self.nameless += 1;
    }

    /// Whether every entry has met its row in `tsv`.
    pub(super) fn finish(self, tsv: &Path) -> Result<(), Error> {
        if self.open.len() <= self.nameless {
            return Ok(());
        }
        let first = self.open.keys().min().map_or("", String::as_str);
        let what = format!("names {} pictures without a row there ({first} is one)", self.open.len());
        Err(self.stale(tsv, None, &what))
    }

    fn stale(&self, tsv: &Path, line: Option<u64>, what: &str) -> Error {
        let place = format!("{} {what}", self.path.display());
        let hint = "map and file are not of one export: put the right ones together, or remove the map \
                    (it is not needed)";
        broken(tsv, line, place, hint)
    }
}
