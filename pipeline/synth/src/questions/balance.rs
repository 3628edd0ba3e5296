//! Which questions are asked: of each wording as many with every answer, so that the words alone say nothing.

use std::collections::BTreeMap;

use super::{Question, Template};
use crate::chance::{Chance, Stream};

/// A question that is asked of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Place of the picture among those of its split.
    pub(crate) picture: usize,
    /// Place of the question among all that can be asked of it.
    pub(crate) question: usize,
    /// Which of its wordings.
    pub(crate) wording: usize,
}

/// What is to be known of a question to choose it: a few bytes, since there are hundreds for a picture.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    picture: u32,
    question: u32,
    wordings: u32,
}

/// Questions that are asked together or not at all: the same words with every answer once.
type Round = Vec<Chosen>;

/// Questions of one picture at most, for each that is wanted of it.
const CROWDED: usize = 3;

/// Chooses about `each` questions for each of `pictures` pictures; another `purpose`, another choice.
///
/// `ask` gives all questions of a picture. Those with one meaning are a group; of a group, `m` pictures are taken
/// for each of `k` answers, where `m k` is largest and `k` at least two. One picture for each answer is a round,
/// in one wording. So a model that sees the words only is right once in `k` times in every wording, whatever
/// it learns. Templates take turns until there are enough questions.
pub(crate) fn balanced(
    seed: u64,
    purpose: &str,
    pictures: usize,
    each: usize,
    allowed: impl Fn(Template) -> bool,
    ask: impl Fn(usize) -> Vec<Question> + Sync,
) -> Vec<Chosen> {
    let mut groups: BTreeMap<(Template, String), BTreeMap<String, Vec<Candidate>>> = BTreeMap::new();
    for picture in 0..pictures {
        for (number, question) in ask(picture).into_iter().enumerate() {
            if allowed(question.template) {
                let candidate = Candidate {
                    picture: picture as u32,
                    question: number as u32,
                    wordings: question.wordings.len() as u32,
                };
                let group = groups.entry((question.template, question.meaning)).or_default();
                group.entry(question.answer).or_default().push(candidate);
            }
        }
    }
    let mut rounds: BTreeMap<Template, Vec<Round>> = BTreeMap::new();
    for ((template, meaning), answers) in groups {
        let mut chance = Chance::of_text(seed, Stream::Questions, &format!("{purpose}: {meaning}"));
        rounds.entry(template).or_default().extend(rounds_of(answers, &mut chance));
    }
    for (template, rounds) in &mut rounds {
        Chance::of_text(seed, Stream::Questions, &format!("{purpose}: {template:?}")).shuffle(rounds);
    }
    take_turns(rounds, pictures, each)
}

fn rounds_of(answers: BTreeMap<String, Vec<Candidate>>, chance: &mut Chance) -> Vec<Round> {
    let mut buckets: Vec<Vec<Candidate>> = answers.into_values().collect();
    // The most frequent first; the sort is stable, so equal ones stay in the order of the answers.
    buckets.sort_by_key(|bucket| std::cmp::Reverse(bucket.len()));
    let best = (2..=buckets.len()).max_by_key(|&answers| answers * buckets[answers - 1].len());
    let Some(answers) = best else { return vec![] };
    buckets.truncate(answers);
    let times = buckets[answers - 1].len();
    for bucket in &mut buckets {
        chance.shuffle(bucket);
    }
    let round = |time: usize| {
        let wording = chance.below(buckets[0][time].wordings as usize);
        let chosen = buckets.iter().map(|bucket| Chosen {
            picture: bucket[time].picture as usize,
            question: bucket[time].question as usize,
            wording,
        });
        chosen.collect()
    };
    (0..times).map(round).collect()
}

/// One round of each template after the other, until there are enough questions or no rounds.
fn take_turns(rounds: BTreeMap<Template, Vec<Round>>, pictures: usize, each: usize) -> Vec<Chosen> {
    let mut load = vec![0usize; pictures];
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut queues: Vec<(usize, std::vec::IntoIter<Round>)> =
        rounds.into_iter().map(|(template, rounds)| (template.weight(), rounds.into_iter())).collect();
    while chosen.len() < pictures * each && !queues.is_empty() {
        queues.retain_mut(|(weight, queue)| {
            for _ in 0..*weight {
                let free = |round: &Round| round.iter().all(|one| load[one.picture] < CROWDED * each);
                let Some(round) = queue.find(free) else { return false };
                for one in round {
                    load[one.picture] += 1;
                    chosen.push(one);
                }
            }
            true
        });
    }
    chosen.sort_by_key(|one| (one.picture, one.question, one.wording));
    chosen
}
