//! Large JSON files on all cores.
//!
//! A list is cut where an entry seems to begin, and several parts are read at the same time. Whether an
//! entry really begins there is known when the part before ends exactly there; otherwise reading goes on
//! from where that part ended. So the result, and the error, is that of one reading from front to back.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use rayon::prelude::*;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    TextFile,
    plain::{Cursor, Plain},
};
use crate::Error;

/// Where reading stopped, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    at: usize,
    problem: String,
    /// Whether more text could mend it.
    too_short: bool,
}

impl Fault {
    fn new(text: &str, at: usize, problem: impl Into<String>) -> Self {
        Self { at, problem: problem.into(), too_short: at >= text.len() }
    }

    /// Whether the text ended where more was expected.
    pub(super) fn is_too_short(&self) -> bool {
        self.too_short
    }

    pub(crate) fn into_error(self, file: &TextFile, expected: &'static str) -> Error {
        self.located(&file.path, &file.text, (0, 0), expected)
    }

    /// The error in a file of which `text` is a part, behind so many lines and so many bytes of a line.
    pub(super) fn located(
        self,
        path: &Path,
        text: &str,
        (lines, columns): (usize, usize),
        expected: &'static str,
    ) -> Error {
        let before = &text.as_bytes()[..self.at.min(text.len())];
        let newline = before.iter().rposition(|&byte| byte == b'\n');
        Error::Layout {
            path: path.to_owned(),
            expected,
            problem: self.problem,
            line: 1 + lines + before.iter().filter(|&&byte| byte == b'\n').count(),
            column: 1 + newline.map_or(columns + before.len(), |newline| before.len() - newline - 1),
        }
    }
}

/// A whole text as one value.
pub(super) fn whole<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    let (value, end) = value(text, skip_space(text, 0))?;
    at_end(text, end).map(|()| value)
}

/// A whole text as one list.
pub(super) fn whole_list<'a, T: Plain<'a> + Send>(text: &'a str) -> Result<Vec<T>, Fault> {
    let (entries, end) = list(text, skip_space(text, 0), |entry: T| entry)?;
    at_end(text, end).map(|()| entries)
}

/// An object whose members are read one by one.
pub(crate) struct Object<'a> {
    text: &'a str,
}

/// The value of a member, not read yet.
pub(crate) struct Member<'a, 'end> {
    text: &'a str,
    start: usize,
    end: &'end mut Option<usize>,
}

impl<'a> Object<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Calls `found` with every key and value, in order. A value that `found` does not read is passed over.
    pub(crate) fn each_member(
        &self,
        mut found: impl FnMut(&str, Member<'a, '_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let text = self.text;
        let (mut at, mut first) = (0, true);
        loop {
            let (key, start) = match next_key(text, at, first)? {
                Next::Key { key, start } => (key, start),
                Next::End { end } => return at_end(text, end),
            };
            first = false;
            let mut end = None;
            found(&key, Member { text, start, end: &mut end })?;
            at = match end {
                Some(end) => end,
                None => passed_over(text, start)?,
            };
        }
    }
}

/// What an object goes on with.
enum Next<'a> {
    /// A key, whose value begins at `start`.
    Key { key: Cow<'a, str>, start: usize },
    /// Its end; `end` is the byte behind.
    End { end: usize },
}

/// Where an object goes on that begins at `at`, or whose last value ended there.
fn next_key(text: &str, at: usize, first: bool) -> Result<Next<'_>, Fault> {
    let mut at = skip_space(text, at);
    if first {
        if byte(text, at) != Some(b'{') {
            // Let the parser say what stands there instead.
            value::<BTreeMap<String, IgnoredAny>>(text, at)?;
        }
        at = skip_space(text, expect(text, at, b'{')?);
    }
    if byte(text, at) == Some(b'}') {
        return Ok(Next::End { end: at + 1 });
    }
    if !first {
        at = skip_space(text, expect(text, at, b',')?);
    }
    let (key, end) = value::<Cow<'_, str>>(text, at)?;
    let colon = skip_space(text, end);
    Ok(Next::Key { key, start: skip_space(text, expect(text, colon, b':')?) })
}

/// A member of an object, or its end.
pub(super) enum Step<'a> {
    /// The key, and where the value begins and ends.
    Member { key: Cow<'a, str>, start: usize, end: usize },
    /// The byte behind the object.
    End { end: usize },
}

/// The member behind `at`. The `first` one is looked for behind the object's brace.
pub(super) fn step(text: &str, at: usize, first: bool) -> Result<Step<'_>, Fault> {
    Ok(match next_key(text, at, first)? {
        Next::Key { key, start } => Step::Member { key, start, end: passed_over(text, start)? },
        Next::End { end } => Step::End { end },
    })
}

