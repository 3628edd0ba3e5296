//! Visual Genome's regions: `[{"id": 1, "regions": [{"region_id", "phrase", "x", "y", "width", "height"}]}, ...]`.

use std::path::PathBuf;

use data_specs::{Text, TextKind};
use serde_json::Value;

use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::record::{self, Fields, plain_text};
use crate::texts::scan::{self, Head, Refusal};
use crate::texts::{ParsedTexts, Part, RejectedText, ScannedText, TextFormat};
use crate::{Code, Error, RejectReason};

/// `region_descriptions.json`.
///
/// One record a picture, with all its phrases as captions; its id is that of the picture, the ids of its texts
/// are `region_id`. The rectangle a phrase speaks of (`x`, `y`, `width`, `height` in pixels) goes into the
/// text's `extra`, with whatever else a region says. A bad region does not take its neighbours along; nor does
/// one that names another picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VgRegions {
    /// The JSON file.
    pub file: PathBuf,
}

impl TextFormat for VgRegions {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let (input, _) = scan::elements(context, 0, &self.file, Layout::List, |element, place| {
            found(place.told(picture_head(element.value(), "regions")))
        })?;
        Ok(vec![input])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        parse_picture(parts, "regions", "region_id", |id, mut fields| {
            let phrase = fields.text("phrase")?;
            Ok(plain_text(TextKind::Caption, id, phrase, fields.rest()))
        })
    }
}

/// Picture and number of texts of one `{"id", <list>: [...]}`.
pub(super) fn picture_head(bytes: &[u8], list: &'static str) -> Result<Head, Refusal> {
    let ids = record::ids(bytes, ["id", list])?;
    let head = || {
        let id = ids.need("id")?;
        Ok(Head { images: vec![id.clone()], id, split: None, texts: ids.length(list)? })
    };
    head().map_err(Refusal::of(ids.shown("id")))
}

/// The texts of one `{"id", <list>: [{<text_id>, "image_id", ...}, ...]}`; `parse` is given the id of each and
/// its other fields. Those of a text without an id are called `<picture>#<place in the list>`.
pub(super) fn parse_picture(
    parts: &[Part],
    list: &str,
    text_id: &str,
    parse: impl Fn(String, Fields) -> Result<Text, RejectReason>,
) -> Result<ParsedTexts, RejectReason> {
    let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
    let mut fields = Fields::parse(&part.bytes)?;
    let picture = fields.id("id")?;
    let mut parsed = ParsedTexts::default();
    for (at, text) in fields.list(list)?.into_iter().enumerate() {
        match parse_one(text, list, text_id, &picture, &parse) {
            Ok(text) => parsed.texts.push(text),
            Err(Refusal { key, reason }) => {
                let id = if key.is_empty() { format!("{picture}#{at}") } else { key };
                parsed.rejected.push(RejectedText { id, reason });
            }
        }
    }
    Ok(parsed)
}

