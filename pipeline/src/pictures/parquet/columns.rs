//! The columns that pictures, their names and their ids are in.

use ::parquet::basic::{ConvertedType, LogicalType, Type};
use ::parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use ::parquet::schema::types::ColumnDescriptor;

use super::file::{Failure, ParquetFile, Values};

/// Places of the leaf columns.
pub(super) struct Columns {
    bytes: usize,
    path: Option<usize>,
    id: Option<(usize, IdType)>,
}

/// What an id column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdType {
    Text,
    Int32,
    UInt32,
    Int64,
    UInt64,
}

/// What a row has.
#[derive(Debug)]
pub(super) struct Cell {
    /// Part of its page, not a copy.
    pub(super) bytes: Option<ByteArray>,
    /// The name of the picture's file, if it has one in UTF-8.
    pub(super) path: Option<String>,
    pub(super) id: Option<String>,
    /// Whether there is an id that is not UTF-8.
    pub(super) bad_id: bool,
}

/// What is wrong with a file, and a hint.
type Wrong = (String, String);

impl Columns {
    /// The leaf columns of pictures in `column`, with ids in `id_column`.
    pub(super) fn find(file: &ParquetFile, column: &str, id_column: Option<&str>) -> Result<Columns, Wrong> {
        let bytes = leaf(file, column)?;
        let path = find(file, &format!("{column}.path"));
        let path = path.filter(|&at| is_plain(file, at, Type::BYTE_ARRAY));
        let id = id_column.map(|name| ids_in(file, name)).transpose()?;
        Ok(Columns { bytes, path, id })
    }

    pub(super) fn has_ids(&self) -> bool {
        self.id.is_some()
    }

    /// The rows of a group.
    pub(super) fn rows(&self, file: &ParquetFile, group: usize) -> Result<Rows, Failure> {
        Ok(Rows {
            count: file.rows(group)?,
            bytes: file.values(group, self.bytes)?,
            paths: self.path.map(|at| file.values(group, at)).transpose()?,
            ids: self.id.map(|(at, id_type)| Ids::open(file, group, at, id_type)).transpose()?,
        })
    }
}

/// The rows of a group, read side by side.
pub(super) struct Rows {
    count: usize,
    bytes: Values<ByteArrayType>,
    paths: Option<Values<ByteArrayType>>,
    ids: Option<Ids>,
}

enum Ids {
    Text(Values<ByteArrayType>),
    Int32(Values<Int32Type>, fn(i32) -> String),
    Int64(Values<Int64Type>, fn(i64) -> String),
}

impl Ids {
    fn open(file: &ParquetFile, group: usize, at: usize, id_type: IdType) -> Result<Ids, Failure> {
        Ok(match id_type {
            IdType::Text => Ids::Text(file.values(group, at)?),
            IdType::Int32 => Ids::Int32(file.values(group, at)?, |id| id.to_string()),
            IdType::UInt32 => Ids::Int32(file.values(group, at)?, |id| id.cast_unsigned().to_string()),
            IdType::Int64 => Ids::Int64(file.values(group, at)?, |id| id.to_string()),
            IdType::UInt64 => Ids::Int64(file.values(group, at)?, |id| id.cast_unsigned().to_string()),
        })
    }
}

impl Rows {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The next `rows` rows.
    pub(super) fn next(&mut self, rows: usize) -> Result<Vec<Cell>, Failure> {
        let paths = self.paths.as_mut().map(|paths| paths.next(rows)).transpose()?;
        let mut paths = paths.into_iter().flatten();
        let ids: Vec<Option<ByteArray>> = match &mut self.ids {
            None => vec![],
            Some(Ids::Text(ids)) => ids.next(rows)?,
            Some(Ids::Int32(ids, shown)) => as_text(ids.next(rows)?, *shown),
            Some(Ids::Int64(ids, shown)) => as_text(ids.next(rows)?, *shown),
        };
        let mut ids = ids.into_iter();
        let cell = |bytes| {
            let id = ids.next().flatten();
            let shown = id.as_ref().and_then(text);
            let path = paths.next().flatten().as_ref().and_then(text);
            Cell {
                bytes,
                path: path.filter(|path| !path.is_empty()),
                bad_id: id.is_some() && shown.is_none(),
                id: shown,
            }
        };
        Ok(self.bytes.next(rows)?.into_iter().map(cell).collect())
    }
}

