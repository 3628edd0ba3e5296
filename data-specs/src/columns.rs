//! Samples to Arrow columns and back.
//!
//! Nested rows become flat columns plus lengths: all pictures of a batch, all tags of these pictures,
//! and so on. Long values (features, encoded pictures) are views on the bytes of their sample.

use std::sync::Arc;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, Float32Array, Int32Array, ListArray, RecordBatch,
    StringArray, StructArray,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType};
use bytes::Bytes;

use crate::schema::{
    answer_fields, image_fields, item_field, picture_fields, tag_fields, text_fields, view_schema,
};
use crate::{Answer, EncodedImage, Picture, Sample, Tag, Text, TextKind};

/// The rows of `samples` as one batch of the view schema.
pub(crate) fn to_batch(samples: &[Sample]) -> Result<RecordBatch, ArrowError> {
    let pictures: Vec<&Picture> = samples.iter().flat_map(|sample| &sample.images).collect();
    let texts: Vec<&Text> = samples.iter().flat_map(|sample| &sample.texts).collect();
    RecordBatch::try_new(
        view_schema(),
        vec![
            strings(samples.iter().map(|sample| sample.key.as_str())),
            strings(samples.iter().map(|sample| sample.source.as_str())),
            strings(samples.iter().map(|sample| sample.split.as_str())),
            list(samples.iter().map(|sample| sample.images.len()), picture_array(&pictures)?, None),
            list(samples.iter().map(|sample| sample.texts.len()), text_array(&texts)?, None),
            optional_strings(samples.iter().map(|sample| sample.extra.as_deref())),
        ],
    )
}

/// The samples of a batch of the view schema; a batch without `features` gives empty blocks.
///
/// # Errors
/// What is wrong, if the batch breaks a rule of the contract that Arrow's types do not state.
pub(crate) fn from_batch(batch: &RecordBatch) -> Result<Vec<Sample>, String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("column `{name}` is missing"));
    let keys = column("key")?.as_string::<i32>();
    let sources = column("source")?.as_string::<i32>();
    let splits = column("split")?.as_string::<i32>();
    let images = column("images")?.as_list::<i32>();
    let texts = column("texts")?.as_list::<i32>();
    let extras = column("extra")?.as_string::<i32>();
    let mut all_pictures = pictures(images.values().as_struct())?.into_iter().map(Some).collect::<Vec<_>>();
    let mut all_texts = texts_of(texts.values().as_struct())?.into_iter().map(Some).collect::<Vec<_>>();
    Ok((0..batch.num_rows())
        .map(|row| Sample {
            key: keys.value(row).to_string(),
            source: sources.value(row).to_string(),
            split: splits.value(row).to_string(),
            images: range(images, row).filter_map(|at| all_pictures[at].take()).collect(),
            texts: range(texts, row).filter_map(|at| all_texts[at].take()).collect(),
            extra: extras.is_valid(row).then(|| extras.value(row).to_string()),
        })
        .collect())
}

fn picture_array(pictures: &[&Picture]) -> Result<StructArray, ArrowError> {
    let tags: Vec<&Tag> = pictures.iter().flat_map(|picture| &picture.tags).collect();
    let attributes: Vec<&Tag> = pictures.iter().flat_map(|picture| &picture.attributes).collect();
    let images: Vec<Option<&EncodedImage>> = pictures.iter().map(|picture| picture.image.as_ref()).collect();
    let image = StructArray::try_new(
        image_fields(DataType::BinaryView),
        vec![
            views(images.iter().map(|image| image.and_then(|image| image.bytes.clone())))?,
            optional_strings(images.iter().map(|image| image.and_then(|image| image.path.as_deref()))),
        ],
        Some(images.iter().map(Option::is_some).collect::<NullBuffer>()),
    )?;
    StructArray::try_new(
        picture_fields(DataType::BinaryView),
        vec![
            strings(pictures.iter().map(|picture| picture.image_id.as_str())),
            integers(pictures.iter().map(|picture| picture.width)),
            integers(pictures.iter().map(|picture| picture.height)),
            Arc::new(image),
            integers(pictures.iter().map(|picture| Some(picture.regions))),
            float_blocks(pictures.iter().map(|picture| picture.boxes.as_deref())),
            views(pictures.iter().map(|picture| Some(picture.features.clone())))?,
            float_blocks(pictures.iter().map(|picture| picture.geometry.as_deref())),
            list(pictures.iter().map(|picture| picture.tags.len()), tag_array(&tags)?, None),
            list(pictures.iter().map(|picture| picture.attributes.len()), tag_array(&attributes)?, None),
        ],
        None,
    )
}

