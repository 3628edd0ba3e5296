//! The three files of the VQA evaluator.

use std::borrow::Cow;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use super::{
    VqaCounts, VqaScores,
    accuracy::{Scored, accuracy},
    tidy,
};
use crate::{
    Error,
    layouts::{Cursor, Id, Plain, Text, TextFile, once},
};

#[derive(Debug, PartialEq, Deserialize)]
struct AnnotationEntry<'a> {
    #[serde(borrow)]
    question_id: Id<'a>,
    #[serde(borrow, default)]
    question_type: Text<'a>,
    #[serde(borrow, default)]
    answer_type: Text<'a>,
    #[serde(borrow)]
    answers: Vec<AnswerEntry<'a>>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct AnswerEntry<'a> {
    #[serde(borrow, default)]
    answer: Text<'a>,
    #[serde(borrow, default)]
    answer_confidence: Text<'a>,
    #[serde(borrow)]
    answer_id: Option<Id<'a>>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Question<'a> {
    #[serde(borrow)]
    question_id: Id<'a>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct ResultEntry<'a> {
    #[serde(borrow)]
    question_id: Id<'a>,
    #[serde(borrow, default)]
    answer: Text<'a>,
}

/// How many annotators answer a question.
const USUAL_ANNOTATORS: usize = 10;

impl<'a> Plain<'a> for AnnotationEntry<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        let (mut question_id, mut question_type, mut answer_type, mut answers) = (None, None, None, None);
        cursor.object(|cursor| {
            if cursor.key("question_id\":") {
                once(&mut question_id, Id::plain(cursor)?)
            } else if cursor.key("question_type\":") {
                once(&mut question_type, Text::plain(cursor)?)
            } else if cursor.key("answer_type\":") {
                once(&mut answer_type, Text::plain(cursor)?)
            } else if cursor.key("answers\":") {
                let mut entries = Vec::with_capacity(USUAL_ANNOTATORS);
                cursor.list(|cursor| {
                    entries.push(AnswerEntry::plain(cursor)?);
                    Some(())
                })?;
                once(&mut answers, entries)
            } else {
                cursor.pass_member()
            }
        })?;
        Some(Self {
            question_id: question_id?,
            question_type: question_type.unwrap_or_default(),
            answer_type: answer_type.unwrap_or_default(),
            answers: answers?,
        })
    }
}

impl<'a> Plain<'a> for AnswerEntry<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        let (mut answer, mut answer_confidence, mut answer_id) = (None, None, None);
        cursor.object(|cursor| {
            if cursor.key("answer\":") {
                once(&mut answer, Text::plain(cursor)?)
            } else if cursor.key("answer_confidence\":") {
                once(&mut answer_confidence, Text::plain(cursor)?)
            } else if cursor.key("answer_id\":") {
                once(&mut answer_id, Id::plain(cursor)?)
            } else {
                cursor.pass_member()
            }
        })?;
        Some(Self {
            answer: answer.unwrap_or_default(),
            answer_confidence: answer_confidence.unwrap_or_default(),
            answer_id,
        })
    }
}

impl<'a> Plain<'a> for Question<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        let mut question_id = None;
        cursor.object(|cursor| {
            if cursor.key("question_id\":") {
                once(&mut question_id, Id::plain(cursor)?)
            } else {
                cursor.pass_member()
            }
        })?;
        Some(Self { question_id: question_id? })
    }
}

impl<'a> Plain<'a> for ResultEntry<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        let (mut question_id, mut answer) = (None, None);
        cursor.object(|cursor| {
            if cursor.key("question_id\":") {
                once(&mut question_id, Id::plain(cursor)?)
            } else if cursor.key("answer\":") {
                once(&mut answer, Text::plain(cursor)?)
            } else {
                cursor.pass_member()
            }
        })?;
        Some(Self { question_id: question_id?, answer: answer.unwrap_or_default() })
    }
}