fn parse_one(
    text: Value,
    list: &str,
    text_id: &str,
    picture: &str,
    parse: impl Fn(String, Fields) -> Result<Text, RejectReason>,
) -> Result<Text, Refusal> {
    let mut fields = Fields::of(text, list)?;
    let id = fields.id(text_id)?;
    let parse = || {
        if let Some(named) = fields.may_id("image_id")?
            && named != picture
        {
            let message = format!("`image_id` is {named} in the list of picture {picture}");
            return Err(RejectReason::new(Code::IdMismatch, message));
        }
        parse(id.clone(), fields)
    };
    parse().map_err(Refusal::of(id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::trial::{Folder, Frame, mutants, run};

    const GOOD: &str = r#"[{"regions": [
 {"region_id": 1382, "width": 82, "height": 139, "image_id": 1, "phrase": "the clock is green in colour", "y": 57, "x": 421},
 {"region_id": 1383, "width": 182, "height": 213, "image_id": 1, "phrase": "shade is along the street ", "y": 372, "x": 194}],
 "id": 1}, {"id": 3, "regions": []},
{"id": "n2", "regions": [{"region_id": "r", "phrase": "é\n", "synsets": []}]}]"#;

    #[test]
    fn phrases_come_with_their_rectangles() {
        let folder = Folder::new();
        let trial = run(&VgRegions { file: folder.file("region_descriptions.json", GOOD) }).unwrap();
        assert_eq!(trial.images(), ["1", "3", "n2"]);
        let texts: Vec<_> = trial.texts().iter().map(|text| (text.id.as_str(), text.text.as_str())).collect();
        let expected =
            [("1382", "the clock is green in colour"), ("1383", "shade is along the street "), ("r", "é")];
        assert_eq!(texts, expected);
        let extra = r#"{"height":139,"width":82,"x":421,"y":57}"#;
        assert_eq!(trial.texts()[0].extra.as_deref(), Some(extra));
        assert_eq!(trial.texts()[2].extra.as_deref(), Some(r#"{"synsets":[]}"#));
        assert!(trial.texts().iter().all(|text| text.kind == TextKind::Caption && text.answers.is_empty()));
        let numbers: Vec<_> = trial.records.iter().map(|(record, _)| (&*record.id, record.texts)).collect();
        assert_eq!(numbers, [("1", 2), ("3", 0), ("n2", 1)]);
    }

    #[test]
    fn a_bad_region_leaves_the_others() {
        let folder = Folder::new();
        let content = r#"[{"id": 1, "regions": [{"phrase": "no id"}, {"region_id": 1}, {"region_id": 2, "phrase": " "},
 {"region_id": 3, "phrase": ["a"]}, {"region_id": 4, "phrase": "b", "image_id": 2}, "c", {"region_id": 1.5},
 {"region_id": 5, "phrase": "d", "image_id": {}}, {"region_id": 6, "phrase": "good", "image_id": null}]}]"#;
        let trial = run(&VgRegions { file: folder.file("region_descriptions.json", content) }).unwrap();
        let parsed = trial.records[0].1.as_ref().unwrap();
        assert_eq!((parsed.texts.len(), parsed.texts[0].text.as_str()), (1, "good"));
        let rejected = parsed
            .rejected
            .iter()
            .map(|text| format!("{} {:?}: {}", text.id, text.reason.code, text.reason.message));
        assert_eq!(
            rejected.collect::<Vec<_>>(),
            [
                "1#0 BadJson: has no `region_id`",
                "1 BadJson: has no `phrase`",
                "2 EmptyField: `phrase` is empty",
                "3 BadJson: `phrase` is a list and should be a string",
                "4 IdMismatch: `image_id` is 2 in the list of picture 1",
                "1#5 BadJson: `regions` is a string and should be an object",
                "1#6 BadJson: `region_id` is a number that is not whole and should be a whole number or a string",
                "5 BadJson: `image_id` is an object and should be a whole number or a string",
            ]
        );
    }

    #[test]
    fn bad_pictures_are_told() {
        let folder = Folder::new();
        let content = r#"[{"regions": []}, {"id": 2}, {"id": 3, "regions": {}}, {"id": [4], "regions": []}, 5,
{"id": 6, "id": 7, "regions": []}, {"id": "", "regions": []}]"#;
        let trial = run(&VgRegions { file: folder.file("region_descriptions.json", content) }).unwrap();
        let refused: Vec<String> =
            trial.refused().iter().map(|told| told.split(" (").next().unwrap().to_string()).collect();
        assert_eq!(
            refused,
            [
                "1  BadJson: has no `id`",
                "1 2 BadJson: has no `regions`",
                "1 3 BadJson: `regions` is an object and should be a list",
                "1  BadJson: `id` is a list and should be a whole number or a string",
                "1  BadJson: invalid type: integer `5`, expected an object",
                "2  BadJson: has `id` twice",
                "2  EmptyField: `id` is empty",
            ]
        );
    }

    #[test]
    fn another_layout_is_an_error() {
        let folder = Folder::new();
        for content in ["{}", "", r#"{"regions": []}"#, r#"[{"id": 1, "regions": ["#] {
            let refused = run(&VgRegions { file: folder.file("r.json", content) }).map(|_| ());
            assert!(matches!(refused, Err(Error::Input { .. })), "{content}");
        }
        assert!(matches!(run(&VgRegions { file: "none.json".into() }).map(|_| ()), Err(Error::Io { .. })));
    }

    #[test]
    fn mutants_are_accounted_for() {
        mutants(&[("r.json", GOOD, Frame::Json(Layout::List))], |paths| {
            Box::new(VgRegions { file: paths[0].clone() })
        });
    }
}
