//! Characters to symbols: the lexer reads one byte per character.
//!
//! The rules never tell two Greek letters, or two mathematical signs, apart. So every character
//! outside ASCII is replaced by a byte >= 0x80 that names its class, ASCII stays as it is, and the
//! automaton of `lexer.rs` needs neither UTF-8 nor Unicode tables.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// Not known to the tokenizer: deleted, but welcome inside a URL.
pub(super) const UNKNOWN: u8 = 0x80;
const NEXT_LINE: u8 = 0x81;
const ELLIPSIS: u8 = 0x82;
const LINE_SEPARATOR: u8 = 0x83;
const WIDE_SPACE: u8 = 0x84;
const NO_BREAK_SPACE: u8 = 0x85;
const DASH: u8 = 0x86;
const LETTER: u8 = 0x87;
/// Part of a word, but not of the compound forms that ask for a plain letter (accents, vowel signs).
const WORD_MARK: u8 = 0x89;
const SOFT_HYPHEN: u8 = 0x8a;
const DIGIT: u8 = 0x8b;
const ARABIC_SEPARATOR: u8 = 0x8d;
const RAISED_SIGN: u8 = 0x8e;
const SUPERSCRIPT: u8 = 0x8f;
const SUBSCRIPT: u8 = 0x90;
const FRACTION_SLASH: u8 = 0x91;
const FRACTION: u8 = 0x92;
const CURRENCY: u8 = 0x93;
/// An apostrophe as typesetters draw it.
const APOSTROPHE: u8 = 0x94;
/// Opening single quotes: accepted where an apostrophe is inside a word.
const OPENING_SINGLE: u8 = 0x95;
const OTHER_QUOTE: u8 = 0x96;
const HYPHEN: u8 = 0x97;
const IDEOGRAPHIC_COMMA: u8 = 0x98;
const SENTENCE_END: u8 = 0x99;
const SYMBOL: u8 = 0x9a;
const INVISIBLE: u8 = 0x9c;

/// The symbol of `character`.
pub(super) fn symbol(character: char) -> u8 {
    let code = u32::from(character);
    match code {
        0..0x80 => code as u8,
        0x80..0x1_0000 => TABLE[code as usize],
        _ => UNKNOWN,
    }
}

// Where ranges overlap the later line wins.
const RANGES: &[(u8, &[(u32, u32)])] = &[
    (
        SYMBOL,
        &[
            (0xA6, 0xA9),
            (0xAC, 0xAC),
            (0xAE, 0xB4),
            (0xB6, 0xB8),
            (0xD7, 0xD7),
            (0xF7, 0xF7),
            (0x387, 0x387),
            (0x5BE, 0x5BE),
            (0x5C0, 0x5C0),
            (0x5C3, 0x5C3),
            (0x5C6, 0x5C6),
            (0x5F3, 0x5F4),
            (0x600, 0x603),
            (0x606, 0x60A),
            (0x60C, 0x60C),
            (0x614, 0x614),
            (0x61B, 0x61B),
            (0x61E, 0x61E),
            (0x66A, 0x66A),
            (0x66D, 0x66D),
            (0x703, 0x70D),
            (0x7F6, 0x7F8),
            (0x964, 0x965),
            (0xE4F, 0xE4F),
            (0x1FBD, 0x1FBD),
            (0x2016, 0x2017),
            (0x2020, 0x2023),
            (0x2030, 0x2038),
            (0x203B, 0x203B),
            (0x203E, 0x2042),
            (0x2100, 0x214F),
            (0x2190, 0x2BFF),
            (0x3012, 0x3012),
            (0x30FB, 0x30FB),
            (0xFF01, 0xFF0F),
            (0xFF1A, 0xFF20),
            (0xFF3B, 0xFF40),
            (0xFF5B, 0xFF65),
        ],
    ),
    (
        WORD_MARK,
        &[
            (0x237, 0x24F),
            (0x2C2, 0x2C5),
            (0x2D2, 0x2DF),
            (0x2E5, 0x2FF),
            (0x300, 0x36F),
            (0x370, 0x37D),
            (0x384, 0x385),
            (0x3CF, 0x3CF),
            (0x3F6, 0x3F6),
            (0x3FC, 0x3FF),
            (0x483, 0x487),
            (0x4CF, 0x4CF),
            (0x4F6, 0x4FF),
            (0x510, 0x525),
            (0x55A, 0x55F),
            (0x591, 0x5BD),
            (0x5BF, 0x5BF),
            (0x5C1, 0x5C2),
            (0x5C4, 0x5C5),
            (0x5C7, 0x5C7),
            (0x615, 0x61A),
            (0x63B, 0x63F),
            (0x64B, 0x65E),
            (0x670, 0x670),
            (0x6D6, 0x6EF),
            (0x6FA, 0x6FF),
            (0x70F, 0x70F),
            (0x711, 0x711),
            (0x730, 0x74F),
            (0x750, 0x77F),
            (0x7A6, 0x7B1),
            (0x7CA, 0x7F5),
            (0x7FA, 0x7FA),
            (0x900, 0x903),
            (0x93C, 0x93C),
            (0x93E, 0x94E),
            (0x951, 0x955),
            (0x962, 0x963),
            (0x981, 0x983),
            (0x9BC, 0x9C4),
            (0x9C7, 0x9C8),
            (0x9CB, 0x9CD),
            (0x9D7, 0x9D7),
            (0x9E2, 0x9E3),
            (0xA01, 0xA03),
            (0xA3C, 0xA3C),
            (0xA3E, 0xA4F),
            (0xA81, 0xA83),
            (0xABC, 0xACF),
            (0xB82, 0xB82),
            (0xBBE, 0xBC2),
            (0xBC6, 0xBC8),
            (0xBCA, 0xBCD),
            (0xC01, 0xC03),
            (0xC3E, 0xC56),
            (0xD3E, 0xD44),
            (0xD46, 0xD48),
            (0xE30, 0xE3A),
            (0xE47, 0xE4E),
            (0xEB1, 0xEBC),
            (0xEC8, 0xECD),
        ],
    ),
];

