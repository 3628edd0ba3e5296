//! Lines of a file as its chunks arrive: where each one lies, and its bytes.

use std::path::{Path, PathBuf};

use memchr::memchr;

use crate::Error;

/// One line, without its end (`\n` or `\r\n`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// 1-based.
    pub number: u64,
    /// First byte in the file.
    pub offset: u64,
    /// The bytes: of the chunk itself where the line lies inside one.
    pub bytes: &'a [u8],
}

/// The lines of a file that comes in chunks of any size; a mark of UTF-8 (BOM) before the first is skipped.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    max_line: u32,
    /// What earlier chunks hold of the current line.
    carry: Vec<u8>,
    /// Where the current line begins, and its number.
    offset: u64,
    number: u64,
}

impl Lines {
    /// Lines of the file at `path` (for messages), none longer than `max_line` bytes.
    pub fn new(path: &Path, max_line: u32) -> Lines {
        Lines { path: path.to_path_buf(), max_line, carry: Vec::new(), offset: 0, number: 1 }
    }

    /// Takes the next chunk and passes on the lines that end in it.
    ///
    /// # Errors
    /// A line that is too long, or what `on_line` returns.
    pub fn push(
        &mut self,
        mut chunk: &[u8],
        on_line: &mut impl FnMut(Line<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(end) = memchr(b'\n', chunk) {
            let (piece, rest) = (&chunk[..end], &chunk[end + 1..]);
            if self.carry.is_empty() {
                self.pass(piece, on_line)?;
                self.offset += piece.len() as u64 + 1;
            } else {
                self.keep(piece)?;
                let line = std::mem::take(&mut self.carry);
                self.pass(&line, on_line)?;
                self.offset += line.len() as u64 + 1;
                self.carry = line; // its memory serves again
                self.carry.clear();
            }
            self.number += 1;
            chunk = rest;
        }
        self.keep(chunk)
    }

    /// Passes on a last line that has no end of line.
    ///
    /// # Errors
    /// What `on_line` returns.
    pub fn finish(mut self, on_line: &mut impl FnMut(Line<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let last = std::mem::take(&mut self.carry);
        if last.is_empty() { Ok(()) } else { self.pass(&last, on_line) }
    }

    fn pass(
        &self,
        bytes: &[u8],
        on_line: &mut impl FnMut(Line<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check(bytes.len())?;
        let mark = if self.number == 1 && bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let bytes = &bytes[mark..];
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        on_line(Line { number: self.number, offset: self.offset + mark as u64, bytes })
    }

    fn keep(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.check(self.carry.len() + piece.len())?;
        self.carry.extend_from_slice(piece);
        Ok(())
    }

    fn check(&self, length: usize) -> Result<(), Error> {
        if length as u64 <= u64::from(self.max_line) {
            return Ok(());
        }
        Err(Error::Input {
            path: self.path.clone(),
            line: Some(self.number),
            what: format!("the line is longer than {} bytes", self.max_line),
            hint: "is it a text file of the layout that the spec names?".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(bytes: &[u8], chunk: usize, max_line: u32) -> Result<Vec<(u64, u64, Vec<u8>)>, Error> {
        let mut seen = Vec::new();
        let mut lines = Lines::new(Path::new("some.tsv"), max_line);
        let mut on_line = |line: Line<'_>| {
            seen.push((line.number, line.offset, line.bytes.to_vec()));
            Ok(())
        };
        for piece in bytes.chunks(chunk) {
            lines.push(piece, &mut on_line)?;
        }
        lines.finish(&mut on_line)?;
        Ok(seen)
    }

    #[test]
    fn every_chunk_size_gives_the_same_lines() {
        let bytes = b"\xEF\xBB\xBFone\ttwo\r\n\nthree \r \n\rfour\xFF";
        let expected: Vec<(u64, u64, Vec<u8>)> = vec![
            (1, 3, b"one\ttwo".to_vec()),
            (2, 12, Vec::new()),
            (3, 13, b"three \r ".to_vec()),
            (4, 22, b"\rfour\xFF".to_vec()),
        ];
        for chunk in [1, 2, 3, 7, 64 << 10] {
            assert_eq!(lines_of(bytes, chunk, 64).unwrap(), expected, "chunks of {chunk}");
        }
        for (number, offset, line) in expected {
            assert_eq!(&bytes[offset as usize..][..line.len()], line, "line {number} lies where it says");
        }
    }

    #[test]
    fn the_end_of_the_last_line_makes_no_line() {
        assert_eq!(lines_of(b"", 4, 9).unwrap(), []);
        assert_eq!(lines_of(b"\n", 4, 9).unwrap().len(), 1);
        assert_eq!(lines_of(b"a\nb", 4, 9).unwrap(), lines_of(b"a\nb\n", 4, 9).unwrap());
    }

    #[test]
    fn a_line_over_the_limit_is_an_error_with_its_number() {
        for chunk in [1, 3, 64] {
            assert_eq!(lines_of(b"12\n12345\n", chunk, 5).unwrap().len(), 2);
            let refused = lines_of(b"12\n123456\n", chunk, 5).unwrap_err().to_string();
            assert!(refused.starts_with("some.tsv:2: the line is longer than 5 bytes"), "{refused}");
        }
    }

    #[test]
    fn an_error_of_the_caller_ends_the_scan() {
        let mut lines = Lines::new(Path::new("some.tsv"), 9);
        let stop = |_: Line<'_>| Err(Error::Interrupted { signal: 2 });
        assert!(matches!(lines.push(b"a\nb\n", &mut { stop }), Err(Error::Interrupted { .. })));
    }
}
