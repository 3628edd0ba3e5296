//! The Arrow schema of a shard (schema version 1) and what Hugging Face `datasets` is told of it.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use serde_json::{Value, json};

/// The columns of a shard; `docs/data-contract.md` explains each.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(with_binary(DataType::Binary)));
    SCHEMA.clone()
}

/// [`schema`] with views in place of long binary values: the form in which rows are written and read,
/// because views share the bytes of their source instead of copying them.
pub(crate) fn view_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(with_binary(DataType::BinaryView)));
    SCHEMA.clone()
}

/// Parquet paths of the columns that hold long values, left uncompressed and without statistics.
pub(crate) const LONG_COLUMNS: [&str; 2] =
    ["images.list.element.features", "images.list.element.image.bytes"];

/// Parquet paths of columns with few distinct values, written with a dictionary.
pub(crate) const DICTIONARY_COLUMNS: [&str; 8] = [
    "source",
    "split",
    "texts.list.element.kind",
    "texts.list.element.answers.list.element.text",
    "images.list.element.tags.list.element.name",
    "images.list.element.tags.list.element.origin",
    "images.list.element.attributes.list.element.name",
    "images.list.element.attributes.list.element.origin",
];

fn with_binary(long: DataType) -> Schema {
    Schema::new(vec![
        required("key", DataType::Utf8),
        required("source", DataType::Utf8),
        required("split", DataType::Utf8),
        required("images", list_of(DataType::Struct(picture_fields(long)))),
        required("texts", list_of(DataType::Struct(text_fields()))),
        optional("extra", DataType::Utf8),
    ])
}

pub(crate) fn picture_fields(long: DataType) -> Fields {
    Fields::from(vec![
        required("image_id", DataType::Utf8),
        optional("width", DataType::Int32),
        optional("height", DataType::Int32),
        optional("image", DataType::Struct(image_fields(long.clone()))),
        required("regions", DataType::Int32),
        optional("boxes", DataType::Binary),
        required("features", long),
        optional("geometry", DataType::Binary),
        required("tags", list_of(DataType::Struct(tag_fields()))),
        required("attributes", list_of(DataType::Struct(tag_fields()))),
    ])
}

pub(crate) fn image_fields(long: DataType) -> Fields {
    Fields::from(vec![optional("bytes", long), optional("path", DataType::Utf8)])
}

pub(crate) fn tag_fields() -> Fields {
    Fields::from(vec![
        required("name", DataType::Utf8),
        optional("score", DataType::Float32),
        optional("box", DataType::Int32),
        optional("rect", list_of(DataType::Float32)),
        required("origin", DataType::Utf8),
    ])
}

pub(crate) fn text_fields() -> Fields {
    Fields::from(vec![
        required("id", DataType::Utf8),
        required("kind", DataType::Utf8),
        required("text", DataType::Utf8),
        required("answers", list_of(DataType::Struct(answer_fields()))),
        optional("label", DataType::Int32),
        optional("extra", DataType::Utf8),
    ])
}

pub(crate) fn answer_fields() -> Fields {
    Fields::from(vec![required("text", DataType::Utf8), optional("score", DataType::Float32)])
}

/// A field that every row has. It is declared nullable all the same: `datasets` compares fields with
/// ones of its own making, which are, and would otherwise not know `image` as a picture.
fn required(name: &str, of: DataType) -> Field {
    Field::new(name, of, true)
}

fn optional(name: &str, of: DataType) -> Field {
    Field::new(name, of, true)
}

pub(crate) fn list_of(item: DataType) -> DataType {
    DataType::List(item_field(item))
}

pub(crate) fn item_field(item: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", item, true))
}

/// The `huggingface` entry of the file's metadata: `datasets` then knows `image` as a picture.
pub(crate) fn hugging_face_metadata() -> String {
    let features: serde_json::Map<String, Value> =
        schema().fields().iter().map(|field| (field.name().clone(), hugging_face_feature(field))).collect();
    json!({ "info": { "features": features } }).to_string()
}

fn hugging_face_feature(field: &Field) -> Value {
    match field.data_type() {
        DataType::List(item) => json!({ "feature": hugging_face_feature(item), "_type": "List" }),
        DataType::Struct(_) if field.name() == "image" => json!({ "_type": "Image" }),
        DataType::Struct(fields) => {
            fields.iter().map(|field| (field.name().clone(), hugging_face_feature(field))).collect()
        }
        DataType::Utf8 => json!({ "dtype": "string", "_type": "Value" }),
        DataType::Int32 => json!({ "dtype": "int32", "_type": "Value" }),
        DataType::Float32 => json!({ "dtype": "float32", "_type": "Value" }),
        _ => json!({ "dtype": "binary", "_type": "Value" }),
    }
}
