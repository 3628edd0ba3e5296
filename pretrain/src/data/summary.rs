//! What is used of a data set, and what is left out.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Numbers of texts of one data set, over all its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSummary {
    /// Texts that samples are made of.
    pub texts: u64,
    /// Of these, with tags as b.
    pub with_tags: u64,
    /// Of these, with an answer as b.
    pub with_answer: u64,
    /// Of these, questions that nobody answered; they have tags as captions have.
    pub unanswered: u64,
    /// Rows that samples are made of.
    pub rows: u64,
    /// Of these, with regions.
    pub rows_with_regions: u64,
    /// Left out: of another kind than `kinds` says.
    pub other_kind: u64,
    /// Left out: statements that are false of their picture, so that words and regions do not belong together.
    pub false_statements: u64,
    /// Left out: texts without a token.
    pub empty: u64,
    /// Rows of each split, read or not.
    pub splits: BTreeMap<String, u64>,
    /// Texts of each kind in the rows that are read.
    pub kinds: BTreeMap<String, u64>,
    /// Tags of each origin in the rows that samples are made of, read or not.
    pub origins: BTreeMap<String, u64>,
}

impl AddAssign<&SetSummary> for SetSummary {
    fn add_assign(&mut self, other: &SetSummary) {
        self.texts += other.texts;
        self.with_tags += other.with_tags;
        self.with_answer += other.with_answer;
        self.unanswered += other.unanswered;
        self.rows += other.rows;
        self.rows_with_regions += other.rows_with_regions;
        self.other_kind += other.other_kind;
        self.false_statements += other.false_statements;
        self.empty += other.empty;
        for (ours, theirs) in [
            (&mut self.splits, &other.splits),
            (&mut self.kinds, &other.kinds),
            (&mut self.origins, &other.origins),
        ] {
            theirs.iter().for_each(|(name, n)| count(ours, name, *n));
        }
    }
}

/// Adds `n` to the count of `name`.
pub(super) fn count(counts: &mut BTreeMap<String, u64>, name: &str, n: u64) {
    match counts.get_mut(name) {
        Some(known) => *known += n,
        None => {
            counts.insert(name.to_owned(), n);
        }
    }
}

/// `vg (1200), annotated (30)`, for messages.
pub(super) fn listed(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    counts.iter().map(|(name, n)| format!("{name} ({n})")).collect::<Vec<_>>().join(", ")
}
