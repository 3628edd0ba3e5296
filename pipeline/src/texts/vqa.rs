//! VQA v2: questions and their annotations, in two files or in one.
//!
//! `{"questions": [{"image_id", "question", "question_id"}, ...]}`,
//! `{"annotations": [{"question_id", "image_id", "answers": [{"answer", "answer_confidence"}, ...], ...}]}`

use std::path::PathBuf;

use data_specs::{Answer, TextKind, canonical_fields};
use serde_json::{Map, Value};

use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::partners::{Half, Partners, ShortId};
use crate::texts::record::{self, Fields, is_not, kind, lacks, plain_text};
use crate::texts::scan::{self, Head, Place, Refusal};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Code, Error, RejectReason};

/// Questions of VQA v2 with their ten answers.
///
/// One record a question: its span and that of its annotation. Answers are raw and in the order of the file.
/// The other official fields (`question_type`, `answer_type`, `multiple_choice_answer`) go into the text's
/// `extra`, the annotators' confidences as the list `answer_confidences`. Where there are annotations, a
/// question without one is a reject, and so is an annotation without its question.
///
/// The annotations are read first, then the questions stream by; a file that has both is read twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vqa {
    /// `v2_OpenEnded_mscoco_train2014_questions.json`, ...; may have `annotations`, too.
    pub questions: PathBuf,
    /// `v2_mscoco_train2014_annotations.json`, ...; none for test splits.
    pub annotations: Option<PathBuf>,
}

const QUESTIONS: Layout = Layout::Arrays { required: &["questions"], optional: &[] };
const ANNOTATIONS: Layout = Layout::Arrays { required: &["annotations"], optional: &[] };
const PERHAPS_ANNOTATIONS: Layout = Layout::Arrays { required: &[], optional: &["annotations"] };

impl TextFormat for Vqa {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let (file, nth, layout) = match &self.annotations {
            Some(file) if *file != self.questions => (file, 1, ANNOTATIONS),
            Some(file) => (file, 0, ANNOTATIONS),
            None => (&self.questions, 0, PERHAPS_ANNOTATIONS),
        };
        let mut halves = Vec::new();
        let (annotations, arrays) = scan::elements(context, nth, file, layout, |element, place| {
            match annotation_half(element.value(), place) {
                Ok(half) => halves.push(half),
                Err(refusal) => found(place.reject(refusal.key, refusal.reason))?,
            }
            Ok(())
        })?;
        let mut partners = (!arrays.is_empty()).then(|| Partners::new(halves));

        let (questions, _) = scan::elements(context, 0, &self.questions, QUESTIONS, |element, place| {
            found(match question(element.value(), place, partners.as_mut()) {
                Ok(record) => record,
                Err(refusal) => place.reject(refusal.key, refusal.reason),
            })
        })?;

        for (half, repeats) in partners.map(Partners::unused).unwrap_or_default() {
            let id = half.id.long();
            let reason = if repeats {
                RejectReason::new(Code::DuplicateId, format!("is another annotation of question {id}"))
            } else {
                RejectReason::new(Code::NoPartner, format!("annotates question {id}, which is not there"))
            };
            let place = Place { source: context.source, path: file, span: half.span, by_line: false };
            found(place.reject(id, reason))?;
        }
        if nth == 1 {
            return Ok(vec![questions, annotations]);
        }
        if questions.stamp != annotations.stamp {
            let what = "it was written while it was read".into();
            return Err(Error::InputChanged { path: questions.path, what });
        }
        Ok(vec![questions])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let (question, annotation) = match parts {
            [question] => (question, None),
            [question, annotation] => (question, Some(annotation)),
            _ => return Err(scan::wrong_parts("one or two", parts.len())),
        };
        let mut fields = Fields::parse(&question.bytes)?;
        let (id, question) = (fields.id("question_id")?, fields.text("question")?);
        let mut extra = fields.without("image_id").rest();
        let mut answers = Vec::new();
        if let Some(annotation) = annotation {
            answers = parse_annotation(Fields::parse(&annotation.bytes)?, &mut extra)?;
        }
        let mut text = plain_text(TextKind::Question, id, question, Map::new());
        text.answers = answers;
        text.extra = canonical_fields(extra);
        Ok(ParsedTexts { texts: vec![text], ..ParsedTexts::default() })
    }
}

