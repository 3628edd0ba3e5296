//! `predict --explain`: what the words of a text looked at, as a picture.

use std::path::Path;

use data_specs::Sample;
use data_specs::durable::write_durably;
use finetune_harness::{Attention, Error, Explained, Result};
use finetune_regions::decoding::{Limits, Picture, decode};
use finetune_regions::drawing::{Drawn, below, beside, draw_lines, draw_matrix, draw_regions, kept_pixels};
use finetune_regions::encode_png;

/// Texts that are drawn; more make a picture that nobody looks at.
const AT_MOST: usize = 8;

/// Writes a PNG: for each text, at most eight, its pictures with numbered regions and how much all words together look at
/// each, and beside them how much each word looks at each tag and region. Pixels are those that the row keeps; where it keeps
/// none, boxes stand on grey.
///
/// # Errors
/// Rows without pixels and sizes; a full disk.
pub fn write(explained: &[Explained], path: &Path) -> Result<()> {
    let mut panels = Vec::new();
    for one in explained.iter().take(AT_MOST) {
        let mut stripes = Vec::new();
        for attention in &one.sequences {
            stripes
                .push(draw(&one.sample, attention).map_err(|problem| undrawn(path, &one.sample, problem))?);
        }
        let width = stripes.iter().map(|stripe| stripe.width).max().unwrap_or_default();
        let title = draw_lines(std::slice::from_ref(&one.title), width);
        panels.push(title.map_err(|error| undrawn(path, &one.sample, error.to_string()))?);
        panels.extend(stripes);
    }
    let png = encode_png(&below(&panels)).map_err(|error| Error::Unfit {
        path: path.to_owned(),
        field: "--explain".to_owned(),
        problem: format!("cannot be drawn: {error}"),
        hint: "ask for fewer texts by --key".to_owned(),
    })?;
    Ok(write_durably(path, &png, "explanation")?)
}

fn draw(sample: &Sample, attention: &Attention) -> std::result::Result<Picture, String> {
    let mut parts = Vec::new();
    let mut names = attention.tags.clone();
    names.extend(
        attention
            .regions
            .iter()
            .enumerate()
            .map(|(number, (picture, region))| format!("{} {}", number + 1, name(sample, *picture, *region))),
    );
    for (number, picture) in sample.images.iter().enumerate() {
        let seen: Vec<(usize, usize)> = (0..attention.regions.len())
            .filter(|at| attention.regions[*at].0 == number)
            .map(|at| (at, attention.regions[at].1))
            .collect();
        if seen.is_empty() {
            continue;
        }
        let pixels = kept_pixels(picture).ok_or("its picture is neither kept nor known by its size")?;
        let wider = pixels.width as f32 / picture.width.unwrap_or(pixels.width) as f32;
        let higher = pixels.height as f32 / picture.height.unwrap_or(pixels.height) as f32;
        let boxes = picture.boxes.as_deref().unwrap_or_default();
        let labelled = seen.iter().filter_map(|(at, region)| {
            let [x1, y1, x2, y2] = *boxes.get(*region)?;
            let rect = [x1 * wider, y1 * higher, x2 * wider, y2 * higher];
            Some((
                rect,
                format!("{} {:.1}%", names[attention.tags.len() + at], 100.0 * attention.of_region(*at)),
            ))
        });
        let labelled: Vec<([f32; 4], String)> = labelled.collect();
        let drawn: Vec<Drawn<'_>> =
            labelled.iter().map(|(rect_xyxy, label)| Drawn { rect_xyxy: *rect_xyxy, label }).collect();
        let png = draw_regions(&pixels, &drawn).map_err(|error| error.to_string())?;
        parts.push(decode(&png, &Limits::default()).map_err(|error| error.to_string())?);
    }
    let words: Vec<&str> = attention.words.iter().map(String::as_str).collect();
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    parts.push(draw_matrix(&words, &columns, &attention.weights).map_err(|error| error.to_string())?);
    Ok(beside(&parts))
}

/// The first tag of a region, or nothing.
fn name(sample: &Sample, picture: usize, region: usize) -> &str {
    let tags = &sample.images[picture].tags;
    let of_region = |region_of_tag: i32| usize::try_from(region_of_tag).is_ok_and(|own| own == region);
    tags.iter().find(|tag| tag.region.is_some_and(of_region)).map_or("", |tag| tag.name.as_str())
}

fn undrawn(path: &Path, sample: &Sample, problem: String) -> Error {
    Error::Unfit {
        path: path.to_owned(),
        field: format!("the drawing of {}", sample.key),
        problem,
        hint: "build with images.keep = \"thumbnail\", or from features with picture sizes".to_owned(),
    }
}