/// Scores results against the official files.
///
/// As in the official evaluator results must be for exactly the annotated questions; of several for one
/// question the last counts. The file of questions only has to be there.
pub fn score_files<'a>(
    questions: &'a TextFile,
    annotations: &'a TextFile,
    results: &'a TextFile,
) -> Result<VqaScores<'a>, Error> {
    let (asked, answered) = rayon::join(
        || {
            let expected = "VQA questions ({questions: [...]})";
            questions.map_under("questions", expected, |question: Question<'a>| question.question_id)
        },
        || {
            let (answers, counts) = read_results(results)?;
            // An annotation is scored as soon as it is read, and not kept.
            let scored = annotations.map_under(
                "annotations",
                "VQA annotations ({annotations: [...]})",
                |entry: AnnotationEntry<'a>| entry.score(annotations, results, &answers),
            )?;
            Ok::<_, Error>((answers, counts, scored))
        },
    );
    let (asked, (answers, mut counts, scored)) = (asked?, answered?);
    let scored: Vec<Scored<'a>> = scored.into_iter().collect::<Result<_, _>>()?;
    let mut annotated: FxHashSet<&Id<'_>> = FxHashSet::default();
    if let Some(doubled) = scored.iter().find(|question| !annotated.insert(&question.question_id)) {
        let (path, id) = (annotations.path().to_owned(), doubled.question_id.to_string());
        return Err(Error::DoubledId { path, id });
    }
    if answers.len() > annotated.len() {
        let mut surplus: Vec<&Id<'_>> = answers.keys().filter(|id| !annotated.contains(id)).collect();
        surplus.sort_unstable();
        let (path, id) = (results.path().to_owned(), surplus[0].to_string());
        return Err(Error::SurplusId { path, id, other: "the annotations" });
    }
    if scored.is_empty() {
        return Err(annotations.content("holds no annotations"));
    }
    let asked: FxHashSet<Id<'_>> = asked.into_iter().collect();
    let both = annotated.iter().filter(|id| asked.contains(id)).count();
    counts.questions = scored.len();
    counts.annotations_without_question = scored.len() - both;
    counts.questions_without_annotation = asked.len() - both;
    Ok(VqaScores { counts, ..VqaScores::of(scored) })
}

type Answers<'a> = FxHashMap<Id<'a>, Cow<'a, str>>;

fn read_results(file: &TextFile) -> Result<(Answers<'_>, VqaCounts), Error> {
    let mut counts = VqaCounts::default();
    let entries = file.list::<ResultEntry<'_>>("a list of {question_id, answer}")?;
    let mut answers = Answers::with_capacity_and_hasher(entries.len(), Default::default());
    for entry in entries {
        let answer = entry.answer.of(file, &entry.question_id, "answer")?;
        counts.empty_answers += usize::from(answer.trim().is_empty());
        counts.doubled_results += usize::from(answers.insert(entry.question_id, answer).is_some());
    }
    Ok((answers, counts))
}

impl<'a> AnnotationEntry<'a> {
    fn score(self, file: &TextFile, results: &TextFile, answers: &Answers<'_>) -> Result<Scored<'a>, Error> {
        let id = self.question_id;
        let missing = |file: &TextFile, hint| {
            Err(Error::MissingId { path: file.path().to_owned(), id: id.to_string(), hint })
        };
        if self.answers.is_empty() {
            return missing(file, "an annotation needs answers");
        }
        let Some(answer) = answers.get(&id) else {
            return missing(results, "the evaluator wants an answer to every annotated question");
        };
        let mut texts = Vec::with_capacity(self.answers.len());
        for annotator in &self.answers {
            texts.push(tidy(annotator.answer.get(file, &id, "annotated answer")?));
        }
        let same = |one: usize, other: usize| self.answers[one].same_annotator(&self.answers[other]);
        Ok(Scored {
            accuracy: accuracy(texts, answer, same),
            question_type: self.question_type.of(file, &id, "question_type")?,
            answer_type: self.answer_type.of(file, &id, "answer_type")?,
            question_id: id,
        })
    }
}

impl AnswerEntry<'_> {
    fn same_annotator(&self, other: &Self) -> bool {
        self.answer_id == other.answer_id && self.answer_confidence == other.answer_confidence
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::layouts::second_opinion::{damaged, is_plain};

    const ENTRIES: [&str; 3] = [
        r#"{"question_type":"what","answers":[{"answer":"a dog","answer_confidence":"yes","answer_id":1},{"answer":"","answer_id":"2"}],"image_id":7,"answer_type":"other","question_id":7001}"#,
        r#"{"question_id": "7a", "answers": [ ], "question": "Where?", "more": {"a": [true, null, {}]}}"#,
        r#"{"answer": "two", "question_id": -3, "confidence": 1}"#,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn serde_has_the_last_word(text in damaged(&ENTRIES)) {
            is_plain::<AnnotationEntry<'_>>(&text);
            is_plain::<Question<'_>>(&text);
            is_plain::<ResultEntry<'_>>(&text);
        }
    }

