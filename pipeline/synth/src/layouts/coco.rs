//! COCO's captions and instances; NoCaps' captions with domains.

use std::path::Path;

use serde_json::{Value, json};

use super::Pieces;
use crate::Error;
use crate::chance::{Chance, Stream};
use crate::corpus::{Shown, names::Nearness, names::name};
use crate::texts;
use crate::world::World;

/// Captions of a picture; its number times this is their first id.
const CAPTION_IDS: u64 = 10;
/// Objects of a picture at most.
const OBJECT_IDS: u64 = 256;

fn info(description: &str) -> Value {
    json!({ "description": description, "version": "1.0", "contributor": "pipeline synth" })
}

fn image(shown: &Shown) -> Value {
    let (slot, scene) = (shown.slot, &shown.scene);
    json!({ "id": slot.id, "file_name": format!("{}.jpg", name(slot)), "width": scene.width,
        "height": scene.height, "license": 0 })
}

const LICENSES: &str = "\"licenses\": [{\"id\": 0, \"name\": \"none needed: drawn\", \"url\": \"\"}],\n";

/// `captions_train2014.json`; returns how many captions there are.
pub(crate) fn captions(world: &World, seed: u64, shown: &[&Shown], path: &Path) -> Result<u64, Error> {
    let mut file = Pieces::create(path)?;
    file.raw(&format!("{{\"info\": {},\n{LICENSES}\"images\": [", info("drawn captions")))?;
    for shown in shown {
        file.element(&image(shown))?;
    }
    let count = annotations(world, seed, shown, &mut file)?;
    file.finish()?;
    Ok(count)
}

/// `nocaps_val_captions.json`: pictures say their domain and what OpenImages calls them.
pub(crate) fn nocaps(world: &World, seed: u64, shown: &[&Shown], path: &Path) -> Result<u64, Error> {
    let mut file = Pieces::create(path)?;
    file.raw(&format!("{{\"info\": {},\n{LICENSES}\"images\": [", info("drawn captions with domains")))?;
    for shown in shown {
        let mut image = image(shown);
        image["open_images_id"] = name(shown.slot).into();
        image["domain"] = Nearness::of(shown.slot.id).name().into();
        file.element(&image)?;
    }
    let count = annotations(world, seed, shown, &mut file)?;
    file.finish()?;
    Ok(count)
}

fn annotations(world: &World, seed: u64, shown: &[&Shown], file: &mut Pieces) -> Result<u64, Error> {
    file.raw("],\n\"annotations\": [")?;
    let mut count = 0;
    for shown in shown {
        let mut chance = Chance::new(seed, Stream::Captions, shown.slot.index);
        for (at, caption) in (0..).zip(texts::captions(world, &shown.scene, &mut chance)) {
            let id = shown.slot.id * CAPTION_IDS + at;
            file.element(&json!({ "image_id": shown.slot.id, "id": id, "caption": caption }))?;
            count += 1;
        }
    }
    file.raw("]}\n")?;
    Ok(count)
}

/// `instances_train2014.json`, with exact masks as run lengths; returns how many objects there are.
pub(crate) fn instances(world: &World, shown: &[&Shown], path: &Path) -> Result<u64, Error> {
    let mut file = Pieces::create(path)?;
    file.raw(&format!("{{\"info\": {},\n{LICENSES}\"images\": [", info("drawn instances")))?;
    for shown in shown {
        file.element(&image(shown))?;
    }
    file.raw("],\n\"categories\": [")?;
    for (kind, id) in world.kinds.iter().zip(1..) {
        file.element(&json!({ "id": id, "name": kind.name, "supercategory": kind.category }))?;
    }
    file.raw("],\n\"annotations\": [")?;
    let mut count = 0;
    for shown in shown {
        let size = [shown.scene.height, shown.scene.width];
        for (at, object) in (0..).zip(&shown.scene.objects) {
            let [left, top, right, bottom] = object.rect;
            file.element(&json!({
                "id": shown.slot.id * OBJECT_IDS + at, "image_id": shown.slot.id,
                "category_id": object.kind + 1, "bbox": [left, top, right - left, bottom - top],
                "area": object.area, "iscrowd": 0,
                "segmentation": { "size": size, "counts": shown.runs[at as usize] },
            }))?;
            count += 1;
        }
    }
    file.raw("]}\n")?;
    file.finish()?;
    Ok(count)
}
