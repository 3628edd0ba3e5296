//! Lines whose last column is far longer than the rest: where it lies, without keeping it.

use memchr::{memchr, memrchr};

use crate::Error;
use crate::features::LONGEST_ID;

/// A line of which only the beginning is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastColumn<'a> {
    /// 1-based.
    pub(super) line: u64,
    /// First byte of the line in the file, and its bytes without the line's end.
    pub(super) start: u64,
    pub(super) len: u64,
    /// As many bytes as an id and its tab may take.
    pub(super) head: &'a [u8],
    /// Place and length of what follows the last tab, if there is a tab.
    pub(super) last: Option<(u64, u64)>,
}

/// The lines of a file that comes in chunks of any size; a mark of UTF-8 (BOM) before the first is skipped.
/// Memory does not grow with a line.
#[derive(Debug, Default)]
pub(super) struct LastColumns {
    lines: u64,
    /// Places of the next chunk, of the line's first byte, and of its last tab.
    offset: u64,
    start: u64,
    tab: Option<u64>,
    head: Vec<u8>,
    /// The last byte before the next chunk.
    before: u8,
}

impl LastColumns {
    /// Takes the next chunk and passes on the lines that end in it.
    ///
    /// # Errors
    /// What `on_row` returns.
    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        on_row: &mut impl FnMut(LastColumn<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut rest = chunk;
        while let Some(end) = memchr(b'\n', rest) {
            self.take(&rest[..end]);
            self.pass(on_row)?;
            self.offset += 1;
            (self.start, self.tab) = (self.offset, None);
            self.head.clear();
            rest = &rest[end + 1..];
        }
        self.take(rest);
        Ok(())
    }

    /// Passes on a last line that has no end of line; returns how many lines there are.
    ///
    /// # Errors
    /// What `on_row` returns.
    pub(super) fn finish(
        mut self,
        on_row: &mut impl FnMut(LastColumn<'_>) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        if self.offset > self.start {
            self.pass(on_row)?;
        }
        Ok(self.lines)
    }

    /// Goes on in the present line.
    fn take(&mut self, piece: &[u8]) {
        if let Some(tab) = memrchr(b'\t', piece) {
            self.tab = Some(self.offset + tab as u64);
        }
        let missing = LONGEST_ID.saturating_sub(self.head.len());
        self.head.extend_from_slice(&piece[..missing.min(piece.len())]);
        self.before = piece.last().copied().unwrap_or(self.before);
        self.offset += piece.len() as u64;
    }

    /// The line is complete.
    fn pass(&mut self, on_row: &mut impl FnMut(LastColumn<'_>) -> Result<(), Error>) -> Result<(), Error> {
        self.lines += 1;
        let mark = if self.lines == 1 && self.head.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let start = self.start + mark as u64;
        let carriage_return = self.offset > start && self.before == b'\r';
        let end = self.offset - u64::from(carriage_return);
        let len = end - start;
        let head = &self.head[mark..];
        let head = &head[..head.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        let last = self.tab.map(|tab| (tab + 1, end - (tab + 1)));
        on_row(LastColumn { line: self.lines, start, len, head, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (u64, u64, u64, Vec<u8>, Option<(u64, u64)>);

    fn rows(bytes: &[u8], chunk: usize) -> Vec<Row> {
        let mut seen = Vec::new();
        let mut on_row = |row: LastColumn<'_>| {
            seen.push((row.line, row.start, row.len, row.head.to_vec(), row.last));
            Ok(())
        };
        let mut columns = LastColumns::default();
        for piece in bytes.chunks(chunk) {
            columns.push(piece, &mut on_row).unwrap();
        }
        assert_eq!(columns.finish(&mut on_row).unwrap(), seen.len() as u64);
        seen
    }

    #[test]
    fn every_chunk_size_gives_the_same_lines() {
        let bytes = b"\xEF\xBB\xBFa\tb\tccc\r\n\n\tx\nalone\r\ny\t\nz\tlast";
        let expected: Vec<Row> = vec![
            (1, 3, 7, b"a\tb\tccc".to_vec(), Some((7, 3))),
            (2, 12, 0, b"".to_vec(), None),
            (3, 13, 2, b"\tx".to_vec(), Some((14, 1))),
            (4, 16, 5, b"alone".to_vec(), None),
            (5, 23, 2, b"y\t".to_vec(), Some((25, 0))),
            (6, 26, 6, b"z\tlast".to_vec(), Some((28, 4))),
        ];
        for chunk in [1, 2, 3, 5, 8, 100] {
            assert_eq!(rows(bytes, chunk), expected, "chunks of {chunk}");
        }
        for (_, start, len, head, last) in expected {
            assert_eq!(&bytes[start as usize..][..len as usize], head);
            assert!(last.is_none_or(|(at, len)| bytes[at as usize - 1] == b'\t' && at + len <= bytes.len() as u64));
        }
    }

    #[test]
    fn odd_ends_are_ends() {
        assert_eq!(rows(b"", 4), []);
        assert_eq!(rows(b"\r\n\r", 1).iter().map(|row| row.2).collect::<Vec<_>>(), [0, 0]);
        assert_eq!(rows(b"\xEF\xBB\xBF\r\n", 1)[0].2, 0);
        assert_eq!(rows(b"a\t\r\n", 1)[0].4, Some((2, 0)));
        // A carriage return before the line is none of the line.
        assert_eq!(rows(b"a\r\n\nb", 2).iter().map(|row| row.2).collect::<Vec<_>>(), [1, 0, 1]);
    }

    #[test]
    fn only_the_beginning_is_kept() {
        let line = [&b"id\t"[..], &[b'A'; 5000]].concat();
        let [row] = &rows(&line, 700)[..] else { panic!() };
        assert_eq!((row.2, row.3.len(), row.4), (5003, LONGEST_ID, Some((3, 5000))));
    }
}
