//! COCO captions, and NoCaps in the same layout.
//!
//! `{"annotations": [{"image_id": 790, "id": 1, "caption": "..."}, ...],`
//! ` "images": [{"id": 1949, "open_images_id": "...", "domain": "out-domain", ...}, ...]}`

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use data_specs::TextKind;

use crate::inputs::{Input, Layout, ScanContext};
use crate::pictures::id_of;
use crate::texts::record::{self, Fields, plain_text};
use crate::texts::scan::{self, Head, Refusal};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Code, Error, RejectReason};

/// Captions in the layout of COCO, which Oscar's `*_caption_coco_format.json` and NoCaps have too.
///
/// One record an annotation. Ids are whole numbers or strings. Fields that COCO does not have go into the
/// text's `extra`.
///
/// NoCaps says the domain of each picture in `images`, which may come before or after the captions, and for
/// the test split come alone. Each picture with a `domain` or an `open_images_id` is a record without texts:
/// its fields are the `row_extra`, its id is `image:<image id>`, which no caption has because their ids are
/// numbers. Other pictures, `info` and `licenses` are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coco {
    /// `captions_train2014.json`, `nocaps_val_4500_captions.json`, ...
    pub file: PathBuf,
    /// Whether pictures are meant by the `file_name` that `images` gives them instead of by their id.
    pub by_file_name: bool,
}

const LAYOUT: Layout = Layout::Arrays { required: &[], optional: &["annotations", "images"] };

impl TextFormat for Coco {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let names = self.by_file_name.then(|| FileNames::read(context, &self.file)).transpose()?;
        let mut pictures = 0;
        let (input, arrays) = scan::elements(context, 0, &self.file, LAYOUT, |element, place| {
            let head = match element.array {
                "images" => picture_head(element.value()).transpose(),
                _ => Some(caption_head(element.value())),
            };
            pictures += u64::from(element.array == "images" && head.is_some());
            let head = head.map(|head| match &names {
                Some(names) => head.and_then(|head| names.instead_of_ids(head)),
                None => head,
            });
            head.map_or(Ok(()), |head| found(place.told(head)))
        })?;
        if pictures == 0 && !arrays.contains(&"annotations") {
            return Err(Error::Input {
                path: self.file.clone(),
                line: None,
                what: "has no key \"annotations\", and no pictures with domains either".into(),
                hint: "is it a file of the layout that the spec names?".into(),
            });
        }
        Ok(vec![input])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
        // Annotations name their picture by `image_id`, pictures have `id` alone.
        if record::ids(&part.bytes, ["image_id"])?.may("image_id")?.is_some() {
            return parse_caption(parts);
        }
        let fields = Fields::parse(&part.bytes)?;
        // Where the row is called by its file name, nothing else keeps the number that results are sent in with.
        let row_extra = if self.by_file_name { fields.rest() } else { fields.without("id").rest() };
        Ok(ParsedTexts { row_extra, ..ParsedTexts::default() })
    }
}

/// What the pictures of a file in COCO's layout are called where they lie.
pub(crate) struct FileNames(HashMap<Box<str>, Box<str>>);

impl FileNames {
    /// Reads `images` of the file at `path`, which may stand behind what names them.
    pub(crate) fn read(context: ScanContext<'_>, path: &Path) -> Result<FileNames, Error> {
        let mut names = HashMap::new();
        let layout = Layout::Arrays { required: &["images"], optional: &[] };
        scan::elements(context, 0, path, layout, |element, _| {
            // A picture without either is told when something names it.
            if let Ok(ids) = record::ids(element.value(), ["id", "file_name"])
                && let (Ok(id), Ok(name)) = (ids.need("id"), ids.need("file_name"))
            {
                names.insert(id.into_boxed_str(), id_of(&name).into());
            }
            Ok(())
        })?;
        Ok(FileNames(names))
    }

    /// The name of picture `id`'s file, without its ending.
    pub(crate) fn of(&self, id: &str) -> Result<&str, RejectReason> {
        self.0.get(id).map(|name| &**name).ok_or_else(|| {
            let message = format!("`images` gives picture `{id}` no `file_name`");
            RejectReason::new(Code::NoPicture, message)
        })
    }

    fn instead_of_ids(&self, head: Head) -> Result<Head, Refusal> {
        let named: Result<Vec<String>, _> =
            head.images.iter().map(|id| self.of(id).map(str::to_string)).collect();
        let images = named.map_err(Refusal::of(head.id.clone()))?;
        Ok(Head { images, ..head })
    }
}

