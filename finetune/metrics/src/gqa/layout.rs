//! The official files of GQA.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use crate::{
    layouts::{Cursor, Id, Plain, Text, once},
    white_space::is_space,
};

/// One question of the official layout.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Question<'a> {
    #[serde(borrow)]
    pub(super) answer: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) question: Cow<'a, str>,
    pub(super) is_balanced: bool,
    #[serde(borrow, default)]
    pub(super) entailed: Vec<Id<'a>>,
    #[serde(borrow)]
    pub(super) groups: Groups<'a>,
    #[serde(borrow)]
    pub(super) types: Types<'a>,
    #[serde(default, rename = "semantic", deserialize_with = "count_steps")]
    pub(super) steps: usize,
}

#[derive(Deserialize)]
pub(super) struct Groups<'a> {
    #[serde(borrow)]
    pub(super) global: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Types<'a> {
    #[serde(borrow)]
    pub(super) detailed: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) semantic: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) structural: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct Step<'a> {
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow)]
    argument: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Prediction<'a> {
    #[serde(borrow)]
    pub(super) question_id: Id<'a>,
    #[serde(borrow, default)]
    pub(super) prediction: Text<'a>,
}

impl<'a> Plain<'a> for Prediction<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        let (mut question_id, mut prediction) = (None, None);
        cursor.object(|cursor| {
            if cursor.key("questionId\":") {
                once(&mut question_id, Id::plain(cursor)?)
            } else if cursor.key("prediction\":") {
                once(&mut prediction, Text::plain(cursor)?)
            } else {
                cursor.pass_member()
            }
        })?;
        Some(Self { question_id: question_id?, prediction: prediction.unwrap_or_default() })
    }
}

#[derive(Deserialize)]
pub(super) struct Choices<'a> {
    #[serde(borrow)]
    pub(super) valid: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) plausible: Vec<Cow<'a, str>>,
}

impl Question<'_> {
    pub(super) fn words(&self) -> usize {
        self.question.split(is_space).filter(|word| !word.is_empty()).count()
    }
}

impl Step<'_> {
    /// Whether the step is reasoning: the last step of a program only reads the answer off.
    fn counts(&self) -> bool {
        let step = format!("{}: {}", self.operation, self.argument);
        !["exist", "query: name", "choose name"].iter().any(|end| step.contains(end))
    }
}

/// Counts the reasoning steps of a program without keeping it.
fn count_steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    struct StepsVisitor;
    impl<'de> Visitor<'de> for StepsVisitor {
        type Value = usize;
        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a list of steps")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut steps: A) -> Result<usize, A::Error> {
            let mut count = 0;
            while let Some(step) = steps.next_element::<Step<'de>>()? {
                count += usize::from(step.counts());
            }
            Ok(count)
        }
    }
    deserializer.deserialize_seq(StepsVisitor)
}
