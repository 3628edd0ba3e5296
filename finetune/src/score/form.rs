//! Results as text.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object with everything.
    Json,
    /// Aligned lines, without those of single images, questions or classes.
    Table,
}

impl Form {
    pub(super) fn write(self, result: &impl Serialize) -> String {
        const REASON: &str = "the keys of a result are texts, and writing to memory does not fail";
        match self {
            Self::Json => serde_json::to_string(result).expect(REASON),
            Self::Table => as_table(&serde_json::to_value(result).expect(REASON)).trim_end().to_owned(),
        }
    }
}

/// A result as aligned lines, without those of single images, questions or classes.
pub fn as_table(result: &Value) -> String {
    let mut lines = Vec::new();
    collect(&mut Vec::new(), result, &mut lines);
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut out = String::new();
    for (name, value) in lines {
        let padding = " ".repeat(width - name.chars().count());
        writeln!(out, "{name}{padding}  {value}").expect("writing to a string does not fail");
    }
    out
}

fn collect(path: &mut Vec<String>, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "per_image" | "per_question" | "per_class"))
            {
                path.push(key.clone());
                collect(path, value, lines);
                path.pop();
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            lines.push((path.join(" / "), items.join(" ")));
        }
        other => lines.push((path.join(" / "), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.6}", number.as_f64().unwrap_or(f64::NAN)),
        Value::Null => "not available".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn aligned_and_without_single_images() {
        let value = serde_json::json!({"corpus": {"CIDEr": 1.25, "n": 3}, "per_image": {"1": {"CIDEr": 1.0}}, "list": [1, 2], "gone": null});
        assert_eq!(
            super::as_table(&value),
            "corpus / CIDEr  1.250000\ncorpus / n      3\nlist            1 2\ngone            not available\n"
        );
    }
}