/// The id of a picture that says more than COCO's do.
fn picture_head(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
    let ids = record::ids(bytes, ["id", "domain", "open_images_id"])?;
    if ids.may("domain")?.or(ids.may("open_images_id")?).is_none() {
        return Ok(None);
    }
    let image = ids.need("id")?;
    Ok(Some(Head { id: format!("image:{image}"), images: vec![image], split: None, texts: 0 }))
}

/// The ids of one `{"image_id", "id", "caption"}`.
pub(super) fn caption_head(bytes: &[u8]) -> Result<Head, Refusal> {
    let ids = record::ids(bytes, ["image_id", "id"])?;
    let head = || Ok(Head::one(vec![ids.need("image_id")?], ids.need("id")?));
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

    fn coco(file: PathBuf) -> Coco {
        Coco { file, by_file_name: false }
    }

    #[test]
    fn captions_are_found_and_read() {
        let folder = Folder::new();
        let trial = run(&coco(folder.file("captions.json", GOOD))).unwrap();
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
        let trial = run(&coco(folder.file("captions.json", &file))).unwrap();
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
            let refused = run(&coco(folder.file("captions.json", content))).map(|_| ());
            assert!(matches!(refused, Err(Error::Input { .. })), "{content}");
        }
        assert!(matches!(run(&coco("none.json".into())).map(|_| ()), Err(Error::Io { .. })));
    }

    #[test]
    fn mutants_are_accounted_for() {
        let frame = Frame::Json(Layout::Arrays { required: &[], optional: &["annotations"] });
        let nocaps = format!("{{{IMAGES}, {CAPTIONS}}}");
        mutants(&[("nocaps.json", &nocaps, frame)], |paths| Box::new(coco(paths[0].clone())));
        mutants(&[("captions.json", GOOD, frame)], |paths| Box::new(coco(paths[0].clone())));
    }

    const IMAGES: &str =
        r#""images": [{"id": 59, "open_images_id": "69be", "domain": "out-domain", "width": 4}]"#;
    const CAPTIONS: &str = r#""annotations": [{"image_id": 59, "id": 59, "caption": "Salmon."}]"#;

    #[test]
    fn captions_and_domains_come_in_any_order() {
        let folder = Folder::new();
        for (name, content) in
            [("a", format!("{{{IMAGES}, {CAPTIONS}}}")), ("b", format!("{{{CAPTIONS}, {IMAGES}}}"))]
        {
            let trial = run(&Coco { file: folder.file(name, content), by_file_name: false }).unwrap();
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
    fn the_test_split_of_nocaps_has_pictures_only() {
        let folder = Folder::new();
        let trial = run(&coco(folder.file("test.json", format!("{{{IMAGES}}}")))).unwrap();
        assert_eq!((trial.records.len(), trial.texts().len()), (1, 0));
        let of_coco = folder.file("image_info.json", r#"{"images": [{"id": 1, "file_name": "1.jpg"}]}"#);
        let refused = run(&coco(of_coco)).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("has no key \"annotations\""), "{refused}");
        let nameless = run(&coco(folder.file("n.json", r#"{"images": [{"domain": "x"}]}"#))).unwrap();
        assert_eq!(nameless.refused(), ["1  BadJson: has no `id` (the record begins at byte 12)"]);
    }

    #[test]
    fn pictures_may_be_called_by_their_files() {
        let folder = Folder::new();
        let content = r#"{"annotations": [{"image_id": 59, "id": 1, "caption": "Salmon."},
 {"image_id": 60, "id": 2, "caption": "Nobody knows what."}],
 "images": [{"id": 59, "file_name": "val/69be.x.jpg", "domain": "out-domain"}, {"id": 60}]}"#;
        let trial = run(&Coco { file: folder.file("nocaps.json", content), by_file_name: true }).unwrap();
        assert_eq!(trial.images(), ["69be.x", "69be.x"]);
        let refused =
            "2 2 NoPicture: `images` gives picture `60` no `file_name` (the record begins at byte 67)";
        assert_eq!(trial.refused()[..], [refused]);
        let (_, image) = trial.records.iter().find(|(record, _)| record.id == "image:59").unwrap();
        assert_eq!(image.as_ref().unwrap().row_extra["id"], 59);
    }
}
