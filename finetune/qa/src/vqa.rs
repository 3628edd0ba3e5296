//! VQA v2: ten annotators a question, answers from a vocabulary.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use data_specs::{Text, TextKind};
use finetune_harness::classification::{Answered, Classification, HeadSettings};
use finetune_harness::{Asked, Error, Pictures, Result, Scores};
use finetune_metrics::vqa::{self, Annotation, Answer, AnswerVocabulary, normalise, soft_targets, tidy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::question_lists::NumberedAnswers;

/// Section `task`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vqa {
    /// Classifier and loss.
    pub head: HeadSettings,
    /// How many questions an answer is the majority answer of, at least.
    #[serde(default = "published_minimum")]
    pub minimum: usize,
    /// A list of answers, or a map of answer to number, in JSON or pickled; without it the answers of the model that is
    /// trained on, or else those of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<PathBuf>,
}

fn published_minimum() -> usize {
    9
}

impl Classification for Vqa {
    const NAME: &'static str = "vqa";
    const KIND: TextKind = TextKind::Question;
    const SPEC: &'static str = "data-specs/corpora/vqa-v2.toml has questions with their annotations";

    fn pictures(&self) -> Pictures {
        Pictures::One
    }

    fn given_labels(&self) -> Result<Option<Vec<String>>> {
        self.vocabulary.as_deref().map(read_vocabulary).transpose()
    }