fn annotation_half(bytes: &[u8], place: &Place<'_>) -> Result<Half, Refusal> {
    let ids = record::ids(bytes, ["question_id", "image_id"])?;
    let half = || {
        let image = ids.may("image_id")?.map(|image| ShortId::new(&image));
        Ok(Half { id: ShortId::new(&ids.need("question_id")?), image, span: place.span })
    };
    half().map_err(Refusal::of(ids.shown("question_id")))
}

fn question(
    bytes: &[u8],
    place: &Place<'_>,
    partners: Option<&mut Partners>,
) -> Result<ScannedText, Refusal> {
    let ids = record::ids(bytes, ["image_id", "question_id"])?;
    let record = || {
        let (image, id) = (ids.need("image_id")?, ids.need("question_id")?);
        let mut spans = vec![place.span];
        if let Some(partners) = partners {
            let Some(half) = partners.find(&id) else {
                return Err(RejectReason::new(Code::NoPartner, format!("question {id} has no annotation")));
            };
            if let Some(other) = half.image.as_ref().filter(|other| **other != ShortId::new(&image)) {
                let (line, other) = (half.span.line, other.long());
                let message =
                    format!("question {id} is of picture {image}, its annotation (line {line}) of {other}");
                return Err(RejectReason::new(Code::IdMismatch, message));
            }
            spans.push(half.span);
        }
        Ok(Head::one(vec![image], id).at(spans))
    };
    record().map_err(Refusal::of(ids.shown("question_id")))
}

