//! Visual Genome's objects: `[{"image_id", "objects": [{"object_id", "x", "y", "w", "h", "names"}]}, ...]`.

mod attributes;

use std::path::PathBuf;

use serde_json::Value;

use super::fields::{corners, words};
use super::{BoxFormat, BoxTable, NewBox};
use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::record::{Fields, is_not, kind};
use crate::texts::scan::{self, Place};
use crate::{Error, RejectReason};
use attributes::Attributes;

/// Boxes of `objects.json`, and what `attributes.json` says of them.
///
/// `x`, `y`, `w`, `h` are in pixels of Visual Genome's pictures, whose sizes the files do not state; what
/// reaches over a picture's border (there are corners at -1) is clipped when its row is built. The class
/// is the first of `names`, or `name` where an older release has that, without blanks around it and
/// otherwise as the annotators wrote it. Synsets and merged ids are passed over.
///
/// Attributes are joined by picture and object id. They keep their order and are told once each; of those
/// whose object is not in `objects.json` there is a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisualGenome {
    /// `objects.json`.
    pub objects: PathBuf,
    /// `attributes.json`.
    pub attributes: Option<PathBuf>,
}

impl BoxFormat for VisualGenome {
    fn scan(&self, context: ScanContext<'_>, table: &mut BoxTable) -> Result<Vec<Input>, Error> {
        let mut known = Attributes::default();
        let second = self.attributes.as_ref().map(|path| known.scan(context, 1, path, table)).transpose()?;
        let (first, _) = scan::elements(context, 0, &self.objects, Layout::List, |element, place| {
            if let Err(reason) = picture(element.value(), &mut known, table, place) {
                table.unreadable(&reason, || place.shown());
            }
            Ok(())
        })?;
        known.tell_unused(table);
        Ok([Some(first), second].into_iter().flatten().collect())
    }
}

fn picture(
    bytes: &[u8],
    known: &mut Attributes,
    table: &mut BoxTable,
    place: &Place<'_>,
) -> Result<(), RejectReason> {
    let mut fields = Fields::parse(bytes)?;
    let image = fields.id("image_id")?;
    for (index, found) in fields.list("objects")?.into_iter().enumerate() {
        let at = || format!("{}, picture {image}, object {index}", place.shown());
        match Object::read(found) {
            Err(reason) => table.unreadable(&reason, at),
            Ok(Object { id, class, rect }) => {
                let attributes = match id {
                    Some(id) => known.of(&image, id),
                    None => vec![],
                };
                let new = NewBox { rect, class: &class, attributes: &attributes, relative: false };
                table.add(&image, &new, at);
            }
        }
    }
    Ok(())
}

struct Object {
    id: Option<u64>,
    class: String,
    rect: [f32; 4],
}

impl Object {
    fn read(value: Value) -> Result<Object, RejectReason> {
        let mut fields = Fields::of(value, "objects")?;
        let id = object_id(&mut fields)?;
        let class = match words(&mut fields, "names")?.into_iter().next() {
            Some(name) => name,
            None => fields.text("name")?.trim().to_string(),
        };
        Ok(Object { id, class, rect: corners(&mut fields)? })
    }
}

