//! The text forms of protocol 0: escaped strings, decimal numbers.

/// A Python-2 `str` between its quotes, escapes undone.
pub(super) fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.trim_ascii();
    let (&quote, rest) = line.split_first()?;
    let (&last, body) = rest.split_last()?;
    if quote != last || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body.iter().copied();
    while let Some(byte) = rest.next() {
        if byte == quote {
            return None;
        }
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'x' => u8::try_from(hex(&mut rest, 2)?).ok()?,
            quoted @ (b'\\' | b'\'' | b'"') => quoted,
            _ => return None,
        });
    }
    Some(bytes)
}

/// Text in Python's raw-unicode-escape: Latin-1 bytes, `\u` with four hexadecimal digits and `\U` with eight.
/// Surrogate pairs, which Python 2 wrote for characters beyond 16 bits, are joined; lone ones are refused.
pub(super) fn raw_unicode(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut high = None;
    let mut rest = line.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        let digits = match (byte, rest.peek()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        let code = if digits == 0 {
            u32::from(byte)
        } else {
            rest.next();
            hex(&mut rest, digits)?
        };
        match (high.take(), code) {
            (None, 0xD800..=0xDBFF) => high = Some(code),
            (Some(first), 0xDC00..=0xDFFF) => {
                text.push(char::from_u32(0x10000 + ((first - 0xD800) << 10) + (code - 0xDC00))?);
            }
            (None, _) => text.push(char::from_u32(code)?),
            (Some(_), _) => return None,
        }
    }
    high.is_none().then_some(text)
}

/// A decimal number of up to 38 digits; Python 2's trailing `L` is allowed.
pub(super) fn decimal(line: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(line).ok()?.trim();
    text.strip_suffix('L').unwrap_or(text).parse().ok()
}

fn hex(digits: &mut impl Iterator<Item = u8>, n: u32) -> Option<u32> {
    (0..n).try_fold(0, |value, _| Some(value << 4 | char::from(digits.next()?).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_2_strings() {
        assert_eq!(quoted(b"'it'").unwrap(), b"it");
        assert_eq!(quoted(br#""it's""#).unwrap(), b"it's");
        assert_eq!(quoted(br"'a\n\t\r\\\'\x00\xff'").unwrap(), b"a\n\t\r\\'\x00\xff");
        for bad in [&b"it"[..], b"'it", b"'", b"''x", b"'a'b'", br"'\'", br"'\x1'", br"'\q'", b""] {
            assert_eq!(quoted(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn raw_unicode_escape() {
        assert_eq!(raw_unicode(b"caf\xe9 \\u20ac \\n").unwrap(), "café € \\n");
        assert_eq!(raw_unicode(br"\U0001f600 \ud83d\ude00").unwrap(), "😀 😀");
        for bad in [&br"\ud83d"[..], br"\ud83dx", br"\udE00", br"\u12", br"\U00110000", br"\uzzzz"] {
            assert_eq!(raw_unicode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal(b"-12L"), Some(-12));
        assert_eq!(decimal(b"119547037146038801333356"), Some(119_547_037_146_038_801_333_356));
        assert_eq!(decimal(&[b'9'; 60]), None);
        assert_eq!(decimal(b"1_0"), None);
    }
}
