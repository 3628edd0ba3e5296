//! Crops of single objects, in a folder of their kind: a task for a backbone.

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

/// The folder of a kind's crops; a test split is not kept, its pictures give none.
pub(crate) fn folder(split: Split, kind: &str) -> Option<String> {
    match split {
        Split::Train => Some(format!("crops/train/{}", kind.replace(' ', "_"))),
        Split::Val => Some(format!("crops/val/{}", kind.replace(' ', "_"))),
        Split::Test => None,
    }
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
        let Some(folder) = folder(slot.split, &world.kinds[object.kind].name).filter(|_| !is_base) else {
            continue;
        };
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
        let path = root.join(folder).join(format!("{:08}_{at}.jpg", slot.index));
        let bytes = jpeg(&pixels, side, side, chance.whole(QUALITY));
        std::fs::write(&path, bytes).map_err(Error::io("write", &path))?;
        cut += 1;
    }
    Ok(cut)
}