/// The answers of an annotation; its other fields join `extra`.
fn parse_annotation(mut fields: Fields, extra: &mut Map<String, Value>) -> Result<Vec<Answer>, RejectReason> {
    let (mut answers, mut confidences) = (Vec::new(), Vec::new());
    for answer in fields.list("answers")? {
        let mut answer = Fields::of(answer, "answers")?;
        let text = answer.string("answer")?.ok_or_else(|| lacks("answer"))?;
        answers.push(Answer { text, score: None });
        confidences.push(match answer.take("answer_confidence") {
            None => Value::Null,
            Some(Value::String(word)) => Value::String(word),
            Some(other) => return Err(is_not("answer_confidence", "a string", kind(&other))),
        });
    }
    extra.extend(fields.without("question_id").without("image_id").rest());
    if confidences.iter().any(|confidence| !confidence.is_null()) {
        extra.insert("answer_confidences".into(), Value::Array(confidences));
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::trial::{Folder, Frame, Trial, mutants, run};

    const QS: &str = r#""questions": [{"image_id": 790, "question_id": 790001, "question": "Are they?"},
 {"image_id": 8, "question_id": 8000, "question": "How many?"}]"#;
    const AS: &str = r#""annotations": [{"question_type": "how", "multiple_choice_answer": "2", "question_id": 8000, "image_id": 8,
 "answers": [{"answer": "2", "answer_confidence": "yes", "answer_id": 1}, {"answer": "two", "answer_confidence": "maybe", "answer_id": 2}]},
 {"question_id": 790001, "image_id": 790, "answers": [{"answer": "yes"}], "answer_type": "yes/no"}]"#;

    fn braced(body: &str) -> String {
        format!("{{\"info\": {{}}, {body}}}")
    }

    fn check(trial: &Trial) {
        assert_eq!(trial.images(), ["790", "8"]);
        let texts = trial.texts();
        assert_eq!((texts[0].id.as_str(), texts[0].text.as_str()), ("790001", "Are they?"));
        assert_eq!(texts[0].extra.as_deref(), Some(r#"{"answer_type":"yes/no"}"#));
        let answers: Vec<_> = texts[1].answers.iter().map(|answer| answer.text.as_str()).collect();
        assert_eq!(answers, ["2", "two"]);
        assert_eq!(
            texts[1].extra.as_deref(),
            Some(
                r#"{"answer_confidences":["yes","maybe"],"multiple_choice_answer":"2","question_type":"how"}"#
            )
        );
        assert!(texts.iter().all(|text| text.kind == TextKind::Question));
    }

    #[test]
    fn two_files_or_one_give_the_same() {
        let folder = Folder::new();
        let questions = folder.file("questions.json", braced(QS));
        let annotations = folder.file("annotations.json", braced(AS));
        let trial =
            run(&Vqa { questions: questions.clone(), annotations: Some(annotations.clone()) }).unwrap();
        check(&trial);
        assert_eq!((trial.inputs[0].path.clone(), trial.inputs[1].path.clone()), (questions, annotations));
        assert_eq!(trial.records[0].0.spans.iter().map(|span| span.input).collect::<Vec<_>>(), [5, 6]);

        for body in [format!("{QS}, {AS}"), format!("{AS}, {QS}")] {
            let both = folder.file("both.json", braced(&body));
            for annotations in [None, Some(both.clone())] {
                let trial = run(&Vqa { questions: both.clone(), annotations }).unwrap();
                check(&trial);
                assert_eq!(trial.inputs.len(), 1);
            }
        }
    }

    #[test]
    fn test_splits_have_no_answers() {
        let folder = Folder::new();
        let trial = run(&Vqa { questions: folder.file("test.json", braced(QS)), annotations: None }).unwrap();
        assert!(trial.texts().iter().all(|text| text.answers.is_empty() && text.extra.is_none()));
        assert_eq!((trial.texts().len(), trial.inputs.len()), (2, 1));
    }

    #[test]
    fn questions_and_annotations_without_partner_are_told() {
        let folder = Folder::new();
        let questions = r#"{"questions": [{"image_id": 1, "question_id": 1, "question": "a"}, {"image_id": 2, "question_id": 2},
{"image_id": 3, "question_id": 3, "question": "c"}, {"image_id": 4}, {"image_id": 5, "question_id": 5, "question": ""},
{"image_id": 6, "question_id": 6, "question": "f"}, {"image_id": 7, "question_id": 7, "question": "g"}]}"#;
        let annotations = r#"{"annotations": [{"question_id": 9, "answers": []}, {"question_id": 1, "image_id": 1, "answers": []},
{"question_id": 3, "image_id": 33}, {"question_id": 1}, {"question_id": {}}, {"question_id": 5, "answers": []},
{"question_id": "6", "image_id": "6"}, {"question_id": 7, "answers": [{"answer": 1}]}]}"#;
        let vqa = Vqa {
            questions: folder.file("q.json", questions),
            annotations: Some(folder.file("a.json", annotations)),
        };
        let trial = run(&vqa).unwrap();
        let refused: Vec<String> =
            trial.refused().iter().map(|told| told.split(" (the").next().unwrap().to_string()).collect();
        assert_eq!(
            refused,
            [
                "2  BadJson: `question_id` is an object and should be a whole number or a string",
                "1 2 NoPartner: question 2 has no annotation",
                "2 3 IdMismatch: question 3 is of picture 3, its annotation (line 2) of 33",
                "2  BadJson: has no `question_id`",
                "1 9 NoPartner: annotates question 9, which is not there",
                "2 1 DuplicateId: is another annotation of question 1",
                "2 5 EmptyField: `question` is empty",
                "3 6 BadJson: has no `answers`",
                "3 7 BadJson: `answer` is a number and should be a string",
            ]
        );
        assert!(trial.rejects[0].file.ends_with("a.json") && trial.rejects[1].file.ends_with("q.json"));
        assert_eq!(trial.records.len(), 4);
    }

    #[test]
    fn the_wrong_file_is_an_error() {
        let folder = Folder::new();
        let (questions, annotations) = (folder.file("q.json", braced(QS)), folder.file("a.json", braced(AS)));
        let swapped = Vqa { questions: annotations, annotations: Some(questions) };
        let refused = run(&swapped).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("q.json: has no key \"annotations\""), "{refused}");
    }

    #[test]
    fn mutants_are_accounted_for() {
        mutants(
            &[
                ("q.json", &braced(QS), Frame::Json(QUESTIONS)),
                ("a.json", &braced(AS), Frame::Json(ANNOTATIONS)),
            ],
            |paths| Box::new(Vqa { questions: paths[0].clone(), annotations: Some(paths[1].clone()) }),
        );
    }
}
