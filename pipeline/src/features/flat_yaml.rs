//! The corner of YAML that Oscar's data set files use: `key: value` lines and comments.
//!
//! Such files come from anywhere, and a whole YAML reader is a large door; whatever is more than a
//! flat list of names and paths is refused by line.

use std::path::Path;

use super::rows::broken;
use crate::Error;
use crate::inputs::{InputFile, Span};

/// Far above any such file.
const LARGEST: u64 = 1 << 20;

/// Keys and values in file order; `null`, `~` and nothing are `None`.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, Option<String>)>, Error> {
    let size = path.metadata().map_err(Error::io("read", path))?.len();
    let refuse = |line: Option<u64>, what: &str| {
        broken(path, line, what, "write one `key: value` a line; nothing nested, no lists, no anchors")
    };
    if size > LARGEST {
        return Err(refuse(None, &format!("has {size} bytes, too many for a data set description")));
    }
    let all = Span { input: 0, offset: 0, len: size as u32, line: 1 };
    let bytes = InputFile::open(path)?.read(all)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| refuse(None, "is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut pairs: Vec<(String, Option<String>)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let refuse = |what: &str| refuse(Some(index as u64 + 1), what);
        if line.trim().is_empty()
            || line.trim_start().starts_with('#')
            || (index == 0 && line.trim() == "---")
        {
            continue;
        }
        let (key, value) = line.split_once(':').ok_or_else(|| refuse("not `key: value`"))?;
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(refuse("the key is not a plain word at the start of the line"));
        }
        if !value.is_empty() && !value.starts_with([' ', '\t']) {
            return Err(refuse("a space belongs after the colon"));
        }
        let value = scalar(value.trim()).ok_or_else(|| refuse("the value is not a plain or quoted word"))?;
        if pairs.iter().any(|(known, _)| known == key) {
            return Err(refuse(&format!("`{key}` stands here for the second time")));
        }
        pairs.push((key.to_string(), value));
    }
    Ok(pairs)
}

/// `None`: no scalar. `Some(None)`: null.
fn scalar(value: &str) -> Option<Option<String>> {
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let (inside, after) = value[1..].split_once(quote)?;
        let after = after.trim_start();
        let plain = !inside.contains('\\') && (after.is_empty() || after.starts_with('#'));
        return plain.then(|| Some(inside.to_string()));
    }
    let end = value.find(" #").unwrap_or(if value.starts_with('#') { 0 } else { value.len() });
    let value = value[..end].trim_end();
    if matches!(value, "" | "~" | "null" | "Null" | "NULL") {
        return Some(None);
    }
    let special = value.starts_with(|c| "[]{}&*!|>%@`-?,".contains(c)) || value.contains(": ");
    (!special).then(|| Some(value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, Option<String>)>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.yaml");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn flat_files_are_read() {
        let text = "---\n# Oscar\nimg: null\nfeature: train.feature.tsv # 2054\nlabel: \"a b#.tsv\"\r\n\nhw: '/x/hw.tsv'\ncaption: ~\ncbs_box:\n";
        let pair = |key: &str, value: Option<&str>| (key.to_string(), value.map(str::to_string));
        assert_eq!(
            parse(text).unwrap(),
            [
                pair("img", None),
                pair("feature", Some("train.feature.tsv")),
                pair("label", Some("a b#.tsv")),
                pair("hw", Some("/x/hw.tsv")),
                pair("caption", None),
                pair("cbs_box", None),
            ]
        );
    }

    #[test]
    fn everything_else_is_refused_by_line() {
        for bad in [
            "a: b\n  c: d\n",
            "a: b\n- c\n",
            "a: b\nc: [1, 2]\n",
            "a: b\nc: !!python/object/apply:os.system ['true']\n",
            "a: b\nc: *x\n",
            "a: b\nc: &x y\n",
            "a: b\nc: |\n",
            "a: b\nc: \"x\\n\"\n",
            "a: b\nc: 'x' y\n",
            "a: b\nc: 'x\n",
            "a: b\nword\n",
            "a: b\nc:d\n",
            "a: b\na: c\n",
            "a: b\nc: {x: y}\n",
            "a: b\nc: x: y\n",
        ] {
            assert!(matches!(parse(bad), Err(Error::Input { line: Some(2), .. })), "{bad}");
        }
    }
}
