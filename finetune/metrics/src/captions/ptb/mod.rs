//! Penn Treebank tokenization of captions, as pycocoevalcap runs it: Stanford's rules of 2014,
//! lower-cased, and then without the punctuation tokens in [`PUNCTUATION`].

mod alphabet;
mod lexer;
mod plain;
mod rules;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use self::rules::Action;

/// Tokens that coco-caption drops. (Its list holds -LRB- and the like too, but in upper case, which
/// lower-cased tokens never equal: bracket names stay.)
const PUNCTUATION: [&str; 13] = ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"];

/// Tokenizes one caption: lower-case tokens joined by single spaces, punctuation dropped.
///
/// A token may hold a no-break space (`5 1/2` is one token), as in the reference.
pub fn tokenize(caption: &str) -> String {
    tokenize_before::<&str>(caption, &[])
}

/// Tokenizes many captions in parallel; the order is kept.
///
/// The reference reads all captions as the lines of one file, and its rules for a letter with a full
/// stop (`S.`) and for abbreviations of numbers look over the line's end. So does this function:
/// `captions` in the reference's order give the reference's tokens.
pub fn tokenize_all<S: AsRef<str> + Sync>(captions: &[S]) -> Vec<String> {
    (0..captions.len())
        .into_par_iter()
        .with_min_len(64)
        .map(|index| tokenize_before(captions[index].as_ref(), &captions[index + 1..]))
        .collect()
}

/// How much of the following lines a rule can look at, in characters.
const LOOK_AHEAD: usize = 16;

fn tokenize_before<S: AsRef<str>>(caption: &str, following: &[S]) -> String {
    let mut text = String::with_capacity(caption.len() + 2 * LOOK_AHEAD);
    if caption.contains('\n') {
        text.extend(caption.chars().map(|character| if character == '\n' { ' ' } else { character }));
    } else {
        text.push_str(caption);
    }
    let own = text.len();
    for next in following {
        let next = next.as_ref();
        text.push('\n');
        text.extend(
            next.chars().take(LOOK_AHEAD).map(|character| if character == '\n' { ' ' } else { character }),
        );
        if text.len() > own + LOOK_AHEAD {
            break;
        }
    }

    let mut out = String::with_capacity(caption.len() + 8);
    let mut token = String::new();
    let mut emit = |piece: &str, action: Action| {
        if action == Action::Word {
            if !out.is_empty() {
                out.push(' ');
            }
            let start = out.len();
            out.push_str(piece);
            out[start..].make_ascii_lowercase();
            return;
        }
        token.clear();
        write_token(&mut token, piece, action);
        if token.is_ascii() {
            token.make_ascii_lowercase();
        } else {
            token = token.to_lowercase();
        }
        if token.is_empty() || PUNCTUATION.contains(&token.as_str()) {
            return;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&token);
    };
    if text.is_ascii() {
        lexer::lex(text.as_bytes(), own, |lexeme| emit(&text[lexeme.start..lexeme.end], lexeme.action));
    } else {
        let mut symbols = Vec::with_capacity(text.len());
        let mut offsets = Vec::with_capacity(text.len() + 1);
        let own = text[..own].chars().count();
        for (offset, character) in text.char_indices() {
            offsets.push(offset);
            symbols.push(alphabet::symbol(character));
        }
        offsets.push(text.len());
        lexer::lex(&symbols, own, |lexeme| {
            emit(&text[offsets[lexeme.start]..offsets[lexeme.end]], lexeme.action)
        });
    }
    // A no-break space may be left at the very end.
    out.truncate(out.trim_end().len());
    out
}

fn write_token(out: &mut String, text: &str, action: Action) {
    match action {
        Action::Skip => {}
        Action::Keep | Action::Word => out.push_str(text),
        Action::Fixed(replacement) => out.push_str(replacement),
        Action::DropSoftHyphens => {
            out.extend(text.chars().filter(|&character| character != '\u{AD}'));
            if out.is_empty() {
                out.push('-'); // a token is never empty
            }
        }
        Action::Glue => {
            for character in text.chars() {
                match character {
                    ' ' => out.push('\u{A0}'),
                    '(' => out.push_str("-LRB-"),
                    ')' => out.push_str("-RRB-"),
                    other => out.push(other),
                }
            }
        }
        Action::PlainAmpersand => replace_ignoring_case(out, text, "&amp;", "&"),
        Action::Hyphens => out.push_str(if matches!(text.len(), 3 | 4) { "--" } else { text }),
        Action::Currency => out.push_str(match text {
            "¢" => "cents",
            "£" => "#",
            "\u{80}" | "¤" | "\u{20A0}" | "€" => "$",
            other => other,
        }),
        Action::Fraction => out.push_str(match text {
            "¼" => "1/4",
            "½" => "1/2",
            "¾" => "3/4",
            "⅓" => "1/3",
            "⅔" => "2/3",
            other => other,
        }),
        Action::OpeningQuote => write_quote(out, text, ["`", "``"]),
        Action::ClosingQuote => write_quote(out, text, ["'", "''"]),
    }
}

/// Quotes in LaTeX form: ASCII ones take the direction given, the others have their own.
fn write_quote(out: &mut String, text: &str, [single, double]: [&str; 2]) {
    // Capital entities (`&APOS;`) are taken for quotes by the rules, but stay as they are.
    let plain = text.replace("&apos;", "'").replace("&quot;", "\"");
    for character in plain.chars() {
        match character {
            '\'' => out.push_str(single),
            '"' => out.push_str(double),
            '\u{91}' | '‘' | '‛' | '‹' => out.push('`'),
            '\u{92}' | '’' | '›' => out.push('\''),
            '\u{93}' | '“' | '«' => out.push_str("``"),
            '\u{94}' | '”' | '»' => out.push_str("''"),
            other => out.push(other),
        }
    }
}

fn replace_ignoring_case(out: &mut String, text: &str, from: &str, to: &str) {
    let mut rest = text;
    while let Some(position) =
        rest.as_bytes().windows(from.len()).position(|part| part.eq_ignore_ascii_case(from.as_bytes()))
    {
        out.push_str(&rest[..position]);
        out.push_str(to);
        rest = &rest[position + from.len()..];
    }
    out.push_str(rest);
}
