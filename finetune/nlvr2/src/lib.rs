//! NLVR2 (Paper: 1811.00491): is a statement true of two pictures?

use std::collections::BTreeMap;
use std::fmt::Write;

use data_specs::{Text, TextKind};
use finetune_harness::classification::{Answered, Classification, HeadSettings};
use finetune_harness::{Asked, Pictures, Result, Scores};
use finetune_metrics::layouts::TextFile;
use finetune_metrics::nlvr2::score_files;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Section `task`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nlvr2 {
    /// Classifier and loss.
    pub head: HeadSettings,
    /// Whether the statement is read twice, beside each picture (as published), or once beside both.
    #[serde(default = "published_pairing")]
    pub use_pair: bool,
}

/// By number: what official files call the two.
const LABELS: [&str; 2] = ["False", "True"];

fn published_pairing() -> bool {
    true
}

impl Classification for Nlvr2 {
    const NAME: &'static str = "nlvr2";
    const KIND: TextKind = TextKind::Statement;
    const SPEC: &'static str = "data-specs/corpora/nlvr2.toml has statements about pairs, with labels";

    fn pictures(&self) -> Pictures {
        if self.use_pair { Pictures::Pair } else { Pictures::PairAtOnce }
    }

    fn given_labels(&self) -> Result<Option<Vec<String>>> {
        Ok(Some(LABELS.map(str::to_owned).to_vec()))
    }

    fn label_of(&self, text: &Text) -> Option<String> {
        label(text).map(|label| LABELS[label].to_owned())
    }

    fn vocabulary(&self, _: &[String]) -> Vec<String> {
        LABELS.map(str::to_owned).to_vec()
    }

    fn asking(&self, _: &[String]) -> Box<dyn Fn(&Text) -> Asked + Send + Sync> {
        Box::new(|text| match label(text) {
            Some(label) => Asked::Target(vec![(label as u32, 1.0)]),
            None => Asked::Unknown,
        })
    }

    fn head(&self) -> HeadSettings {
        self.head
    }

    /// Accuracy, and consistency over the pairs of a statement.
    fn score(&self, answered: &[Answered]) -> std::result::Result<Scores, String> {
        let mut lines = String::new();
        for answered in answered {
            let text = answered.text();
            let label = label(text).ok_or_else(|| format!("statement {} has no label", text.id))?;
            let line = json!({ "identifier": text.id, "label": LABELS[label] });
            writeln!(lines, "{line}").expect("writing to a string does not fail");
        }
        let file = |name: &str, text: String| TextFile::from_bytes(name.as_ref(), text.into_bytes());
        let scores = file("the data set", lines)
            .and_then(|data| score_files(&data, &file("the answers", csv(answered))?))
            .map_err(|error| error.to_string())?;
        let figures = BTreeMap::from([
            ("accuracy".to_owned(), scores.accuracy),
            ("consistency".to_owned(), scores.consistency),
        ]);
        let all = serde_json::to_value(scores).map_err(|error| error.to_string())?;
        Ok(Scores { main: scores.accuracy, all, figures })
    }

    fn submission(&self, answered: &[Answered]) -> std::result::Result<String, String> {
        match answered.iter().map(|answered| &answered.text().id).find(|id| id.contains([',', '\n'])) {
            Some(id) => Err(format!("the identifier `{id}` cannot stand in a line of identifier,answer")),
            None => Ok(csv(answered)),
        }
    }
}

fn label(text: &Text) -> Option<usize> {
    text.label.and_then(|label| usize::try_from(label).ok()).filter(|label| *label < LABELS.len())
}

fn csv(answered: &[Answered]) -> String {
    answered.iter().map(|answered| format!("{},{}\n", answered.text().id, answered.answer)).collect()
}

#[cfg(test)]
mod tests {
    use finetune_harness::Settings;

    use super::*;

    fn statement(label: Option<i32>) -> Text {
        let (id, text) = ("dev-1-0-0".to_owned(), "both are red".to_owned());
        Text { id, kind: TextKind::Statement, text, answers: Vec::new(), label, extra: None }
    }

    #[test]
    fn labels_are_numbers_of_the_official_words() {
        let task: Nlvr2 = toml::from_str("head = { classifier = \"mlp\", loss_type = \"ce\" }").unwrap();
        assert_eq!(task.pictures(), Pictures::Pair, "as published");
        let labels = task.given_labels().unwrap().unwrap();
        let asking = task.asking(&labels);
        for (label, word) in [(0, "False"), (1, "True")] {
            let Asked::Target(target) = asking(&statement(Some(label))) else { panic!("{label}") };
            assert_eq!(target, [(label as u32, 1.0)]);
            assert_eq!(labels[target[0].0 as usize], word);
        }
        for label in [None, Some(2), Some(-1)] {
            assert_eq!(asking(&statement(label)), Asked::Unknown, "{label:?}");
        }
    }

    #[test]
    fn presets_are_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        for (name, scale) in [("base", 3), ("large", 2), ("small", 3)] {
            let name = format!("nlvr2-{name}");
            let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
            let settings: Settings<Nlvr2> =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(settings.task.use_pair && settings.task.head.cls_hidden_scale == scale, "{name}");
            for head in ["Hardware: ", "Wall time: ", "Expected score: "] {
                assert!(text.contains(&format!("\n# {head}")), "{name} does not say {head}");
            }
            assert!(text.contains(&format!("train --config finetune/configs/{name}.toml")), "{name}");
        }
    }
}
