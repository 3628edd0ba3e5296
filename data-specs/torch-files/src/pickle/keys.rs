//! Dictionary keys and set members: hashable, and none twice.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use crate::value::Value;

/// Why `keys` cannot be the keys of one dictionary, if so.
///
/// A pickler never writes a key twice; a file that does shows one value to us and another to Python.
pub(super) fn fault<'v>(keys: impl ExactSizeIterator<Item = &'v Value>) -> Option<String> {
    let mut seen = HashSet::with_capacity(keys.len());
    for key in keys {
        if !hashable(key) {
            return Some("a key or set member that Python could not hash".into());
        }
        if !seen.insert(Key(key)) {
            return Some(format!("key {} is there twice", brief(key)));
        }
    }
    None
}

fn hashable(value: &Value) -> bool {
    match value {
        Value::List(_) | Value::Dict(_) | Value::Set(_) | Value::Array(_) => false,
        Value::Tuple(items) => items.iter().all(hashable),
        _ => true,
    }
}

fn brief(key: &Value) -> String {
    match key {
        Value::Str(text) => format!("`{}`", text.chars().take(80).collect::<String>()),
        Value::Int(number) => number.to_string(),
        _ => "(neither text nor integer)".into(),
    }
}

/// Equality of keys as the file wrote them, so that 1, 1.0 and True are three.
struct Key<'v>(&'v Value);

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Tuple(a), Value::Tuple(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| Key(a) == Key(b))
            }
            (a, b) => a == b,
        }
    }
}

impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self.0).hash(state);
        match self.0 {
            Value::Bool(flag) => flag.hash(state),
            Value::Int(number) => number.hash(state),
            Value::Float(number) => number.to_bits().hash(state),
            Value::Str(text) | Value::Name(text) => text.hash(state),
            Value::Bytes(bytes) | Value::BigInt(bytes) => bytes.hash(state),
            Value::Tuple(items) => {
                items.len().hash(state);
                items.iter().for_each(|item| Key(item).hash(state));
            }
            _ => {}
        }
    }
}
