//! NoCaps: COCO's layout, whose `images` also say the domain of each picture.
//!
//! `{"images": [{"id": 1949, "open_images_id": "...", "domain": "out-domain", ...}], "annotations": [...]}`

use std::path::PathBuf;

use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::coco::{caption_head, parse_caption};
use crate::texts::record::{self, Fields};
use crate::texts::scan::{self, Head, Refusal};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Error, RejectReason};

/// NoCaps captions with domains; the test split has `images` only.
///
/// One record an annotation, and one an image. The latter has no text: its fields (`domain`,
/// `open_images_id`, ...) are the `row_extra` of its picture, and its id is `image:<image id>`, which no
/// caption has because their ids are numbers. Either array may come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCaps {
    /// `nocaps_val_4500_captions.json`, `nocaps_test_image_info.json`, ...
    pub file: PathBuf,
}

impl TextFormat for NoCaps {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let layout = Layout::Arrays { required: &["images"], optional: &["annotations"] };
        let (input, _) = scan::elements(context, 0, &self.file, layout, |element, place| {
            found(place.told(match element.array {
                "images" => image_head(element.value()),
                _ => caption_head(element.value()),
            }))
        })?;
        Ok(vec![input])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
        // Annotations name their picture by `image_id`, pictures have `id` alone.
        if record::ids(&part.bytes, ["image_id"])?.may("image_id")?.is_some() {
            return parse_caption(parts);
        }
        let row_extra = Fields::parse(&part.bytes)?.without("id").rest();
        Ok(ParsedTexts { row_extra, ..ParsedTexts::default() })
    }
}

fn image_head(bytes: &[u8]) -> Result<Head, Refusal> {
    let image = record::ids(bytes, ["id"])?.need("id")?;
    Ok(Head { id: format!("image:{image}"), images: vec![image], split: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::trial::{Folder, Frame, mutants, run};

    const IMAGES: &str =
        r#""images": [{"id": 59, "open_images_id": "69be", "domain": "out-domain", "width": 4}]"#;
    const CAPTIONS: &str = r#""annotations": [{"image_id": 59, "id": 59, "caption": "Salmon."}]"#;

    #[test]
    fn captions_and_domains_come_in_any_order() {
        let folder = Folder::new();
        for (name, content) in
            [("a", format!("{{{IMAGES}, {CAPTIONS}}}")), ("b", format!("{{{CAPTIONS}, {IMAGES}}}"))]
        {
            let trial = run(&NoCaps { file: folder.file(name, content) }).unwrap();
            let texts = trial.texts();
            assert_eq!((texts.len(), texts[0].text.as_str(), texts[0].id.as_str()), (1, "Salmon.", "59"));
            assert_eq!(trial.images(), ["59", "59"]);
            let (_, image) = trial.records.iter().find(|(record, _)| record.id == "image:59").unwrap();
            let row_extra = &image.as_ref().unwrap().row_extra;
            let row_extra = serde_json::to_string(row_extra).unwrap();
            assert_eq!(row_extra, r#"{"open_images_id":"69be","domain":"out-domain","width":4}"#);
        }
    }

    #[test]
    fn the_test_split_has_pictures_only() {
        let folder = Folder::new();
        let trial = run(&NoCaps { file: folder.file("test.json", format!("{{{IMAGES}}}")) }).unwrap();
        assert_eq!((trial.records.len(), trial.texts().len()), (1, 0));
        let captions = format!("{{{CAPTIONS}}}");
        assert!(run(&NoCaps { file: folder.file("coco.json", captions) }).is_err());
        let nameless =
            run(&NoCaps { file: folder.file("n.json", r#"{"images": [{"domain": "x"}]}"#) }).unwrap();
        assert_eq!(nameless.refused(), ["1  BadJson: has no `id` (the record begins at byte 12)"]);
    }

    #[test]
    fn mutants_are_accounted_for() {
        let frame = Frame::Json(Layout::Arrays { required: &["images"], optional: &["annotations"] });
        let good = format!("{{{IMAGES}, {CAPTIONS}}}");
        mutants(&[("nocaps.json", &good, frame)], |paths| Box::new(NoCaps { file: paths[0].clone() }));
    }
}
