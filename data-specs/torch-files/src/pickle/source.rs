//! The bytes of a pickle, with their position and a known end.

use std::io::{ErrorKind, Read};

use crate::error::Error;

/// Reads forward through a file or entry whose length is known, so that no length prefix is believed.
pub(crate) struct Source<'r> {
    reader: &'r mut dyn Read,
    file: String,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    position: u64,
    end: u64,
    /// Where the current pickle must have stopped, and the limit that says so.
    bound: u64,
    allowed: u64,
}

const BUFFER: usize = 64 << 10;

impl<'r> Source<'r> {
    /// `len` bytes are to come from `reader`; `file` is the name for errors.
    pub(crate) fn new(file: String, reader: &'r mut dyn Read, len: u64) -> Self {
        let buffer = vec![0; BUFFER];
        Source { reader, file, buffer, at: 0, filled: 0, position: 0, end: len, bound: len, allowed: len }
    }

    /// The next pickle starts here and may have this many bytes.
    pub(crate) fn start_pickle(&mut self, max_bytes: u64) {
        self.bound = self.position.saturating_add(max_bytes);
        self.allowed = max_bytes;
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn at_end(&self) -> bool {
        self.position == self.end
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        self.expect(1)?;
        if self.at == self.filled {
            self.refill()?;
        }
        let byte = self.buffer[self.at];
        self.at += 1;
        self.position += 1;
        Ok(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// Exactly `n` bytes, after checking that the file has them.
    pub(crate) fn take(&mut self, n: u64) -> Result<Vec<u8>, Error> {
        self.expect(n)?;
        let mut bytes = Vec::new();
        let mut left = usize::try_from(n).map_err(|_| self.truncated(n))?;
        while left > 0 {
            if self.at == self.filled {
                self.refill()?;
            }
            let piece = left.min(self.filled - self.at);
            // `reserve_exact` once, and only now that the file has proved to have bytes at all
            if bytes.capacity() == 0 {
                bytes.reserve_exact(left);
            }
            bytes.extend_from_slice(&self.buffer[self.at..self.at + piece]);
            self.at += piece;
            self.position += piece as u64;
            left -= piece;
        }
        Ok(bytes)
    }

    /// The bytes up to the next line feed, which is consumed and left out.
    pub(crate) fn line(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(bytes),
                byte => bytes.push(byte),
            }
        }
    }

    fn expect(&self, n: u64) -> Result<(), Error> {
        if n > self.end - self.position {
            return Err(self.truncated(n));
        }
        if n > self.bound.saturating_sub(self.position) {
            let (file, position) = (self.file.clone(), self.position);
            return Err(Error::Limit { file, position, limit: "max_pickle_bytes", allowed: self.allowed });
        }
        Ok(())
    }

    fn refill(&mut self) -> Result<(), Error> {
        loop {
            match self.reader.read(&mut self.buffer) {
                Ok(0) => return Err(self.truncated(1)),
                Ok(n) => {
                    (self.at, self.filled) = (0, n);
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Io { file: self.file.clone(), action: "read", source }),
            }
        }
    }

    fn truncated(&self, needed: u64) -> Error {
        let available = self.end - self.position;
        Error::Truncated { file: self.file.clone(), position: self.position, needed, available }
    }
}
