//! Large JSON objects from a file, member by member.

use std::{
    borrow::Cow,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    BYTE_ORDER_MARK,
    json::{self, Fault, Step},
};
use crate::Error;

/// An object in a file of UTF-8. One block of it is in memory at a time, or its longest member if that is longer.
pub(crate) struct ObjectFile {
    source: Source,
    /// What was read and is not done with.
    text: String,
    /// What is done with of `text`.
    at: usize,
    block: usize,
}

/// The value of a member.
pub(crate) struct Streamed<'t> {
    source: &'t Source,
    expected: &'static str,
    text: &'t str,
    start: usize,
}

/// The file, and where it was read to.
struct Source {
    path: PathBuf,
    file: File,
    /// The first bytes of a character that a block ended in.
    begun: Vec<u8>,
    /// Bytes before `begun`.
    decoded: usize,
    ended: bool,
    /// Line ends before the text that is in memory.
    lines: usize,
    /// Bytes between the last of them and that text.
    columns: usize,
}

const BLOCK: usize = 1 << 20;

impl ObjectFile {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Self::with_block(path, BLOCK)
    }

    fn with_block(path: &Path, block: usize) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let path = path.to_owned();
        let source = Source { path, file, begun: Vec::new(), decoded: 0, ended: false, lines: 0, columns: 0 };
        Ok(Self { source, text: String::new(), at: 0, block })
    }

    /// Calls `found` with every key and value, in order. `expected` names the layout in errors.
    pub(crate) fn each_member(
        mut self,
        expected: &'static str,
        mut found: impl FnMut(Cow<'_, str>, Streamed<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut first = true;
        loop {
            match json::step(&self.text, self.at, first) {
                // A value that ends with the block may go on.
                Ok(Step::Member { end, .. }) if end == self.text.len() && !self.source.ended => {
                    self.fill()?
                }
                Ok(Step::Member { key, start, end }) => {
                    found(key, Streamed { source: &self.source, expected, text: &self.text, start })?;
                    self.at = end;
                    first = false;
                }
                Ok(Step::End { end }) => {
                    self.at = end;
                    return self.at_end(expected);
                }
                Err(fault) if fault.is_too_short() && !self.source.ended => self.fill()?,
                Err(fault) => return Err(self.source.error(fault, &self.text, expected)),
            }
        }
    }

    fn at_end(mut self, expected: &'static str) -> Result<(), Error> {
        loop {
            json::at_end(&self.text, self.at)
                .map_err(|fault| self.source.error(fault, &self.text, expected))?;
            if self.source.ended {
                return Ok(());
            }
            self.at = self.text.len();
            self.fill()?;
        }
    }

    /// Forgets what is done with and reads another block, at least as long as what is left.
    fn fill(&mut self) -> Result<(), Error> {
        let done = &self.text.as_bytes()[..self.at];
        match done.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => self.source.columns = done.len() - last - 1,
            None => self.source.columns += done.len(),
        }
        self.source.lines += done.iter().filter(|&&byte| byte == b'\n').count();
        self.text.drain(..self.at);
        self.at = 0;
        let first = self.source.decoded == 0;
        let block = self.block.max(self.text.len());
        self.source.read(block, &mut self.text)?;
        if first && self.text.starts_with(BYTE_ORDER_MARK) {
            self.text.drain(..BYTE_ORDER_MARK.len_utf8());
        }
        Ok(())
    }
}

impl<'t> Streamed<'t> {
    /// Reads the value.
    pub(crate) fn read<T: Deserialize<'t>>(&self) -> Result<T, Error> {
        let value = json::value(self.text, self.start).map(|(value, _)| value);
        value.map_err(|fault| self.source.error(fault, self.text, self.expected))
    }
}

impl Source {
    fn read(&mut self, block: usize, text: &mut String) -> Result<(), Error> {
        let failed = |source| Error::Read { path: self.path.clone(), source };
        let mut bytes = std::mem::take(&mut self.begun);
        let wanted = block as u64;
        let count = self.file.by_ref().take(wanted).read_to_end(&mut bytes).map_err(failed)?;
        self.ended = (count as u64) < wanted;
        let valid = match std::str::from_utf8(&bytes) {
            Ok(decoded) => decoded,
            Err(error) if error.error_len().is_some() || self.ended => {
                return Err(super::not_utf8(&self.path, self.decoded + error.valid_up_to()));
            }
            Err(error) => {
                let (valid, begun) = bytes.split_at(error.valid_up_to());
                self.begun = begun.to_vec();
                std::str::from_utf8(valid).expect("this much was found valid")
            }
        };
        self.decoded += valid.len();
        text.push_str(valid);
        Ok(())
    }

