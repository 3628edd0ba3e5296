//! Where a JSON value ends, by counting brackets outside strings: any depth in constant memory.

use memchr::memchr2;

/// The way through one value, which may be spread over chunks.
#[derive(Debug, Default)]
pub(super) struct ValueEnd {
    /// Open brackets of both kinds; whether each closes its own kind is for the parser to say.
    depth: u64,
    within: Within,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Brackets, commas, numbers, ...
    #[default]
    Container,
    String,
    /// The byte after a backslash.
    Escape,
    /// A number, `true`, `false` or `null` that is the whole value.
    Word,
}

impl ValueEnd {
    /// Whether a value can begin with `byte`.
    pub(super) fn may_begin(byte: u8) -> bool {
        matches!(byte, b'{' | b'[' | b'"' | b'-') || byte.is_ascii_alphanumeric()
    }

    /// Begins a value with its first byte, which [`find`](ValueEnd::find) does not see again.
    pub(super) fn begin(&mut self, first: u8) {
        (self.depth, self.within) = match first {
            b'{' | b'[' => (1, Within::Container),
            b'"' => (0, Within::String),
            _ => (0, Within::Word),
        };
    }

    /// How many of the next bytes still belong to the value, or `None` if it goes on behind them.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            match self.within {
                Within::String => {
                    at += string_mark(&bytes[at..])?;
                    let quote = bytes[at] == b'"';
                    at += 1;
                    self.within = if quote { Within::Container } else { Within::Escape };
                    if quote && self.depth == 0 {
                        return Some(at);
                    }
                }
                Within::Escape => {
                    if at == bytes.len() {
                        return None;
                    }
                    at += 1;
                    self.within = Within::String;
                }
                Within::Container => loop {
                    let byte = *bytes.get(at)?;
                    at += 1;
                    match byte {
                        b'"' => {
                            self.within = Within::String;
                            break;
                        }
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => {
                            self.depth -= 1;
                            if self.depth == 0 {
                                return Some(at);
                            }
                        }
                        _ => {}
                    }
                },
                Within::Word => {
                    let rest = &bytes[at..];
                    let in_word =
                        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                    return rest.iter().position(|byte| !in_word(byte)).map(|length| at + length);
                }
            }
        }
    }
}

/// The next quote or backslash. Most strings are short, and `memchr` costs a call.
fn string_mark(bytes: &[u8]) -> Option<usize> {
    let near = bytes.len().min(16);
    match bytes[..near].iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        Some(at) => Some(at),
        None => memchr2(b'"', b'\\', &bytes[near..]).map(|at| near + at),
    }
}
