//! Boxes that people drew: COCO's instances and their like become one line a picture while planning.

mod coco_instances;
mod fields;
mod gqa_scene_graphs;
mod open_images;
mod table;
#[cfg(test)]
mod trial;
mod visual_genome;

pub use coco_instances::CocoInstances;
pub use gqa_scene_graphs::GqaSceneGraphs;
pub use open_images::OpenImages;
pub use table::{BoxTable, NewBox};
pub use visual_genome::VisualGenome;

use std::path::Path;

use data_specs::{BoxesFormat, BoxesSpec, IdMatching, Picture};
use serde::{Deserialize, Serialize};

use crate::inputs::{Input, ScanContext};
use crate::sources::spec_error;
use crate::{Code, Error, RejectReason};

/// A layout of annotated boxes.
pub trait BoxFormat: Send + Sync {
    /// Streams the files into `table`, whatever the order of pictures and boxes in them.
    ///
    /// Returns the files in the order of their input indices, `context.first_input` being the first.
    /// A single box that cannot be used is left out and counted in the table's warnings.
    ///
    /// # Errors
    /// A file that cannot be read, or whose outermost shape is not that of the format; classes without
    /// names.
    fn scan(&self, context: ScanContext<'_>, table: &mut BoxTable) -> Result<Vec<Input>, Error>;
}

/// The format that a spec names.
///
/// # Errors
/// A key that the format does not read, or one that it needs and that is not set.
pub(crate) fn format(spec: &BoxesSpec, path: &Path, ids: IdMatching) -> Result<Box<dyn BoxFormat>, Error> {
    let bad =
        |key: &str, what: String, hint: &str| Err(spec_error(format!("boxes.{key}"), what, hint.into()));
    let keys = [
        ("attributes", spec.attributes.is_some(), BoxesFormat::VisualGenome),
        ("classes", spec.classes.is_some(), BoxesFormat::OpenImages),
    ];
    if let Some((key, ..)) = keys.iter().find(|(_, given, format)| *given && spec.format != *format) {
        let what = format!("the format {} has no such key", crate::rejects_file::word(&spec.format));
        return bad(key, what, "leave it out, or change boxes.format");
    }
    let file = path.to_path_buf();
    Ok(match spec.format {
        BoxesFormat::CocoInstances => {
            Box::new(CocoInstances { file, by_file_name: ids == IdMatching::FileNames })
        }
        BoxesFormat::VisualGenome => {
            Box::new(VisualGenome { objects: file, attributes: spec.attributes.clone() })
        }
        BoxesFormat::OpenImages => match spec.classes.clone() {
            Some(classes) => Box::new(OpenImages { boxes: file, classes }),
            None => {
                return bad(
                    "classes",
                    "is not set".into(),
                    "--set boxes.classes=class-descriptions-boxable.csv",
                );
            }
        },
        BoxesFormat::GqaSceneGraphs => Box::new(GqaSceneGraphs { file }),
    })
}

/// The boxes of one picture: a line of the file that planning derives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureBoxes {
    /// Id of the picture, in the form in which ids are compared.
    pub id: String,
    /// Width and height that the annotators saw, if the file says.
    pub size: Option<[u32; 2]>,
    /// In the order of the file.
    pub boxes: Vec<AnnotatedBox>,
}

/// One box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnotatedBox {
    /// Corners x1, y1, x2, y2: pixels, or shares of width and height where the format has those.
    pub rect: [f32; 4],
    /// What is in it.
    pub class: String,
    /// What it is like ("red", "wooden").
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    /// Whether `rect` holds shares.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relative: bool,
}

/// Sides of one shape differ by less than this share; more means another picture, or a cut one.
const SAME_SHAPE: f64 = 0.02;

impl PictureBoxes {
    /// Corners in pixels of a picture of `width` x `height`, clipped to it.
    ///
    /// Boxes of a picture that was scaled since it was annotated are scaled with it.
    ///
    /// # Errors
    /// The annotators saw a picture of another shape; a box lies outside the picture.
    pub fn in_pixels(&self, width: u32, height: u32) -> Result<Vec<[f32; 4]>, RejectReason> {
        let (width, height) = (f64::from(width), f64::from(height));
        let [seen_width, seen_height] = self.size.map_or([width, height], |size| size.map(f64::from));
        let (wider, higher) = (width / seen_width, height / seen_height);
        // A size of 0 makes this NaN or infinite, which is no shape either.
        let same_shape = (wider / higher - 1.0).abs() < SAME_SHAPE;
        if !same_shape {
            let message = format!(
                "the boxes were drawn in a picture of {seen_width} x {seen_height}, and this one has {width} x {height}"
            );
            return Err(RejectReason::new(Code::WrongSize, message));
        }
        let place = |(index, found): (usize, &AnnotatedBox)| {
            let (wider, higher) = if found.relative { (width, height) } else { (wider, higher) };
            let [x1, y1, x2, y2] = found.rect.map(f64::from);
            let rect = [
                (x1 * wider).clamp(0.0, width),
                (y1 * higher).clamp(0.0, height),
                (x2 * wider).clamp(0.0, width),
                (y2 * higher).clamp(0.0, height),
            ];
            if rect[2] <= rect[0] || rect[3] <= rect[1] {
                let message = format!(
                    "box {index} ({}) lies outside the picture: {:?} in {width} x {height}",
                    found.class, found.rect
                );
                return Err(RejectReason::new(Code::BadBox, message));
            }
            Ok(rect.map(|x| x as f32))
        };
        self.boxes.iter().enumerate().map(place).collect()
    }

