//! Parquet as JSON lines: the columns that the spec names, a row a line, a batch of rows in memory at a time.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use data_specs::durable::PendingFile;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use serde_json::{Map, Number, Value};

use super::{Table, listed, name};
use crate::Error;
use crate::inputs::ScanContext;
use crate::plan::interrupted;

/// Rows that are in memory at a time.
const BATCH: usize = 1024;

/// Writes the named columns of the table's Parquet file to `lines`; keys are the names of the columns.
pub(super) fn write(table: &Table, context: ScanContext<'_>, lines: &Path) -> Result<(), Error> {
    // The reader's crate gives up on some damaged files by a panic.
    catch_unwind(AssertUnwindSafe(|| write_lines(table, context, lines))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(damaged(table, message))
    })
}

fn write_lines(table: &Table, context: ScanContext<'_>, lines: &Path) -> Result<(), Error> {
    let damaged = |error: ParquetError| damaged(table, error);
    let file = File::open(&table.file).map_err(Error::io("read", &table.file))?;
    // The types of Parquet alone: what else a writer noted (dictionaries, views) does not matter here.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(damaged)?;
    let schema = builder.parquet_schema();
    let leaves: Vec<String> = schema.columns().iter().map(|leaf| leaf.path().string()).collect();
    let mut columns: Vec<(String, Vec<String>)> = Vec::new();
    let mut wanted = Vec::new();
    for column in table.named() {
        let name = name(column);
        let Some(at) = leaves.iter().position(|leaf| *leaf == name) else {
            return Err(table.no_column(&name, &listed(leaves.iter().map(String::as_str))));
        };
        if !wanted.contains(&at) {
            wanted.push(at);
            columns.push((name, schema.column(at).path().parts().to_vec()));
        }
    }
    let mask = ProjectionMask::leaves(schema, wanted);
    let batches = builder.with_projection(mask).with_batch_size(BATCH).build().map_err(damaged)?;

    let write_error = |source| Error::Io { op: "write", path: lines.to_path_buf(), source };
    let mut writer = BufWriter::new(PendingFile::create(lines, "table")?);
    for batch in batches {
        interrupted(context.watch)?;
        let batch = batch.map_err(|error| damaged(error.into()))?;
        let cells: Vec<(&String, Cells)> = columns
            .iter()
            .map(|(name, parts)| Ok((name, cells_of(table, &batch, name, parts)?)))
            .collect::<Result<_, Error>>()?;
        for row in 0..batch.num_rows() {
            let fields: Map<String, Value> =
                cells.iter().map(|(name, cells)| ((*name).clone(), cells.value(row))).collect();
            writeln!(writer, "{}", Value::Object(fields)).map_err(write_error)?;
        }
    }
    let file = writer.into_inner().map_err(|error| write_error(error.into_error()))?;
    file.commit(&|_| {})?;
    Ok(())
}

fn damaged(table: &Table, error: impl Display) -> Error {
    Error::Input {
        path: table.file.clone(),
        line: None,
        what: format!("cannot be read as Parquet: {error}"),
        hint: "check that the file is complete: fetch or write it again".into(),
    }
}

/// The cells of one column of a batch.
struct Cells {
    array: ArrayRef,
    value: fn(&ArrayRef, usize) -> Value,
}

impl Cells {
    fn value(&self, row: usize) -> Value {
        if self.array.is_null(row) { Value::Null } else { (self.value)(&self.array, row) }
    }
}

/// The column that `parts` lead to, through structures.
fn cells_of(table: &Table, batch: &RecordBatch, name: &str, parts: &[String]) -> Result<Cells, Error> {
    let mut array = parts.first().and_then(|part| batch.column_by_name(part)).cloned();
    for part in &parts[1..] {
        let inside = array.as_ref().and_then(|array| array.as_struct_opt());
        array = inside.and_then(|fields| fields.column_by_name(part)).cloned();
    }
    let found = array.as_ref().map(|array| array.data_type().clone());
    array.zip(found.as_ref().and_then(reader_of)).map(|(array, value)| Cells { array, value }).ok_or_else(
        || {
            let found = found.map_or("a list or a map".to_string(), |kind| format!("{kind}"));
            Error::Input {
                path: table.file.clone(),
                line: None,
                what: format!("column `{name}` holds {found}, and should hold text or numbers"),
                hint: format!("name another column in {}.columns", table.section),
            }
        },
    )
}

/// How a cell of this type is read.
fn reader_of(kind: &DataType) -> Option<fn(&ArrayRef, usize) -> Value> {
    Some(match kind {
        DataType::Utf8 => |array, row| array.as_string::<i32>().value(row).into(),
        DataType::Int8 => |array, row| array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => |array, row| array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => |array, row| array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => |array, row| array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => |array, row| array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => |array, row| array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => |array, row| array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => |array, row| array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => |array, row| float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => |array, row| float(array.as_primitive::<Float64Type>().value(row)),
        _ => return None,
    })
}

/// NaN stands for a missing number in many files, and JSON has none.
fn float(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}
