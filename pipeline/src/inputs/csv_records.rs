//! Records of a CSV file as its chunks arrive: where each one lies, and its bytes; and the cells of one record.
//!
//! A cell may stand in double quotes, and then hold commas, line breaks and doubled quotes. Empty lines are no
//! records.

use std::path::{Path, PathBuf};

use csv_core::{ReadRecordResult, Reader};

use crate::Error;

/// One record, without its end of line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvRecord<'a> {
    /// 1-based line on which it begins.
    pub line: u64,
    /// First byte in the file.
    pub offset: u64,
    /// The bytes, quotes and all.
    pub bytes: &'a [u8],
}

/// The records of a file that comes in chunks of any size; a mark of UTF-8 (BOM) before the first is skipped.
#[derive(Debug)]
pub struct CsvRecords {
    path: PathBuf,
    max_record: u32,
    /// Knows where a record ends; its cells are thrown away.
    parser: Reader,
    cells: Vec<u8>,
    ends: Vec<usize>,
    /// What is there of the current record, with the ends of line before it.
    carry: Vec<u8>,
    /// Where that begins, and its line.
    offset: u64,
    line: u64,
}

const MARK: &[u8] = b"\xEF\xBB\xBF";

impl CsvRecords {
    /// Records of the file at `path` (for messages), none longer than `max_record` bytes.
    pub fn new(path: &Path, max_record: u32) -> CsvRecords {
        CsvRecords {
            path: path.to_path_buf(),
            max_record,
            parser: Reader::new(),
            cells: vec![0; 64 << 10],
            ends: vec![0; 256],
            carry: Vec::new(),
            offset: 0,
            line: 1,
        }
    }

