//! METEOR's own tokenization of English, which runs after the Penn Treebank's: punctuation apart,
//! quotes and dashes in plain form, hyphens between words dropped, contractions split before the
//! apostrophe, dots of acronyms dropped.

use rustc_hash::FxHashSet;

/// Prefixes behind which a dot stays: always, or before a number.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    always: FxHashSet<String>,
    before_numbers: FxHashSet<String>,
}

impl Prefixes {
    /// Reads `english.prefixes`: one prefix a line, `#` starts a comment, and `#NUMERIC_ONLY#` behind a
    /// prefix limits it.
    pub(super) fn parse(text: &str) -> Self {
        let mut prefixes = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(prefix) = words.next().filter(|prefix| !prefix.starts_with('#')) else { continue };
            // A later line replaces an earlier one.
            let numeric = words.next() == Some("#NUMERIC_ONLY#");
            let (into, out_of) = if numeric {
                (&mut prefixes.before_numbers, &mut prefixes.always)
            } else {
                (&mut prefixes.always, &mut prefixes.before_numbers)
            };
            out_of.remove(prefix);
            into.insert(prefix.to_owned());
        }
        prefixes
    }
}

/// The words of a caption as METEOR compares them, in lower case.
pub(super) fn words(caption: &str, prefixes: &Prefixes) -> Vec<String> {
    // Nearly all captions hold nothing that any rule below touches.
    if caption.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ') {
        return caption.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
    }
    let line = spell_out(caption);
    let pieces: Vec<&str> =
        line.split([' ', '\t', '\n', '\r', '\x0c']).filter(|word| !word.is_empty()).collect();
    let mut out = Vec::with_capacity(pieces.len());
    for (index, word) in pieces.iter().enumerate() {
        let stem =
            word.strip_suffix('.').filter(|stem| !stem.is_empty() && !word.bytes().all(|byte| byte == b'.'));
        let Some(stem) = stem else {
            out.push((*word).to_owned());
            continue;
        };
        let next = pieces.get(index + 1);
        let next_starts =
            |test: fn(&u8) -> bool| next.is_some_and(|next| next.bytes().next().as_ref().is_some_and(test));
        if stem.contains('.') && stem.chars().any(is_letter) {
            out.push(word.replace('.', ""));
        } else if prefixes.always.contains(stem)
            || next_starts(u8::is_ascii_lowercase)
            || (prefixes.before_numbers.contains(stem) && next_starts(u8::is_ascii_digit))
        {
            out.push((*word).to_owned());
        } else {
            out.extend([stem.to_owned(), ".".to_owned()]);
        }
    }
    // The unusual spaces part words at the very end only.
    out.iter()
        .flat_map(|word| word.split(is_wide_space))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Everything but the dots.
fn spell_out(caption: &str) -> String {
    let mut line = String::with_capacity(caption.len() * 2);
    line.push(' ');
    for character in caption.chars() {
        let together = is_alphanumeric(character)
            || matches!(character, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
            || matches!(character, '.' | '\'' | '`' | ',' | '-' | '‘' | '’');
        if together {
            line.push(character);
        } else {
            line.extend([' ', character, ' ']);
        }
    }
    line.push(' ');

    let mut characters: Vec<char> = Vec::with_capacity(line.len());
    for run in line.chars().collect::<Vec<_>>().chunk_by(|left, right| *left == '.' && *right == '.') {
        if run.len() > 1 {
            // An ellipsis is a word.
            characters.push(' ');
            characters.extend(run);
            characters.push(' ');
        } else {
            characters.extend(run);
        }
    }

    let digit = |character: char| character.is_ascii_digit();
    let other = |character: char| !character.is_ascii_digit();
    between(&mut characters, other, ',', other, " , ");
    between(&mut characters, digit, ',', other, " , ");
    between(&mut characters, other, ',', digit, " , ");

    let text: String = characters
        .into_iter()
        .map(|character| if matches!(character, '`' | '‘' | '’') { '\'' } else { character })
        .collect();
    let text = text.replace("''", " \" ").replace('–', "-").replace("--", "-");
    let mut characters: Vec<char> = text.chars().collect();
    between(&mut characters, |left| is_alphanumeric(left) || left == '.', '-', is_alphanumeric, " ");

    let letter = is_letter;
    let no_letter = |character: char| !is_letter(character);
    between(&mut characters, no_letter, '\'', no_letter, " ' ");
    between(&mut characters, |left| !is_letter(left) && !left.is_ascii_digit(), '\'', letter, " ' ");
    between(&mut characters, letter, '\'', no_letter, " ' ");
    between(&mut characters, letter, '\'', letter, " '");
    between(&mut characters, |left| left.is_ascii_digit(), '\'', |right| right == 's', " '");
    characters.into_iter().collect()
}

/// Replaces `middle` where it stands between such characters. As with a regular expression that takes
/// all three, the right neighbour of one place is not the left neighbour of the next.
fn between(
    characters: &mut Vec<char>,
    left: impl Fn(char) -> bool,
    middle: char,
    right: impl Fn(char) -> bool,
    replacement: &str,
) {
    if !characters.contains(&middle) {
        return;
    }
    let mut out = Vec::with_capacity(characters.len() + 8);
    let mut rest = characters.as_slice();
    while let [first, tail @ ..] = rest {
        match tail {
            [second, third, behind @ ..] if *second == middle && left(*first) && right(*third) => {
                out.push(*first);
                out.extend(replacement.chars());
                out.push(*third);
                rest = behind;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    *characters = out;
}

fn is_letter(character: char) -> bool {
    matches!(character,
        'A'..='Z' | 'a'..='z' | 'Š' | 'Ž' | 'š' | 'ž' | 'Ÿ' | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ž'
        | 'Ѐ'..='ӿ' | 'Ԁ'..='ԧ' | 'Ꙁ'..='ꙮ' | '꙾'..='ꚗ' | 'ᴀ'..='ᵿ')
}

fn is_alphanumeric(character: char) -> bool {
    character.is_ascii_digit() || is_letter(character)
}

fn is_wide_space(character: char) -> bool {
    matches!(character, '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_one_by_one() {
        let prefixes = Prefixes::parse("# titles\nmr\nno #NUMERIC_ONLY#\n");
        for (given, wanted) in [
            ("A dog", "a dog"),
            ("a dog 's tail", "a dog ' s tail"),
            ("dog's", "dog 's"),
            ("ca n't", "ca n 't"),
            ("well-known t-shirt", "well known t shirt"),
            ("a-b-c", "a b-c"),
            ("1,000 a,b", "1,000 a , b"),
            ("u.s. team", "us team"),
            ("mr. x", "mr. x"),
            ("no. 5", "no. 5"),
            ("no. X", "no . x"),
            ("end.", "end ."),
            ("end. then", "end. then"),
            ("wait ... what", "wait ... what"),
            ("$ 5 #", "$ 5 #"),
            ("1990's", "1990 's"),
            ("5\u{a0}1/2", "5 1 / 2"),
        ] {
            assert_eq!(words(given, &prefixes).join(" "), wanted, "{given}");
        }
    }
}
