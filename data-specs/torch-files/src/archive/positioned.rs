//! Reading a file at positions, without a cursor to share, so that `&self` is enough and threads do not meet.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::Error;

/// An open file of a known length.
#[derive(Debug)]
pub(super) struct PositionedFile {
    file: File,
    pub(super) name: String,
    pub(super) len: u64,
}

impl PositionedFile {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let io = |action, source| Error::Io { file: name.clone(), action, source };
        let file = File::open(path).map_err(|e| io("open", e))?;
        let len = file.metadata().map_err(|e| io("stat", e))?.len();
        Ok(PositionedFile { file, name, len })
    }

    /// `n` bytes from `start`, after checking that the file has them.
    pub(super) fn read(&self, start: u64, n: u64) -> Result<Vec<u8>, Error> {
        let available = self.len.saturating_sub(start);
        let bytes = usize::try_from(n).ok().filter(|_| n <= available);
        let Some(bytes) = bytes else {
            return Err(Error::Truncated { file: self.name.clone(), position: start, needed: n, available });
        };
        let mut buffer = vec![0; bytes];
        let done = self.cursor(start, start + n).read_exact(&mut buffer);
        done.map_err(|source| self.io("read", source))?;
        Ok(buffer)
    }

    /// A reader of `start..end` with a position of its own.
    pub(super) fn cursor(&self, start: u64, end: u64) -> Cursor<'_> {
        Cursor { file: &self.file, at: start, end }
    }

    pub(super) fn io(&self, action: &'static str, source: io::Error) -> Error {
        Error::Io { file: self.name.clone(), action, source }
    }
}

/// See [`PositionedFile::cursor`].
pub(super) struct Cursor<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let n = read_at(self.file, &mut buffer[..wanted], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the start"))?;
        Ok(self.at)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}
