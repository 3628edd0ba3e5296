//! Crops of single objects, in folders of their kind and of their look: two tasks for a backbone.

use std::path::Path;

use super::plan::{Pool, Slot, Split};
use crate::Error;
use crate::chance::{Chance, Stream};
use crate::drawing::{Drawing, jpeg};
use crate::scene::Scene;
use crate::world::World;

/// Ground around the object, as a share of its longer side.
const MARGIN: [f32; 2] = [0.04, 0.3];
/// How far the object may lie from the middle, as a share of the margin.
const ASIDE: f32 = 0.9;
const QUALITY: [u32; 2] = [84, 95];

/// The folders of all crops of a split; a test split is not kept, its pictures give none.
pub(super) fn folders(world: &World, split: Split) -> Vec<String> {
    let looks = |kind: usize| (0..world.colours.len()).map(move |colour| (kind, colour));
    let folders = (0..world.kinds.len()).flat_map(looks).filter_map(|look| folders_of(world, split, look));
    folders.flatten().collect()
}

/// The folders of crops of one kind, and of one kind and colour: an Oscar whose regions are to show colours needs a
/// backbone that was asked for them.
fn folders_of(world: &World, split: Split, (kind, colour): (usize, usize)) -> Option<[String; 2]> {
    let split = match split {
        Split::Train => "train",
        Split::Val => "val",
        Split::Test => return None,
    };
    let kind = world.kinds[kind].name.replace(' ', "_");
    let colour = &world.colours[colour].name;
    Some([format!("crops/{split}/{kind}"), format!("looks/{split}/{colour}_{kind}")])
}

/// Cuts out every object but the bases of others; how many there are.
pub(super) fn cut(
    world: &World,
    seed: u64,
    slot: Slot,
    scene: &Scene,
    drawing: &Drawing,
    root: &Path,
) -> Result<usize, Error> {
    // Validation crops are from pictures that no task trains on, and NLVR2's statements need theirs whole.
    if matches!(slot.pool, Pool::Nlvr2 | Pool::NoCaps) {
        return Ok(0);
    }
    let mut chance = Chance::new(seed, Stream::Crops, slot.index);
    let mut cut = 0;
    for (at, object) in scene.objects.iter().enumerate() {
        let is_base = scene.objects.iter().any(|other| other.belongs_to(at));
        let folders = folders_of(world, slot.split, (object.kind, object.colour)).filter(|_| !is_base);
        let Some(folders) = folders else { continue };
        let [left, top, right, bottom] = object.rect;
        let longer = (right - left).max(bottom - top) as f32;
        let margin = longer * chance.between(MARGIN);
        let side = (longer + 2.0 * margin).min(drawing.width.min(drawing.height) as f32) as u32;
        let mut edge = |from: u32, to: u32, whole: u32| {
            let aside = margin * chance.between([-ASIDE, ASIDE]);
            let start = (from + to) as f32 / 2.0 - side as f32 / 2.0 + aside;
            start.clamp(0.0, (whole - side) as f32) as u32
        };
        let (x, y) = (edge(left, right, drawing.width), edge(top, bottom, drawing.height));
        let pixels = drawing.cut([x, y, x + side, y + side]);
        let bytes = jpeg(&pixels, side, side, chance.whole(QUALITY));
        for folder in folders {
            let path = root.join(folder).join(format!("{:08}_{at}.jpg", slot.index));
            std::fs::write(&path, &bytes).map_err(Error::io("write", &path))?;
        }
        cut += 1;
    }
    Ok(cut)
}
