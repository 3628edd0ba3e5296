//! What the rules find in plain text, without them.
//!
//! Here are cases in which no rule can match further than shown, whatever follows: the tests hold them
//! against the rules.

use std::sync::LazyLock;

use rustc_hash::FxHashSet;

use super::rules::abbreviations;

/// The end of a word of ASCII letters, where it is one whole token.
pub(super) fn word(symbols: &[u8], start: usize) -> Option<usize> {
    let rest = &symbols[start..];
    let length = rest.iter().position(|symbol| !symbol.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (word, behind) = rest.split_at(length);
    let whole = match behind {
        [] | [b' ' | b'\n', ..] => !is_split(word),
        [b','] | [b',', b' ' | b'\n', ..] => !is_split(word),
        // One letter may be an initial.
        [b'.'] | [b'.', b' ' | b'\n', ..] => length > 1 && !is_split(word) && !is_abbreviation(word),
        _ => false,
    };
    (whole && length > 0).then_some(start + length)
}

/// The end of spaces, or of a comma or full stop that is a token of its own; captions keep none of them.
pub(super) fn nothing(symbols: &[u8], start: usize) -> Option<usize> {
    match &symbols[start..] {
        [b' ', rest @ ..] => {
            let spaces = rest.iter().take_while(|symbol| **symbol == b' ').count();
            Some(start + 1 + spaces)
        }
        [b','] | [b',', b' ' | b'\n', ..] => Some(start + 1),
        // Full stops with spaces between are an ellipsis.
        [b'.', b' ', b'.', ..] => None,
        [b'.'] | [b'.', b' ' | b'\n', ..] => Some(start + 1),
        _ => None,
    }
}

/// Words that are two tokens.
fn is_split(word: &[u8]) -> bool {
    const SPLIT: [&[u8]; 6] = [b"cannot", b"gonna", b"gotta", b"gimme", b"lemme", b"wanna"];
    matches!(word.len(), 5 | 6) && SPLIT.iter().any(|split| word.eq_ignore_ascii_case(split))
}

fn is_abbreviation(word: &[u8]) -> bool {
    const LONGEST: usize = 8;
    static ABBREVIATIONS: LazyLock<FxHashSet<&[u8]>> =
        LazyLock::new(|| abbreviations().map(str::as_bytes).collect());
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..word.len()) else { return false };
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    ABBREVIATIONS.contains(&*lower)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::captions::ptb::{lexer, rules::Action};

    /// Checks every position of a text that is decided here.
    fn check(text: &str) -> Result<usize, TestCaseError> {
        let symbols = text.as_bytes();
        let mut decided = 0;
        for start in 0..symbols.len() {
            let wanted = lexer::by_rules(symbols, start);
            let found = &text[wanted.start..wanted.end];
            if let Some(end) = word(symbols, start) {
                prop_assert_eq!((wanted.end, found), (end, &text[start..end]), "word in {:?}", text);
                let kept =
                    matches!(wanted.action, Action::Keep | Action::DropSoftHyphens | Action::PlainAmpersand);
                prop_assert!(kept, "{:?} in {:?}", wanted, text);
                decided += 1;
            }
            if let Some(end) = nothing(symbols, start) {
                prop_assert_eq!(wanted.end, end, "{:?} in {:?}", found, text);
                let dropped = matches!(found, "," | ".") || wanted.action == Action::Skip;
                prop_assert!(dropped, "{:?} in {:?}", wanted, text);
                decided += 1;
            }
        }
        Ok(decided)
    }

    #[test]
    fn every_abbreviation_and_split_word_in_every_case() {
        let split = ["cannot", "gonna", "gotta", "gimme", "lemme", "wanna", "a", "dog", "Additionally"];
        for word in abbreviations().chain(split) {
            let mut capital = word.to_owned();
            capital[..1].make_ascii_uppercase();
            for word in [word, &capital, &word.to_uppercase()] {
                for behind in [
                    "", " ", ",", ", ", ".", ". ", ".\n", ".\nThe ", ". The x", ". 5", ".\n5", " . .",
                    ". . .", ",\n", "\nX.",
                ] {
                    let decided = check(&format!("{word}{behind}")).expect("as the rules have it");
                    assert!(
                        decided > 0 || behind.starts_with('.') || split.contains(&word),
                        "{word}{behind}"
                    );
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_ascii(text in "[ -~\n]{0,40}") {
            check(&text)?;
        }

        #[test]
        fn like_captions(text in "([A-Za-z]{1,9}|[a-c]|no|Mr|[0-9]|'s|-)([ .,\n]|\\. |, |\\.\n| \\. )([A-Za-z]{1,9}|The|[0-9]{1,2}|\\.|www|@|')([ .,\n]|\\. ){0,3}[a-z.@/]{0,6}") {
            check(&text)?;
        }
    }
}
