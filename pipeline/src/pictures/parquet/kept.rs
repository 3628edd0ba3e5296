//! What stays in memory between two reads: a few footers, and the pictures around the last ones read.
//!
//! Rows of a build are read in the order of the file, and a page that has to be decoded for one picture
//! holds those after it: they are copied out of it, so that the page, which may be far larger, can go.

use std::path::Path;

use bytes::Bytes;

use super::file::{Failure, ParquetFile};

/// Files whose footers are kept.
pub(super) const FILES: usize = 8;

/// Runs of pictures that are kept, and how long each is: 64 MiB in all, but for single large pictures.
const RUNS: usize = 4;
const RUN_BYTES: usize = 16 << 20;
const RUN_PICTURES: usize = 256;

/// Of both, the latest last.
#[derive(Default)]
pub(super) struct Kept {
    files: Vec<(String, ParquetFile)>,
    runs: Vec<Run>,
}

struct Run {
    file: String,
    group: usize,
    first: usize,
    pictures: Vec<Option<Bytes>>,
}

impl Run {
    fn get(&self, file: &str, group: usize, row: usize) -> Option<&Option<Bytes>> {
        if self.file != file || self.group != group {
            return None;
        }
        self.pictures.get(row.checked_sub(self.first)?)
    }
}

impl Kept {
    /// The picture in `column` in a row of a group of the file at `path`, which is called `name` here.
    ///
    /// # Errors
    /// A file that is gone, or is not what it was.
    pub(super) fn picture(
        &mut self,
        (name, path): (&str, &Path),
        column: &str,
        group: usize,
        row: usize,
    ) -> Result<Option<Bytes>, Failure> {
        if let Some(picture) = self.runs.iter().find_map(|run| run.get(name, group, row)) {
            return Ok(picture.clone());
        }
        let pictures = self.opened(name, path)?.pictures(column, group, row, (RUN_PICTURES, RUN_BYTES))?;
        let picture = pictures[0].clone();
        if self.runs.len() == RUNS {
            self.runs.remove(0);
        }
        self.runs.push(Run { file: name.to_string(), group, first: row, pictures });
        Ok(picture)
    }

    /// The file, opened now or before.
    fn opened(&mut self, name: &str, path: &Path) -> Result<&ParquetFile, Failure> {
        if let Some(at) = self.files.iter().position(|(known, _)| known == name) {
            self.files[at..].rotate_left(1);
        } else {
            let file = ParquetFile::open(path)?;
            if self.files.len() == FILES {
                self.files.remove(0);
            }
            self.files.push((name.to_string(), file));
        }
        Ok(&self.files[self.files.len() - 1].1)
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.files.len(), self.runs.len())
    }
}
