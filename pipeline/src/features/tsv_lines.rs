//! Finds the lines of a file that passes by in chunks, keeping only the head of each.

use memchr::memchr;

/// Bytes of a line that its reader sees; an id and its tab must lie within.
pub(super) const HEAD: usize = 1024;

/// One line, end of line (`\n` or `\r\n`) not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// First byte of the line in the file.
    pub(super) offset: u64,
    /// Bytes of the whole line.
    pub(super) len: u64,
    /// 1-based.
    pub(super) number: u64,
    /// The first bytes of the line, at most [`HEAD`].
    pub(super) head: &'a [u8],
}

/// Cuts a stream of chunks into lines: one `memchr` over the bytes, nothing copied but heads that a chunk cuts.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    /// Where the unfinished line starts.
    offset: u64,
    /// Lines finished so far.
    finished: u64,
    /// The unfinished line: its head, its length and its last byte.
    head: Vec<u8>,
    len: u64,
    last: u8,
}

impl LineSplitter {
    /// Takes the next bytes of the file and reports each line that ends in them.
    pub(super) fn feed<E>(
        &mut self,
        mut chunk: &[u8],
        mut on_line: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = memchr(b'\n', chunk) {
            self.extend(&chunk[..end]);
            self.finish_line(1, &mut on_line)?;
            chunk = &chunk[end + 1..];
        }
        self.extend(chunk);
        Ok(())
    }

    /// Reports a last line that no end of line closes.
    pub(super) fn finish<E>(mut self, mut on_line: impl FnMut(Line<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.len > 0 { self.finish_line(0, &mut on_line) } else { Ok(()) }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.len += bytes.len() as u64;
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn finish_line<E>(
        &mut self,
        newline: u64,
        on_line: &mut impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // Python's csv module ends lines with \r\n.
        let len = if self.len > 0 && self.last == b'\r' { self.len - 1 } else { self.len };
        let head = &self.head[..self.head.len().min(len as usize)];
        self.finished += 1;
        let outcome = on_line(Line { offset: self.offset, len, number: self.finished, head });
        self.offset += self.len + newline;
        self.head.clear();
        self.len = 0;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Vec<(u64, u64, u64, Vec<u8>)>;

    fn lines(text: &[u8], chunk: usize) -> Seen {
        let mut seen = Vec::new();
        let mut splitter = LineSplitter::default();
        let mut on_line = |line: Line<'_>| -> Result<(), ()> {
            seen.push((line.offset, line.len, line.number, line.head.to_vec()));
            Ok(())
        };
        for piece in text.chunks(chunk) {
            splitter.feed(piece, &mut on_line).unwrap();
        }
        splitter.finish(&mut on_line).unwrap();
        seen
    }

    #[test]
    fn lines_do_not_depend_on_where_chunks_end() {
        let mut text = b"a\tb\r\n\nlonger\tline\n".to_vec();
        text.extend_from_slice(&vec![b'x'; HEAD + 50]);
        text.extend_from_slice(b"\r\nlast");
        let whole = lines(&text, text.len());
        assert_eq!(whole[0], (0, 3, 1, b"a\tb".to_vec()));
        assert_eq!(whole[1], (5, 0, 2, vec![]));
        assert_eq!(whole[3].1, HEAD as u64 + 50);
        assert_eq!(whole[3].3.len(), HEAD);
        assert_eq!(whole[4], (text.len() as u64 - 4, 4, 5, b"last".to_vec()));
        for chunk in [1, 2, 3, 5, 7, 1024, 1025] {
            assert_eq!(lines(&text, chunk), whole, "chunks of {chunk}");
        }
    }

    #[test]
    fn an_end_of_line_at_the_end_opens_no_further_line() {
        assert_eq!(lines(b"a\n", 9).len(), 1);
        assert_eq!(lines(b"", 9).len(), 0);
        assert_eq!(lines(b"a\n\n", 9).len(), 2);
    }
}
