//! COCO captions: `{"annotations": [{"image_id": 790, "id": 1, "caption": "..."}, ...], ...}`.

use std::path::PathBuf;

use data_specs::TextKind;

use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::record::{self, Fields, plain_text};
use crate::texts::scan::{self, Head, Refusal};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Error, RejectReason};

/// Captions in the layout of COCO, which Oscar's `*_caption_coco_format.json` has too.
///
/// One record an annotation. Ids are whole numbers or strings. Fields that COCO does not have go into the
/// text's `extra`; `images`, `info` and `licenses` are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coco {
    /// `captions_train2014.json`, ...
    pub file: PathBuf,
}

impl TextFormat for Coco {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let layout = Layout::Arrays { required: &["annotations"], optional: &[] };
        let (input, _) = scan::elements(context, 0, &self.file, layout, |element, place| {
            found(place.told(caption_head(element.value())))
        })?;
        Ok(vec![input])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        parse_caption(parts)
    }
}

/// The ids of one `{"image_id", "id", "caption"}`.
pub(super) fn caption_head(bytes: &[u8]) -> Result<Head, Refusal> {
    let ids = record::ids(bytes, ["image_id", "id"])?;
    let head = || Ok(Head { images: vec![ids.need("image_id")?], id: ids.need("id")?, split: None });
    head().map_err(Refusal::of(ids.shown("id")))
}

/// The caption of one `{"image_id", "id", "caption"}`.
pub(super) fn parse_caption(parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
    let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
    let mut fields = Fields::parse(&part.bytes)?;
    let (id, text) = (fields.id("id")?, fields.text("caption")?);
    let text = plain_text(TextKind::Caption, id, text, fields.without("image_id").rest());
    Ok(ParsedTexts { texts: vec![text], ..ParsedTexts::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::trial::{Folder, Frame, mutants, run};

    const GOOD: &str = r#"{"info": {"annotations": 3}, "images": [{"id": 790}],
 "annotations": [{"image_id": 790, "id": 1, "caption": "A \"dog\".\n"},
  {"caption": " deux  chiens é ", "image_id": "000000790.jpg", "id": "x7", "clean": true}]}"#;

    #[test]
    fn captions_are_found_and_read() {
        let folder = Folder::new();
        let trial = run(&Coco { file: folder.file("captions.json", GOOD) }).unwrap();
        assert_eq!(trial.images(), ["790", "000000790.jpg"]);
        let texts = trial.texts();
        assert_eq!((texts[0].id.as_str(), texts[0].text.as_str()), ("1", "A \"dog\"."));
        assert_eq!((texts[1].id.as_str(), texts[1].text.as_str()), ("x7", " deux  chiens é "));
        assert_eq!((texts[0].extra.as_deref(), texts[1].extra.as_deref()), (None, Some(r#"{"clean":true}"#)));
        assert!(texts.iter().all(|text| text.kind == TextKind::Caption && text.label.is_none()));
        let (record, _) = &trial.records[1];
        assert_eq!((record.id.as_str(), record.spans[0].line, record.spans[0].input), ("x7", 3, 5));
        assert_eq!(trial.inputs[0].stamp.size, GOOD.len() as u64);
    }

    #[test]
    fn every_bad_record_is_told_with_its_place() {
        let folder = Folder::new();
        let mut file = br#"{"annotations": [
{"image_id": 1, "caption": "no id"},
{"id": 2, "caption": "no picture"},
{"image_id": 1.5, "id": 3, "caption": ""},
{"image_id": " ", "id": 4},
{"image_id": {"a": [1]}, "id": 5},
{"image_id": 1, "id": [6]},
{"image_id": 1, "id": 7, "id": 8},
{"image_id": 1, "id": 9, "caption": }},
[1, 2], "text", 12, null,
{"image_id": 1, "id": 10},
{"image_id": 1, "id": 11, "caption": ["a"]},
{"image_id": 1, "id": 12, "caption": " \n"},
{"image_id": 1, "id": null},
{"image_id": 1, "id": 14, "caption": "lone \ud800 half"},
{"image_id": 1, "id": 15, "caption": "#
            .to_vec();
        file.extend_from_slice(b"\"\xFF\"},\n{\"image_id\": true, \"id\": 16}]}");
        // The doubled bracket of 9 would end the array's frame, so it goes.
        let text = String::from_utf8_lossy(&file).replace("\"caption\": }},", "\"caption\": },");
        let at = text.find('\u{fffd}').unwrap();
        let mut file = text.into_bytes();
        file.splice(at..at + 3, [0xFF]);
        let trial = run(&Coco { file: folder.file("captions.json", &file) }).unwrap();
        let refused: Vec<String> =
            trial.refused().iter().map(|told| told.split(" (").next().unwrap().to_string()).collect();
        assert_eq!(
            refused,
            [
                "2  BadJson: has no `id`",
                "3 2 BadJson: has no `image_id`",
                "4 3 BadJson: `image_id` is a number that is not whole and should be a whole number or a string",
                "5 4 EmptyField: `image_id` is empty",
                "6 5 BadJson: `image_id` is an object and should be a whole number or a string",
                "7  BadJson: `id` is a list and should be a whole number or a string",
                "8  BadJson: has `id` twice",
                "9  BadJson: expected value",
                "10  BadJson: invalid type: sequence, expected an object",
                "10  BadJson: invalid type: string \"text\", expected an object",
                "10  BadJson: invalid type: integer `12`, expected an object",
                "10  BadJson: invalid type: null, expected an object",
                "14  BadJson: has no `id`",
                "16  BadUtf8: is not UTF-8 from byte 38 of the record on",
                "17 16 BadJson: `image_id` is a truth value and should be a whole number or a string",
                "11 10 BadJson: has no `caption`",
                "12 11 BadJson: `caption` is a list and should be a string",
                "13 12 EmptyField: `caption` is empty",
                "15 14 BadJson: unexpected end of hex escape",
            ]
        );
        assert!(trial.rejects[0].message.ends_with("(the record begins at byte 18)"));
    }

    #[test]
    fn another_layout_is_an_error() {
        let folder = Folder::new();
        for content in ["[]", "{}", r#"{"annotations": {}}"#, "", r#"{"annotations": ["#] {
            let refused = run(&Coco { file: folder.file("captions.json", content) }).map(|_| ());
            assert!(matches!(refused, Err(Error::Input { .. })), "{content}");
        }
        assert!(matches!(run(&Coco { file: "none.json".into() }).map(|_| ()), Err(Error::Io { .. })));
    }

    #[test]
    fn mutants_are_accounted_for() {
        let frame = Frame::Json(Layout::Arrays { required: &["annotations"], optional: &[] });
        mutants(&[("captions.json", GOOD, frame)], |paths| Box::new(Coco { file: paths[0].clone() }));
    }
}
