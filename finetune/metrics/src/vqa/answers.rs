//! Answer vocabularies and soft targets.

use std::path::Path;

use rustc_hash::FxHashMap;
use torch_files::Value;

use crate::{
    Error,
    layouts::{self, Pairs, TextFile},
};

/// The answers that a classifier can give, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerVocabulary {
    answers: Vec<String>,
    numbers: FxHashMap<String, u32>,
}

impl AnswerVocabulary {
    /// The vocabulary of answers that are the majority answer of at least `minimum` questions, by
    /// falling frequency, then alphabetically. Published vocabularies take normalised answers and
    /// `minimum` 9.
    pub fn build<'a>(majority_answers: impl IntoIterator<Item = &'a str>, minimum: usize) -> Self {
        let mut counts: FxHashMap<&str, usize> = FxHashMap::default();
        for answer in majority_answers {
            *counts.entry(answer).or_default() += 1;
        }
        let mut kept: Vec<_> = counts.into_iter().filter(|&(_, count)| count >= minimum).collect();
        kept.sort_unstable_by(|(a, many), (b, few)| few.cmp(many).then_with(|| a.cmp(b)));
        Self::new(kept.into_iter().map(|(answer, _)| answer.to_owned()).collect())
    }

    /// A vocabulary in this order.
    pub fn new(answers: Vec<String>) -> Self {
        let numbers =
            answers.iter().enumerate().map(|(number, answer)| (answer.clone(), number as u32)).collect();
        Self { answers, numbers }
    }

    /// Reads a list of answers (label2ans) or a map of answer to number (ans2label), in JSON or pickled.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = layouts::read(path)?;
        let pairs = match layouts::first_byte(&bytes) {
            Some(b'[') => {
                let file = TextFile::from_bytes(path, bytes)?;
                return Ok(Self::new(file.parse("a list of answers")?));
            }
            Some(b'{') => {
                TextFile::from_bytes(path, bytes)?
                    .parse::<Pairs<String, usize>>("a map of answer to number")?
                    .0
            }
            _ => {
                let value = torch_files::load_pickle(path, &torch_files::Limits::default())?;
                match from_pickle(&value) {
                    Some(Pickled::List(answers)) => return Ok(Self::new(answers)),
                    Some(Pickled::Map(pairs)) => pairs,
                    None => {
                        let problem =
                            "is neither a list of answers nor a dictionary of answer to number".to_owned();
                        return Err(Error::Content { path: path.to_owned(), problem });
                    }
                }
            }
        };
        let mut answers = vec![None; pairs.len()];
        for (answer, number) in pairs {
            match answers.get_mut(number) {
                Some(slot @ None) => *slot = Some(answer),
                _ => {
                    let problem = format!(
                        "number {number} of answer `{answer}` is taken or too large; numbers must be 0, 1, 2, ..."
                    );
                    return Err(Error::Content { path: path.to_owned(), problem });
                }
            }
        }
        Ok(Self::new(answers.into_iter().flatten().collect()))
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The answer with this number.
    pub fn answer(&self, number: u32) -> Option<&str> {
        self.answers.get(number as usize).map(String::as_str)
    }

    /// The number of this answer.
    pub fn number(&self, answer: &str) -> Option<u32> {
        self.numbers.get(answer).copied()
    }
}

enum Pickled {
    List(Vec<String>),
    Map(Vec<(String, usize)>),
}

fn from_pickle(value: &Value) -> Option<Pickled> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(items) = value.as_items() {
        return items.iter().map(text).collect::<Option<_>>().map(Pickled::List);
    }
    let entries = value.as_dict()?.entries.iter();
    let pairs =
        entries.map(|(answer, number)| Some((text(answer)?, usize::try_from(number.as_int()?).ok()?)));
    pairs.collect::<Option<_>>().map(Pickled::Map)
}

/// The target of each vocabulary answer that annotators gave, ascending by number: 0.3, 0.6, 0.9 for
/// one, two, three of them, 1 for more.
pub fn soft_targets<'a>(
    vocabulary: &AnswerVocabulary,
    answers: impl IntoIterator<Item = &'a str>,
) -> Vec<(u32, f32)> {
    let mut numbers: Vec<u32> = answers.into_iter().filter_map(|answer| vocabulary.number(answer)).collect();
    numbers.sort_unstable();
    numbers
        .chunk_by(|left, right| left == right)
        .map(|run| {
            let target = match run.len() {
                1 => 0.3,
                2 => 0.6,
                3 => 0.9,
                _ => 1.0,
            };
            (run[0], target)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_answers_come_first() {
        let got = AnswerVocabulary::build(["yes", "no", "yes", "red", "no", "blue"], 2);
        assert_eq!(
            (got.len(), got.answer(0), got.answer(1), got.number("red")),
            (2, Some("no"), Some("yes"), None)
        );
    }

    #[test]
    fn targets_by_count() {
        let vocabulary = AnswerVocabulary::new(["a", "b", "c", "d"].map(str::to_owned).to_vec());
        let answers = ["d", "a", "b", "b", "c", "c", "c", "d", "d", "d", "unknown"];
        assert_eq!(soft_targets(&vocabulary, answers), [(0, 0.3), (1, 0.6), (2, 0.9), (3, 1.0)]);
    }
}
