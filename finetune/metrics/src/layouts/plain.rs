//! Entries in the form in which nearly all of them are written, read without serde.
//!
//! Evaluation files are lists of small objects of texts without escapes, integers, and lists of such objects.
//! A [`Cursor`] reads those. It gives up (`None`) at everything else, right or wrong: an escape, a control
//! character, a fraction, a key that comes twice, a key that is missing. `serde_json` then reads the same entry
//! and has the last word, so values and errors are always its own. Tests hold the two against each other.

use serde::Deserialize;

/// A value that can be read without serde where it is written plainly.
pub(crate) trait Plain<'a>: Deserialize<'a> {
    /// The value that serde would read here, or nothing. Where it is nothing the cursor may stand anywhere.
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self>;
}

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// The position in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Reads an object. `member` reads every member, or gives up: see [`Self::key`] and [`Self::pass_member`].
    pub(crate) fn object(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Some(());
        }
        loop {
            self.expect(b'"')?;
            member(self)?;
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Whether the member has this key, given as it is written behind the first quote: `name":`. If so it is
    /// passed over.
    pub(crate) fn key(&mut self, written: &str) -> bool {
        let found = self.rest().starts_with(written.as_bytes());
        self.at += if found { written.len() } else { 0 };
        found
    }

    /// Passes over a member with another key than those looked for.
    pub(crate) fn pass_member(&mut self) -> Option<()> {
        self.text_end()?;
        // Any key with a colon right behind was compared; one with space between was not.
        if self.rest().first() != Some(&b':') {
            return None;
        }
        self.at += 1;
        self.pass()
    }

    /// Reads a list. `entry` reads every entry, or gives up.
    pub(crate) fn list(&mut self, mut entry: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'[')?;
        if self.take(b']') {
            return Some(());
        }
        loop {
            entry(self)?;
            if !self.take(b',') {
                return self.expect(b']');
            }
        }
    }

    /// Reads a text without escapes.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        let end = self.text_end()?;
        self.text.get(start..end)
    }

    /// Reads an integer of at most 18 digits.
    pub(crate) fn integer(&mut self) -> Option<i64> {
        const MOST_DIGITS: usize = 18; // never too large for 64 bits
        let negative = self.take(b'-');
        let digits = self.rest();
        let (mut value, mut count) = (0, 0);
        while let Some(digit) =
            digits.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            if count == MOST_DIGITS {
                return None;
            }
            value = 10 * value + i64::from(digit);
            count += 1;
        }
        let starts_well = match digits.first() {
            Some(b'0') => count == 1 && !negative,
            _ => count > 0,
        };
        if !starts_well || matches!(digits.get(count), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += count;
        Some(if negative { -value } else { value })
    }

    /// Passes over a text, an integer, a truth value, null, or a list or an object of such.
    pub(crate) fn pass(&mut self) -> Option<()> {
        const DEEPEST: usize = 8;
        self.pass_within(DEEPEST)
    }

    fn pass_within(&mut self, depth: usize) -> Option<()> {
        let inside = depth.checked_sub(1)?;
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => self.object(|cursor| {
                cursor.text_end()?;
                cursor.expect(b':')?;
                cursor.pass_within(inside)
            }),
            b'[' => self.list(|cursor| cursor.pass_within(inside)),
            b'-' | b'0'..=b'9' => self.integer().map(drop),
            _ => {
                let word = ["true", "false", "null"].into_iter().find(|word| self.key(word));
                word.map(drop)
            }
        }
    }

    /// The next byte that is not white space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.rest().first() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// The end of a text whose first quote was passed, which is passed over.
    fn text_end(&mut self) -> Option<usize> {
        let end = special(self.text.as_bytes(), self.at)?;
        self.at = end + 1;
        (self.text.as_bytes()[end] == b'"').then_some(end)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.take(wanted).then_some(())
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

/// Keeps the value of a key that did not come before.
pub(crate) fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// The first quote, backslash or control character from `at` on.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The high bit of every byte below `limit`. Bytes behind the first such byte may be wrong.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*eight);
        let found = equal(word, b'"') | equal(word, b'\\') | below(word, b' ');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' ')).map(|position| at + position)
}

