//! JSON with one spelling: keys sorted, no blanks, so that equal values have equal bytes and hashes.

use serde_json::{Map, Value};

/// The canonical spelling of `value`: object keys in byte order at every depth, no white space.
pub fn canonical_json(value: &Value) -> String {
    sorted(value).to_string()
}

/// The canonical spelling of an object's fields, or `None` when there are none.
pub fn canonical_fields(fields: Map<String, Value>) -> Option<String> {
    (!fields.is_empty()).then(|| canonical_json(&Value::Object(fields)))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(fields) => {
            let mut pairs: Vec<_> = fields.iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(b.0));
            Value::Object(pairs.into_iter().map(|(key, field)| (key.clone(), sorted(field))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn key_order_does_not_reach_the_text() {
        let one: Value = serde_json::from_str(r#"{"b": [ {"y":1,"x":2.50} ], "a": null}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"a":null,"b":[{"x":2.5,"y":1}]}"#).unwrap();
        assert_eq!(canonical_json(&one), r#"{"a":null,"b":[{"x":2.5,"y":1}]}"#);
        assert_eq!(canonical_json(&one), canonical_json(&two));
        assert_eq!(canonical_fields(Map::new()), None);
        assert_eq!(canonical_fields(json!({"k":1}).as_object().unwrap().clone()), Some(r#"{"k":1}"#.into()));
    }
}
