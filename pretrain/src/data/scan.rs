//! The first pass over a shard: which of its texts are used, and as which tokens.

use std::path::Path;

use data_specs::{Answer, FeatureInfo, Picture, Sample, ShardEntry, ShardReader, Text, TextKind, Tokenizer};

use super::record::{Ids, Record, Section, picture_number};
use super::regions::Places;
use super::settings::{DataSettings, SetSettings};
use super::summary::{SetSummary, count};
use crate::{Error, Result};

/// Everything that the texts of a data set are chosen by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) settings: &'a DataSettings,
    pub(super) set: &'a SetSettings,
    pub(super) features: FeatureInfo,
    pub(super) tokenizer: &'a Tokenizer,
}

/// What a shard has.
#[derive(Debug, Clone, Default)]
pub(super) struct Scanned {
    pub(super) section: Section,
    pub(super) summary: SetSummary,
}

impl Scan<'_> {
    /// Reads the short columns of a shard: memory for the rows of one shard, no features. Its hash is not looked at; that is
    /// done before its rows are trained on.
    ///
    /// # Errors
    /// A shard that is missing or breaks the contract; a row that cannot be a sample, with its key.
    pub(super) fn shard(&self, entry: &ShardEntry) -> Result<Scanned> {
        let reader = ShardReader::open(&self.set.path, entry, self.features, false)?;
        let path = self.set.path.join(&entry.name);
        let mut scanned = Scanned::default();
        for row in 0..reader.len() {
            let sample = reader.short(row);
            count(&mut scanned.summary.splits, &sample.split, 1);
            if self.set.takes_split(&sample.split) {
                self.row(sample, row as u32, &path, &mut scanned)?;
            }
        }
        Ok(scanned)
    }

    fn row(&self, sample: &Sample, row: u32, path: &Path, scanned: &mut Scanned) -> Result<()> {
        let Scanned { section, summary } = scanned;
        let n_before = section.records.len();
        let mut tags = None; // of the row, once for all its texts
        for text in &sample.texts {
            count(&mut summary.kinds, text.kind.as_str(), 1);
            if !self.set.takes(text.kind) {
                summary.other_kind += 1;
                continue;
            }
            if text.kind == TextKind::Statement && text.label == Some(0) {
                summary.false_statements += 1;
                continue;
            }
            let picture = self.picture(sample, row, path)?;
            let a = self.put(section, &text.text, self.settings.max_tokens - 2)?;
            if a.is_empty() {
                summary.empty += 1;
                continue;
            }
            let n = section.records.len() as u32;
            let b = match (self.settings.tags, answer(text)) {
                (false, _) => Ids::default(),
                (true, Some(answer)) => {
                    let b = self.put(section, &answer, self.settings.max_tokens - 3)?;
                    if !b.is_empty() {
                        section.answered.push(n);
                        summary.with_answer += 1;
                    }
                    b
                }
                (true, None) => {
                    let b = match tags {
                        Some(b) => b,
                        None => self.put(section, &self.tags(picture), self.settings.max_tokens - 3)?,
                    };
                    tags = Some(b);
                    summary.unanswered += u64::from(text.kind == TextKind::Question);
                    summary.with_tags += u64::from(!b.is_empty());
                    b
                }
            };
            if !b.is_empty() {
                section.with_b.push(n);
            }
            section.records.push(Record { picture: picture_number(&picture.image_id), row, a, b });
        }
        let n_texts = section.records.len() - n_before;
        if n_texts > 0 {
            let picture = self.picture(sample, row, path)?;
            summary.texts += n_texts as u64;
            summary.rows += 1;
            summary.rows_with_regions += u64::from(picture.regions > 0);
            picture.tags.iter().for_each(|tag| count(&mut summary.origins, &tag.origin, 1));
        }
        Ok(())
    }

    /// The row's only picture, whose regions can be placed.
    fn picture<'s>(&self, sample: &'s Sample, row: u32, path: &Path) -> Result<&'s Picture> {
        let unfit = |problem: String, hint: &str| Error::Unfit {
            path: path.to_owned(),
            field: format!("row {row} ({})", sample.key),
            problem,
            hint: hint.to_owned(),
        };
        let [picture] = sample.images.as_slice() else {
            let problem = format!("has {} pictures where a sample has one", sample.images.len());
            return Err(unfit(problem, "choose the texts of single pictures by `kinds` or `splits`"));
        };
        if self.settings.regions
            && let Err(problem) = Places::of(picture)
        {
            let hint = "build the data set from a source with boxes and the sizes of pictures, or set data.regions = false";
            return Err(unfit(problem.to_owned(), hint));
        }
        Ok(picture)
    }

    /// Tag names of the chosen origins in stored order, repeated ones too, joined by blanks.
    fn tags(&self, picture: &Picture) -> String {
        let chosen = picture.tags.iter().filter(|tag| self.set.takes_tags_of(&tag.origin));
        chosen.map(|tag| tag.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Adds the first `limit` tokens of `text` to the section; no more can be in a sequence, whatever stands beside them.
    fn put(&self, section: &mut Section, text: &str, limit: usize) -> Result<Ids> {
        let mut ids = self.tokenizer.encode(text)?;
        ids.truncate(limit);
        let first = section.ids.len() as u32;
        section.ids.extend_from_slice(&ids);
        Ok(Ids { first, len: ids.len() as u16 })
    }
}

/// The answer to a question as one string; none where the text is no question or nobody answered it. Such a question has tags
/// beside it as a caption has.
///
/// The published corpus joins the accepted answers of a question by blanks. Here each answer counts by its score, or by the
/// number of annotators who gave it; those above 0 are joined once each, the best first, equal ones in stored order.
fn answer(text: &Text) -> Option<String> {
    if text.kind != TextKind::Question {
        return None;
    }
    let mut counted: Vec<(&str, f32)> = Vec::new();
    for Answer { text, score } in &text.answers {
        let score = score.unwrap_or(1.0);
        match counted.iter_mut().find(|(known, _)| known == text) {
            Some((_, sum)) => *sum += score,
            None => counted.push((text, score)),
        }
    }
    counted.retain(|(_, score)| *score > 0.0);
    counted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let joined = counted.iter().map(|(text, _)| *text).collect::<Vec<_>>().join(" ");
    (!joined.trim().is_empty()).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_joined_the_best_first() {
        type Given = (&'static str, Option<f32>);
        let question = |answers: &[Given]| Text {
            id: "1".into(),
            kind: TextKind::Question,
            text: "what is it?".into(),
            answers: answers.iter().map(|&(text, score)| Answer { text: text.into(), score }).collect(),
            label: None,
            extra: None,
        };
        let cases: [(&[Given], Option<&str>); 6] = [
            (&[("moped", None)], Some("moped")),
            (
                &[("bike", None), ("moped", None), ("scooter", None), ("moped", None)],
                Some("moped bike scooter"),
            ),
            (&[("grey", Some(0.3)), ("gray", Some(1.0)), ("blue", Some(0.0))], Some("gray grey")),
            (&[("yes", Some(0.0))], None),
            (&[], None),
            (&[(" ", None)], None),
        ];
        for (answers, expected) in cases {
            assert_eq!(answer(&question(answers)).as_deref(), expected, "{answers:?}");
        }
        let caption = Text { kind: TextKind::Caption, ..question(&[("moped", None)]) };
        assert_eq!(answer(&caption), None);
    }
}
