//! Visual Genome's questions: `[{"id": 1, "qas": [{"qa_id", "question", "answer", ...}]}, ...]`.

use std::path::PathBuf;

use data_specs::{Answer, TextKind};

use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::record::plain_text;
use crate::texts::scan;
use crate::texts::vg_regions::{parse_picture, picture_head};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Error, RejectReason};

/// `question_answers.json`.
///
/// One record a picture, with all its questions; its id is that of the picture, the ids of its texts are
/// `qa_id`. Each question has one answer, as written (`In the sky.`), or none. The other fields (`q_objects`,
/// `a_objects`) go into the text's `extra`. A bad question does not take its neighbours along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VgQa {
    /// The JSON file.
    pub file: PathBuf,
}

impl TextFormat for VgQa {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let (input, _) = scan::elements(context, 0, &self.file, Layout::List, |element, place| {
            found(place.told(picture_head(element.value(), "qas")))
        })?;
        Ok(vec![input])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        parse_picture(parts, "qas", "qa_id", |id, mut fields| {
            let (question, answer) = (fields.text("question")?, fields.string("answer")?);
            let mut text = plain_text(TextKind::Question, id, question, fields.rest());
            text.answers = answer.into_iter().map(|text| Answer { text, score: None }).collect();
            Ok(text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::trial::{Folder, Frame, mutants, run};

    const GOOD: &str = r#"[{"id": 1, "qas": [{"a_objects": [], "question": "What color is the clock?", "image_id": 1,
  "qa_id": 986768, "answer": "Green.", "q_objects": [{"object_id": 1058498, "entity_name": "clock"}]},
 {"qa_id": 986777, "image_id": 1, "question": "How tall?"}]},
{"qas": [{"qa_id": "q", "question": "é?", "answer": "ä\n"}], "id": "n2"}]"#;

    #[test]
    fn questions_come_with_their_answers() {
        let folder = Folder::new();
        let trial = run(&VgQa { file: folder.file("question_answers.json", GOOD) }).unwrap();
        assert_eq!(trial.images(), ["1", "n2"]);
        let texts = trial.texts();
        assert!(texts.iter().all(|text| text.kind == TextKind::Question && text.label.is_none()));
        let told: Vec<_> = texts
            .iter()
            .map(|text| {
                (&*text.id, &*text.text, text.answers.iter().map(|one| &*one.text).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            told,
            [
                ("986768", "What color is the clock?", vec!["Green."]),
                ("986777", "How tall?", vec![]),
                ("q", "é?", vec!["ä\n"]),
            ]
        );
        let extra = r#"{"a_objects":[],"q_objects":[{"entity_name":"clock","object_id":1058498}]}"#;
        assert_eq!((texts[0].extra.as_deref(), &texts[1].extra), (Some(extra), &None));
    }

    #[test]
    fn a_bad_question_leaves_the_others() {
        let folder = Folder::new();
        let content = r#"[{"id": 1, "qas": [{"question": "no id?"}, {"qa_id": 1, "answer": "a"}, {"qa_id": 2, "question": ""},
 {"qa_id": 3, "question": "b?", "answer": ["c"]}, {"qa_id": 4, "question": "d?", "answer": null}, null,
 {"qa_id": 5, "question": "e?", "image_id": "2"}]}, {"id": 2, "qas": "?"}, {"id": 3}]"#;
        let trial = run(&VgQa { file: folder.file("question_answers.json", content) }).unwrap();
        let parsed = trial.records[0].1.as_ref().unwrap();
        assert_eq!((parsed.texts.len(), parsed.texts[0].text.as_str()), (1, "d?"));
        let rejected = parsed
            .rejected
            .iter()
            .map(|text| format!("{} {:?}: {}", text.id, text.reason.code, text.reason.message));
        assert_eq!(
            rejected.collect::<Vec<_>>(),
            [
                "1#0 BadJson: has no `qa_id`",
                "1 BadJson: has no `question`",
                "2 EmptyField: `question` is empty",
                "3 BadJson: `answer` is a list and should be a string",
                "1#5 BadJson: `qas` is null and should be an object",
                "5 IdMismatch: `image_id` is 2 in the list of picture 1",
            ]
        );
        let refused: Vec<_> = trial.rejects.iter().map(|reject| (&*reject.key, reject.code)).collect();
        assert_eq!(refused, [("2", crate::Code::BadJson), ("3", crate::Code::BadJson)]);
    }

    #[test]
    fn another_layout_is_an_error() {
        let folder = Folder::new();
        for content in ["{}", "", r#"{"qas": []}"#, r#"[{"id": 1}"#] {
            let refused = run(&VgQa { file: folder.file("qa.json", content) }).map(|_| ());
            assert!(matches!(refused, Err(Error::Input { .. })), "{content}");
        }
    }

    #[test]
    fn mutants_are_accounted_for() {
        mutants(&[("qa.json", GOOD, Frame::Json(Layout::List))], |paths| {
            Box::new(VgQa { file: paths[0].clone() })
        });
    }
}