fn tag_array(tags: &[&Tag]) -> Result<StructArray, ArrowError> {
    let numbers = Float32Array::from_iter_values(tags.iter().filter_map(|tag| tag.rect).flatten());
    let rects = ListArray::new(
        item_field(DataType::Float32),
        OffsetBuffer::from_lengths(tags.iter().map(|tag| if tag.rect.is_some() { 4 } else { 0 })),
        Arc::new(numbers),
        Some(tags.iter().map(|tag| tag.rect.is_some()).collect()),
    );
    StructArray::try_new(
        tag_fields(),
        vec![
            strings(tags.iter().map(|tag| tag.name.as_str())),
            Arc::new(tags.iter().map(|tag| tag.score).collect::<Float32Array>()),
            Arc::new(tags.iter().map(|tag| tag.region).collect::<Int32Array>()),
            Arc::new(rects),
            strings(tags.iter().map(|tag| tag.origin.as_str())),
        ],
        None,
    )
}

fn text_array(texts: &[&Text]) -> Result<StructArray, ArrowError> {
    let answers: Vec<&Answer> = texts.iter().flat_map(|text| &text.answers).collect();
    let answer_values = StructArray::try_new(
        answer_fields(),
        vec![
            strings(answers.iter().map(|answer| answer.text.as_str())),
            Arc::new(answers.iter().map(|answer| answer.score).collect::<Float32Array>()),
        ],
        None,
    )?;
    StructArray::try_new(
        text_fields(),
        vec![
            strings(texts.iter().map(|text| text.id.as_str())),
            strings(texts.iter().map(|text| text.kind.as_str())),
            strings(texts.iter().map(|text| text.text.as_str())),
            list(texts.iter().map(|text| text.answers.len()), answer_values, None),
            Arc::new(texts.iter().map(|text| text.label).collect::<Int32Array>()),
            optional_strings(texts.iter().map(|text| text.extra.as_deref())),
        ],
        None,
    )
}

fn strings<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn optional_strings<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn integers(values: impl Iterator<Item = Option<u32>>) -> ArrayRef {
    // Sizes and counts are limited to i32 where they are read; readers elsewhere have no unsigned type.
    Arc::new(
        values
            .map(|value| value.map(|value| i32::try_from(value).unwrap_or(i32::MAX)))
            .collect::<Int32Array>(),
    )
}

fn float_blocks<'a, const N: usize>(blocks: impl Iterator<Item = Option<&'a [[f32; N]]>>) -> ArrayRef {
    let bytes = blocks.map(|block| {
        block.map(|rows| rows.iter().flatten().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())
    });
    Arc::new(bytes.collect::<BinaryArray>())
}