    /// Adds the boxes' classes and attributes to `picture`, whose region i is box i.
    pub fn name_regions(&self, picture: &mut Picture, origin: &str) {
        let tag = |name: &str, region: usize| data_specs::Tag {
            name: name.to_string(),
            score: None,
            region: Some(region as i32),
            rect: None,
            origin: origin.to_string(),
        };
        for (region, found) in self.boxes.iter().enumerate() {
            picture.tags.push(tag(&found.class, region));
            picture.attributes.extend(found.attributes.iter().map(|name| tag(name, region)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(rect: [f32; 4], size: Option<[u32; 2]>, relative: bool) -> PictureBoxes {
        let found = AnnotatedBox { rect, class: "dog".into(), attributes: vec!["red".into()], relative };
        PictureBoxes { id: "1".into(), size, boxes: vec![found] }
    }

    #[test]
    fn boxes_are_scaled_and_clipped_to_the_picture() {
        let rect = [10.0, 20.0, 110.0, 60.0];
        for (boxes, expected) in [
            (one(rect, None, false), [10.0, 20.0, 100.0, 50.0]),
            (one(rect, Some([100, 50]), false), [10.0, 20.0, 100.0, 50.0]),
            (one(rect, Some([200, 100]), false), [5.0, 10.0, 55.0, 30.0]),
            (one([0.1, 0.2, 0.5, 1.0], None, true), [10.0, 10.0, 50.0, 50.0]),
            (one([0.5, 0.5, 1.0, 1.0], Some([400, 200]), true), [50.0, 25.0, 100.0, 50.0]),
        ] {
            let found = boxes.in_pixels(100, 50).unwrap();
            let near = found[0].iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-4);
            assert!(near, "{boxes:?}: {found:?}");
        }
    }

    #[test]
    fn keys_that_a_format_does_not_read_are_refused() {
        use BoxesFormat::{CocoInstances, GqaSceneGraphs, OpenImages, VisualGenome};
        for (formats, attributes, classes) in [
            (&[CocoInstances, GqaSceneGraphs, VisualGenome, OpenImages][..], false, false),
            (&[VisualGenome], true, false),
            (&[OpenImages], false, true),
        ] {
            for one in [CocoInstances, GqaSceneGraphs, VisualGenome, OpenImages] {
                let file = |given: bool| given.then(|| "x".into());
                let spec = BoxesSpec {
                    format: one,
                    path: None,
                    attributes: file(attributes),
                    classes: file(classes),
                };
                let made = format(&spec, Path::new("x"), IdMatching::Exact);
                let wants_classes = one == OpenImages && !classes;
                assert_eq!(made.is_ok(), formats.contains(&one) && !wants_classes, "{spec:?}");
                if let Err(error) = made {
                    let said = error.to_string();
                    assert!(said.contains("no such key") || said.contains("boxes.classes"), "{said}");
                }
            }
        }
    }

    #[test]
    fn another_shape_and_boxes_outside_are_told() {
        let turned = one([1.0, 1.0, 2.0, 2.0], Some([50, 100]), false).in_pixels(100, 50).unwrap_err();
        assert_eq!(turned.code, Code::WrongSize);
        let outside = one([200.0, 1.0, 210.0, 2.0], None, false).in_pixels(100, 50).unwrap_err();
        assert!(outside.code == Code::BadBox && outside.message.contains("dog"), "{outside:?}");
        assert_eq!(one([1.0; 4], Some([0, 5]), false).in_pixels(9, 9).unwrap_err().code, Code::WrongSize);
    }

    #[test]
    fn regions_get_names() {
        let mut picture = Picture::default();
        one([0.0; 4], None, false).name_regions(&mut picture, "annotated");
        assert_eq!((picture.tags[0].name.as_str(), picture.tags[0].region), ("dog", Some(0)));
        assert_eq!((picture.attributes[0].name.as_str(), picture.attributes[0].score), ("red", None));
    }
}