/// The object's number, if it is there.
fn object_id(fields: &mut Fields) -> Result<Option<u64>, RejectReason> {
    match fields.take("object_id") {
        None => Ok(None),
        Some(value) => {
            let id = value.as_u64().or_else(|| value.as_str()?.parse().ok());
            id.map(Some).ok_or_else(|| is_not("object_id", "a whole number", kind(&value)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PictureBoxes;
    use super::super::table::tests::lines;
    use super::super::trial::mutants;
    use super::*;

    const OBJECTS: &str = r#"[
        {"image_id": 2, "image_url": "u", "objects": [
            {"object_id": 20, "x": -1, "y": 3, "w": 10, "h": 12, "names": [" clock ", "watch"], "synsets": ["clock.n.01"]},
            {"object_id": 21, "x": 1.5, "y": 0, "w": 1, "h": 1, "names": ["man"], "merged_object_ids": [9]}]},
        {"objects": [], "image_id": 3},
        {"image_id": "1", "objects": [{"object_id": "10", "x": 0, "y": 0, "w": 5, "h": 5, "name": "tree"}]}]"#;
    const ATTRIBUTES: &str = r#"[
        {"image_id": 1, "attributes": [
            {"object_id": 10, "x": 0, "y": 0, "w": 5, "h": 5, "names": ["tree"], "attributes": ["tall", " green", "tall"]},
            {"object_id": 10, "names": ["tree"], "attributes": ["old"]}]},
        {"image_id": 2, "attributes": [
            {"object_id": 21, "names": ["man"]},
            {"object_id": 20, "names": ["clock"], "attributes": ["green"]},
            {"object_id": 10, "names": ["tree"], "attributes": ["of another picture"]},
            {"object_id": 77, "names": ["x"], "attributes": ["a", "b"]}]}]"#;

    fn read(objects: &str, attributes: Option<&str>) -> Result<(Vec<PictureBoxes>, Vec<String>), Error> {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["objects.json", "attributes.json"].map(|name| folder.path().join(name));
        std::fs::write(&one, objects).unwrap();
        std::fs::write(&two, attributes.unwrap_or_default()).unwrap();
        lines(&VisualGenome { objects: one, attributes: attributes.map(|_| two) })
    }

    fn told(pictures: &[PictureBoxes]) -> Vec<String> {
        let found = |picture: &PictureBoxes| {
            let boxes = picture
                .boxes
                .iter()
                .map(|found| format!("{} {:?} {}", found.class, found.rect, found.attributes.join(",")));
            format!("{}: {}", picture.id, boxes.collect::<Vec<_>>().join("; "))
        };
        pictures.iter().map(found).collect()
    }

    #[test]
    fn objects_get_their_attributes() {
        let (pictures, warnings) = read(OBJECTS, Some(ATTRIBUTES)).unwrap();
        assert_eq!(
            told(&pictures),
            [
                "1: tree [0.0, 0.0, 5.0, 5.0] tall,green,old",
                "2: clock [-1.0, 3.0, 9.0, 15.0] green; man [1.5, 0.0, 2.5, 1.0] ",
            ]
        );
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert!(warning.contains("2 boxes have attributes and are not among the objects"), "{warning}");
        assert!(warning.contains("picture 2, object 10"), "{warning}");
        assert!(pictures.iter().all(|picture| picture.size.is_none()));

        let (alone, warnings) = read(OBJECTS, None).unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(told(&alone)[0], "1: tree [0.0, 0.0, 5.0, 5.0] ");
    }

    #[test]
    fn the_order_of_pictures_does_not_matter() {
        let turn = |text: &str| {
            let mut list: Vec<Value> = serde_json::from_str(text).unwrap();
            list.reverse();
            serde_json::to_string(&list).unwrap()
        };
        let (straight, _) = read(OBJECTS, Some(ATTRIBUTES)).unwrap();
        let (turned, _) = read(&turn(OBJECTS), Some(&turn(ATTRIBUTES))).unwrap();
        assert_eq!(straight, turned);
    }

    #[test]
    fn a_bad_object_costs_itself_and_a_bad_picture_its_objects() {
        let good = r#"{"x": 0, "y": 0, "w": 1, "h": 1, "names": ["a"]}"#;
        for (bad, word) in [
            (r#"{"x": 0, "y": 0, "w": 1, "names": ["a"]}"#, "has no `h`"),
            (r#"{"x": "0", "y": 0, "w": 1, "h": 1, "names": ["a"]}"#, "`x` is a string"),
            (r#"{"x": 0, "y": 0, "w": 1, "h": 1}"#, "has no `name`"),
            (r#"{"x": 0, "y": 0, "w": 1, "h": 1, "names": []}"#, "has no `name`"),
            (r#"{"x": 0, "y": 0, "w": 1, "h": 1, "names": [" "]}"#, "`names` is empty"),
            (r#"{"x": 0, "y": 0, "w": 1, "h": 1, "names": [3]}"#, "`names` is a list with a number"),
            (r#"{"x": 0, "y": 0, "w": 1, "h": 1, "names": "a"}"#, "`names` is a string"),
            (r#"{"x": 0, "y": 0, "w": 0, "h": 1, "names": ["a"]}"#, "have no area"),
            (r#"{"x": 0, "y": 0, "w": 1e300, "h": 1, "names": ["a"]}"#, "no numbers"),
            (
                r#"{"object_id": -1, "x": 0, "y": 0, "w": 1, "h": 1, "names": ["a"]}"#,
                "`object_id` is a number",
            ),
            ("7", "`objects` is a number"),
        ] {
            let (pictures, warnings) =
                read(&format!(r#"[{{"image_id": 1, "objects": [{good}, {bad}, {good}]}}]"#), None).unwrap();
            assert_eq!(pictures[0].boxes.len(), 2, "{bad}");
            let [warning] = warnings.as_slice() else { panic!("{bad}: {warnings:?}") };
            assert!(warning.contains(word) && warning.contains("picture 1, object 1"), "{bad}: {warning}");
        }
        for bad in
            [r#"{"objects": []}"#, r#"{"image_id": 1}"#, r#"{"image_id": 1, "objects": {}}"#, "[1]", "{\"\"}"]
        {
            let (pictures, warnings) = read(
                &format!(r#"[{bad}, {{"image_id": 2, "objects": [{good}]}}]"#),
                Some(&format!("[{bad}]")),
            )
            .unwrap();
            assert_eq!((pictures.len(), pictures[0].id.as_str()), (1, "2"), "{bad}");
            assert!(warnings[0].contains("2 boxes are in records that cannot be read"), "{warnings:?}");
        }
    }

    #[test]
    fn a_file_of_another_layout_is_an_error() {
        for (objects, attributes) in
            [(r#"{"image_id": 1}"#, "[]"), ("[]", r#"{"1": []}"#), ("", "[]"), ("[", "[]")]
        {
            let said = read(objects, Some(attributes)).unwrap_err().to_string();
            assert!(said.contains("hint: "), "{said}");
        }
    }

    #[test]
    fn no_mutant_panics() {
        mutants(&[("objects.json", OBJECTS), ("attributes.json", ATTRIBUTES)], |paths| {
            Box::new(VisualGenome { objects: paths[0].clone(), attributes: Some(paths[1].clone()) })
        });
    }
}
