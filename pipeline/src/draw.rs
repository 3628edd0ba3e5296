//! Rows as a picture: what is in the shard, drawn where it says it is.

use std::path::Path;

use data_specs::{Picture, Sample, Tag};
use finetune_regions::decoding::{self, Limits, decode};
use finetune_regions::drawing::{Drawn, below, beside, draw_regions, kept_pixels};
use finetune_regions::encode_png;

use crate::Error;
use crate::plan::{Plan, PlanInputs, read_recipes};
use crate::sources::Sources;

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
                None => kept_pixels(picture).ok_or_else(|| Error::Output {
                    path: folder.to_path_buf(),
                    what: format!("row {} has no picture to draw, and no size of one", sample.key),
                    hint: "build with images.keep = \"thumbnail\", or from features with picture sizes"
                        .into(),
                })?,
            };
            drawn.push(draw(&pixels, picture).map_err(|error| unexpected(folder, &error))?);
        }
        stripes.push(beside(&drawn));
    }
    encode_png(&below(&stripes)).map_err(|error| unexpected(folder, &error))
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

fn unexpected(folder: &Path, error: &finetune_regions::Error) -> Error {
    Error::Output {
        path: folder.to_path_buf(),
        what: format!("a row cannot be drawn: {error}"),
        hint: "the row is readable without --png".into(),
    }
}
