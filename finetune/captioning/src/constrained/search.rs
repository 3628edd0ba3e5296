//! Beam search over the states of an automaton.

use data_specs::SpecialIds;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Automaton,
    automaton::{States, members},
};
use crate::{
    Error, Result,
    decoding::{
        Caption, Grown, NextToken, Place, Steps, at_least_one, best, descending, fits, log_normaliser,
    },
};

/// How captions with constraints are looked for. The defaults are the published ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConstrainedSettings {
    /// Tokens of a caption at most, `[CLS]` counted. Other than without constraints all of them can be words; `[SEP]` then
    /// stands behind them, unscored.
    pub max_length: usize,
    /// Captions of a state.
    pub beams: usize,
    /// Constraints that the caption must satisfy, or all if fewer are given.
    pub satisfy: usize,
}

/// What was found for a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The caption.
    pub caption: Caption,
    /// Which constraints it satisfies, in their order.
    pub satisfied: Vec<bool>,
    /// The captions of every state, main and sub-states, best first.
    pub states: Vec<Vec<StateCaption>>,
}

/// A caption of a state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateCaption {
    /// Its tokens without `[CLS]`; up to and with `[SEP]` if it has ended.
    pub tokens: Vec<u32>,
    /// Sum of their log-probabilities.
    pub log_probability: f64,
    /// Of an open caption: its row at the next call of the model.
    row: Option<usize>,
}

impl Default for ConstrainedSettings {
    fn default() -> Self {
        Self { max_length: 20, beams: 5, satisfy: 2 }
    }
}

impl ConstrainedSettings {
    /// Refuses what cannot be meant.
    pub fn validate(&self) -> Result<()> {
        fits(self.max_length)?;
        at_least_one("beams", self.beams)
    }
}

/// The best caption of each picture of a batch that satisfies enough of its constraints; one automaton a picture.
///
/// Every state has its own beams. A caption goes on with every token into the states that the automaton says; of what comes
/// into a state the best `beams` stay. `[SEP]` ends a caption, which keeps its place among the beams of its state. The search
/// is over when no caption is open, or at full length.
///
/// In the end each main state with enough satisfied constraints offers its likeliest caption, and the one with the highest
/// log-probability a token is taken, `[SEP]` counted; of equal ones that of the lowest state. If no caption of enough
/// satisfied constraints was found (the constraints do not fit into the length), the next lower number is tried, down to 0.
///
/// Captions of equal log-probability come in the order of the states that they were in, their place there, and the token. The
/// same caption can be in several states, and several times in one, as published (see [`Automaton`]); the model is asked for it
/// once.
pub fn constrained_beam_search(
    model: &mut (impl NextToken + ?Sized),
    automata: &[Automaton],
    special: SpecialIds,
    settings: &ConstrainedSettings,
) -> Result<Vec<Found>> {
    settings.validate()?;
    let mut steps = Steps::begin(model, 0..automata.len(), special.cls)?;
    check(automata, steps.vocabulary, special)?;
    let mut pictures: Vec<Vec<Vec<StateCaption>>> = automata.iter().enumerate().map(begin).collect();
    for _ in 1..settings.max_length {
        if steps.open.rows().is_empty() {
            break;
        }
        let (vocabulary, length) = (steps.vocabulary, steps.open.length());
        let (open, logits_rv) = steps.ask()?;
        let logits_rv: &[f32] = logits_rv;
        let normaliser_of = |(row, logits_v): (usize, &[f32])| {
            log_normaliser(logits_v, Place { image: open.rows()[row].image, length })
        };
        let normalisers: Vec<f64> =
            logits_rv.par_chunks(vocabulary).enumerate().map(normaliser_of).collect::<Result<_>>()?;
        let scores = Scores { logits_rv, normalisers: &normalisers, vocabulary, sep: special.sep };
        pictures = pictures
            .par_iter()
            .zip(automata)
            .map(|(states, automaton)| go_on(states, automaton, &scores, settings.beams))
            .collect();
        let mut grown = Vec::new();
        pictures.iter_mut().for_each(|states| share_rows(states, &mut grown));
        steps.grow(&grown);
    }
    let found = pictures.into_iter().zip(automata);
    Ok(found.map(|(states, automaton)| choose(states, automaton, special.sep, settings.satisfy)).collect())
}

/// What a step of the model says.
#[derive(Debug, Clone, Copy)]
struct Scores<'a> {
    logits_rv: &'a [f32],
    normalisers: &'a [f64],
    vocabulary: usize,
    sep: u32,
}

/// A caption that came into a state: from the `place`-th caption of the state `from`.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    from: usize,
    place: usize,
    token: u32,
    log_probability: f64,
}

fn check(automata: &[Automaton], vocabulary: usize, special: SpecialIds) -> Result<()> {
    for (image, automaton) in automata.iter().enumerate() {
        let mut awaited = (0..automaton.states()).flat_map(|state| automaton.awaited(state));
        if let Some(token) = awaited.find(|token| *token as usize >= vocabulary || *token == special.sep) {
            let hint = "constraints are of tokens of the model's vocabulary, without [SEP]";
            let problem = format!("asks for token {token}");
            return Err(Error::Constraint { constraint: format!("of picture {image}"), problem, hint });
        }
    }
    Ok(())
}

