//! Beam search.

use data_specs::SpecialIds;
use rayon::prelude::*;

use super::{
    BeamSettings, Caption, NextToken,
    logits::{Place, best, descending, log_normaliser, penalise},
    model::{Grown, Steps},
};
use crate::Result;

/// The best captions of each of `images` pictures, best first.
///
/// At every step the `2 * beams` best continuations of a picture's open captions are looked at, best first. One with `[SEP]`,
/// and at full length every one, is finished; others stay open, until there are `beams` of them. Of the finished ones `keep`
/// are kept, by score. A picture is done when even its best continuation, divided by the longest length's power, does not
/// exceed the worst kept score.
///
/// Continuations of equal score come in the order of their captions, then of their tokens. At full length one open caption may
/// finish several times, with several tokens in the place of `[SEP]` and the same words; as published, each counts.
pub fn beam_search(
    model: &mut (impl NextToken + ?Sized),
    images: usize,
    special: SpecialIds,
    settings: &BeamSettings,
) -> Result<Vec<Vec<Caption>>> {
    settings.validate()?;
    let mut steps = Steps::begin(model, 0..images, special.cls)?;
    let mut searches = vec![Search { settings: *settings, finished: Vec::new() }; images];
    let mut sums = vec![0.0; images];
    for length in 1..settings.max_length {
        if steps.open.rows().is_empty() {
            break;
        }
        let continued = continuations(&mut steps, &sums, settings)?;
        let (mut grown, mut next_sums) = (Vec::new(), Vec::new());
        // Rows of a picture stand together.
        for candidates in continued.chunk_by(|one, other| one.image == other.image) {
            let candidates = best_of(candidates, 2 * settings.beams);
            let search = &mut searches[candidates[0].image];
            if search.is_done(candidates[0].sum) {
                continue;
            }
            let mut n_open = 0;
            for candidate in candidates {
                if candidate.token == special.sep || length + 1 == settings.max_length {
                    search.finish(&steps.open.tokens(candidate.row)[1..], candidate);
                    continue;
                }
                grown.push(Grown { parent: candidate.row, token: candidate.token });
                next_sums.push(candidate.sum);
                n_open += 1;
                if n_open == settings.beams {
                    break;
                }
            }
        }
        steps.grow(&grown);
        sums = next_sums;
    }
    Ok(searches.into_iter().map(|search| search.finished).collect())
}

/// A caption with one more token.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    image: usize,
    row: usize,
    token: u32,
    sum: f64,
}

/// The best continuations of every row, row after row.
fn continuations(
    steps: &mut Steps<'_, impl NextToken + ?Sized>,
    sums: &[f64],
    settings: &BeamSettings,
) -> Result<Vec<Candidate>> {
    let vocabulary = steps.vocabulary;
    let (open, logits_rv) = steps.ask()?;
    let of_row = |(row, logits_v): (usize, &mut [f32])| {
        let image = open.rows()[row].image;
        penalise(logits_v, open.tokens(row), settings.repetition_penalty);
        let normaliser = log_normaliser(logits_v, Place { image, length: open.length() })?;
        let candidate =
            |(logit, token)| Candidate { image, row, token, sum: sums[row] + f64::from(logit) - normaliser };
        Ok(best(logits_v, 2 * settings.beams, |_| false).into_iter().map(candidate).collect())
    };
    let by_row: Vec<Vec<Candidate>> =
        logits_rv.par_chunks_mut(vocabulary).enumerate().map(of_row).collect::<Result<_>>()?;
    Ok(by_row.into_iter().flatten().collect())
}

/// The `n` best ones, best first; the sort is stable, so equal ones stay in the order of rows and tokens.
fn best_of(candidates: &[Candidate], n: usize) -> Vec<Candidate> {
    let mut candidates = candidates.to_vec();
    candidates.sort_by(|one, other| descending(one.sum, other.sum));
    candidates.truncate(n);
    candidates
}

/// The finished captions of a picture.
#[derive(Debug, Clone)]
struct Search {
    settings: BeamSettings,
    /// Best first; equal ones in the order in which they finished.
    finished: Vec<Caption>,
}

impl Search {
    fn is_done(&self, best_sum: f64) -> bool {
        let longest = (self.settings.max_length - 1) as f64;
        match self.finished.get(self.settings.keep - 1) {
            Some(worst) => worst.score >= best_sum / longest.powf(self.settings.length_penalty),
            None => false,
        }
    }

    fn finish(&mut self, words: &[u32], candidate: Candidate) {
        let tokens: Vec<u32> = words.iter().copied().chain([candidate.token]).collect();
        let score = candidate.sum / (tokens.len() as f64).powf(self.settings.length_penalty);
        let place = self.finished.partition_point(|better| better.score >= score);
        if place < self.settings.keep {
            self.finished.insert(place, Caption { tokens, score });
            self.finished.truncate(self.settings.keep);
        }
    }
}
