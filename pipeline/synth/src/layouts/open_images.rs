//! OpenImages' boxes, class names and class hierarchy.

use std::path::Path;

use serde_json::{Value, json};

use super::{Pieces, write_text};
use crate::Error;
use crate::corpus::{Shown, names::name};
use crate::world::World;

/// `train-annotations-bbox.csv`; returns how many boxes there are.
pub(crate) fn boxes(shown: &[&Shown], path: &Path) -> Result<u64, Error> {
    let mut file = Pieces::create(path)?;
    file.line(
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside",
    )?;
    let mut count = 0;
    for shown in shown {
        let (width, height) = (f64::from(shown.scene.width), f64::from(shown.scene.height));
        for object in &shown.scene.objects {
            let [left, top, right, bottom] = object.rect.map(f64::from);
            file.line(&format!(
                "{},drawn,{},1,{:.6},{:.6},{:.6},{:.6},{},0,0,1,0",
                name(shown.slot),
                kind_code(object.kind),
                left / width,
                right / width,
                top / height,
                bottom / height,
                u8::from(object.base.is_some()),
            ))?;
            count += 1;
        }
    }
    file.finish()?;
    Ok(count)
}

fn kind_code(kind: usize) -> String {
    format!("/m/0k{kind:03}")
}

fn category_code(category: usize) -> String {
    format!("/m/0c{category:03}")
}

/// `class-descriptions-boxable.csv` and `bbox_labels_hierarchy.json`: kinds below categories below the entity.
pub(crate) fn classes(world: &World, folder: &Path) -> Result<(), Error> {
    let mut names = String::new();
    for (at, kind) in world.kinds.iter().enumerate() {
        names.push_str(&format!("{},{}\n", kind_code(at), kind.name));
    }
    for (at, category) in world.categories.iter().enumerate() {
        names.push_str(&format!("{},{}\n", category_code(at), category.name));
    }
    write_text(&folder.join("class-descriptions-boxable.csv"), &names)?;
    let root = json!({ "LabelName": "/m/0bl9f", "Subcategory": below(world, None) });
    write_text(&folder.join("bbox_labels_hierarchy.json"), &format!("{root}\n"))
}

/// What lies directly below a category, with all that lies below that.
fn below(world: &World, parent: Option<&str>) -> Vec<Value> {
    let mut found = Vec::new();
    for (at, category) in world.categories.iter().enumerate() {
        if category.parent.as_deref() == parent {
            let below = below(world, Some(&category.name));
            found.push(json!({ "LabelName": category_code(at), "Subcategory": below }));
        }
    }
    for (at, kind) in world.kinds.iter().enumerate() {
        if Some(kind.category.as_str()) == parent {
            found.push(json!({ "LabelName": kind_code(at) }));
        }
    }
    found
}