impl<'a> Member<'a, '_> {
    /// Reads any value.
    pub(crate) fn value<T: Deserialize<'a>>(self) -> Result<T, Fault> {
        let (value, end) = value(self.text, self.start)?;
        *self.end = Some(end);
        Ok(value)
    }

    /// Reads a list, in parallel.
    pub(crate) fn list<T: Plain<'a> + Send>(self) -> Result<Vec<T>, Fault> {
        self.map(|entry: T| entry)
    }

    /// Reads a list, in parallel, and keeps what `keep` makes of its entries. It may see an entry twice.
    pub(crate) fn map<T: Plain<'a>, R: Send>(self, keep: impl Fn(T) -> R + Sync) -> Result<Vec<R>, Fault> {
        let (entries, end) = list(self.text, self.start, keep)?;
        *self.end = Some(end);
        Ok(entries)
    }
}

/// Bytes that one thread reads at a time.
const LONGEST_PART: usize = 1 << 18;
/// Shorter parts are not worth a thread.
const SHORTEST_PART: usize = 1 << 14;

/// What `keep` makes of the entries of the list at `start`, and where the list ends.
fn list<'a, T: Plain<'a>, R: Send>(
    text: &'a str,
    start: usize,
    keep: impl Fn(T) -> R + Sync,
) -> Result<(Vec<R>, usize), Fault> {
    if byte(text, start) != Some(b'[') {
        // Let the parser say what stands there instead.
        let (entries, end) = value::<Vec<T>>(text, start)?;
        return Ok((entries.into_iter().map(keep).collect(), end));
    }
    let mut at = skip_space(text, start + 1);
    if byte(text, at) == Some(b']') {
        return Ok((Vec::new(), at + 1));
    }
    let threads = rayon::current_num_threads();
    let mut entries = Vec::new();
    loop {
        let length = ((text.len() - at) / threads).clamp(SHORTEST_PART, LONGEST_PART);
        let cut = |part: usize| (at + part * length).min(text.len());
        let parts: Vec<Result<Part<R>, Fault>> = (0..threads)
            .into_par_iter()
            .map(|part| {
                let start = if part == 0 { at } else { likely_entry::<T>(text, cut(part), cut(part + 1))? };
                Part::read(text, start, cut(part + 1), &keep)
            })
            .collect();
        for (index, part) in parts.into_iter().enumerate() {
            match part {
                Ok(part) if part.start == at => {
                    entries.extend(part.entries);
                    at = part.end;
                    if part.closed {
                        return Ok((entries, at));
                    }
                }
                Err(fault) if index == 0 => return Err(fault),
                // It began inside of an entry, or behind the list.
                _ => break,
            }
        }
    }
}

/// Entries that follow each other.
struct Part<R> {
    start: usize,
    entries: Vec<R>,
    /// The start of the next entry, or the byte behind the list.
    end: usize,
    closed: bool,
}

impl<R> Part<R> {
    /// Reads from the entry at `start` on, up to the first entry at or behind `stop`, or the list's end.
    fn read<'a, T: Plain<'a>>(
        text: &'a str,
        start: usize,
        stop: usize,
        keep: impl Fn(T) -> R,
    ) -> Result<Self, Fault> {
        let mut part = Self { start, entries: Vec::new(), end: start, closed: false };
        loop {
            let (entry, end) = entry(text, part.end)?;
            part.entries.push(keep(entry));
            part.end = skip_space(text, end);
            if byte(text, part.end) == Some(b']') {
                part.end += 1;
                part.closed = true;
                break;
            }
            part.end = skip_space(text, expect(text, part.end, b',')?);
            if part.end >= stop {
                break;
            }
        }
        Ok(part)
    }
}

/// Where an entry seems to begin: an object behind a comma that can be read as an entry.
fn likely_entry<'a, T: Plain<'a>>(text: &'a str, from: usize, to: usize) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    let braces = (from..to).filter(|&at| bytes[at] == b'{');
    braces
        .filter(|&at| bytes[..at].iter().rfind(|byte| !byte.is_ascii_whitespace()) == Some(&b','))
        .find(|&at| entry::<T>(text, at).is_ok())
        .ok_or_else(|| Fault::new(text, from, "no entry begins here"))
}

/// The entry at `at`, and where it ends.
fn entry<'a, T: Plain<'a>>(text: &'a str, at: usize) -> Result<(T, usize), Fault> {
    let mut cursor = Cursor::new(text, at);
    match T::plain(&mut cursor) {
        Some(entry) => Ok((entry, cursor.at())),
        None => value(text, at),
    }
}

/// Where any value at `at` ends.
fn passed_over(text: &str, at: usize) -> Result<usize, Fault> {
    let mut cursor = Cursor::new(text, at);
    match cursor.pass() {
        Some(()) => Ok(cursor.at()),
        None => value::<IgnoredAny>(text, at).map(|(_, end)| end),
    }
}

/// The value at `at`, and where it ends.
pub(super) fn value<'a, T: Deserialize<'a>>(text: &'a str, at: usize) -> Result<(T, usize), Fault> {
    let rest = text.get(at..).unwrap_or_default();
    let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<T>();
    match stream.next() {
        Some(Ok(value)) => Ok((value, at + stream.byte_offset())),
        Some(Err(error)) => {
            let place = format!(" at line {} column {}", error.line(), error.column());
            let message = error.to_string();
            let line_start: usize =
                rest.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            Err(Fault {
                at: at + line_start + error.column().saturating_sub(1),
                problem: message.strip_suffix(&place).unwrap_or(&message).to_owned(),
                too_short: error.is_eof(),
            })
        }
        None => Err(Fault::new(text, text.len(), "the file ends here")),
    }
}

pub(super) fn at_end(text: &str, at: usize) -> Result<(), Fault> {
    let at = skip_space(text, at);
    if at < text.len() {
        return Err(Fault::new(text, at, "the file should end here"));
    }
    Ok(())
}

/// The position behind `wanted`, which should stand at `at`.
fn expect(text: &str, at: usize, wanted: u8) -> Result<usize, Fault> {
    if byte(text, at) == Some(wanted) {
        return Ok(at + 1);
    }
    Err(Fault::new(text, at, format!("expected `{}`", char::from(wanted))))
}

fn byte(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at).copied()
}

