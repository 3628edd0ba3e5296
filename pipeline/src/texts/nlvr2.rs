//! NLVR2: one JSON object a line, `{"identifier": "dev-850-0-0", "sentence": "...", "label": "False", ...}`.

use std::path::PathBuf;

use data_specs::TextKind;

use crate::inputs::{Input, ScanContext};
use crate::texts::record::{self, Fields, is_not, plain_text};
use crate::texts::scan::{self, Head, Refusal};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Code, Error, RejectReason};

/// `train.json`, `dev.json`, `test1.json`, ... of NLVR2.
///
/// One record a sentence and pair. The identifier is split, set, pair and sentence; the pictures of
/// `dev-850-0-1` are `dev-850-0-img0` (left) and `dev-850-0-img1` (right), as the official picture files are
/// called. Label: `True` 1, `False` 0, none where the file has none. All other official fields (`synset`,
/// `query`, `writer`, `validation`, the urls, ...) go into the text's `extra`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nlvr2 {
    /// The file of JSON lines.
    pub file: PathBuf,
}

impl TextFormat for Nlvr2 {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let input = scan::lines(context, 0, &self.file, |line, place| found(place.told(head(line.bytes))))?;
        Ok(vec![input])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
        let mut fields = Fields::parse(&part.bytes)?;
        let (id, sentence) = (fields.id("identifier")?, fields.text("sentence")?);
        let label = match fields.string("label")?.as_deref() {
            None => None,
            Some("True") => Some(1),
            Some("False") => Some(0),
            Some(other) => return Err(is_not("label", "True or False", &format!("{other:?}"))),
        };
        let mut text = plain_text(TextKind::Statement, id, sentence, fields.rest());
        text.label = label;
        Ok(ParsedTexts { texts: vec![text], ..ParsedTexts::default() })
    }
}

fn head(line: &[u8]) -> Result<Head, Refusal> {
    if line.is_empty() {
        return Err(RejectReason::new(Code::EmptyField, "the line is empty").into());
    }
    let id = record::ids(line, ["identifier"])?.need("identifier")?;
    let images = pictures(&id).map_err(Refusal::of(id.clone()))?;
    Ok(Head::one(images, id))
}

/// Left and right of the pair that an identifier names.
fn pictures(identifier: &str) -> Result<Vec<String>, RejectReason> {
    let fields: Vec<&str> = identifier.split('-').collect();
    let [split, set, pair, sentence] = fields[..] else {
        return Err(is_not("identifier", "split-set-pair-sentence", &format!("{identifier:?}")));
    };
    if [split, set, pair, sentence].contains(&"") {
        return Err(is_not("identifier", "split-set-pair-sentence", &format!("{identifier:?}")));
    }
    Ok((0..2).map(|side| format!("{split}-{set}-{pair}-img{side}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::trial::{Folder, Frame, mutants, run};

    const GOOD: &str = r#"{"identifier": "dev-850-0-0", "sentence": "The right image ...", "label": "False", "writer": "61"}
{"sentence": "B", "identifier": "test2-1-2-3"}
{"identifier": "train-10171-0-1", "sentence": "C", "label": "True", "directory": 63}"#;

    #[test]
    fn statements_about_pairs() {
        let folder = Folder::new();
        let trial = run(&Nlvr2 { file: folder.file("dev.json", GOOD) }).unwrap();
        assert_eq!(
            trial.images(),
            [
                "dev-850-0-img0|dev-850-0-img1",
                "test2-1-2-img0|test2-1-2-img1",
                "train-10171-0-img0|train-10171-0-img1"
            ]
        );
        let texts = trial.texts();
        let labels: Vec<_> = texts.iter().map(|text| text.label).collect();
        assert_eq!(labels, [Some(0), None, Some(1)]);
        assert_eq!(
            (texts[0].id.as_str(), texts[0].extra.as_deref()),
            ("dev-850-0-0", Some(r#"{"writer":"61"}"#))
        );
        assert!(texts.iter().all(|text| text.kind == TextKind::Statement));
    }

    #[test]
    fn bad_lines_are_told() {
        let folder = Folder::new();
        let content = b"\n{\"identifier\": \"dev-1-2\"}\n{\"identifier\": \"dev--1-2\"}\n{}\n{\"identifier\"\n\xFF\n[]\n\
            {\"identifier\": \"a-1-2-3\", \"sentence\": \"x\", \"label\": \"true\"}\n\
            {\"identifier\": \"a-1-2-4\", \"sentence\": \"x\", \"label\": 1}\n\
            {\"identifier\": \"a-1-2-5\"}\n";
        let trial = run(&Nlvr2 { file: folder.file("dev.json", content) }).unwrap();
        assert_eq!(
            trial.refused(),
            [
                "1  EmptyField: the line is empty",
                "2 dev-1-2 BadJson: `identifier` is \"dev-1-2\" and should be split-set-pair-sentence",
                "3 dev--1-2 BadJson: `identifier` is \"dev--1-2\" and should be split-set-pair-sentence",
                "4  BadJson: has no `identifier`",
                "5  BadJson: EOF while parsing an object (byte 13 of the record)",
                "6  BadUtf8: is not UTF-8 from byte 0 of the record on",
                "7  BadJson: invalid type: sequence, expected an object (byte 0 of the record)",
                "8 a-1-2-3 BadJson: `label` is \"true\" and should be True or False",
                "9 a-1-2-4 BadJson: `label` is a number and should be a string",
                "10 a-1-2-5 BadJson: has no `sentence`",
            ]
        );
    }

    #[test]
    fn mutants_are_accounted_for() {
        mutants(&[("dev.json", GOOD, Frame::Lines)], |paths| Box::new(Nlvr2 { file: paths[0].clone() }));
    }
}
