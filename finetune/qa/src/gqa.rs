//! GQA: one answer a question.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use data_specs::{Text, TextKind};
use finetune_harness::classification::{Answered, Classification, HeadSettings};
use finetune_harness::{Asked, Pictures, Result, Scores};
use finetune_metrics::gqa;
use finetune_metrics::layouts::TextFile;
use finetune_metrics::vqa::AnswerVocabulary;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::question_lists::NumberedAnswers;
use crate::vqa::{by_number, read_vocabulary};

/// Section `task`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gqa {
    /// Classifier and loss.
    pub head: HeadSettings,
    /// Which questions are read.
    #[serde(default)]
    pub questions: Questions,
    /// How many questions an answer is the answer of, at least.
    #[serde(default = "one")]
    pub minimum: usize,
    /// A list of answers, or a map of answer to number, in JSON or pickled; without it the answers of the model that is
    /// trained on, or else those of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<PathBuf>,
}

/// Which questions are learnt from and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Questions {
    /// Every one.
    #[default]
    All,
    /// Those that are marked as balanced.
    Balanced,
}

fn one() -> usize {
    1
}

impl Classification for Gqa {
    const NAME: &'static str = "gqa";
    const KIND: TextKind = TextKind::Question;
    const SPEC: &'static str = "data-specs/corpora/gqa.toml has questions with their answers";

    fn pictures(&self) -> Pictures {
        Pictures::One
    }

    fn given_labels(&self) -> Result<Option<Vec<String>>> {
        self.vocabulary.as_deref().map(read_vocabulary).transpose()
    }

    fn label_of(&self, text: &Text) -> Option<String> {
        text.answers.first().filter(|_| self.takes(text)).map(|answer| answer.text.clone())
    }

    fn vocabulary(&self, labels: &[String]) -> Vec<String> {
        by_number(&AnswerVocabulary::build(labels.iter().map(String::as_str), self.minimum))
    }

    fn asking(&self, labels: &[String]) -> Box<dyn Fn(&Text) -> Asked + Send + Sync> {
        let (vocabulary, own) = (AnswerVocabulary::new(labels.to_vec()), self.clone());
        Box::new(move |text| {
            if !own.takes(text) {
                return Asked::Other("questions that are not balanced");
            }
            if let Some(answers) = NumberedAnswers::of(text) {
                return answers.asked(vocabulary.len());
            }
            match text.answers.first().and_then(|answer| vocabulary.number(&answer.text)) {
                Some(label) => Asked::Target(vec![(label, 1.0)]),
                None => Asked::Unknown,
            }
        })
    }

    fn head(&self) -> HeadSettings {
        self.head
    }

    /// The official scores over balanced questions; the others count for consistency. `all_accuracy` is the share of right
    /// answers to all questions that were asked.
    fn score(&self, answered: &[Answered]) -> std::result::Result<Scores, String> {
        let mut questions = Map::new();
        let mut right = 0usize;
        if answered.iter().any(|answered| NumberedAnswers::of(answered.text()).is_some()) {
            // labels, but neither types nor groups of questions: the official scores beside accuracy cannot be known
            let worth: f64 = answered.iter().map(|answered| answered.worth).sum();
            let accuracy = 100.0 * worth / answered.len().max(1) as f64;
            let all = json!({ "accuracy": accuracy, "questions": answered.len() });
            return Ok(Scores {
                main: accuracy,
                all,
                figures: BTreeMap::from([("accuracy".to_owned(), accuracy)]),
            });
        }
        for answered in answered {
            let text = answered.text();
            let Some(answer) = text.answers.first() else {
                return Err(format!("question {} has no answer", text.id));
            };
            right += usize::from(answer.text == answered.answer);
            let mut entry = extra(text);
            entry.insert("question".to_owned(), json!(text.text));
            entry.insert("answer".to_owned(), json!(answer.text));
            questions.insert(text.id.clone(), Value::Object(entry));
        }
        let scores = score_as_files(&Value::Object(questions).to_string(), &self.submission(answered)?)
            .map_err(|error| error.to_string())??;
        let mut figures = BTreeMap::from([
            ("accuracy".to_owned(), scores.accuracy),
            ("binary".to_owned(), scores.binary),
            ("open".to_owned(), scores.open),
            ("distribution".to_owned(), scores.distribution),
            ("all_accuracy".to_owned(), 100.0 * right as f64 / answered.len().max(1) as f64),
        ]);
        figures.extend(scores.consistency.map(|score| ("consistency".to_owned(), score)));
        let all = serde_json::to_value(&scores).map_err(|error| error.to_string())?;
        Ok(Scores { main: scores.accuracy, all, figures })
    }

    fn submission(&self, answered: &[Answered]) -> std::result::Result<String, String> {
        let entry =
            |answered: &Answered| json!({ "questionId": answered.text().id, "prediction": answered.answer });
        Ok(Value::Array(answered.iter().map(entry).collect()).to_string() + "\n")
    }
}

impl Gqa {
    fn takes(&self, text: &Text) -> bool {
        match self.questions {
            Questions::All => true,
            Questions::Balanced => extra(text).get("isBalanced") == Some(&Value::Bool(true)),
        }
    }
}

/// Official fields that have no column.
fn extra(text: &Text) -> Map<String, Value> {
    text.extra.as_deref().and_then(|extra| serde_json::from_str(extra).ok()).unwrap_or_default()
}

/// The official evaluator over the two texts; it reads files.
fn score_as_files(
    questions: &str,
    predictions: &str,
) -> std::io::Result<std::result::Result<gqa::GqaScores, String>> {
    let file = |text: &str| {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        std::io::Result::Ok(file)
    };
    let (questions, predictions) = (file(questions)?, file(predictions)?);
    let scored = TextFile::read(predictions.path())
        .and_then(|predictions| gqa::score_files(questions.path(), &predictions, None));
    Ok(scored.map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_questions_or_balanced_ones() {
        let question = |is_balanced: bool| Text {
            id: "07".into(),
            kind: TextKind::Question,
            text: "what colour?".into(),
            answers: vec![data_specs::Answer { text: "red".into(), score: None }],
            label: None,
            extra: Some(format!("{{\"isBalanced\":{is_balanced}}}")),
        };
        let labels = ["blue", "red"].map(str::to_owned);
        for (which, reads_others) in [("all", true), ("balanced", false)] {
            let text =
                format!("questions = {which:?}\nhead = {{ classifier = \"linear\", loss_type = \"ce\" }}");
            let task: Gqa = toml::from_str(&text).unwrap();
            let asking = task.asking(&labels);
            assert_eq!(asking(&question(true)), Asked::Target(vec![(1, 1.0)]));
            let other = asking(&question(false));
            assert_eq!(matches!(other, Asked::Target(_)), reads_others, "{which}: {other:?}");
            assert_eq!(task.label_of(&question(false)).is_some(), reads_others, "{which}");
            assert_eq!(task.asking(&labels[..1])(&question(true)), Asked::Unknown);
        }
    }
}