fn as_text<T>(ids: Vec<Option<T>>, shown: fn(T) -> String) -> Vec<Option<ByteArray>> {
    ids.into_iter().map(|id| Some(ByteArray::from(shown(id?).into_bytes()))).collect()
}

/// A value that is text.
fn text(value: &ByteArray) -> Option<String> {
    std::str::from_utf8(value.data()).ok().map(str::to_string)
}

/// The leaf column with the bytes of the pictures in `column`.
pub(super) fn leaf(file: &ParquetFile, column: &str) -> Result<usize, Wrong> {
    let at = find(file, &format!("{column}.bytes")).or_else(|| find(file, column));
    let at = at.ok_or_else(|| lacks(file, column, "images.column"))?;
    let column_type = descriptor(file, at);
    let is_text = matches!(column_type.logical_type_ref(), Some(LogicalType::String))
        || column_type.converted_type() == ConvertedType::UTF8;
    if is_text || !is_plain(file, at, Type::BYTE_ARRAY) {
        let what = format!(
            "the column `{column}` holds no pictures: binary, or a struct of bytes and path, one a row"
        );
        return Err((what, "name another column: --set images.column=NAME".into()));
    }
    Ok(at)
}

/// The column with ids, and what it holds.
fn ids_in(file: &ParquetFile, name: &str) -> Result<(usize, IdType), Wrong> {
    let at = find(file, name).ok_or_else(|| lacks(file, name, "images.id_column"))?;
    let id_type = id_type(descriptor(file, at)).ok_or_else(|| {
        let what = format!("the column `{name}` holds neither text nor whole numbers, one a row");
        (what, "name another column: --set images.id_column=NAME".to_string())
    })?;
    Ok((at, id_type))
}

fn find(file: &ParquetFile, path: &str) -> Option<usize> {
    let columns = file.footer().file_metadata().schema_descr().columns();
    columns.iter().position(|column| column.path().string() == path)
}

fn descriptor(file: &ParquetFile, at: usize) -> &ColumnDescriptor {
    &file.footer().file_metadata().schema_descr().columns()[at]
}

/// Whether a column has one value a row, of type `physical`.
fn is_plain(file: &ParquetFile, at: usize, physical: Type) -> bool {
    let column = descriptor(file, at);
    column.physical_type() == physical && column.max_rep_level() == 0
}

fn id_type(column: &ColumnDescriptor) -> Option<IdType> {
    if column.max_rep_level() > 0 {
        return None;
    }
    let signed = match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Integer(integer)), _) => integer.is_signed,
        (Some(LogicalType::String), _) => true,
        // A date or a decimal is no id.
        (Some(_), _) => return None,
        (None, ConvertedType::DATE | ConvertedType::DECIMAL) => return None,
        (None, converted) => !matches!(converted, ConvertedType::UINT_32 | ConvertedType::UINT_64),
    };
    match (column.physical_type(), signed) {
        (Type::INT32, true) => Some(IdType::Int32),
        (Type::INT32, false) => Some(IdType::UInt32),
        (Type::INT64, true) => Some(IdType::Int64),
        (Type::INT64, false) => Some(IdType::UInt64),
        (Type::BYTE_ARRAY, _) => Some(IdType::Text),
        _ => None,
    }
}

/// A column that is not there, with those that are.
fn lacks(file: &ParquetFile, name: &str, key: &str) -> Wrong {
    let columns = file.footer().file_metadata().schema_descr().columns();
    let names: Vec<String> = columns.iter().map(|column| column.path().string()).collect();
    let what = format!("has no column `{name}`; it has: {}", names.join(", "));
    (what, format!("name the right one: --set {key}=NAME"))
}
