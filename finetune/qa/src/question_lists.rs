//! Oscar's question lists: answers are numbers of a label map, with scores.

use data_specs::Text;
use finetune_harness::Asked;
use serde::Deserialize;

/// Fields of a list's entry that say what its answers are worth. The label map is `trainval_label2ans.pkl` or
/// `trainval_ans2label.pkl`: `task.vocabulary`.
#[derive(Debug, Deserialize)]
pub(crate) struct NumberedAnswers {
    /// Labels.
    an: Vec<u32>,
    /// Of each, how much it is worth.
    s: Vec<f32>,
}

impl NumberedAnswers {
    /// Those of a text; none where its answers are texts.
    pub(crate) fn of(text: &Text) -> Option<Self> {
        text.extra
            .as_deref()
            .filter(|_| text.answers.is_empty())
            .and_then(|extra| serde_json::from_str(extra).ok())
    }

    /// What is asked of the text, under a map of `n_labels` labels.
    pub(crate) fn asked(self, n_labels: usize) -> Asked {
        if let Some(beyond) = self.an.iter().find(|label| **label as usize >= n_labels) {
            return Asked::Unfit(format!(
                "has the answer number {beyond}; the labels end at {}: name the label map of the list as task.vocabulary",
                n_labels.saturating_sub(1)
            ));
        }
        let mut target: Vec<(u32, f32)> =
            self.an.into_iter().zip(self.s).filter(|(_, score)| *score > 0.0).collect();
        target.sort_by(|(a, x), (b, y)| a.cmp(b).then(y.total_cmp(x)));
        target.dedup_by_key(|(label, _)| *label);
        if target.is_empty() { Asked::Unknown } else { Asked::Target(target) }
    }
}

#[cfg(test)]
mod tests {
    use data_specs::TextKind;

    use super::*;

    fn entry(extra: &str) -> Text {
        Text {
            id: "262144000".into(),
            kind: TextKind::Question,
            text: "what?".into(),
            answers: Vec::new(),
            label: None,
            extra: Some(extra.to_owned()),
        }
    }

    #[test]
    fn numbers_are_labels_with_scores() {
        let asked = |extra: &str, n| NumberedAnswers::of(&entry(extra)).map(|answers| answers.asked(n));
        let found = asked(r#"{"an":[17,3,17,5],"o":"cat;dog","s":[0.3,1.0,0.9,0.0]}"#, 18);
        assert_eq!(found, Some(Asked::Target(vec![(3, 1.0), (17, 0.9)])));
        assert_eq!(asked(r#"{"an":[],"o":"","s":[]}"#, 18), Some(Asked::Unknown), "a test split");
        assert_eq!(asked(r#"{"question_type":"what"}"#, 18), None);
        let Some(Asked::Unfit(problem)) = asked(r#"{"an":[18],"s":[1]}"#, 18) else { panic!("18 is none") };
        assert!(problem.contains("number 18") && problem.contains("end at 17"), "{problem}");
    }
}
