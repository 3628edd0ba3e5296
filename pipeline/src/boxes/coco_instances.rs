//! COCO's instances: `{"images": [...], "annotations": [{"image_id", "bbox", ...}], "categories": [...]}`.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use super::{BoxFormat, BoxTable, NewBox};
use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::FileNames;
use crate::texts::record::{Fields, is_not};
use crate::texts::scan::{self, Place};
use crate::{Error, RejectReason};

/// Boxes of `instances_train2014.json` and files of its layout.
///
/// `bbox` is x, y, width, height in pixels. Crowds (`iscrowd` 1) are left out: they are areas, not
/// objects. Segmentations are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CocoInstances {
    /// The file.
    pub file: PathBuf,
    /// Whether pictures are meant by the `file_name` that `images` gives them instead of by their id.
    pub by_file_name: bool,
}

const LAYOUT: Layout = Layout::Arrays { required: &["annotations", "categories"], optional: &["images"] };

impl BoxFormat for CocoInstances {
    fn scan(&self, context: ScanContext<'_>, table: &mut BoxTable) -> Result<Vec<Input>, Error> {
        let files = self.by_file_name.then(|| FileNames::read(context, &self.file)).transpose()?;
        let files = files.as_ref();
        let mut names = HashMap::new();
        let (input, _) = scan::elements(context, 0, &self.file, LAYOUT, |element, place| {
            let read = match element.array {
                "images" => image(element.value(), files, table),
                "categories" => category(element.value(), &mut names),
                _ => annotation(element.value(), files, table, place),
            };
            match read {
                Err(reason) if element.array == "categories" => Err(Error::Input {
                    path: self.file.clone(),
                    line: Some(place.span.line),
                    what: format!("a category cannot be read: {}", reason.message),
                    hint: "a category has an `id` and a `name`".into(),
                }),
                Err(reason) => {
                    table.unreadable(&reason, || place.shown());
                    Ok(())
                }
                Ok(()) => Ok(()),
            }
        })?;
        table.name_classes(&names).map_err(|class| Error::Input {
            path: self.file.clone(),
            line: None,
            what: format!("boxes are of category {class}, which `categories` does not name"),
            hint: "check that the file is complete".into(),
        })?;
        Ok(vec![input])
    }
}

fn image(bytes: &[u8], files: Option<&FileNames>, table: &mut BoxTable) -> Result<(), RejectReason> {
    let mut fields = Fields::parse(bytes)?;
    let id = called(fields.id("id")?, files)?;
    if let (Some(width), Some(height)) = (side(&mut fields, "width")?, side(&mut fields, "height")?) {
        table.size(&id, width, height);
    }
    Ok(())
}

fn category(bytes: &[u8], names: &mut HashMap<String, String>) -> Result<(), RejectReason> {
    let mut fields = Fields::parse(bytes)?;
    names.insert(fields.id("id")?, fields.text("name")?);
    Ok(())
}

fn annotation(
    bytes: &[u8],
    files: Option<&FileNames>,
    table: &mut BoxTable,
    place: &Place<'_>,
) -> Result<(), RejectReason> {
    let mut fields = Fields::parse(bytes)?;
    let (image, category) = (fields.id("image_id")?, fields.id("category_id")?);
    if fields.take("iscrowd").is_some_and(|crowd| crowd == 1 || crowd == true) {
        return Ok(());
    }
    let image = called(image, files)?;
    let [x, y, width, height] = numbers(fields.list("bbox")?, "bbox")?;
    // As pycocotools' users compute it: in double precision, then rounded once.
    let rect = [x, y, x + width, y + height].map(|number| number as f32);
    table.add(&image, &NewBox { rect, class: &category, attributes: &[], relative: false }, || place.shown());
    Ok(())
}

/// What picture `id` is called where pictures lie.
fn called(id: String, files: Option<&FileNames>) -> Result<String, RejectReason> {
    files.map_or(Ok(id.clone()), |files| files.of(&id).map(str::to_string))
}

/// A picture's side, if it is there.
pub(super) fn side(fields: &mut Fields, name: &str) -> Result<Option<u32>, RejectReason> {
    match fields.take(name) {
        None => Ok(None),
        Some(value) => {
            let side = value.as_u64().and_then(|side| u32::try_from(side).ok()).filter(|&side| side > 0);
            side.map(Some).ok_or_else(|| is_not(name, "a whole number of pixels", &value.to_string()))
        }
    }
}

/// A list of `N` numbers.
fn numbers<const N: usize>(list: Vec<Value>, name: &str) -> Result<[f64; N], RejectReason> {
    let found: Option<Vec<f64>> = list.iter().map(Value::as_f64).collect();
    found
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| is_not(name, &format!("a list of {N} numbers"), &format!("a list of {}", list.len())))
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::lines;
    use super::*;

    fn read(text: &str) -> Result<(Vec<super::super::PictureBoxes>, Vec<String>), Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("instances.json");
        std::fs::write(&file, text).unwrap();
        lines(&CocoInstances { file, by_file_name: false })
    }

    #[test]
    fn boxes_are_gathered_by_picture_and_named() {
        let (pictures, warnings) = read(
            r#"{"annotations": [
                {"image_id": 9, "category_id": 18, "bbox": [1, 2, 3.5, 4], "iscrowd": 0, "segmentation": [[1]]},
                {"image_id": 4, "category_id": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0},
                {"image_id": 9, "category_id": 1, "bbox": [5, 5, 5, 5]},
                {"image_id": 9, "category_id": 1, "bbox": [5, 5, 5, 5], "iscrowd": 1},
                {"image_id": 9, "category_id": 1, "bbox": [5, 5, 0, 5]},
                {"image_id": 9, "category_id": 1, "bbox": [5, 5]},
                {"category_id": 1, "bbox": [5, 5, 1, 1]}],
               "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
               "images": [{"id": 9, "width": 64, "height": 48}, {"id": 12, "width": 5, "height": 5}]}"#,
        )
        .unwrap();
        let told: Vec<_> = pictures
            .iter()
            .map(|picture| {
                let boxes: Vec<_> =
                    picture.boxes.iter().map(|found| (found.class.as_str(), found.rect)).collect();
                (picture.id.as_str(), picture.size, boxes)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("12", Some([5, 5]), vec![]),
                ("4", None, vec![("person", [0.0, 0.0, 1.0, 1.0])]),
                (
                    "9",
                    Some([64, 48]),
                    vec![("dog", [1.0, 2.0, 4.5, 6.0]), ("person", [5.0, 5.0, 10.0, 10.0])]
                ),
            ]
        );
        assert_eq!(warnings.len(), 2);
        assert!(
            warnings[0].contains("2 boxes are in records that cannot be read")
                && warnings[0].contains("`bbox`")
        );
        assert!(warnings[1].contains("1 boxes have no area; the first: "), "{}", warnings[1]);
    }

    #[test]
    fn a_file_of_another_layout_or_without_names_is_an_error() {
        for (text, word) in [
            (r#"{"annotations": []}"#, "categories"),
            ("[]", "hint"),
            (
                r#"{"annotations": [{"image_id": 1, "category_id": 7, "bbox": [0,0,1,1]}], "categories": []}"#,
                "category 7",
            ),
            (r#"{"annotations": [], "categories": [{"id": 1}]}"#, "`name`"),
        ] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
    }
}
