//! Elements of a large JSON file as its chunks arrive: where each one lies, and its bytes.
//!
//! The frame around the elements is checked here, to the byte; an element itself is found by counting
//! brackets and is for the caller to parse, so that one bad record costs one reject and not the file.

use std::path::{Path, PathBuf};

use memchr::memchr_iter;

use super::json_value::ValueEnd;
use crate::Error;

/// An element, or a member of the outermost object, longer than this ends the scan: it must fit into memory.
const MAX_ELEMENT: usize = 64 << 20;

/// Where in the file the elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[element, ...]`.
    List,
    /// `{"key": element, ...}`: every member is an element, with its key.
    Members,
    /// `{"annotations": [element, ...], ...}`: the arrays under some keys, in whatever order they come.
    Arrays {
        /// Keys that must be there.
        required: &'static [&'static str],
        /// Keys that may be there.
        optional: &'static [&'static str],
    },
}

/// One element of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Key of the array that it is in; empty but for [`Layout::Arrays`].
    pub array: &'static str,
    /// First byte in the file: of the value, or of the key where the element is a member.
    pub offset: u64,
    /// 1-based line of that byte.
    pub line: u64,
    /// The bytes: of the chunk itself where the element lies inside one.
    pub bytes: &'a [u8],
    key_len: usize,
    value_at: usize,
}

impl<'a> Element<'a> {
    /// The key of a member, in its quotes; empty for elements of arrays.
    pub fn key(&self) -> &'a [u8] {
        &self.bytes[..self.key_len]
    }

    /// The value alone.
    pub fn value(&self) -> &'a [u8] {
        &self.bytes[self.value_at..]
    }
}

/// The elements of a JSON file that comes in chunks of any size.
#[derive(Debug)]
pub struct JsonElements {
    path: PathBuf,
    layout: Layout,
    expect: Expect,
    value: ValueEnd,
    /// Array that the elements are in.
    array: &'static str,
    /// Arrays met so far.
    arrays: Vec<&'static str>,
    /// Whether the bytes from the start of the current key or element on are wanted later.
    keeping: bool,
    /// What earlier chunks hold of them.
    carry: Vec<u8>,
    /// Where they begin.
    start: u64,
    start_line: u64,
    /// Lengths, of the key alone and up to the value.
    key_len: usize,
    value_at: usize,
    /// Place of the first byte of the next chunk; `counted` bytes of the present one are in `line`.
    offset: u64,
    line: u64,
    counted: usize,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// Byte n of a mark of UTF-8 (BOM).
    Mark(u8),
    Top,
    KeyOrEnd,
    Key,
    InKey,
    Colon,
    /// The array under a wanted key.
    Array,
    /// A value that nobody asked for.
    Skipped,
    InSkipped,
    ElementOrEnd,
    Element,
    InElement,
    /// A comma or the end, after an element of an array.
    AfterElement,
    /// A comma or the end, after a member of the outermost object.
    AfterMember,
    /// Nothing but blanks.
    Nothing,
}

const MARK: [u8; 3] = *b"\xEF\xBB\xBF";

impl JsonElements {
    /// Elements of the file at `path` (for messages).
    pub fn new(path: &Path, layout: Layout) -> JsonElements {
        JsonElements {
            path: path.to_path_buf(),
            layout,
            expect: Expect::Mark(0),
            value: ValueEnd::default(),
            array: "",
            arrays: Vec::new(),
            keeping: false,
            carry: Vec::new(),
            start: 0,
            start_line: 1,
            key_len: 0,
            value_at: 0,
            offset: 0,
            line: 1,
            counted: 0,
        }
    }