const AFTER_LETTERS: &[(u8, &[(u32, u32)])] = &[
    (NEXT_LINE, &[(0x85, 0x85)]),
    (ELLIPSIS, &[(0x2026, 0x2026)]),
    (LINE_SEPARATOR, &[(0x2028, 0x2029)]),
    (WIDE_SPACE, &[(0x2000, 0x200A), (0x3000, 0x3000)]),
    (NO_BREAK_SPACE, &[(0xA0, 0xA0)]),
    (DASH, &[(0x96, 0x97), (0x2013, 0x2015)]),
    (SOFT_HYPHEN, &[(0xAD, 0xAD)]),
    (ARABIC_SEPARATOR, &[(0x66B, 0x66C)]),
    (RAISED_SIGN, &[(0x207A, 0x207B), (0x208A, 0x208B)]),
    (SYMBOL, &[(0x207C, 0x207E), (0x208C, 0x208E)]),
    (SUPERSCRIPT, &[(0xB2, 0xB3), (0xB9, 0xB9), (0x2070, 0x2070), (0x2074, 0x2079)]),
    (SUBSCRIPT, &[(0x2080, 0x2089)]),
    (FRACTION_SLASH, &[(0x2044, 0x2044)]),
    (FRACTION, &[(0xBC, 0xBE), (0x2153, 0x215E)]),
    (
        CURRENCY,
        &[
            (0xA2, 0xA5),
            (0x80, 0x80),
            (0x20A0, 0x20A0),
            (0x20A4, 0x20A4),
            (0x20AC, 0x20AC),
            (0x60B, 0x60B),
            (0xE3F, 0xE3F),
            (0xFFE0, 0xFFE1),
            (0xFFE5, 0xFFE6),
        ],
    ),
    (APOSTROPHE, &[(0x92, 0x92), (0x2019, 0x2019)]),
    (OPENING_SINGLE, &[(0x91, 0x91), (0x2018, 0x2018), (0x201B, 0x201B)]),
    (
        OTHER_QUOTE,
        &[(0x93, 0x94), (0x201A, 0x201A), (0x201C, 0x201F), (0x2039, 0x203A), (0xAB, 0xAB), (0xBB, 0xBB)],
    ),
    (HYPHEN, &[(0x58A, 0x58A), (0x2010, 0x2011)]),
    (IDEOGRAPHIC_COMMA, &[(0x3001, 0x3001)]),
    (
        SENTENCE_END,
        &[
            (0xA1, 0xA1),
            (0xBF, 0xBF),
            (0x37E, 0x37E),
            (0x589, 0x589),
            (0x61F, 0x61F),
            (0x6D4, 0x6D4),
            (0x700, 0x702),
            (0x3002, 0x3002),
        ],
    ),
    (INVISIBLE, &[(0x200B, 0x200B), (0x200E, 0x200F), (0xFEFF, 0xFEFF)]),
];

static TABLE: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let mut table = vec![UNKNOWN; 0x1_0000].into_boxed_slice();
    let mut set = |class: u8, start: u32, end: u32| {
        for code in start..=end.min(0xFFFF) {
            table[code as usize] = class;
        }
    };
    for (class, ranges) in RANGES {
        ranges.iter().for_each(|&(start, end)| set(*class, start, end));
    }
    // The reference was generated when Unicode 6 was current, and knows no younger letters.
    for (class, property) in [(LETTER, r"[\p{L}&&\p{Age:6.3}]"), (DIGIT, r"[\p{Nd}&&\p{Age:6.3}]")] {
        for (start, end) in ranges_of(property) {
            if end >= 0x80 {
                set(class, start.max(0x80), end);
            }
        }
    }
    for (class, ranges) in AFTER_LETTERS {
        ranges.iter().for_each(|&(start, end)| set(*class, start, end));
    }
    table
});

fn ranges_of(property: &str) -> Vec<(u32, u32)> {
    let parsed = regex_syntax::parse(property).expect("the property is a constant of this file");
    match parsed.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect()
        }
        other => unreachable!("a property parses to a class, not {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_some_characters() {
        assert_eq!(symbol('a'), b'a');
        assert_eq!(symbol('é'), LETTER);
        assert_eq!(symbol('漢'), LETTER);
        assert_eq!(symbol('٣'), DIGIT);
        assert_eq!(symbol('’'), APOSTROPHE);
        assert_eq!(symbol('½'), FRACTION);
        assert_eq!(symbol('😀'), UNKNOWN);
        assert_eq!(symbol('\u{301}'), WORD_MARK);
    }
}
