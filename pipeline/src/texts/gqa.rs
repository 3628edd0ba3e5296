//! GQA: `{"00101448": {"imageId": "2356112", "question": "...", "answer": "snowsuit", ...}, ...}`.

use std::path::{Path, PathBuf};

use data_specs::{Answer, TextKind};
use serde_json::Deserializer;

use crate::inputs::{Element, Input, Layout, ScanContext};
use crate::texts::record::{self, Fields, bad_json, lacks, plain_text, utf8};
use crate::texts::scan::{self, Head, Refusal};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Error, RejectReason};

/// Questions of GQA; those of the test splits have no answers.
///
/// One record a question, its id the key. All other official fields (`fullAnswer`, `isBalanced`, `groups`,
/// `entailed`, `equivalent`, `types`, `semantic`, ...) go into the text's `extra`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gqa {
    /// `val_balanced_questions.json`, or the ten files of `train_all_questions/` in order.
    pub files: Vec<PathBuf>,
}

impl Gqa {
    /// The questions at `path`: a file, or all JSON files of a folder in the order of their names.
    ///
    /// # Errors
    /// A folder that cannot be read, or has none.
    pub fn at(path: &Path) -> Result<Gqa, Error> {
        if !path.is_dir() {
            return Ok(Gqa { files: vec![path.to_path_buf()] });
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(Error::io("read", path))? {
            let file = entry.map_err(Error::io("read", path))?.path();
            if file.extension().is_some_and(|ending| ending == "json") {
                files.push(file);
            }
        }
        if files.is_empty() {
            return Err(Error::Input {
                path: path.to_path_buf(),
                line: None,
                what: "has no JSON files".into(),
                hint: "name a file of questions, or the folder train_all_questions".into(),
            });
        }
        files.sort();
        Ok(Gqa { files })
    }
}

impl TextFormat for Gqa {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let mut inputs = Vec::new();
        for (nth, file) in (0..).zip(&self.files) {
            let (input, _) = scan::elements(context, nth, file, Layout::Members, |element, place| {
                found(place.told(head(element)))
            })?;
            inputs.push(input);
        }
        Ok(inputs)
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
        let (id, question) = member(&part.bytes)?;
        let mut fields = Fields::parse(question.as_bytes())?;
        let (question, answer) = (fields.text("question")?, fields.string("answer")?);
        let mut text = plain_text(TextKind::Question, id, question, fields.without("imageId").rest());
        text.answers = answer.into_iter().map(|text| Answer { text, score: None }).collect();
        Ok(ParsedTexts { texts: vec![text], ..ParsedTexts::default() })
    }
}

fn head(element: Element<'_>) -> Result<Head, Refusal> {
    let id: String = serde_json::from_str(utf8(element.key())?).map_err(bad_json)?;
    if id.trim().is_empty() {
        return Err(record::empty("question id").into());
    }
    let image = record::ids(element.value(), ["imageId"]).and_then(|ids| ids.need("imageId"));
    let image = image.map_err(Refusal::of(id.clone()))?;
    Ok(Head::one(vec![image], id))
}

/// Key and value of the member `"key": value`.
fn member(bytes: &[u8]) -> Result<(String, &str), RejectReason> {
    let member = utf8(bytes)?;
    let mut values = Deserializer::from_str(member).into_iter::<String>();
    let key = values.next().ok_or_else(|| lacks("question id"))?.map_err(bad_json)?;
    let value = member[values.byte_offset()..].trim_start().strip_prefix(':');
    Ok((key, value.ok_or_else(|| lacks("question"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::trial::{Folder, Frame, mutants, run};

    const GOOD: &str = r#"{"00101448": {"answer": "snowsuit", "imageId": "2356112", "question": "What?", "groups":
 {"local": null, "global": "clothing"}, "isBalanced": true}, "0\"2" : {"imageId": "n161313", "question": "Who?"}}"#;

    #[test]
    fn questions_by_id() {
        let folder = Folder::new();
        let file = folder.file("val.json", GOOD);
        let more = folder.file("more.json", r#"{"3": {"imageId": 4, "question": "é?", "answer": ""}}"#);
        let trial = run(&Gqa { files: vec![file, more] }).unwrap();
        assert_eq!(trial.images(), ["2356112", "n161313", "4"]);
        let texts = trial.texts();
        assert_eq!((texts[0].id.as_str(), texts[0].text.as_str()), ("00101448", "What?"));
        assert_eq!(texts[0].answers, [Answer { text: "snowsuit".into(), score: None }]);
        let extra = r#"{"groups":{"global":"clothing","local":null},"isBalanced":true}"#;
        assert_eq!(texts[0].extra.as_deref(), Some(extra));
        assert_eq!((texts[1].id.as_str(), texts[1].answers.len(), &texts[1].extra), ("0\"2", 0, &None));
        assert_eq!((texts[2].text.as_str(), trial.records[2].0.spans[0].input), ("é?", 6));
        assert!(texts.iter().all(|text| text.kind == TextKind::Question));
    }

    #[test]
    fn a_folder_gives_its_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Gqa::at(folder.path()).unwrap_err().to_string().contains("has no JSON files"));
        for name in ["q_1.json", "q_0.json", "readme.txt"] {
            std::fs::write(
                folder.path().join(name),
                format!("{{\"{name}\": {{\"imageId\": 1, \"question\": \"?\"}}}}"),
            )
            .unwrap();
        }
        let trial = run(&Gqa::at(folder.path()).unwrap()).unwrap();
        let ids: Vec<_> = trial.texts().iter().map(|text| text.id.clone()).collect();
        assert_eq!(ids, ["q_0.json", "q_1.json"]);
        let one = folder.path().join("q_1.json");
        assert_eq!(Gqa::at(&one).unwrap().files, [one]);
    }

    #[test]
    fn bad_questions_are_told() {
        let folder = Folder::new();
        let content = r#"{"": {"imageId": "1"}, "a\q": {}, "b": {"question": "?"}, "c": 1, "d": {"imageId": "1"},
"e": {"imageId": "1", "question": "?", "answer": ["x"]}, "f": {"imageId": "1", "question": "\t"}}"#;
        let trial = run(&Gqa { files: vec![folder.file("val.json", content)] }).unwrap();
        let refused: Vec<String> =
            trial.refused().iter().map(|told| told.split(" (").next().unwrap().to_string()).collect();
        assert_eq!(
            refused,
            [
                "1  EmptyField: `question id` is empty",
                "1  BadJson: invalid escape",
                "1 b BadJson: has no `imageId`",
                "1 c BadJson: invalid type: integer `1`, expected an object",
                "1 d BadJson: has no `question`",
                "2 e BadJson: `answer` is a list and should be a string",
                "2 f EmptyField: `question` is empty",
            ]
        );
    }

    #[test]
    fn parts_of_another_plan_are_refused_and_nothing_panics() {
        let gqa = Gqa { files: Vec::new() };
        assert!(gqa.parse(&[]).is_err());
        for bytes in ["", "\"a\"", "\"a\":", "\"a\" {}", "{}", "\"é"] {
            let part = Part {
                span: crate::inputs::Span { input: 0, offset: 0, len: 0, line: 1 },
                bytes: bytes.into(),
            };
            assert!(gqa.parse(&[part]).is_err(), "{bytes}");
        }
    }

    #[test]
    fn mutants_are_accounted_for() {
        mutants(&[("gqa.json", GOOD, Frame::Json(Layout::Members))], |paths| {
            Box::new(Gqa { files: paths.to_vec() })
        });
    }
}