    /// Takes the next chunk and passes on the elements that end in it.
    ///
    /// # Errors
    /// A file of another layout, an element that is too long, or what `on_element` returns.
    pub fn push(
        &mut self,
        chunk: &[u8],
        on_element: &mut impl FnMut(Element<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut at = 0;
        let mut from = 0; // of what is kept, in this chunk
        self.counted = 0;
        while at < chunk.len() {
            let byte = chunk[at];
            // Inside a value: on to its end, or to the end of the chunk.
            if matches!(self.expect, Expect::InKey | Expect::InElement | Expect::InSkipped) {
                let Some(end) = self.value.find(&chunk[at..]) else { break };
                at += end;
                match self.expect {
                    Expect::InKey => self.key_ends(&chunk[from..at], at)?,
                    Expect::InElement => {
                        self.element_ends(&chunk[from..at], on_element)?;
                        self.expect = match self.layout {
                            Layout::Members => Expect::AfterMember,
                            Layout::List | Layout::Arrays { .. } => Expect::AfterElement,
                        };
                    }
                    _ => self.expect = Expect::AfterMember,
                }
                continue;
            }
            if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') && !matches!(self.expect, Expect::Mark(1..)) {
                at += 1;
                continue;
            }
            self.expect = match (self.expect, byte) {
                (Expect::Mark(n), _) if byte == MARK[usize::from(n)] => {
                    if n < 2 {
                        Expect::Mark(n + 1)
                    } else {
                        Expect::Top
                    }
                }
                (Expect::Mark(0) | Expect::Top, b'[') if self.layout == Layout::List => Expect::ElementOrEnd,
                (Expect::Mark(0) | Expect::Top, b'{') if self.layout != Layout::List => Expect::KeyOrEnd,
                (Expect::KeyOrEnd, b'}') | (Expect::AfterMember, b'}') => Expect::Nothing,
                (Expect::KeyOrEnd | Expect::Key, b'"') => {
                    self.start_keeping(chunk, at, &mut from);
                    self.value.begin(byte);
                    Expect::InKey
                }
                (Expect::Colon, b':') => match self.layout {
                    Layout::Members => Expect::Element,
                    _ if self.array.is_empty() => Expect::Skipped,
                    _ => Expect::Array,
                },
                (Expect::Array, b'[') => Expect::ElementOrEnd,
                (Expect::Skipped, _) if ValueEnd::may_begin(byte) => {
                    self.value.begin(byte);
                    Expect::InSkipped
                }
                (Expect::ElementOrEnd | Expect::AfterElement, b']') => match self.layout {
                    Layout::List => Expect::Nothing,
                    _ => {
                        self.array = "";
                        Expect::AfterMember
                    }
                },
                (Expect::ElementOrEnd | Expect::Element, _) if ValueEnd::may_begin(byte) => {
                    if self.layout == Layout::Members {
                        self.value_at = self.carry.len() + at - from;
                    } else {
                        self.start_keeping(chunk, at, &mut from);
                    }
                    self.value.begin(byte);
                    Expect::InElement
                }
                (Expect::AfterElement, b',') => Expect::Element,
                (Expect::AfterMember, b',') => Expect::Key,
                _ => return Err(self.unexpected(chunk, at)),
            };
            at += 1;
        }
        if self.keeping {
            self.keep(&chunk[from..])?;
        }
        self.line += newlines(&chunk[self.counted..]);
        self.offset += chunk.len() as u64;
        Ok(())
    }

