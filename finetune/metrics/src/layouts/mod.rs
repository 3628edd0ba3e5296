//! Reading the layouts that references, candidates and results come in.

mod captions;
mod json;
mod plain;
mod stream;
mod values;

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[cfg(test)]
pub(crate) use self::plain::second_opinion;
pub use self::{
    captions::{Candidates, ReferenceImage, References},
    values::Id,
};
pub(crate) use self::{
    json::Object,
    plain::{Cursor, Plain, once},
    stream::ObjectFile,
    values::{Pairs, Text},
};
use crate::Error;

/// A text file in memory. What is read from it borrows its texts.
#[derive(Debug)]
pub struct TextFile {
    path: PathBuf,
    text: String,
}

impl TextFile {
    /// Reads a whole file of UTF-8, without its byte order mark.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::from_bytes(path, read(path)?)
    }

    /// Reads two files at the same time.
    pub fn read_both(one: &Path, other: &Path) -> Result<(Self, Self), Error> {
        let (one, other) = rayon::join(|| Self::read(one), || Self::read(other));
        Ok((one?, other?))
    }

    /// The same of bytes that were read from `path`.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, Error> {
        let mut text =
            String::from_utf8(bytes).map_err(|error| not_utf8(path, error.utf8_error().valid_up_to()))?;
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len_utf8());
        }
        Ok(Self { path: path.to_owned(), text })
    }

    /// Where the text was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The file as one JSON value. `expected` names its layout in errors.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self, expected: &'static str) -> Result<T, Error> {
        json::whole(&self.text).map_err(|fault| fault.into_error(self, expected))
    }

    /// The file as a JSON list, read in parallel.
    pub(crate) fn list<'a, T: Plain<'a> + Send>(&'a self, expected: &'static str) -> Result<Vec<T>, Error> {
        json::whole_list(&self.text).map_err(|fault| fault.into_error(self, expected))
    }

    /// What `keep` makes of the list's entries under `key` of a JSON object, in parallel. The rest of the
    /// object is passed over.
    pub(crate) fn map_under<'a, T: Plain<'a>, R: Send>(
        &'a self,
        key: &str,
        expected: &'static str,
        keep: impl Fn(T) -> R + Sync,
    ) -> Result<Vec<R>, Error> {
        let mut found = None;
        let members = Object::new(&self.text).each_member(|name, member| {
            if name == key {
                found = Some(member.map(&keep)?);
            }
            Ok(())
        });
        members.map_err(|fault| fault.into_error(self, expected))?;
        found.ok_or_else(|| self.content(format!("has no `{key}`; it should be {expected}")))
    }

    pub(crate) fn is_list(&self) -> bool {
        first_byte(self.text.as_bytes()) == Some(b'[')
    }

    pub(crate) fn content(&self, problem: impl Into<String>) -> Error {
        Error::Content { path: self.path.clone(), problem: problem.into() }
    }
}

const BYTE_ORDER_MARK: char = '\u{FEFF}';

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn not_utf8(path: &Path, byte: usize) -> Error {
    let problem = format!("byte {byte} is not UTF-8; save the file in that encoding");
    Error::Content { path: path.to_owned(), problem }
}

/// The first byte that is neither white space nor part of a byte order mark.
pub(crate) fn first_byte(bytes: &[u8]) -> Option<u8> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK.to_string().as_bytes()).unwrap_or(bytes);
    bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_dropped_and_other_encodings_are_refused() {
        let path = Path::new("R.json");
        let file = TextFile::from_bytes(path, b"\xef\xbb\xbf[1]".to_vec()).expect("UTF-8");
        assert_eq!((file.text(), file.is_list()), ("[1]", true));
        let message = TextFile::from_bytes(path, b"[\"\xff\"]".to_vec()).expect_err("Latin-1").to_string();
        assert!(message.contains("R.json: byte 2"), "{message}");
    }

    #[test]
    fn a_missing_key_is_named() {
        let file = TextFile::from_bytes(Path::new("A.json"), b"{\"a\": [1]}".to_vec()).expect("UTF-8");
        let double = |number: u32| 2 * number;
        assert_eq!(file.map_under("a", "numbers", double).expect("there"), [2]);
        let message = file.map_under("b", "numbers", double).expect_err("not there").to_string();
        assert!(message.contains("A.json: has no `b`"), "{message}");
    }
}
