//! Large JSON files on all cores.
//!
//! A list is cut where an entry seems to begin, and several parts are read at the same time. Whether an
//! entry really begins there is known when the part before ends exactly there; otherwise reading goes on
//! from where that part ended. So the result, and the error, is that of one reading from front to back.

use rayon::prelude::*;
use serde::{Deserialize, de::IgnoredAny};

use super::TextFile;
use crate::Error;

/// Where reading stopped, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    at: usize,
    problem: String,
}

impl Fault {
    pub(crate) fn into_error(self, file: &TextFile, expected: &'static str) -> Error {
        let before = &file.text.as_bytes()[..self.at.min(file.text.len())];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        Error::Layout {
            path: file.path.clone(),
            expected,
            problem: self.problem,
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            column: 1 + before.len() - line_start,
        }
    }
}

/// A whole text as one value.
pub(super) fn whole<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    let (value, end) = value(text, skip_space(text, 0))?;
    at_end(text, end).map(|()| value)
}

/// A whole text as one list.
pub(super) fn whole_list<'a, T: Deserialize<'a> + Send>(text: &'a str) -> Result<Vec<T>, Fault> {
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
        let mut at = skip_space(text, 0);
        if byte(text, at) != Some(b'{') {
            // Let the parser say what stands there instead.
            return value::<std::collections::BTreeMap<String, IgnoredAny>>(text, at).map(drop);
        }
        at = skip_space(text, at + 1);
        if byte(text, at) == Some(b'}') {
            return at_end(text, at + 1);
        }
        loop {
            let (key, end) = value::<std::borrow::Cow<'_, str>>(text, at)?;
            at = skip_space(text, end);
            at = skip_space(text, expect(text, at, b':')?);
            let mut end = None;
            found(&key, Member { text, start: at, end: &mut end })?;
            at = match end {
                Some(end) => end,
                None => value::<IgnoredAny>(text, at)?.1,
            };
            at = skip_space(text, at);
            if byte(text, at) == Some(b'}') {
                return at_end(text, at + 1);
            }
            at = skip_space(text, expect(text, at, b',')?);
        }
    }
}

impl<'a> Member<'a, '_> {
    /// Reads any value.
    pub(crate) fn value<T: Deserialize<'a>>(self) -> Result<T, Fault> {
        let (value, end) = value(self.text, self.start)?;
        *self.end = Some(end);
        Ok(value)
    }

    /// Reads a list, in parallel.
    pub(crate) fn list<T: Deserialize<'a> + Send>(self) -> Result<Vec<T>, Fault> {
        self.map(|entry: T| entry)
    }

    /// Reads a list, in parallel, and keeps what `keep` makes of its entries. It may see an entry twice.
    pub(crate) fn map<T: Deserialize<'a>, R: Send>(
        self,
        keep: impl Fn(T) -> R + Sync,
    ) -> Result<Vec<R>, Fault> {
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
fn list<'a, T: Deserialize<'a>, R: Send>(
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
    fn read<'a, T: Deserialize<'a>>(
        text: &'a str,
        start: usize,
        stop: usize,
        keep: impl Fn(T) -> R,
    ) -> Result<Self, Fault> {
        let mut part = Self { start, entries: Vec::new(), end: start, closed: false };
        loop {
            let (entry, end) = value(text, part.end)?;
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
fn likely_entry<'a, T: Deserialize<'a>>(text: &'a str, from: usize, to: usize) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    let braces = (from..to).filter(|&at| bytes[at] == b'{');
    braces
        .filter(|&at| bytes[..at].iter().rfind(|byte| !byte.is_ascii_whitespace()) == Some(&b','))
        .find(|&at| value::<T>(text, at).is_ok())
        .ok_or(Fault { at: from, problem: "no entry begins here".to_owned() })
}

/// The value at `at`, and where it ends.
fn value<'a, T: Deserialize<'a>>(text: &'a str, at: usize) -> Result<(T, usize), Fault> {
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
            })
        }
        None => Err(Fault { at: text.len(), problem: "the file ends here".to_owned() }),
    }
}

fn at_end(text: &str, at: usize) -> Result<(), Fault> {
    let at = skip_space(text, at);
    if at < text.len() {
        return Err(Fault { at, problem: "the file should end here".to_owned() });
    }
    Ok(())
}

/// The position behind `wanted`, which should stand at `at`.
fn expect(text: &str, at: usize, wanted: u8) -> Result<usize, Fault> {
    if byte(text, at) == Some(wanted) {
        return Ok(at + 1);
    }
    Err(Fault { at, problem: format!("expected `{}`", char::from(wanted)) })
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