    /// Ends the file: it must be whole and have every required array.
    ///
    /// Returns the arrays that it has.
    ///
    /// # Errors
    /// A file that is cut off, or lacks a required array.
    pub fn finish(self) -> Result<Vec<&'static str>, Error> {
        let found = match self.expect {
            Expect::Nothing => {
                let Layout::Arrays { required, .. } = self.layout else { return Ok(Vec::new()) };
                match required.iter().find(|key| !self.arrays.contains(key)) {
                    None => return Ok(self.arrays),
                    Some(key) => format!("has no key \"{key}\""),
                }
            }
            _ if self.offset == 0 => "is empty".to_string(),
            Expect::InElement if self.keeping => format!(
                "the file ends (byte {}) inside the element that begins in line {} (byte {})",
                self.offset, self.start_line, self.start
            ),
            expect => format!("the file ends (byte {}) where {} is due", self.offset, self.due(expect)),
        };
        let line = (self.expect != Expect::Nothing).then_some(self.line);
        Err(self.error(line, found))
    }

    /// From `at` on the bytes are kept, for a key or an element.
    fn start_keeping(&mut self, chunk: &[u8], at: usize, from: &mut usize) {
        self.line += newlines(&chunk[self.counted..at]);
        self.counted = at;
        self.start = self.offset + at as u64;
        self.start_line = self.line;
        self.keeping = true;
        self.key_len = 0;
        self.value_at = 0;
        *from = at;
    }

    fn keep(&mut self, piece: &[u8]) -> Result<(), Error> {
        if self.carry.len() + piece.len() > MAX_ELEMENT {
            let what = format!(
                "the element that begins here (byte {}) is longer than {MAX_ELEMENT} bytes",
                self.start
            );
            return Err(self.error(Some(self.start_line), what));
        }
        self.carry.extend_from_slice(piece);
        Ok(())
    }

    /// A key of the outermost object is complete; `piece` is what this chunk has of it.
    fn key_ends(&mut self, piece: &[u8], at: usize) -> Result<(), Error> {
        self.expect = Expect::Colon;
        if self.layout == Layout::Members {
            self.key_len = self.carry.len() + piece.len();
            return Ok(()); // the member goes on
        }
        self.keep(piece)?;
        self.keeping = false;
        let key: Result<String, _> = serde_json::from_slice(&self.carry);
        self.carry.clear();
        let Ok(key) = key else {
            let what = format!("a key cannot be read (byte {})", self.start);
            return Err(self.error(Some(self.start_line), what));
        };
        let Layout::Arrays { required, optional } = self.layout else { return Ok(()) };
        self.array = required.iter().chain(optional).find(|wanted| **wanted == key).copied().unwrap_or("");
        if self.arrays.contains(&self.array) {
            let byte = self.offset + at as u64;
            return Err(
                self.error(Some(self.start_line), format!("has the key \"{key}\" twice (byte {byte})"))
            );
        }
        if !self.array.is_empty() {
            self.arrays.push(self.array);
        }
        Ok(())
    }

    /// An element is complete; `piece` is what this chunk has of it.
    fn element_ends(
        &mut self,
        piece: &[u8],
        on_element: &mut impl FnMut(Element<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.keeping = false;
        let whole = if self.carry.is_empty() {
            piece
        } else {
            self.keep(piece)?;
            self.carry.as_slice()
        };
        on_element(Element {
            array: self.array,
            offset: self.start,
            line: self.start_line,
            bytes: whole,
            key_len: self.key_len,
            value_at: self.value_at,
        })?;
        self.carry.clear();
        Ok(())
    }

    fn unexpected(&self, chunk: &[u8], at: usize) -> Error {
        let line = self.line + newlines(&chunk[self.counted..at]);
        let byte = chunk[at];
        let shown = if byte.is_ascii_graphic() {
            format!("`{}`", char::from(byte))
        } else {
            format!("byte 0x{byte:02X}")
        };
        let what = format!(
            "found {shown} (byte {}) where {} is due",
            self.offset + at as u64,
            self.due(self.expect)
        );
        self.error(Some(line), what)
    }

    fn due(&self, expect: Expect) -> String {
        match expect {
            Expect::Mark(1..) => "a mark of UTF-8".into(),
            Expect::Mark(_) | Expect::Top if self.layout == Layout::List => "an outermost list `[`".into(),
            Expect::Mark(_) | Expect::Top => "an outermost object `{`".into(),
            Expect::KeyOrEnd => "a key or `}`".into(),
            Expect::Key => "a key".into(),
            Expect::InKey => "the end of a key".into(),
            Expect::Colon => "`:`".into(),
            Expect::Array => format!("the list `[` of \"{}\"", self.array),
            Expect::Skipped | Expect::Element => "a value".into(),
            Expect::InSkipped | Expect::InElement => "the end of a value".into(),
            Expect::ElementOrEnd => "a value or `]`".into(),
            Expect::AfterElement => "`,` or `]`".into(),
            Expect::AfterMember => "`,` or `}`".into(),
            Expect::Nothing => "the end of the file".into(),
        }
    }

    fn error(&self, line: Option<u64>, what: String) -> Error {
        let hint = "is the file whole, and of the layout that the spec names?".into();
        Error::Input { path: self.path.clone(), line, what, hint }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests;
