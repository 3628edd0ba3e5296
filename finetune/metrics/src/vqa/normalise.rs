//! Answers in the form in which the VQA evaluator compares them.

use std::{borrow::Cow, sync::LazyLock};

use rustc_hash::FxHashMap;

use crate::white_space::is_space;

/// Newlines and tabs become spaces, and the ends are trimmed. Applied to every answer.
pub fn tidy(answer: &str) -> Cow<'_, str> {
    let bytes = answer.as_bytes();
    if bytes.iter().any(|byte| matches!(byte, b'\n' | b'\t')) {
        return answer.replace(['\n', '\t'], " ").trim_matches(is_space).to_owned().into();
    }
    if bytes.first().is_some_and(u8::is_ascii_graphic) && bytes.last().is_some_and(u8::is_ascii_graphic) {
        return answer.into();
    }
    answer.trim_matches(is_space).into()
}

/// Punctuation, numbers, articles and contractions normalised. Applied (after [`tidy`]) only where the
/// annotators do not all agree.
pub fn normalise(answer: &str) -> Cow<'_, str> {
    // Nearly all answers are words in lower case, which only the word lists can change.
    if answer.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b' ') {
        let is_kept = |word: &str| !word.is_empty() && respelled(word) == Some(word);
        return if answer.split(' ').all(is_kept) { answer.into() } else { words(answer).into() };
    }
    words(&punctuation(answer).to_lowercase()).into()
}

const MARKS: [char; 21] = [
    ';', '/', '[', ']', '"', '{', '}', '(', ')', '=', '+', '\\', '_', '-', '>', '<', '@', '`', ',', '?', '!',
];

/// A mark that stands next to a space somewhere is deleted everywhere, another becomes a space; one
/// comma between digits makes all marks be deleted. Then full stops go that no digit follows.
fn punctuation(answer: &str) -> String {
    let characters: Vec<char> = answer.chars().collect();
    let number_with_comma =
        characters.windows(3).any(|three| is_digit(three[0]) && three[1] == ',' && is_digit(three[2]));
    let beside_space = |mark: char| {
        characters
            .windows(2)
            .any(|two| (two[0] == mark && two[1] == ' ') || (two[0] == ' ' && two[1] == mark))
    };
    let mut out = answer.to_owned();
    for mark in MARKS {
        if characters.contains(&mark) {
            let replacement = if number_with_comma || beside_space(mark) { "" } else { " " };
            out = out.replace(mark, replacement);
        }
    }
    // The official call passes a flag (32) where the count of replacements belongs.
    let mut left = 32;
    let mut without_stops = String::with_capacity(out.len());
    let mut rest = out.chars().peekable();
    while let Some(character) = rest.next() {
        if character == '.' && left > 0 && !rest.peek().copied().is_some_and(is_digit) {
            left -= 1;
        } else {
            without_stops.push(character);
        }
    }
    without_stops
}

fn words(lower_case: &str) -> String {
    let mut out = String::with_capacity(lower_case.len());
    let words = lower_case.split(is_space).filter(|word| !word.is_empty());
    for word in words.filter_map(respelled) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// A word as it is compared; articles are dropped.
fn respelled(word: &str) -> Option<&str> {
    Some(match word {
        "none" | "zero" => "0",
        "one" => "1",
        "two" => "2",
        "three" => "3",
        "four" => "4",
        "five" => "5",
        "six" => "6",
        "seven" => "7",
        "eight" => "8",
        "nine" => "9",
        "ten" => "10",
        "a" | "an" | "the" => return None,
        other => contraction(other).unwrap_or(other),
    })
}

/// Spellings that get an apostrophe when exactly one of theirs is missing. The list is the official
/// one, gaps and all: `shes`, `lets` and `wed` are not in it, and capitals (`Im`) never match
/// because words are in lower case by then.
const CONTRACTIONS: &[&str] = &[
    "'ow's'at",
    "'twas",
    "ain't",
    "aren't",
    "can't",
    "could've",
    "couldn't",
    "couldn't've",
    "didn't",
    "doesn't",
    "don't",
    "hadn't",
    "hadn't've",
    "hasn't",
    "haven't",
    "he'd",
    "he'd've",
    "he's",
    "how'd",
    "how'll",
    "how's",
    "isn't",
    "it'd",
    "it'd've",
    "it'll",
    "ma'am",
    "might've",
    "mightn't",
    "mightn't've",
    "must've",
    "mustn't",
    "needn't",
    "not've",
    "o'clock",
    "oughtn't",
    "shan't",
    "she'd've",
    "should've",
    "shouldn't",
    "shouldn't've",
    "somebody'd've",
    "somebody'll",
    "somebody's",
    "someone'd",
    "someone'd've",
    "someone'll",
    "someone's",
    "something'd",
    "something'd've",
    "something'll",
    "that's",
    "there'd",
    "there'd've",
    "there're",
    "there's",
    "they'd",
    "they'd've",
    "they'll",
    "they're",
    "they've",
    "wasn't",
    "we'd've",
    "we've",
    "weren't",
    "what'll",
    "what're",
    "what's",
    "what've",
    "when's",
    "where'd",
    "where's",
    "where've",
    "who'd",
    "who'd've",
    "who'll",
    "who's",
    "who've",
    "why'll",
    "why're",
    "why's",
    "won't",
    "would've",
    "wouldn't",
    "wouldn't've",
    "y'all",
    "y'all'd've",
    "y'all'll",
    "you'd",
    "you'd've",
    "you'll",
    "you're",
    "you've",
];

fn contraction(word: &str) -> Option<&'static str> {
    static TABLE: LazyLock<FxHashMap<String, &'static str>> = LazyLock::new(|| {
        let mut table = FxHashMap::default();
        for spelling in CONTRACTIONS {
            for (position, _) in spelling.match_indices('\'') {
                let mut without = (*spelling).to_owned();
                without.remove(position);
                table.insert(without, *spelling);
            }
        }
        table.insert("somebody'd".to_owned(), "somebodyd"); // so in the official table
        table
    });
    TABLE.get(word).copied()
}

/// Decimal digits of any script, as Python's `\d` has them.
fn is_digit(character: char) -> bool {
    // Of the scripts that answers could hold: Arabic, Persian, Devanagari, Bengali, full-width.
    matches!(character, '0'..='9' | '٠'..='٩' | '۰'..='۹' | '०'..='९' | '০'..='৯' | '０'..='９')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_one_by_one() {
        for (given, wanted) in [
            ("red/blue", "red blue"),
            ("red / blue", "red blue"),
            ("left)", "left"),
            ("6,500 - 7", "6500 7"),
            ("10,000-x", "10000x"),
            ("1.5", "1.5"),
            ("p.m.", "pm"),
            ("...7", ".7"),
            ("The One", "1"),
            ("zero none", "0 0"),
            ("eleven", "eleven"),
            ("wont", "won't"),
            ("couldnt've", "couldn't've"),
            ("couldntve", "couldntve"),
            ("Im", "im"),
            ("shes", "shes"),
            ("somebody'd", "somebodyd"),
            ("an the a", ""),
            ("\u{e9}t\u{e9}!", "\u{e9}t\u{e9}"),
        ] {
            assert_eq!(normalise(&tidy(given)), wanted, "{given}");
        }
        assert_eq!(tidy(" a\tb\nc "), "a b c");
        assert_eq!(normalise(&"x.".repeat(40)), format!("{}{}", "x".repeat(32), "x.".repeat(8)));
    }
}
