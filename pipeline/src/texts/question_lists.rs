//! Oscar's lists of questions: `[{"q", "o", "an", "s", "img_id", "q_id"}, ...]`, and its NLVR2 lists,
//! `[{"q", "o": {"left", "right"}, "label", "img_id": {"left", "right"}}, ...]`.

use std::path::PathBuf;

use data_specs::TextKind;
use serde_json::Value;

use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::record::{self, Fields, is_not, kind, lacks, plain_text};
use crate::texts::scan::{self, Head, Refusal};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Code, Error, RejectReason};

/// `train2014_qla_mrcnn.json`, `gqa_bal_qla_val.json`, `nlvr2_train.json`, ... of Oscar's downloads.
///
/// One record an element. The answers are numbers of a label map (`an`) with scores (`s`), so both stay as
/// they are in the text's `extra`, with the tags (`o`). Where `img_id` names a left and a right picture, the
/// text is a statement with label 0 or 1; its id is `<left>|<right>@<byte>`, the place of the record in the
/// file, because these lists have no ids (their `q_id` is 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionList {
    /// The JSON file.
    pub file: PathBuf,
}

impl TextFormat for QuestionList {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let (input, _) = scan::elements(context, 0, &self.file, Layout::List, |element, place| {
            found(place.told(head(element.value(), element.offset)))
        })?;
        Ok(vec![input])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
        let mut fields = Fields::parse(&part.bytes)?;
        let text = fields.text("q")?;
        let text = match fields.take("img_id") {
            Some(Value::Object(sides)) => {
                let [left, right] = pair(Fields::of(Value::Object(sides), "img_id")?)?;
                let label = label(fields.take("label"))?;
                let id = pair_id(&left, &right, part.span.offset);
                let mut text = plain_text(TextKind::Statement, id, text, fields.without("q_id").rest());
                text.label = label;
                text
            }
            _ => {
                let id = fields.id("q_id")?;
                let rest = fields.rest();
                if let (Some(Value::Array(answers)), Some(Value::Array(scores))) =
                    (rest.get("an"), rest.get("s"))
                    && answers.len() != scores.len()
                {
                    let message = format!("`an` has {} answers, `s` {} scores", answers.len(), scores.len());
                    return Err(RejectReason::new(Code::WrongLength, message));
                }
                plain_text(TextKind::Question, id, text, rest)
            }
        };
        Ok(ParsedTexts { texts: vec![text], ..ParsedTexts::default() })
    }
}

fn head(bytes: &[u8], offset: u64) -> Result<Head, Refusal> {
    let ids = record::ids(bytes, ["img_id", "q_id"])?;
    let head = || {
        if !ids.is_object("img_id") {
            return Ok(Head::one(vec![ids.need("img_id")?], ids.need("q_id")?));
        }
        let sides = Fields::parse(bytes)?.take("img_id").ok_or_else(|| lacks("img_id"))?;
        let [left, right] = pair(Fields::of(sides, "img_id")?)?;
        let id = pair_id(&left, &right, offset);
        Ok(Head::one(vec![left, right], id))
    };
    head().map_err(Refusal::of(ids.shown("q_id")))
}

fn pair(mut sides: Fields) -> Result<[String; 2], RejectReason> {
    Ok([sides.id("left")?, sides.id("right")?])
}

fn pair_id(left: &str, right: &str, offset: u64) -> String {
    format!("{left}|{right}@{offset}")
}

fn label(value: Option<Value>) -> Result<Option<i32>, RejectReason> {
    match value {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(0) => Ok(Some(0)),
            Some(1) => Ok(Some(1)),
            Some(other) => Err(is_not("label", "0 or 1", &other.to_string())),
            None => Err(is_not("label", "0 or 1", kind(&value))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::trial::{Folder, Frame, mutants, run};

    const GOOD: &str = r#"[{"q": "What?", "o": "cat;dog", "an": [3, 17], "s": [1.0, 0.3], "img_id": 262144, "q_id": 262144000},
{"q": "Who?", "o": "", "an": [], "s": [], "img_id": "n1", "q_id": "7"},
{"q": "Both.", "o": {"left": "a;b", "right": ""}, "label": 1, "img_id": {"left": "dev-1-0-img0", "right": "dev-1-0-img1"}, "q_id": 0}]"#;

    #[test]
    fn questions_and_pairs() {
        let folder = Folder::new();
        let trial = run(&QuestionList { file: folder.file("qla.json", GOOD) }).unwrap();
        assert_eq!(trial.images(), ["262144", "n1", "dev-1-0-img0|dev-1-0-img1"]);
        let texts = trial.texts();
        let ids: Vec<_> = texts.iter().map(|text| text.id.as_str()).collect();
        assert_eq!(ids, ["262144000", "7", "dev-1-0-img0|dev-1-0-img1@174"]);
        assert_eq!(trial.records[2].0.id, ids[2]);
        assert_eq!(texts[0].extra.as_deref(), Some(r#"{"an":[3,17],"o":"cat;dog","s":[1.0,0.3]}"#));
        assert_eq!(texts[2].extra.as_deref(), Some(r#"{"o":{"left":"a;b","right":""}}"#));
        assert_eq!(
            (texts[1].kind, texts[2].kind, texts[2].label),
            (TextKind::Question, TextKind::Statement, Some(1))
        );
    }

    #[test]
    fn bad_records_are_told() {
        let folder = Folder::new();
        let content = r#"[{"q": "a", "q_id": 1}, {"img_id": {"left": 1}, "q_id": 2}, {"img_id": 1},
{"img_id": 1, "q_id": 3, "q": " "}, {"img_id": 1, "q_id": 4, "q": "b", "an": [1], "s": []},
{"img_id": {"left": 1, "right": 2}, "q": "c", "label": 2}, {"img_id": {"left": 1, "right": 2}, "q": "c", "label": "x"},
{"img_id": [1, 2], "q_id": 5}, {"img_id": {"left": 1, "right": null}}]"#;
        let trial = run(&QuestionList { file: folder.file("qla.json", content) }).unwrap();
        let refused: Vec<String> =
            trial.refused().iter().map(|told| told.split(" (").next().unwrap().to_string()).collect();
        assert_eq!(
            refused,
            [
                "1 1 BadJson: has no `img_id`",
                "1 2 BadJson: has no `right`",
                "1  BadJson: has no `q_id`",
                "4 5 BadJson: `img_id` is a list and should be a whole number or a string",
                "4  BadJson: has no `right`",
                "2 3 EmptyField: `q` is empty",
                "2 4 WrongLength: `an` has 1 answers, `s` 0 scores",
                "3 1|2@167 BadJson: `label` is 2 and should be 0 or 1",
                "3 1|2@226 BadJson: `label` is a string and should be 0 or 1",
            ]
        );
    }

    #[test]
    fn mutants_are_accounted_for() {
        mutants(&[("qla.json", GOOD, Frame::Json(Layout::List))], |paths| {
            Box::new(QuestionList { file: paths[0].clone() })
        });
    }
}