    /// The official majority answer, or the answer that most annotators gave; the first of equal ones.
    fn label_of(&self, text: &Text) -> Option<String> {
        if let Some(answer) = field(text, "multiple_choice_answer") {
            return Some(normalised(&answer).into_owned());
        }
        let mut counted: Vec<(Cow<'_, str>, f32)> = Vec::new();
        for answer in &text.answers {
            let (own, weight) = (normalised(&answer.text), answer.score.unwrap_or(1.0));
            match counted.iter_mut().find(|(known, _)| *known == own) {
                Some((_, sum)) => *sum += weight,
                None => counted.push((own, weight)),
            }
        }
        let best = counted.into_iter().rev().max_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map(|(answer, _)| answer.into_owned())
    }

    fn vocabulary(&self, labels: &[String]) -> Vec<String> {
        by_number(&AnswerVocabulary::build(labels.iter().map(String::as_str), self.minimum))
    }

    /// 0, 0.3, 0.6, 0.9, 1 for none, one, two, three and more annotators; or the score that the source gives an answer.
    fn asking(&self, labels: &[String]) -> Box<dyn Fn(&Text) -> Asked + Send + Sync> {
        let vocabulary = AnswerVocabulary::new(labels.to_vec());
        Box::new(move |text| {
            if let Some(answers) = NumberedAnswers::of(text) {
                return answers.asked(vocabulary.len());
            }
            let target = if has_scores(text) {
                let mut target: Vec<(u32, f32)> = Vec::new();
                for answer in &text.answers {
                    let (Some(score), Some(label)) =
                        (answer.score, vocabulary.number(&normalised(&answer.text)))
                    else {
                        continue;
                    };
                    match target.binary_search_by_key(&label, |(known, _)| *known) {
                        Ok(at) => target[at].1 = target[at].1.max(score),
                        Err(at) => target.insert(at, (label, score)),
                    }
                }
                target.retain(|(_, score)| *score > 0.0);
                target
            } else {
                let answers: Vec<Cow<'_, str>> =
                    text.answers.iter().map(|answer| normalised(&answer.text)).collect();
                soft_targets(&vocabulary, answers.iter().map(|answer| &**answer))
            };
            if target.is_empty() { Asked::Unknown } else { Asked::Target(target) }
        })
    }

    fn head(&self) -> HeadSettings {
        self.head
    }

    /// The official accuracies, over all questions; beside them `published_score`, the mean target of the answers over the
    /// questions that have a target at all, which is what the published training reports.
    fn score(&self, answered: &[Answered]) -> std::result::Result<Scores, String> {
        let known = answered.iter().filter(|answered| answered.is_known).count();
        let worth: f64 = answered.iter().map(|answered| answered.worth).sum();
        let published = if known > 0 { 100.0 * worth / known as f64 } else { 0.0 };
        let mut figures = BTreeMap::from([
            ("published_score".to_owned(), published),
            ("questions_without_target".to_owned(), (answered.len() - known) as f64),
        ]);
        let has_no_annotators = |text: &Text| has_scores(text) || NumberedAnswers::of(text).is_some();
        if answered.iter().any(|answered| has_no_annotators(answered.text())) {
            // scores of answers, but no annotators: the official accuracy cannot be known
            let all =
                json!({ "published_score": published, "questions": answered.len(), "with_target": known });
            return Ok(Scores { main: published, all, figures });
        }
        let fields: Vec<[String; 2]> = answered
            .iter()
            .map(|answered| {
                let text = answered.text();
                if text.answers.is_empty() {
                    return Err(format!("question {} has no answers", text.id));
                }
                Ok(["question_type", "answer_type"].map(|name| field(text, name).unwrap_or_default()))
            })
            .collect::<std::result::Result<_, _>>()?;
        let annotations: Vec<Annotation<'_>> = answered
            .iter()
            .zip(&fields)
            .map(|(answered, [question_type, answer_type])| Annotation {
                question_id: id(&answered.text().id),
                question_type: question_type.as_str().into(),
                answer_type: answer_type.as_str().into(),
                answers: (1i64..)
                    .zip(&answered.text().answers)
                    .map(|(number, answer)| Answer {
                        answer: answer.text.as_str().into(),
                        confidence: None,
                        id: Some(number.into()),
                    })
                    .collect(),
            })
            .collect();
        let pairs: Vec<(&Annotation<'_>, &str)> = annotations
            .iter()
            .zip(answered)
            .map(|(annotation, own)| (annotation, own.answer.as_str()))
            .collect();
        let scores = vqa::score(&pairs);
        figures.insert("overall".to_owned(), scores.overall);
        figures.extend(
            scores.per_answer_type.iter().map(|(name, score)| (format!("answer_type_{name}"), *score)),
        );
        let all = serde_json::to_value(&scores).map_err(|error| error.to_string())?;
        Ok(Scores { main: scores.overall, all, figures })
    }

    fn submission(&self, answered: &[Answered]) -> std::result::Result<String, String> {
        let entry = |answered: &Answered| {
            let id = &answered.text().id;
            let id: i64 = id.parse().map_err(|_| format!("the question id `{id}` is no whole number"))?;
            Ok(json!({ "question_id": id, "answer": answered.answer }))
        };
        let list = answered.iter().map(entry).collect::<std::result::Result<Vec<_>, String>>()?;
        Ok(Value::Array(list).to_string() + "\n")
    }
}

/// Reads a vocabulary of answers.
pub(crate) fn read_vocabulary(path: &std::path::Path) -> Result<Vec<String>> {
    let vocabulary = AnswerVocabulary::read(path).map_err(|error| Error::Unfit {
        path: path.to_owned(),
        field: "task.vocabulary".to_owned(),
        problem: error.to_string(),
        hint: "a list of answers, or a map of answer to number, in JSON or pickled".to_owned(),
    })?;
    Ok(by_number(&vocabulary))
}

/// The answers of a vocabulary, by number.
pub(crate) fn by_number(vocabulary: &AnswerVocabulary) -> Vec<String> {
    (0..vocabulary.len() as u32).filter_map(|number| vocabulary.answer(number)).map(str::to_owned).collect()
}

/// An official field that has no column.
pub(crate) fn field(text: &Text, name: &str) -> Option<String> {
    let extra: Value = serde_json::from_str(text.extra.as_deref()?).ok()?;
    extra.get(name)?.as_str().map(str::to_owned)
}

fn id(id: &str) -> finetune_metrics::layouts::Id<'_> {
    match id.parse::<i64>() {
        Ok(number) => number.into(),
        Err(_) => id.into(),
    }
}

fn has_scores(text: &Text) -> bool {
    text.answers.iter().any(|answer| answer.score.is_some())
}

fn normalised(answer: &str) -> Cow<'_, str> {
    match tidy(answer) {
        Cow::Borrowed(answer) => normalise(answer),
        Cow::Owned(answer) => normalise(&answer).into_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vqa() -> Vqa {
        toml::from_str("head = { classifier = \"linear\", loss_type = \"bce\" }").unwrap()
    }

    fn question(answers: &[(&str, Option<f32>)], extra: Option<&str>) -> Text {
        Text {
            id: "1".into(),
            kind: TextKind::Question,
            text: "how many?".into(),
            answers: answers
                .iter()
                .map(|(text, score)| data_specs::Answer { text: (*text).into(), score: *score })
                .collect(),
            label: None,
            extra: extra.map(str::to_owned),
        }
    }

    #[test]
    fn the_majority_answer_is_normalised() {
        let task = vqa();
        assert_eq!(task.minimum, 9, "as published");
        let given = question(&[("a", None)], Some(r#"{"multiple_choice_answer":"The Two."}"#));
        assert_eq!(task.label_of(&given).as_deref(), Some("2"));
        let counted = question(&[("red", None), ("two", None), ("2", None), ("red", None)], None);
        assert_eq!(task.label_of(&counted).as_deref(), Some("red"), "the first of equal ones");
        assert_eq!(task.label_of(&question(&[], None)), None);
    }

    #[test]
    fn targets_by_annotators_or_by_given_scores() {
        let labels = ["2", "red", "blue"].map(str::to_owned);
        let asking = vqa().asking(&labels);
        let ten = question(&[("two", None), ("2", None), ("a red", None), ("mauve", None)], None);
        assert_eq!(asking(&ten), Asked::Target(vec![(0, 0.6), (1, 0.3)]));
        let scored = question(&[("blue", Some(0.9)), ("red", Some(0.3)), ("2", Some(0.0))], None);
        assert_eq!(asking(&scored), Asked::Target(vec![(1, 0.3), (2, 0.9)]));
        assert_eq!(asking(&question(&[("mauve", None)], None)), Asked::Unknown);
        assert_eq!(asking(&question(&[], None)), Asked::Unknown);
    }

    #[test]
    fn vocabularies_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let path = folder.path().join("v.json");
            std::fs::write(&path, text).unwrap();
            read_vocabulary(&path)
        };
        assert_eq!(read(r#"["yes", "no"]"#).unwrap(), ["yes", "no"]);
        assert_eq!(read(r#"{"no": 1, "yes": 0}"#).unwrap(), ["yes", "no"]);
        let message = read(r#"{"no": 1, "yes": 3}"#).unwrap_err().to_string();
        assert!(message.contains("task.vocabulary") && message.contains("number 3"), "{message}");
    }
}
