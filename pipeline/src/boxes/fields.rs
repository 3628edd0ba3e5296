//! Fields of boxes that several formats write the same way.

use serde_json::Value;

use crate::RejectReason;
use crate::texts::record::{Fields, empty, is_not, kind, lacks};

/// Corners from `x`, `y`, `w`, `h`, summed in double precision and then rounded once.
pub(super) fn corners(fields: &mut Fields) -> Result<[f32; 4], RejectReason> {
    let mut number = |name: &str| {
        let value = fields.take(name).ok_or_else(|| lacks(name))?;
        value.as_f64().ok_or_else(|| is_not(name, "a number", kind(&value)))
    };
    let (x, y, width, height) = (number("x")?, number("y")?, number("w")?, number("h")?);
    Ok([x, y, x + width, y + height].map(|number| number as f32))
}

/// The words of a list that need not be there, without blanks around them, each once.
pub(super) fn words(fields: &mut Fields, name: &str) -> Result<Vec<String>, RejectReason> {
    let list = match fields.take(name) {
        None => return Ok(vec![]),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(is_not(name, "a list", kind(&other))),
    };
    let mut words: Vec<String> = Vec::new();
    for value in list {
        let Value::String(word) = value else {
            return Err(is_not(name, "a list of strings", &format!("a list with {}", kind(&value))));
        };
        match word.trim() {
            "" => return Err(empty(name)),
            word if words.iter().any(|known| known == word) => {}
            word => words.push(word.to_string()),
        }
    }
    Ok(words)
}