    fn error(&self, fault: Fault, text: &str, expected: &'static str) -> Error {
        fault.located(&self.path, text, (self.lines, self.columns), expected)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Keys and values, or the message of the error.
    fn members(bytes: &[u8], block: usize) -> Result<Vec<(String, Value)>, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("F.json");
        std::fs::write(&path, bytes).expect("writing it");
        let mut found = Vec::new();
        let file = ObjectFile::with_block(&path, block).expect("it is there");
        let read = file.each_member("an object", |key, value| {
            found.push((key.into_owned(), value.read()?));
            Ok(())
        });
        let name = path.display().to_string();
        read.map(|()| found).map_err(|error| error.to_string().replace(&name, "F.json"))
    }

    #[test]
    fn blocks_of_any_length_give_the_same() {
        let text =
            "\u{feff}{\"a\": 123, \"é\\n\": [\"ü\", {}],\n \"c\"\n: {\"d\": \"\\\"}\"} , \"e\":null} \n ";
        let wanted = [
            ("a".to_owned(), 123.into()),
            ("é\n".to_owned(), serde_json::json!(["ü", {}])),
            ("c".to_owned(), serde_json::json!({"d": "\"}"})),
            ("e".to_owned(), Value::Null),
        ];
        for block in 1..=text.len() + 1 {
            assert_eq!(members(text.as_bytes(), block).expect("an object"), wanted, "{block}");
            assert_eq!(members(b" { } ", block), Ok(vec![]));
        }
    }

    #[test]
    fn what_is_wrong_is_found_at_its_place() {
        for (text, part) in [
            (&b""[..], "F.json is not an object: the file ends here (line 1, column 1)"),
            (b"[1]", "invalid type: sequence, expected a map (line 1, column"),
            (b"{\"a\": 1,\n \"b\": [2}}", "expected `,` or `]` (line 2, column 9)"),
            (b"{\"a\": 1,\n\"b\": \"x", "EOF while parsing a string (line 2, column"),
            (b"{\"a\": 1\n\n  \"b\": 2}", "expected `,` (line 3, column 3)"),
            (b"{\"a\": 1}\n\n x", "the file should end here (line 3, column 2)"),
            (b"{\"a\": \"x\xff\"}", "F.json: byte 8 is not UTF-8"),
            (b"{\"a\": \"x\xc3", "F.json: byte 8 is not UTF-8"),
        ] {
            let whole = members(text, 1 << 10).expect_err(part);
            assert!(whole.contains(part), "{whole}");
            for block in 1..=text.len() + 1 {
                assert_eq!(members(text, block).expect_err(part), whole, "{block}");
            }
        }
    }

    /// A value that is read as another type is refused where it stands.
    #[test]
    fn a_value_of_another_type_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("F.json");
        std::fs::write(&path, "{\"a\": 1,\n\"b\": {\"c\": 2}}").expect("writing it");
        let file = ObjectFile::with_block(&path, 4).expect("it is there");
        let error =
            file.each_member("numbers", |_, value| value.read::<u32>().map(drop)).expect_err("an object");
        assert!(
            error.to_string().contains("is not numbers: invalid type: map, expected u32 (line 2"),
            "{error}"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let text = format!("{{{}\"z\": 0}}", "\"key\": [1, 2, 3], ".repeat(1000));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("F.json");
        std::fs::write(&path, &text).expect("writing it");
        let file = ObjectFile::with_block(&path, 64).expect("it is there");
        let (mut longest, mut count) = (0, 0);
        let read = file.each_member("an object", |_, value| {
            longest = longest.max(value.text.len());
            count += 1;
            Ok(())
        });
        read.expect("an object");
        assert_eq!(count, 1001);
        assert!(longest < 4 * 64, "{longest} bytes at once");
    }
}
