//! Rows of JSON lines, those among them that were derived from Parquet.

use std::path::Path;

use data_specs::Column;
use serde_json::{Map, Value};

use super::picture::Addresses;
use super::{Row, Table, listed, name};
use crate::inputs::{Input, ScanContext};
use crate::texts::ScannedText;
use crate::texts::record::{bad_json, is_not, kind, utf8};
use crate::texts::scan;
use crate::{Code, Error, RejectReason};

/// Reports every line of `path`, the `nth` file of the table.
///
/// A key may be absent from a line as it may be null, but a column that no line has is an error.
pub(super) fn scan(
    table: &Table,
    context: ScanContext<'_>,
    nth: u16,
    path: &Path,
    found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
) -> Result<Input, Error> {
    let mut unseen: Vec<&Column> = table.named().collect();
    let mut keys: Option<Vec<String>> = None;
    let mut addresses = Addresses::default();
    let input = scan::lines(context, nth, path, |line, place| {
        let told = match JsonRow::parse(line.bytes) {
            Ok(row) => {
                unseen.retain(|column| !row.0.contains_key(&name(column)));
                keys.get_or_insert_with(|| row.0.keys().cloned().collect());
                place.told(table.head(&row, place, &mut addresses))
            }
            Err(reason) => place.reject(String::new(), reason),
        };
        found(told)
    })?;
    if let (Some(missing), Some(keys)) = (unseen.first(), keys) {
        let first = listed(keys.iter().map(String::as_str));
        return Err(table.no_column(&name(missing), &format!("in its first object {first}")));
    }
    Ok(input)
}

/// The object of one line.
pub(super) struct JsonRow(Map<String, Value>);

impl JsonRow {
    pub(super) fn parse(line: &[u8]) -> Result<JsonRow, RejectReason> {
        if line.is_empty() {
            return Err(RejectReason::new(Code::EmptyField, "the line is empty"));
        }
        serde_json::from_str(utf8(line)?).map(JsonRow).map_err(bad_json)
    }
}

impl Row for JsonRow {
    fn cell(&self, column: &Column) -> Result<Option<String>, RejectReason> {
        let name = name(column);
        match self.0.get(&name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => match whole(number) {
                Some(number) => Ok(Some(number)),
                None => Err(is_not(&name, "a string or a whole number", &number.to_string())),
            },
            Some(other) => Err(is_not(&name, "a string or a whole number", kind(other))),
        }
    }
}

/// `7`, and the `7.0` that whole numbers become in a column where some are missing.
fn whole(number: &serde_json::Number) -> Option<String> {
    /// Up to here every whole number is an f64.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            (float.fract() == 0.0 && float.abs() < EXACT).then(|| (float as i64).to_string())
        }
        _ => Some(number.to_string()),
    }
}
