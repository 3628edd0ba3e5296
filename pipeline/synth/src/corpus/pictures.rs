//! Drawing the pictures of a plan, on all cores; what is to be said of each is kept.

use std::path::Path;

use super::crops;
use super::names::{self, Nearness, picture_path};
use super::plan::{Pool, Slot};
use crate::Error;
use crate::chance::{Chance, Stream};
use crate::drawing::{Drawing, jpeg};
use crate::scene::{Scene, Wanted};
use crate::world::{Domain, World};

/// A picture that has been drawn.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) slot: Slot,
    pub(crate) scene: Scene,
    /// Masks of the objects as run lengths; for COCO's pictures only.
    pub(crate) runs: Vec<Vec<u32>>,
    /// Crops that were cut from it.
    pub(crate) crops: usize,
}

/// Draws the picture of a slot into `root`.
pub(crate) fn draw(world: &World, seed: u64, slot: Slot, root: &Path) -> Result<Shown, Error> {
    let (inner, outer) = (world.kinds_of(Domain::In), world.kinds_of(Domain::Out));
    let all: Vec<usize> = (0..world.kinds.len()).collect();
    let mut chance = Chance::new(seed, Stream::Pairs, slot.index);
    let wanted = match slot.pool {
        Pool::Coco => Wanted { kinds: &inner, must: vec![] },
        Pool::NoCaps => match Nearness::of(slot.id) {
            Nearness::In => Wanted { kinds: &inner, must: vec![] },
            Nearness::Near => Wanted { kinds: &all, must: vec![*chance.pick(&inner), *chance.pick(&outer)] },
            Nearness::Out => Wanted { kinds: &outer, must: vec![] },
        },
        // Boxes without captions are where out-domain kinds are learned.
        Pool::OpenImages => Wanted { kinds: &all, must: vec![*chance.pick(&outer)] },
        Pool::Gqa => Wanted { kinds: &all, must: vec![] },
        // Each kind of the set is in some of its pictures, now and then twice.
        Pool::Nlvr2 => {
            let mut must = names::focus(world, seed, slot);
            must.retain(|_| chance.happens(0.7));
            if let Some(&again) = must.first().filter(|_| chance.happens(0.4)) {
                must.push(again);
            }
            Wanted { kinds: &all, must }
        }
    };
    let (scene, drawing) = Scene::draw(world, &wanted, seed, slot.index)?;
    show(world, seed, slot, scene, &drawing, root)
}

/// Writes what was drawn for a slot.
pub(crate) fn show(
    world: &World,
    seed: u64,
    slot: Slot,
    scene: Scene,
    drawing: &Drawing,
    root: &Path,
) -> Result<Shown, Error> {
    let quality = Chance::new(seed, Stream::Pixels, !slot.index).whole(world.picture.quality);
    let path = root.join(picture_path(slot));
    let bytes = jpeg(&drawing.rgb, drawing.width, drawing.height, quality);
    std::fs::write(&path, bytes).map_err(Error::io("write", &path))?;
    let runs = match slot.pool {
        Pool::Coco => (0..scene.objects.len()).map(|object| drawing.runs(object)).collect(),
        _ => vec![],
    };
    let crops = crops::cut(world, seed, slot, &scene, drawing, root)?;
    Ok(Shown { slot, scene, runs, crops })
}
