//! Rows as a picture: what is in the shard, drawn where it says it is.

use std::path::Path;

use data_specs::{Picture, Sample, Tag};
use finetune_regions::decoding::{self, Limits, decode};
use finetune_regions::drawing::{Drawn, draw_regions};
use finetune_regions::encode_png;

use crate::Error;
use crate::plan::{Plan, PlanInputs, read_recipes};
use crate::sources::Sources;

/// Pixels between two pictures.
const GAP: u32 = 12;
/// Grey of the gaps, and of a picture that nobody has.
const EMPTY: u8 = 232;

/// A PNG of rows: each picture with its boxes and tags, a pair side by side, rows one below the other.
///
/// Pixels are the source's where it is still there, else what the row keeps; where there are none, boxes
/// are drawn on grey.
///
/// # Errors
/// Rows that have neither pixels nor the size of their picture.
pub fn draw_rows(folder: &Path, rows: &[Sample]) -> Result<Vec<u8>, Error> {
    let mut stripes = Vec::new();
    for sample in rows {
        let mut drawn = Vec::new();
        for (member, picture) in sample.images.iter().enumerate() {
            let pixels = match from_source(folder, &sample.key, member) {
                Some(pixels) => pixels,
                None => from_row(picture).ok_or_else(|| Error::Output {
                    path: folder.to_path_buf(),
                    what: format!("row {} has no picture to draw, and no size of one", sample.key),
                    hint: "build with images.keep = \"thumbnail\", or from features with picture sizes"
                        .into(),
                })?,
            };
            drawn.push(draw(&pixels, picture).map_err(|error| unexpected(folder, &error))?);
        }
        stripes.push(joined(&drawn, true));
    }
    encode_png(&joined(&stripes, false)).map_err(|error| unexpected(folder, &error))
}

/// The picture of a row as its source has it, if that is still where it was planned.
fn from_source(folder: &Path, key: &str, member: usize) -> Option<decoding::Picture> {
    let plan = Plan::load(folder).ok()?;
    let inputs = PlanInputs::load(folder).ok()?;
    plan.layout.computed.as_ref()?;
    let sources = Sources::of(&inputs.spec).ok()?;
    let files = inputs.open().ok()?;
    let plan_folder = folder.join(crate::output::PLAN);
    let recipe = (0..plan.tasks.len())
        .filter_map(|task| read_recipes(&Plan::recipes_path(&plan_folder, task)).ok())
        .flatten()
        .filter_map(Result::ok)
        .find(|recipe| recipe.key == key)?;
    let spans = &recipe.pictures.get(member)?.spans;
    let parts =
        spans.iter().map(|span| files[usize::from(span.input)].read(*span)).collect::<Result<Vec<_>, _>>();
    let file = sources.features.picture_file(&parts.ok()?).ok()??;
    decode(&file.bytes, &Limits::default()).ok()
}

/// What the row keeps: the picture or a small copy of it, or its size alone.
fn from_row(picture: &Picture) -> Option<decoding::Picture> {
    let kept = picture.image.as_ref().and_then(|image| image.bytes.as_ref());
    if let Some(pixels) = kept.and_then(|bytes| decode(bytes, &Limits::default()).ok()) {
        return Some(pixels);
    }
    let (width, height) = (picture.width?, picture.height?);
    (u64::from(width) * u64::from(height) <= Limits::default().max_pixels).then(|| grey(width, height))
}

fn draw(pixels: &decoding::Picture, picture: &Picture) -> Result<decoding::Picture, finetune_regions::Error> {
    // A small copy has the boxes of the large picture.
    let wider = pixels.width as f32 / picture.width.unwrap_or(pixels.width) as f32;
    let higher = pixels.height as f32 / picture.height.unwrap_or(pixels.height) as f32;
    let place = |rect: [f32; 4]| [rect[0] * wider, rect[1] * higher, rect[2] * wider, rect[3] * higher];
    let boxes = picture.boxes.as_deref().unwrap_or_default();
    let rect_of = |tag: &Tag| {
        let region = tag.region.and_then(|region| usize::try_from(region).ok());
        tag.rect.or_else(|| boxes.get(region?).copied())
    };
    let label = |tag: &Tag| match tag.score {
        Some(score) => format!("{} {score:.2}", tag.name),
        None => tag.name.clone(),
    };
    let mut told: Vec<([f32; 4], String)> =
        picture.tags.iter().filter_map(|tag| Some((place(rect_of(tag)?), label(tag)))).collect();
    if told.is_empty() {
        told = boxes.iter().map(|&rect| (place(rect), String::new())).collect();
    }
    let drawn: Vec<Drawn<'_>> =
        told.iter().map(|(rect_xyxy, label)| Drawn { rect_xyxy: *rect_xyxy, label }).collect();
    decode(&draw_regions(pixels, &drawn)?, &Limits::default())
}

/// Pictures beside or below each other.
pub(crate) fn joined(pictures: &[decoding::Picture], beside: bool) -> decoding::Picture {
    let along = |picture: &decoding::Picture| if beside { picture.width } else { picture.height };
    let across = |picture: &decoding::Picture| if beside { picture.height } else { picture.width };
    let gaps = GAP * (pictures.len() as u32).saturating_sub(1);
    let length = pictures.iter().map(along).sum::<u32>() + gaps;
    let breadth = pictures.iter().map(across).max().unwrap_or_default();
    let mut all = if beside { grey(length, breadth) } else { grey(breadth, length) };
    let mut at = 0;
    for picture in pictures {
        let (left, top) = if beside { (at, 0) } else { (0, at) };
        let row = picture.width as usize * 3;
        for y in 0..picture.height {
            let from = y as usize * row;
            let to = ((top + y) as usize * all.width as usize + left as usize) * 3;
            all.rgb[to..to + row].copy_from_slice(&picture.rgb[from..from + row]);
        }
        at += along(picture) + GAP;
    }
    all
}

fn grey(width: u32, height: u32) -> decoding::Picture {
    decoding::Picture { width, height, rgb: vec![EMPTY; width as usize * height as usize * 3] }
}

fn unexpected(folder: &Path, error: &finetune_regions::Error) -> Error {
    Error::Output {
        path: folder.to_path_buf(),
        what: format!("a row cannot be drawn: {error}"),
        hint: "the row is readable without --png".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_beside_or_below_each_other() {
        let black = |width: u32, height: u32| decoding::Picture {
            width,
            height,
            rgb: vec![0; (width * height * 3) as usize],
        };
        let pair = joined(&[black(4, 3), black(2, 5)], true);
        assert_eq!((pair.width, pair.height), (4 + GAP + 2, 5));
        let pixel = |x: u32, y: u32| pair.rgb[((y * pair.width + x) * 3) as usize];
        assert_eq!(
            [pixel(0, 0), pixel(3, 2), pixel(0, 4), pixel(5, 0), pixel(4 + GAP, 4)],
            [0, 0, EMPTY, EMPTY, 0]
        );
        let rows = joined(&[black(4, 3), black(2, 5)], false);
        assert_eq!((rows.width, rows.height), (4, 3 + GAP + 5));
    }
}
