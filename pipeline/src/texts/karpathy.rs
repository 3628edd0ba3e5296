//! Karpathy's splits: `{"images": [{"filename", "cocoid", "imgid", "split", "sentences": [...]}, ...]}`.

use std::path::PathBuf;

use data_specs::{Text, TextKind};
use serde_json::Value;

use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::record::{self, Fields, plain_text};
use crate::texts::scan::{self, Head, Refusal};
use crate::texts::{ParsedTexts, Part, RejectedText, ScannedText, TextFormat};
use crate::{Error, RejectReason};

/// `dataset_coco.json`, `dataset_flickr30k.json`.
///
/// One record a picture, with all its sentences; its id is `imgid`, the ids of its texts are `sentid`. The
/// picture's id is `cocoid`, or the stem of `filename` where there is none. The split is as written:
/// `restval` is for the caller to count to the training split. `tokens` go into the text's `extra`,
/// `filename`, `filepath` and `imgid` into the row's. A bad sentence does not take its neighbours along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Karpathy {
    /// The JSON file.
    pub file: PathBuf,
}

impl TextFormat for Karpathy {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let layout = Layout::Arrays { required: &["images"], optional: &[] };
        let (input, _) = scan::elements(context, 0, &self.file, layout, |element, place| {
            found(place.told(head(element.value())))
        })?;
        Ok(vec![input])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
        let mut fields = Fields::parse(&part.bytes)?;
        let imgid = fields.id("imgid")?;
        let mut parsed = ParsedTexts::default();
        for (at, sentence) in fields.list("sentences")?.into_iter().enumerate() {
            match parse_sentence(sentence) {
                Ok(text) => parsed.texts.push(text),
                Err(Refusal { key, reason }) => {
                    let id = if key.is_empty() { format!("{imgid}#{at}") } else { key };
                    parsed.rejected.push(RejectedText { id, reason });
                }
            }
        }
        // `sentids` only repeats the ids of the texts; the others have columns.
        parsed.row_extra = fields.without("cocoid").without("split").without("sentids").rest();
        parsed.row_extra.insert("imgid".into(), Value::String(imgid));
        Ok(parsed)
    }
}

fn head(bytes: &[u8]) -> Result<Head, Refusal> {
    let ids = record::ids(bytes, ["cocoid", "filename", "imgid", "split", "sentences"])?;
    let head = || {
        let image = match ids.may("cocoid")? {
            Some(image) => image,
            None => stem(&ids.need("filename")?).to_string(),
        };
        let (id, split) = (ids.need("imgid")?, ids.may("split")?);
        Ok(Head { images: vec![image], id, split, texts: ids.length("sentences")? })
    };
    head().map_err(Refusal::of(ids.shown("imgid")))
}

fn parse_sentence(sentence: Value) -> Result<Text, Refusal> {
    let mut fields = Fields::of(sentence, "sentences")?;
    let id = fields.id("sentid")?;
    let text = fields.text("raw").map_err(Refusal::of(id.clone()))?;
    Ok(plain_text(TextKind::Caption, id, text, fields.without("imgid").rest()))
}

/// `36979` of `36979.jpg`.
fn stem(filename: &str) -> &str {
    let name = filename.rsplit('/').next().unwrap_or(filename);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;
    use crate::texts::trial::{Folder, Frame, mutants, run};

    const GOOD: &str = r#"{"images": [
{"filepath": "val2014", "sentids": [1, 2], "filename": "COCO_val2014_000000522418.jpg", "imgid": 0, "split": "restval",
 "sentences": [{"tokens": ["a", "woman"], "raw": "A woman. ", "imgid": 0, "sentid": 1}, {"raw": "B", "imgid": 0, "sentid": 2}],
 "cocoid": 522418},
{"sentids": [3], "imgid": 1, "sentences": [{"raw": "C", "sentid": 3}], "split": "test", "filename": "dir/36979.x.jpg"}
], "dataset": "coco"}"#;

    #[test]
    fn a_picture_comes_with_its_sentences() {
        let folder = Folder::new();
        let trial = run(&Karpathy { file: folder.file("dataset.json", GOOD) }).unwrap();
        assert_eq!(trial.images(), ["522418", "36979.x"]);
        let texts: Vec<_> = trial.texts().iter().map(|text| (text.id.as_str(), text.text.as_str())).collect();
        assert_eq!(texts, [("1", "A woman. "), ("2", "B"), ("3", "C")]);
        assert_eq!(trial.texts()[0].extra.as_deref(), Some(r#"{"tokens":["a","woman"]}"#));
        let (record, parsed) = &trial.records[0];
        assert_eq!((record.id.as_str(), record.split.as_deref()), ("0", Some("restval")));
        let row_extra = serde_json::to_string(&parsed.as_ref().unwrap().row_extra).unwrap();
        assert_eq!(
            row_extra,
            r#"{"filepath":"val2014","filename":"COCO_val2014_000000522418.jpg","imgid":"0"}"#
        );
    }

    #[test]
    fn a_bad_sentence_leaves_the_others() {
        let folder = Folder::new();
        let content = r#"{"images": [{"filename": "1.jpg", "imgid": 0, "sentences":
            [{"raw": "", "sentid": 1}, {"raw": "B", "sentid": 2}, {"raw": 3, "sentid": 3}, {"raw": "no id"}, "D"]}]}"#;
        let trial = run(&Karpathy { file: folder.file("dataset.json", content) }).unwrap();
        let parsed = trial.records[0].1.as_ref().unwrap();
        assert_eq!((parsed.texts.len(), parsed.texts[0].text.as_str()), (1, "B"));
        let rejected: Vec<_> =
            parsed.rejected.iter().map(|text| (text.id.as_str(), text.reason.code)).collect();
        assert_eq!(
            rejected,
            [("1", Code::EmptyField), ("3", Code::BadJson), ("0#3", Code::BadJson), ("0#4", Code::BadJson)]
        );
        assert_eq!(trial.records[0].0.split, None);
    }

    #[test]
    fn bad_pictures_are_told() {
        let folder = Folder::new();
        let content = r#"{"images": [{"imgid": 0, "sentences": []}, {"filename": "a.jpg"}, {"filename": "a", "imgid": 1},
 {"cocoid": 5, "imgid": 2, "split": ["train"]}, {"cocoid": 6, "imgid": 3, "sentences": {}}]}"#;
        let trial = run(&Karpathy { file: folder.file("dataset.json", content) }).unwrap();
        let refused: Vec<String> =
            trial.refused().iter().map(|told| told.split(" (").next().unwrap().to_string()).collect();
        assert_eq!(
            refused,
            [
                "1 0 BadJson: has no `filename`",
                "1  BadJson: has no `imgid`",
                "1 1 BadJson: has no `sentences`",
                "2 2 BadJson: `split` is a list and should be a whole number or a string",
                "2 3 BadJson: `sentences` is an object and should be a list",
            ]
        );
    }

    #[test]
    fn the_stem_is_the_name_without_folder_and_ending() {
        let stems = ["36979.jpg", "a/b/36979.x.jpg", ".jpg", "36979", "x/"].map(stem);
        assert_eq!(stems, ["36979", "36979.x", ".jpg", "36979", ""]);
    }

    #[test]
    fn mutants_are_accounted_for() {
        let frame = Frame::Json(Layout::Arrays { required: &["images"], optional: &[] });
        mutants(&[("dataset.json", GOOD, frame)], |paths| Box::new(Karpathy { file: paths[0].clone() }));
    }
}