fn views(values: impl Iterator<Item = Option<Bytes>>) -> Result<ArrayRef, ArrowError> {
    let mut builder = BinaryViewBuilder::new();
    for value in values {
        match value {
            None => builder.append_null(),
            Some(bytes) => {
                let len = u32::try_from(bytes.len()).map_err(|_| {
                    ArrowError::InvalidArgumentError(format!("a value of {} bytes is too long", bytes.len()))
                })?;
                let block = builder.append_block(Buffer::from(bytes));
                builder.try_append_view(block, 0, len)?;
            }
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn list(lengths: impl Iterator<Item = usize>, values: StructArray, nulls: Option<NullBuffer>) -> ArrayRef {
    let item = item_field(DataType::Struct(values.fields().clone()));
    Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(values), nulls))
}

fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

fn pictures(array: &StructArray) -> Result<Vec<Picture>, String> {
    let ids = child(array, "image_id")?.as_string::<i32>();
    let widths = child(array, "width")?.as_primitive::<Int32Type>();
    let heights = child(array, "height")?.as_primitive::<Int32Type>();
    let regions = child(array, "regions")?.as_primitive::<Int32Type>();
    let boxes = child(array, "boxes")?.as_binary::<i32>();
    let geometry = child(array, "geometry")?.as_binary::<i32>();
    let features = array.column_by_name("features").map(|column| column.as_binary_view());
    let image = array.column_by_name("image").map(|column| column.as_struct());
    let tags = child(array, "tags")?.as_list::<i32>();
    let attributes = child(array, "attributes")?.as_list::<i32>();
    let mut all_tags = tags_of(tags.values().as_struct())?.into_iter();
    let mut all_attributes = tags_of(attributes.values().as_struct())?.into_iter();
    (0..array.len())
        .map(|row| {
            let count = regions.value(row);
            Ok(Picture {
                image_id: ids.value(row).to_string(),
                width: optional_size(widths, row)?,
                height: optional_size(heights, row)?,
                image: image.and_then(|image| encoded_image(image, row)),
                regions: u32::try_from(count).map_err(|_| format!("{count} regions"))?,
                boxes: optional_block(boxes, row, count, "boxes")?,
                features: features.map(|features| bytes_of(features, row)).unwrap_or_default(),
                geometry: optional_block(geometry, row, count, "geometry")?,
                tags: all_tags.by_ref().take(range(tags, row).len()).collect(),
                attributes: all_attributes.by_ref().take(range(attributes, row).len()).collect(),
            })
        })
        .collect()
}

fn encoded_image(array: &StructArray, row: usize) -> Option<EncodedImage> {
    if array.is_null(row) {
        return None;
    }
    let bytes = array.column_by_name("bytes").map(|column| column.as_binary_view());
    let path = array.column_by_name("path").map(|column| column.as_string::<i32>());
    Some(EncodedImage {
        bytes: bytes.filter(|bytes| bytes.is_valid(row)).map(|bytes| bytes_of(bytes, row)),
        path: path.filter(|path| path.is_valid(row)).map(|path| path.value(row).to_string()),
    })
}

fn tags_of(array: &StructArray) -> Result<Vec<Tag>, String> {
    let names = child(array, "name")?.as_string::<i32>();
    let scores = child(array, "score")?.as_primitive::<Float32Type>();
    let regions = child(array, "box")?.as_primitive::<Int32Type>();
    let rects = child(array, "rect")?.as_list::<i32>();
    let numbers = rects.values().as_primitive::<Float32Type>();
    let origins = child(array, "origin")?.as_string::<i32>();
    (0..array.len())
        .map(|row| {
            let rect = rects.is_valid(row).then(|| &numbers.values()[range(rects, row)]);
            let rect = rect.map(<[f32; 4]>::try_from).transpose();
            Ok(Tag {
                name: names.value(row).to_string(),
                score: scores.is_valid(row).then(|| scores.value(row)),
                region: regions.is_valid(row).then(|| regions.value(row)),
                rect: rect.map_err(|_| "a tag's rect has not four numbers".to_string())?,
                origin: origins.value(row).to_string(),
            })
        })
        .collect()
}

fn texts_of(array: &StructArray) -> Result<Vec<Text>, String> {
    let ids = child(array, "id")?.as_string::<i32>();
    let kinds = child(array, "kind")?.as_string::<i32>();
    let texts = child(array, "text")?.as_string::<i32>();
    let labels = child(array, "label")?.as_primitive::<Int32Type>();
    let extras = child(array, "extra")?.as_string::<i32>();
    let answers = child(array, "answers")?.as_list::<i32>();
    let answer_texts = child(answers.values().as_struct(), "text")?.as_string::<i32>();
    let answer_scores = child(answers.values().as_struct(), "score")?.as_primitive::<Float32Type>();
    (0..array.len())
        .map(|row| {
            let kind = kinds.value(row);
            Ok(Text {
                id: ids.value(row).to_string(),
                kind: TextKind::from_word(kind).ok_or_else(|| format!("`{kind}` is no kind of text"))?,
                text: texts.value(row).to_string(),
                answers: range(answers, row)
                    .map(|at| Answer {
                        text: answer_texts.value(at).to_string(),
                        score: answer_scores.is_valid(at).then(|| answer_scores.value(at)),
                    })
                    .collect(),
                label: labels.is_valid(row).then(|| labels.value(row)),
                extra: extras.is_valid(row).then(|| extras.value(row).to_string()),
            })
        })
        .collect()
}

fn child<'a>(array: &'a StructArray, name: &str) -> Result<&'a ArrayRef, String> {
    array.column_by_name(name).ok_or_else(|| format!("field `{name}` is missing"))
}

fn optional_size(array: &Int32Array, row: usize) -> Result<Option<u32>, String> {
    let value = array.is_valid(row).then(|| array.value(row));
    value
        .map(|value| u32::try_from(value).map_err(|_| format!("a picture {value} pixels wide or high")))
        .transpose()
}

fn optional_block<const N: usize>(
    array: &BinaryArray,
    row: usize,
    count: i32,
    name: &str,
) -> Result<Option<Vec<[f32; N]>>, String> {
    if array.is_null(row) {
        return Ok(None);
    }
    let bytes = array.value(row);
    if bytes.len() as i64 != i64::from(count) * 4 * N as i64 {
        return Err(format!("`{name}` has {} bytes for {count} regions", bytes.len()));
    }
    let number = |at: &[u8]| f32::from_le_bytes([at[0], at[1], at[2], at[3]]);
    let rows = bytes.chunks_exact(4 * N).map(|row| std::array::from_fn(|i| number(&row[4 * i..])));
    Ok(Some(rows.collect()))
}

fn bytes_of(array: &BinaryViewArray, row: usize) -> Bytes {
    Bytes::copy_from_slice(array.value(row))
}