fn skip_space(text: &str, mut at: usize) -> usize {
    while matches!(byte(text, at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layouts::once;

    #[derive(Debug, PartialEq, Deserialize, serde::Serialize)]
    struct Entry {
        id: u32,
        text: String,
        inner: Vec<Inner>,
    }

    #[derive(Debug, PartialEq, Deserialize, serde::Serialize)]
    struct Inner {
        id: u32,
    }

    impl<'a> Plain<'a> for Inner {
        fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
            let mut id = None;
            cursor.object(|cursor| {
                if cursor.key("id\":") { once(&mut id, u32::plain(cursor)?) } else { cursor.pass_member() }
            })?;
            id.map(|id| Self { id })
        }
    }

    impl<'a> Plain<'a> for Entry {
        fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
            let (mut id, mut text, mut inner) = (None, None, None);
            cursor.object(|cursor| {
                if cursor.key("id\":") {
                    once(&mut id, u32::plain(cursor)?)
                } else if cursor.key("text\":") {
                    once(&mut text, cursor.string()?.to_owned())
                } else if cursor.key("inner\":") {
                    let mut all = Vec::new();
                    cursor.list(|cursor| {
                        all.push(Inner::plain(cursor)?);
                        Some(())
                    })?;
                    once(&mut inner, all)
                } else {
                    cursor.pass_member()
                }
            })?;
            Some(Self { id: id?, text: text?, inner: inner? })
        }
    }

    fn entries(texts: &[String]) -> Vec<Entry> {
        let entry = |(id, text): (u32, &String)| Entry {
            id,
            text: text.clone(),
            inner: vec![Inner { id }, Inner { id }],
        };
        (0..).zip(texts).map(entry).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Long enough for several parts, with texts that look like the start of an entry.
        #[test]
        fn parts_together_are_the_whole(texts in prop::collection::vec(r#"[a-z\n"]{0,20}|, \{"id": 1, "text": "", "inner": \[\]\},"#, 1..9)) {
            let texts: Vec<String> = texts.into_iter().cycle().take(6000).collect();
            let wanted = entries(&texts);
            let text = serde_json::to_string(&wanted).expect("entries are JSON");
            prop_assert!(text.len() > 4 * SHORTEST_PART);
            prop_assert_eq!(&whole_list::<Entry>(&text).expect("the same"), &wanted);
            let object = format!("{{\"other\": [{{\"id\": 3}}], \"entries\": {text}, \"last\": {{}}}}");
            let mut found = Vec::new();
            Object::new(&object)
                .each_member(|key, member| {
                    if key == "entries" {
                        found = member.list::<Entry>()?;
                    }
                    Ok(())
                })
                .expect("an object");
            prop_assert_eq!(&found, &wanted);
        }
    }

    #[test]
    fn a_fault_far_inside_is_found_at_its_place() {
        let mut wanted = entries(&vec!["a text".to_owned(); 6000]);
        wanted[5000].text = "HERE".to_owned();
        let text = serde_json::to_string_pretty(&wanted).expect("entries are JSON").replace("\"HERE\"", "5");
        let file =
            TextFile::from_bytes(std::path::Path::new("A.json"), text.clone().into_bytes()).expect("UTF-8");
        let line = 1 + text[..text.find("\"text\": 5").expect("there")].matches('\n').count();
        let message = file.list::<Entry>("entries").expect_err("not a text").to_string();
        assert!(message.contains(&format!("line {line}, column 13")), "{message}, line {line}");
        assert!(message.contains("expected a string"), "{message}");
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in ["", "[", "[1", "[1,]", "[1 2]", "[1] 2", "{}", "3", "[\"a\"]"] {
            assert!(whole_list::<u32>(text).is_err(), "{text}");
        }
        for text in
            ["", "[]", "{", "{\"a\"}", "{\"a\": }", "{\"a\": 1,}", "{\"a\": 1} 2", "{\"a\": 1 \"b\": 2}"]
        {
            assert!(Object::new(text).each_member(|_, _| Ok(())).is_err(), "{text}");
        }
        assert_eq!(whole_list::<u32>(" [ 1 , 2 ] "), Ok(vec![1, 2]));
        assert_eq!(whole_list::<u32>("[ ]"), Ok(vec![]));
        assert!(Object::new(" { } ").each_member(|_, _| Ok(())).is_ok());
    }
}
