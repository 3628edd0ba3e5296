//! GQA's scene graphs: `{"2407890": {"width", "height", "objects": {"271881": {"name", "x", ...}}}, ...}`.

use std::path::PathBuf;

use serde_json::Value;

use super::coco_instances::side;
use super::fields::{corners, words};
use super::{BoxFormat, BoxTable, NewBox};
use crate::inputs::{Element, Input, Layout, ScanContext};
use crate::texts::record::{Fields, bad_json, empty, is_not, kind, lacks};
use crate::texts::scan::{self, Place};
use crate::{Error, RejectReason};

/// Boxes of `train_sceneGraphs.json` or `val_sceneGraphs.json`: objects with class, attributes and size
/// of the picture. Relations, location and weather are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GqaSceneGraphs {
    /// The file.
    pub file: PathBuf,
}

impl BoxFormat for GqaSceneGraphs {
    fn scan(&self, context: ScanContext<'_>, table: &mut BoxTable) -> Result<Vec<Input>, Error> {
        let (input, _) = scan::elements(context, 0, &self.file, Layout::Members, |element, place| {
            if let Err(reason) = picture(element, table, place) {
                table.unreadable(&reason, || place.shown());
            }
            Ok(())
        })?;
        Ok(vec![input])
    }
}

fn picture(element: Element<'_>, table: &mut BoxTable, place: &Place<'_>) -> Result<(), RejectReason> {
    let id: String = serde_json::from_slice(element.key()).map_err(bad_json)?;
    if id.trim().is_empty() {
        return Err(empty("the key"));
    }
    let mut fields = Fields::parse(element.value())?;
    let (width, height) = (side(&mut fields, "width")?, side(&mut fields, "height")?);
    let objects = match fields.take("objects") {
        None => return Err(lacks("objects")),
        Some(Value::Object(objects)) => objects,
        Some(other) => return Err(is_not("objects", "an object", kind(&other))),
    };
    if let (Some(width), Some(height)) = (width, height) {
        table.size(&id, width, height);
    }
    for (number, object) in objects {
        let at = || format!("{}, picture {id}, object {number}", place.shown());
        match read(object) {
            Err(reason) => table.unreadable(&reason, at),
            Ok((class, rect, attributes)) => {
                let new = NewBox { rect, class: &class, attributes: &attributes, relative: false };
                table.add(&id, &new, at);
            }
        }
    }
    Ok(())
}

/// Class, corners and attributes of an object.
fn read(value: Value) -> Result<(String, [f32; 4], Vec<String>), RejectReason> {
    let mut fields = Fields::of(value, "objects")?;
    let class = fields.text("name")?.trim().to_string();
    let rect = corners(&mut fields)?;
    let attributes = words(&mut fields, "attributes")?;
    Ok((class, rect, attributes))
}

#[cfg(test)]
mod tests {
    use super::super::PictureBoxes;
    use super::super::table::tests::lines;
    use super::super::trial::mutants;
    use super::*;