    #[test]
    fn usual_entries_do_not_need_serde() {
        for text in ENTRIES {
            assert!(is_plain::<Question<'_>>(text), "{text}");
            assert_eq!(is_plain::<AnnotationEntry<'_>>(text), text.contains("answers"), "{text}");
        }
        assert!(is_plain::<ResultEntry<'_>>(ENTRIES[2]));
        assert!(!is_plain::<ResultEntry<'_>>(r#"{"answer": 2, "question_id": 3}"#));
    }

    fn file(name: &str, value: &Value) -> TextFile {
        TextFile::from_bytes(Path::new(name), value.to_string().into_bytes()).expect("JSON is UTF-8")
    }

    fn annotation(id: impl Into<Value>, answers: &[&str]) -> Value {
        let answers: Vec<Value> =
            (1..).zip(answers).map(|(id, text)| json!({"answer": text, "answer_id": id})).collect();
        json!({"question_id": id.into(), "question_type": "what", "answer_type": "other", "answers": answers})
    }

    fn run(questions: &[i64], annotations: Vec<Value>, results: Value) -> Result<(f64, VqaCounts), Error> {
        let questions: Vec<Value> =
            questions.iter().map(|id| json!({"question_id": id, "question": "?"})).collect();
        let questions = file("Q.json", &json!({"info": {}, "questions": questions}));
        let annotations = file("A.json", &json!({"info": {}, "annotations": annotations}));
        let results = file("R.json", &results);
        let scores = score_files(&questions, &annotations, &results)?;
        Ok((scores.overall, scores.counts))
    }

    #[test]
    fn ids_may_be_numbers_or_texts_and_the_last_result_counts() {
        let annotations = vec![annotation(7, &["red"; 10]), annotation("8a", &["blue"; 10])];
        let results = json!([
            {"question_id": "7", "answer": "blue", "more": [1]}, {"question_id": "8a", "answer": " "},
            {"question_id": 7, "answer": "red"},
        ]);
        let (overall, counts) = run(&[7, 9], annotations, results).expect("scores");
        assert_eq!(overall, 50.0);
        let wanted = VqaCounts {
            questions: 2,
            doubled_results: 1,
            empty_answers: 1,
            annotations_without_question: 1,
            questions_without_annotation: 1,
        };
        assert_eq!(counts, wanted);
    }

    #[test]
    fn what_the_evaluator_refuses_is_named() {
        let one = || vec![annotation(7, &["red"; 10])];
        let mut number = annotation(7, &["red"; 10]);
        number["answers"][4]["answer"] = json!(3);
        let mut typeless = annotation(7, &["red"; 10]);
        typeless["answer_type"] = Value::Null;
        let good = json!([{"question_id": 7, "answer": "red"}]);
        for (annotations, results, part) in [
            (one(), json!([]), "R.json: no entry for id 7"),
            (
                one(),
                json!([{"question_id": 8, "answer": "red"}, {"question_id": 7, "answer": "red"}]),
                "R.json: id 8 is not in the annotations",
            ),
            (one(), json!([{"question_id": 7, "answer": ["red"]}]), "R.json: the answer of id 7 is a list"),
            (one(), json!([{"question_id": 7}]), "R.json: the answer of id 7 is missing"),
            (one(), json!({"7": "red"}), "R.json is not a list of {question_id, answer}"),
            ([one(), one()].concat(), good.clone(), "A.json: id 7 stands there more than once"),
            (vec![number], good.clone(), "A.json: the annotated answer of id 7 is a number"),
            (vec![typeless], good.clone(), "A.json: the answer_type of id 7 is null"),
            (vec![annotation(7, &[])], good, "A.json: no entry for id 7; an annotation needs answers"),
            (vec![], json!([]), "A.json: holds no annotations"),
        ] {
            let message = run(&[7], annotations, results).expect_err(part).to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