    /// Takes the next chunk and passes on the records that end in it.
    ///
    /// # Errors
    /// A record that is too long, or what `on_record` returns.
    pub fn push(
        &mut self,
        mut chunk: &[u8],
        on_record: &mut impl FnMut(CsvRecord<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while !chunk.is_empty() {
            let (result, read, _, _) = self.parser.read_record(chunk, &mut self.cells, &mut self.ends);
            let (piece, rest) = chunk.split_at(read);
            chunk = rest;
            if self.carry.len() + piece.len() > self.max_record as usize {
                let what = format!("the record is longer than {} bytes", self.max_record);
                return Err(self.error(what, "is a quote in it left open?"));
            }
            self.carry.extend_from_slice(piece);
            if result == ReadRecordResult::Record {
                self.pass(on_record)?;
            }
        }
        Ok(())
    }

    /// Passes on a last record that has no end of line.
    ///
    /// # Errors
    /// A quote that is left open, or what `on_record` returns.
    pub fn finish(
        mut self,
        on_record: &mut impl FnMut(CsvRecord<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.carry.len() == self.before_record() {
            return Ok(());
        }
        // Only inside quotes an end of line does not end the record.
        let (result, ..) = self.parser.read_record(b"\n", &mut self.cells, &mut self.ends);
        if result != ReadRecordResult::Record {
            let hint = "close it, or double it if it is part of the text; everything behind it was taken for one cell";
            return Err(self.error("a quote in the record that begins here is never closed".into(), hint));
        }
        self.pass(on_record)
    }

    fn pass(&mut self, on_record: &mut impl FnMut(CsvRecord<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let carry = std::mem::take(&mut self.carry);
        let before = before_record(&carry, self.offset);
        let bytes = &carry[before..];
        let bytes = bytes.strip_suffix(b"\n").or(bytes.strip_suffix(b"\r")).unwrap_or(bytes);
        let line = self.line + newlines(&carry[..before]);
        on_record(CsvRecord { line, offset: self.offset + before as u64, bytes })?;
        self.line += newlines(&carry);
        self.offset += carry.len() as u64;
        self.carry = carry; // its memory serves again
        self.carry.clear();
        Ok(())
    }

    fn before_record(&self) -> usize {
        before_record(&self.carry, self.offset)
    }

    fn error(&self, what: String, hint: &str) -> Error {
        let line = self.line + newlines(&self.carry[..self.before_record()]);
        Error::Input { path: self.path.clone(), line: Some(line), what, hint: hint.into() }
    }
}

/// The cells of one record, without their quotes.
pub fn csv_cells(record: &[u8]) -> Vec<Vec<u8>> {
    let mut cells = vec![0; record.len()];
    // Every cell but the last has a comma behind it.
    let mut ends = vec![0; memchr::memchr_iter(b',', record).count() + 1];
    let mut parser = Reader::new();
    let (mut written, mut ended) = (0, 0);
    // The second time the record ends because nothing follows.
    for piece in [record, b""] {
        let (result, _, more, end) = parser.read_record(piece, &mut cells[written..], &mut ends[ended..]);
        (written, ended) = (written + more, ended + end);
        if result == ReadRecordResult::Record {
            break;
        }
    }
    let mut from = 0;
    ends[..ended]
        .iter()
        .map(|&end| {
            let cell = cells[from..end].to_vec();
            from = end;
            cell
        })
        .collect()
}

/// Bytes of ends of line, and of the mark of UTF-8, before the record that `carry` begins with.
fn before_record(carry: &[u8], offset: u64) -> usize {
    let mark = if offset == 0 && carry.starts_with(MARK) { MARK.len() } else { 0 };
    mark + carry[mark..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records_of(bytes: &[u8], chunk: usize, max: u32) -> Result<Vec<(u64, u64, Vec<u8>)>, Error> {
        let mut seen = Vec::new();
        let mut records = CsvRecords::new(Path::new("some.csv"), max);
        let mut on_record = |record: CsvRecord<'_>| {
            seen.push((record.line, record.offset, record.bytes.to_vec()));
            Ok(())
        };
        for piece in bytes.chunks(chunk) {
            records.push(piece, &mut on_record)?;
        }
        records.finish(&mut on_record)?;
        Ok(seen)
    }

    #[test]
    fn every_chunk_size_gives_the_same_records() {
        let bytes = b"id,text\r\n1,\"two\nlines, \"\"quoted\"\"\"\n\r\n\n2,a \"b\"\r\n3,\"\r\n\"\r\n4,\xFF";
        let expected: Vec<(u64, u64, Vec<u8>)> = vec![
            (1, 0, b"id,text".to_vec()),
            (2, 9, b"1,\"two\nlines, \"\"quoted\"\"\"".to_vec()),
            (6, 38, b"2,a \"b\"".to_vec()),
            (7, 47, b"3,\"\r\n\"".to_vec()),
            (9, 55, b"4,\xFF".to_vec()),
        ];
        for chunk in [1, 2, 3, 7, 64 << 10] {
            assert_eq!(records_of(bytes, chunk, 64).unwrap(), expected, "chunks of {chunk}");
        }
        for (line, offset, record) in &expected {
            assert_eq!(&bytes[*offset as usize..][..record.len()], record, "line {line} lies where it says");
        }
        let cells: Vec<_> = expected.iter().map(|(_, _, record)| csv_cells(record)).collect();
        assert_eq!(cells[1], [b"1".to_vec(), b"two\nlines, \"quoted\"".to_vec()]);
        assert_eq!(cells[2], [b"2".to_vec(), b"a \"b\"".to_vec()]);
        assert_eq!(cells[3], [b"3".to_vec(), b"\r\n".to_vec()]);
        assert_eq!(cells[4], [b"4".to_vec(), b"\xFF".to_vec()]);
    }

    #[test]
    fn cells_may_be_empty_and_records_wide() {
        for (record, cells) in [
            (&b"a"[..], &["a"][..]),
            (b"\"\"", &[""]),
            (b",", &["", ""]),
            (b"a,,\"b\",", &["a", "", "b", ""]),
            (b"\"a\"x,\",\"", &["ax", ","]),
        ] {
            let found: Vec<_> =
                csv_cells(record).into_iter().map(|cell| String::from_utf8(cell).unwrap()).collect();
            assert_eq!(found, cells, "{}", String::from_utf8_lossy(record));
        }
        let wide = ["x"; 3000].join(",");
        assert_eq!(csv_cells(wide.as_bytes()).len(), 3000);
        let long = format!("{wide}\n{}\n", "y".repeat(200_000));
        let records = records_of(long.as_bytes(), 1 << 20, 1 << 20).unwrap();
        let lengths: Vec<_> = records.iter().map(|(line, _, record)| (*line, record.len())).collect();
        assert_eq!(lengths, [(1, 5999), (2, 200_000)]);
    }

    #[test]
    fn a_file_may_have_a_mark_and_no_records() {
        for bytes in [&b""[..], b"\n\r\n", b"\xEF\xBB\xBF", b"\xEF\xBB\xBF\n"] {
            assert_eq!(records_of(bytes, 3, 9).unwrap(), []);
        }
        let marked = b"\xEF\xBB\xBF\"a\nb\",c\nd,e";
        let expected = vec![(1, 3, b"\"a\nb\",c".to_vec()), (3, 11, b"d,e".to_vec())];
        assert_eq!(records_of(marked, 64, 99).unwrap(), expected);
    }

    #[test]
    fn an_open_quote_does_not_swallow_the_file() {
        let open = b"a,b\n1,\"open\n2,c\n3,d\n";
        for chunk in [1, 5, 64] {
            let said = records_of(open, chunk, 64).unwrap_err().to_string();
            assert!(
                said.starts_with("some.csv:2: a quote in the record that begins here is never"),
                "{said}"
            );
            let said = records_of(open, chunk, 9).unwrap_err().to_string();
            assert!(said.starts_with("some.csv:2: the record is longer than 9 bytes"), "{said}");
        }
        assert_eq!(records_of(b"a,\"b\"", 2, 9).unwrap().len(), 1, "a closed quote may end the file");
    }

    #[test]
    fn an_error_of_the_caller_ends_the_scan() {
        let mut records = CsvRecords::new(Path::new("some.csv"), 9);
        let stop = |_: CsvRecord<'_>| Err(Error::Interrupted { signal: 2 });
        assert!(matches!(records.push(b"a\nb\n", &mut { stop }), Err(Error::Interrupted { .. })));
    }
}
