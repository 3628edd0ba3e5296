//! The pictures that were found, on one sheet.

use std::path::{Path, PathBuf};

use finetune_harness::{Error, Result};
use finetune_regions::decoding::Picture;
use finetune_regions::drawing::{below, beside, draw_lines};
use finetune_regions::encode_png;
use finetune_regions::preparation::{Filter, Resize, resize};

use super::looking::pixels;
use super::retrieve::Found;

/// Pictures side by side, and how wide each is.
const COLUMNS: usize = 4;
const WIDTH: u32 = 240;
/// A narrow picture is no higher than this.
const HEIGHT: u32 = 360;

/// A PNG: the query, and below it the pictures, the best first, each with its place, probability and name.
pub(super) fn draw<'f>(query: &str, found: impl Iterator<Item = (PathBuf, &'f Found)>) -> Result<Vec<u8>> {
    let mut cells = Vec::new();
    for (place, (path, found)) in found.enumerate() {
        cells.push(cell(place + 1, &path, found)?);
    }
    let width = WIDTH * COLUMNS as u32;
    let title = draw_lines(&[query.to_owned()], width).map_err(|error| undrawn(&error))?;
    let rows: Vec<Picture> = std::iter::once(title).chain(cells.chunks(COLUMNS).map(beside)).collect();
    encode_png(&below(&rows)).map_err(|error| undrawn(&error))
}

fn cell(place: usize, path: &Path, found: &Found) -> Result<Picture> {
    let (_, picture) = pixels(path)?;
    let side =
        |side: u32, other: u32, to: u32| (u64::from(side) * u64::from(to)).div_ceil(u64::from(other.max(1)));
    let height = side(picture.height, picture.width, WIDTH);
    let (width, height) = match u32::try_from(height) {
        Ok(height) if height <= HEIGHT => (WIDTH, height),
        _ => (side(picture.width, picture.height, HEIGHT) as u32, HEIGHT),
    };
    let exact = Resize::Exact { width: width.max(1), height: height.max(1) };
    let picture = resize(&picture, exact, Filter::Bilinear).map_err(|error| undrawn(&error))?;
    let lines = [format!("{place}. {:.1} %", 100.0 * found.confidence), found.name.clone()];
    let lines = draw_lines(&lines, WIDTH).map_err(|error| undrawn(&error))?;
    Ok(below(&[picture, lines]))
}

fn undrawn(error: &finetune_regions::Error) -> Error {
    Error::Setting {
        key: "--sheet".to_owned(),
        problem: format!("cannot be drawn: {error}"),
        hint: "ask for fewer pictures by --top".to_owned(),
    }
}