/// An empty caption in state 0; row and picture are the same number.
fn begin((image, automaton): (usize, &Automaton)) -> Vec<Vec<StateCaption>> {
    let mut states = vec![Vec::new(); automaton.states()];
    states[0].push(StateCaption { tokens: Vec::new(), log_probability: 0.0, row: Some(image) });
    states
}

/// The captions of all states after one more token. The row of an open one is still its parent's.
fn go_on(
    states: &[Vec<StateCaption>],
    automaton: &Automaton,
    scores: &Scores<'_>,
    beams: usize,
) -> Vec<Vec<StateCaption>> {
    let mut arrived: Vec<Vec<Candidate>> = vec![Vec::new(); states.len()];
    let mut arrive = |targets: States, candidate: Candidate| {
        members(targets).for_each(|state| arrived[state].push(candidate));
    };
    for (from, captions) in states.iter().enumerate() {
        let exceptions = automaton.exceptions(from);
        let is_exception = |token| exceptions.binary_search_by_key(&token, |(token, _)| *token).is_ok();
        for (place, caption) in captions.iter().enumerate() {
            let candidate = |token, more| Candidate {
                from,
                place,
                token,
                log_probability: caption.log_probability + more,
            };
            let Some(row) = caption.row else {
                arrive(automaton.targets(from, scores.sep), candidate(scores.sep, 0.0));
                continue;
            };
            let logits_v = &scores.logits_rv[row * scores.vocabulary..][..scores.vocabulary];
            let more = |logit: f32| f64::from(logit) - scores.normalisers[row];
            for &(token, targets) in exceptions {
                let logit = logits_v[token as usize];
                if logit > f32::NEG_INFINITY {
                    arrive(targets, candidate(token, more(logit)));
                }
            }
            for (logit, token) in best(logits_v, beams, is_exception) {
                arrive(automaton.default(from), candidate(token, more(logit)));
            }
        }
    }
    let enter = |mut candidates: Vec<Candidate>| {
        candidates.sort_by(|one, other| {
            descending(one.log_probability, other.log_probability)
                .then_with(|| (one.from, one.place, one.token).cmp(&(other.from, other.place, other.token)))
        });
        candidates.truncate(beams);
        candidates.into_iter().map(|candidate| longer(states, candidate, scores.sep)).collect()
    };
    arrived.into_iter().map(enter).collect()
}

fn longer(states: &[Vec<StateCaption>], candidate: Candidate, sep: u32) -> StateCaption {
    let parent = &states[candidate.from][candidate.place];
    let mut tokens = parent.tokens.clone();
    if parent.row.is_some() {
        tokens.push(candidate.token);
    }
    let row = parent.row.filter(|_| candidate.token != sep);
    StateCaption { tokens, log_probability: candidate.log_probability, row }
}

/// Gives the open captions of a picture their rows at the next call. Equal captions share one: they have one parent row, because
/// their parents were equal too.
fn share_rows(states: &mut [Vec<StateCaption>], grown: &mut Vec<Grown>) {
    let first = grown.len();
    let grown_of = |caption: &StateCaption| {
        caption.row.zip(caption.tokens.last()).map(|(parent, token)| Grown { parent, token: *token })
    };
    let mut different: Vec<Grown> = states.iter().flatten().filter_map(grown_of).collect();
    different.sort_unstable();
    different.dedup();
    for caption in states.iter_mut().flatten() {
        caption.row = grown_of(caption).map(|grown| {
            first + different.binary_search(&grown).expect("it was collected from the same captions")
        });
    }
    grown.extend(different);
}

fn choose(states: Vec<Vec<StateCaption>>, automaton: &Automaton, sep: u32, satisfy: usize) -> Found {
    let given = automaton.given();
    let best_of = |offering: &mut dyn Iterator<Item = usize>| {
        let mut best: Option<(usize, Caption)> = None;
        for state in offering {
            let Some(caption) = states[state].first().map(|caption| finished(caption, sep)) else { continue };
            if best.as_ref().is_none_or(|(_, best)| caption.score > best.score) {
                best = Some((state, caption));
            }
        }
        best
    };
    let (state, caption) = (0..=satisfy.min(given))
        .rev()
        .find_map(|enough| {
            best_of(&mut (0..1usize << given).filter(|state| state.count_ones() as usize >= enough))
        })
        // Where the model forbids all other tokens, every caption may have stopped within a constraint.
        .or_else(|| best_of(&mut (Automaton::MAIN_STATES..states.len())))
        .expect("every token leads somewhere, and no row forbids all tokens");
    let main = automaton.main_state(state);
    let satisfied = (0..given).map(|constraint| main >> constraint & 1 == 1).collect();
    Found { caption, satisfied, states }
}

/// With `[SEP]`, and scored by the token.
fn finished(caption: &StateCaption, sep: u32) -> Caption {
    let mut tokens = caption.tokens.clone();
    if tokens.last() != Some(&sep) {
        tokens.push(sep);
    }
    let score = caption.log_probability / tokens.len() as f64;
    Caption { tokens, score }
}