/// For the tests of everything that is [`Plain`].
#[cfg(test)]
pub(crate) mod second_opinion {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;

    /// Tells whether a text is read without serde. If so serde must read the same.
    pub(crate) fn is_plain<'a, T: Plain<'a> + PartialEq + Debug>(text: &'a str) -> bool {
        let mut cursor = Cursor::new(text, 0);
        let Some(found) = T::plain(&mut cursor) else { return false };
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<T>();
        match stream.next() {
            Some(Ok(wanted)) => assert_eq!(found, wanted, "{text}"),
            other => panic!("serde_json has {other:?}, not {found:?}: {text}"),
        }
        assert_eq!(cursor.at(), stream.byte_offset(), "{text}");
        true
    }

    /// One of `texts`, damaged in up to three places.
    pub(crate) fn damaged(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
        const INSERTED: [&str; 16] =
            ["", "\"", "\\", "\\n", "{", "}", "[", "]", ",", ":", " ", "\n", "0", "-", ".5", "null"];
        let edits =
            prop::collection::vec((any::<prop::sample::Index>(), 0..3_usize, 0..INSERTED.len()), 0..4);
        (prop::sample::select(texts), edits).prop_map(|(text, edits)| {
            let mut characters: Vec<char> = text.chars().collect();
            for (place, removed, inserted) in edits {
                let start = place.index(characters.len() + 1);
                let end = characters.len().min(start + removed);
                characters.splice(start..end, INSERTED[inserted].chars());
            }
            characters.into_iter().collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    impl<'a> Plain<'a> for u32 {
        fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
            cursor.integer()?.try_into().ok()
        }
    }

    #[test]
    fn special_bytes_are_found_at_every_offset() {
        for byte in [b'"', b'\\', b'\n', 0, 0x1f] {
            for (before, behind) in (0..20).flat_map(|before| (0..20).map(move |behind| (before, behind))) {
                let bytes =
                    [&b"\xc3\xa9 ~\x7f!#[]\xff".repeat(2)[..before], &[byte], &b"\"\\x".repeat(7)[..behind]]
                        .concat();
                for start in 0..=before {
                    assert_eq!(special(&bytes, start), Some(before), "{bytes:?} from {start}");
                }
            }
        }
        assert_eq!(special("é".repeat(20).as_bytes(), 3), None);
        assert_eq!(special(b"a", 5), None);
    }

    #[test]
    fn integers_as_serde_reads_them() {
        for text in ["0", "7", "-7", "120", "999999999999999999", "-999999999999999999", " 5"] {
            let mut cursor = Cursor::new(text, 0);
            assert_eq!(cursor.integer(), Some(serde_json::from_str(text).expect(text)), "{text}");
            assert_eq!(cursor.at(), text.len());
        }
        for text in ["", "-", "-0", "00", "01", "1.5", "1e3", "1E3", "9999999999999999999", "+1", "a"] {
            assert_eq!(Cursor::new(text, 0).integer(), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// What is passed over is JSON, and as long as serde_json finds it.
        #[test]
        fn nothing_wrong_is_passed_over(text in r#"[\[{]( ?("[a-z"\\\n]{0,3}"|-?[0-9]{1,3}(\.5)?|true|null|nul|\[\]|\{\})[,:\]} ]{0,2}){1,5}[\]}]?"#) {
            let mut cursor = Cursor::new(&text, 0);
            if cursor.pass().is_some() {
                let mut stream = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
                prop_assert!(matches!(stream.next(), Some(Ok(_))), "{}", text);
                prop_assert_eq!(stream.byte_offset(), cursor.at(), "{}", text);
            }
        }
    }
}
