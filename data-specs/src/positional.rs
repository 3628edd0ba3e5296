//! A file that several threads read at once.
//!
//! parquet reads a `File` by duplicating its descriptor and seeking. Duplicates share one position: two rows that are read at
//! the same time would move one another. Here every read says where.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

/// An open file, read by position.
#[derive(Debug, Clone)]
pub(crate) struct Positional {
    file: Arc<File>,
    len: u64,
}

/// What follows a place of the file.
#[derive(Debug)]
pub(crate) struct Reading {
    file: Arc<File>,
    at: u64,
}

impl Positional {
    /// # Errors
    /// What the system says of the file.
    pub(crate) fn new(file: File) -> std::io::Result<Positional> {
        let len = file.metadata()?.len();
        Ok(Positional { file: Arc::new(file), len })
    }

    /// Fills `into` with the bytes from `at` on.
    ///
    /// # Errors
    /// A failed read, or the end of the file.
    pub(crate) fn read_exact_at(&self, into: &mut [u8], at: u64) -> std::io::Result<()> {
        self.file.read_exact_at(into, at)
    }
}

impl Length for Positional {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Positional {
    type T = BufReader<Reading>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(Reading { file: self.file.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // a damaged index must not ask for memory that no file fills
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            let what = format!("{length} bytes from {start} on reach past the end, {}", self.len);
            return Err(parquet::errors::ParquetError::EOF(what));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

impl Read for Reading {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
