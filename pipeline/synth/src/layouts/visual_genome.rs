//! Visual Genome's objects and attributes, and GQA's scene graphs, of the same pictures.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Pieces;
use crate::Error;
use crate::corpus::Shown;
use crate::scene::{Object, Scene};
use crate::world::{Rule, World};

/// The number of an object among all of its corpus.
pub(crate) fn object_id(picture: u64, at: usize) -> u64 {
    picture * 100 + at as u64
}

fn place(object: &Object) -> [u32; 4] {
    let [left, top, right, bottom] = object.rect;
    [left, top, right - left, bottom - top]
}

/// Colour, size and texture, in words.
pub(crate) fn words_of<'a>(world: &'a World, object: &Object) -> [&'a str; 3] {
    [&world.colours[object.colour].name, &world.sizes[object.size].name, &world.textures[object.texture].name]
}

/// `objects.json`.
pub(crate) fn objects(world: &World, shown: &[&Shown], path: &Path) -> Result<u64, Error> {
    let mut file = Pieces::create(path)?;
    file.raw("[")?;
    let mut count = 0;
    for shown in shown {
        let objects = shown.scene.objects.iter().enumerate().map(|(at, object)| {
            let [x, y, w, h] = place(object);
            let name = &world.kinds[object.kind].name;
            json!({ "object_id": object_id(shown.slot.id, at), "x": x, "y": y, "w": w, "h": h,
                "names": [name], "synsets": [format!("{}.n.01", name.replace(' ', "_"))],
                "merged_object_ids": [] })
        });
        let objects: Vec<Value> = objects.collect();
        count += objects.len() as u64;
        file.element(&json!({ "image_id": shown.slot.id, "objects": objects, "image_url": "" }))?;
    }
    file.raw("]\n")?;
    file.finish()?;
    Ok(count)
}

/// `attributes.json`.
pub(crate) fn attributes(world: &World, shown: &[&Shown], path: &Path) -> Result<(), Error> {
    let mut file = Pieces::create(path)?;
    file.raw("[")?;
    for shown in shown {
        let attributes = shown.scene.objects.iter().enumerate().map(|(at, object)| {
            let [x, y, w, h] = place(object);
            json!({ "object_id": object_id(shown.slot.id, at), "x": x, "y": y, "w": w, "h": h,
                "names": [world.kinds[object.kind].name], "attributes": words_of(world, object) })
        });
        let attributes: Vec<Value> = attributes.collect();
        file.element(&json!({ "image_id": shown.slot.id, "attributes": attributes }))?;
    }
    file.raw("]\n")?;
    file.finish()
}

/// `train_sceneGraphs.json`.
pub(crate) fn scene_graphs(world: &World, shown: &[&Shown], path: &Path) -> Result<(), Error> {
    let mut file = Pieces::create(path)?;
    file.raw("{")?;
    for shown in shown {
        let scene = &shown.scene;
        let mut objects = Map::new();
        for (at, object) in scene.objects.iter().enumerate() {
            let [x, y, w, h] = place(object);
            let relations = relations(world, scene, at, shown.slot.id);
            objects.insert(
                object_id(shown.slot.id, at).to_string(),
                json!({ "name": world.kinds[object.kind].name, "x": x, "y": y, "w": w, "h": h,
                    "attributes": words_of(world, object), "relations": relations }),
            );
        }
        let place = &world.places[scene.place].name;
        let graph =
            json!({ "width": scene.width, "height": scene.height, "location": place, "objects": objects });
        file.member(&shown.slot.id.to_string(), &graph)?;
    }
    file.raw("}\n")?;
    file.finish()
}

/// In what relations an object plainly stands to others.
fn relations(world: &World, scene: &Scene, subject: usize, picture: u64) -> Vec<Value> {
    const RULES: [Rule; 7] =
        [Rule::Left, Rule::Right, Rule::Above, Rule::Below, Rule::On, Rule::Inside, Rule::Holding];
    let mut found = Vec::new();
    for object in 0..scene.objects.len() {
        for rule in RULES {
            if let Some(words) = world.words(rule)
                && scene.holds(subject, rule, object) == Some(true)
            {
                found.push(json!({ "name": words[0], "object": object_id(picture, object).to_string() }));
            }
        }
    }
    found
}
