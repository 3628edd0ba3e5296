//! Drawn scenes with what their files say, on one sheet for a reader who confirms it.

use finetune_regions::decoding::{Limits, Picture, decode};
use finetune_regions::drawing::{below, beside, draw_lines};
use finetune_regions::encode_png;
use finetune_regions::preparation::{Filter, Resize, resize};
use pipeline_synth::SheetScene;

use crate::Error;

/// Scenes side by side, and how wide each is.
const COLUMNS: usize = 4;
const WIDTH: u32 = 320;

/// A PNG of scenes: pictures (a pair side by side), below them their lines.
///
/// # Errors
/// Pictures that cannot be read.
pub fn draw_contact_sheet(scenes: &[SheetScene]) -> Result<Vec<u8>, Error> {
    let cells: Vec<Picture> = scenes.iter().map(cell).collect::<Result<_, _>>()?;
    let rows: Vec<Picture> = cells.chunks(COLUMNS).map(beside).collect();
    encode_png(&below(&rows)).map_err(|error| undrawn(&error))
}

fn cell(scene: &SheetScene) -> Result<Picture, Error> {
    let mut pictures = Vec::new();
    for path in &scene.pictures {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        pictures.push(decode(&bytes, &Limits::default()).map_err(|error| undrawn(&error))?);
    }
    let members = beside(&pictures);
    let height = (u64::from(members.height) * u64::from(WIDTH)).div_ceil(u64::from(members.width.max(1)));
    let exact = Resize::Exact { width: WIDTH, height: height as u32 };
    // A picture alone is as wide as it is: enlarged ones take no harm, and pairs are made to fit.
    let members = resize(&members, exact, Filter::Bilinear).map_err(|error| undrawn(&error))?;
    let lines = draw_lines(&scene.lines, WIDTH).map_err(|error| undrawn(&error))?;
    Ok(below(&[members, lines]))
}

fn undrawn(error: &finetune_regions::Error) -> Error {
    Error::Output {
        path: "contact sheet".into(),
        what: format!("a scene cannot be drawn: {error}"),
        hint: "the corpus is whole without its sheet".into(),
    }
}
