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
    let mut part = Part::default();
    part.add(caption, &[] as &[&str]);
    part.text
}

/// Tokenizes many captions in parallel; the order is kept.
///
/// The reference reads all captions as the lines of one file, and its rules for a letter with a full
/// stop (`S.`) and for abbreviations of numbers look over the line's end. So does this function:
/// `captions` in the reference's order give the reference's tokens.
pub fn tokenize_all<S: AsRef<str> + Sync>(captions: &[S]) -> Tokens {
    let length = captions.len().div_ceil(4 * rayon::current_num_threads()).max(64);
    let starts = (0..captions.len()).into_par_iter().step_by(length);
    let part = |start: usize| {
        let own = start..captions.len().min(start + length);
        let bytes = own.clone().map(|caption| captions[caption].as_ref().len()).sum();
        let mut part = Part { text: String::with_capacity(bytes), ..Part::default() };
        own.for_each(|caption| part.add(captions[caption].as_ref(), &captions[caption + 1..]));
        part
    };
    Tokens { parts: starts.map(part).collect() }
}

/// Builds what the rules need, as otherwise the first text does that they are asked for. It takes some
/// milliseconds, in which another thread can read files.
pub fn prepare() {
    lexer::prepare();
}

/// The tokens of many captions.
#[derive(Debug, Default)]
pub struct Tokens {
    parts: Vec<Part>,
}

impl Tokens {
    /// The tokens of each caption, joined by single spaces, in the captions' order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flat_map(|part| {
            let mut start = 0;
            part.ends.iter().map(move |&end| &part.text[std::mem::replace(&mut start, end)..end])
        })
    }
}

/// The tokens of captions that follow each other, and what is used for one after the other.
#[derive(Debug, Default)]
struct Part {
    text: String,
    /// Where each caption's tokens end in `text`.
    ends: Vec<usize>,
    lines: String,
    token: String,
}

/// How much of the following lines a rule can look at, in characters.
const LOOK_AHEAD: usize = 16;

impl Part {
    fn add<S: AsRef<str>>(&mut self, caption: &str, following: &[S]) {
        let Self { text: out, lines, token, .. } = self;
        lines.clear();
        push_line(lines, caption);
        let own = lines.len();
        for next in following {
            let next = next.as_ref();
            lines.push('\n');
            let end = next.char_indices().nth(LOOK_AHEAD).map_or(next.len(), |(end, _)| end);
            push_line(lines, &next[..end]);
            if lines.len() > own + LOOK_AHEAD {
                break;
            }
        }

        let start = out.len();
        let mut emit = |piece: &str, action: Action| {
            let separate = |out: &mut String| {
                if out.len() > start {
                    out.push(' ');
                }
            };
            if action == Action::Word {
                separate(out);
                let word = out.len();
                out.push_str(piece);
                out[word..].make_ascii_lowercase();
                return;
            }
            token.clear();
            write_token(token, piece, action);
            if token.is_ascii() {
                token.make_ascii_lowercase();
            } else {
                *token = token.to_lowercase();
            }
            if !token.is_empty() && !PUNCTUATION.contains(&token.as_str()) {
                separate(out);
                out.push_str(token);
            }
        };
        if lines.is_ascii() {
            lexer::lex(lines.as_bytes(), own, |lexeme| emit(&lines[lexeme.start..lexeme.end], lexeme.action));
        } else {
            let mut symbols = Vec::with_capacity(lines.len());
            let mut offsets = Vec::with_capacity(lines.len() + 1);
            let own = lines[..own].chars().count();
            for (offset, character) in lines.char_indices() {
                offsets.push(offset);
                symbols.push(alphabet::symbol(character));
            }
            offsets.push(lines.len());
            lexer::lex(&symbols, own, |lexeme| {
                emit(&lines[offsets[lexeme.start]..offsets[lexeme.end]], lexeme.action)
            });
        }
        // A no-break space may be left at the very end.
        out.truncate(start + out[start..].trim_end().len());
        self.ends.push(out.len());
    }
}

/// A caption as one line.
fn push_line(lines: &mut String, caption: &str) {
    let mut parts = caption.split('\n');
    lines.extend(parts.next());
    for part in parts {
        lines.push(' ');
        lines.push_str(part);
    }
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