    const GRAPHS: &str = r#"{
        "2407890": {"width": 640, "height": 480, "location": "living room", "objects": {
            "271881": {"name": "chair", "x": 220, "y": 310, "w": 50, "h": 80, "attributes": ["brown", "wooden", "brown"],
                       "relations": [{"name": "on the front of", "object": "32452"}]},
            "32452": {"name": "wall", "x": 0, "y": 1, "w": 2.5, "h": 3, "relations": []}}},
        "9": {"objects": {}, "height": 5, "width": 4}}"#;

    fn read(text: &str) -> Result<(Vec<PictureBoxes>, Vec<String>), Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("val_sceneGraphs.json");
        std::fs::write(&file, text).unwrap();
        lines(&GqaSceneGraphs { file })
    }

    #[test]
    fn objects_have_classes_attributes_and_a_picture_of_some_size() {
        let (pictures, warnings) = read(GRAPHS).unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        let [one, two] = pictures.as_slice() else { panic!("{pictures:?}") };
        assert_eq!((one.id.as_str(), one.size, one.boxes.len()), ("2407890", Some([640, 480]), 2));
        let [chair, wall] = one.boxes.as_slice() else { panic!("{one:?}") };
        assert_eq!((chair.class.as_str(), chair.rect), ("chair", [220.0, 310.0, 270.0, 390.0]));
        assert_eq!(chair.attributes, ["brown", "wooden"]);
        assert_eq!((wall.class.as_str(), wall.rect, wall.relative), ("wall", [0.0, 1.0, 2.5, 4.0], false));
        assert_eq!((two.id.as_str(), two.size, two.boxes.len()), ("9", Some([4, 5]), 0));
    }

    #[test]
    fn the_order_of_pictures_does_not_matter() {
        let turned = |from: &str| {
            let map: serde_json::Map<String, Value> = serde_json::from_str(from).unwrap();
            serde_json::to_string(&map.into_iter().rev().collect::<serde_json::Map<_, _>>()).unwrap()
        };
        assert_eq!(read(&turned(GRAPHS)).unwrap(), read(GRAPHS).unwrap());
        assert_ne!(turned(GRAPHS), turned(&turned(GRAPHS)));
    }

    #[test]
    fn a_bad_object_costs_itself_and_a_bad_picture_its_objects() {
        let good = r#"{"name": "a", "x": 0, "y": 0, "w": 1, "h": 1}"#;
        for (bad, word) in [
            (r#"{"x": 0, "y": 0, "w": 1, "h": 1}"#, "has no `name`"),
            (r#"{"name": " ", "x": 0, "y": 0, "w": 1, "h": 1}"#, "`name` is empty"),
            (r#"{"name": "a", "x": null, "y": 0, "w": 1, "h": 1}"#, "has no `x`"),
            (r#"{"name": "a", "x": [], "y": 0, "w": 1, "h": 1}"#, "`x` is a list"),
            (r#"{"name": "a", "x": 0, "y": 0, "w": -1, "h": 1}"#, "have no area"),
            (
                r#"{"name": "a", "x": 0, "y": 0, "w": 1, "h": 1, "attributes": "red"}"#,
                "`attributes` is a string",
            ),
            (r#"{"name": "a", "x": 0, "y": 0, "w": 1, "h": 1, "attributes": [""]}"#, "`attributes` is empty"),
            ("[]", "`objects` is a list"),
        ] {
            let text = format!(r#"{{"1": {{"objects": {{"5": {good}, "6": {bad}, "7": {good}}}}}}}"#);
            let (pictures, warnings) = read(&text).unwrap();
            assert_eq!(pictures[0].boxes.len(), 2, "{bad}");
            let [warning] = warnings.as_slice() else { panic!("{bad}: {warnings:?}") };
            assert!(warning.contains(word) && warning.contains("picture 1, object 6"), "{bad}: {warning}");
        }
        for bad in [
            r#""1": {"width": 5, "height": 5}"#,
            r#""1": {"width": 0, "height": 5, "objects": {}}"#,
            r#""1": {"width": 5, "height": "5", "objects": {}}"#,
            r#""1": {"objects": []}"#,
            r#""1": []"#,
            r#""": {"objects": {}}"#,
            r#""\q": {"objects": {}}"#,
        ] {
            let (pictures, warnings) =
                read(&format!(r#"{{{bad}, "2": {{"objects": {{"5": {good}}}}}}}"#)).unwrap();
            assert_eq!((pictures.len(), pictures[0].id.as_str()), (1, "2"), "{bad}");
            assert!(warnings[0].contains("1 boxes are in records that cannot be read"), "{warnings:?}");
        }
    }

    #[test]
    fn a_file_of_another_layout_is_an_error() {
        for text in ["[]", "", "{\"1\": {\"objects\": {}}", "7"] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.contains("hint: "), "{said}");
        }
    }

    #[test]
    fn no_mutant_panics() {
        mutants(&[("graphs.json", GRAPHS)], |paths| Box::new(GqaSceneGraphs { file: paths[0].clone() }));
    }
}
