//! One caption at a time: the most likely token, or one drawn.

use data_specs::SpecialIds;
use pretrain_training::{Generator, Stream};
use rayon::prelude::*;

use super::{
    Caption, GreedySettings, NextToken, Open, SamplingSettings,
    logits::{Place, at_sum, best, exponentials, log_normaliser, penalise},
    model::{Grown, Steps},
};
use crate::Result;

/// Where the random numbers of drawn captions are taken from. A caption depends on the seed, the step, the number of its
/// picture and its own number among the picture's, not on the batch or rank that it is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    /// The run's.
    pub seed: u64,
    /// The training step.
    pub step: u32,
    /// Number of the batch's first picture among those of the step, over all ranks.
    pub first_image: u64,
}

/// The caption of each of `images` pictures that takes the most likely token at every step; of equal ones the lowest.
pub fn greedy(
    model: &mut (impl NextToken + ?Sized),
    images: usize,
    special: SpecialIds,
    settings: &GreedySettings,
) -> Result<Vec<Caption>> {
    settings.validate()?;
    let choose = |_, open: &Open, row: usize, logits_v: &mut [f32]| {
        let place = Place { image: open.rows()[row].image, length: open.length() };
        penalise(logits_v, open.tokens(row), settings.repetition_penalty);
        let normaliser = log_normaliser(logits_v, place)?;
        let (logit, token) = best(logits_v, 1, |_| false)[0];
        Ok(Choice { token, log_probability: f64::from(logit) - normaliser })
    };
    one_by_one(model, 0..images, special, settings.max_length, choose)
}

/// `samples` drawn captions of each of `images` pictures.
///
/// Logits are penalised, divided by the temperature, cut to `top_k`, then to `top_p`; what is left is normalised, drawn from
/// and scored. Every caption is a row of its own from the first step on, so that a model in training may drop out
/// differently for each.
pub fn sample(
    model: &mut (impl NextToken + ?Sized),
    images: usize,
    special: SpecialIds,
    settings: &SamplingSettings,
    draws: Draws,
) -> Result<Vec<Vec<Caption>>> {
    settings.validate()?;
    let generator = Generator::new(draws.seed, Stream::Sampling, draws.step);
    let choose = |caption: usize, open: &Open, row: usize, logits_v: &mut [f32]| {
        let place = Place { image: open.rows()[row].image, length: open.length() };
        penalise(logits_v, open.tokens(row), settings.repetition_penalty);
        logits_v.iter_mut().for_each(|logit| *logit /= settings.temperature);
        keep_top_k(logits_v, settings.top_k);
        let mut sum = exponentials(logits_v, place)?;
        if settings.top_p < 1.0 {
            sum = keep_top_p(logits_v, sum, f64::from(settings.top_p));
        }
        // Positions end far below 2^16.
        let number = draws.first_image * settings.samples as u64 + caption as u64;
        let token = at_sum(logits_v, sum * generator.unit(number << 16 | open.length() as u64));
        Ok(Choice { token, log_probability: (f64::from(logits_v[token as usize]) / sum).ln() })
    };
    let rows = (0..images).flat_map(|image| std::iter::repeat_n(image, settings.samples));
    let captions = one_by_one(model, rows, special, settings.max_length, choose)?;
    Ok(captions.chunks(settings.samples).map(<[Caption]>::to_vec).collect())
}

/// The token that a row goes on with.
#[derive(Debug, Clone, Copy)]
struct Choice {
    token: u32,
    log_probability: f64,
}

/// One caption for each of `images`, whose tokens `choose` says: by the number of the caption, the open rows, the caption's row
/// among them, and its logits.
fn one_by_one(
    model: &mut (impl NextToken + ?Sized),
    images: impl Iterator<Item = usize>,
    special: SpecialIds,
    max_length: usize,
    choose: impl Fn(usize, &Open, usize, &mut [f32]) -> Result<Choice> + Sync,
) -> Result<Vec<Caption>> {
    let mut steps = Steps::begin(model, images, special.cls)?;
    // Which caption a row is, and all captions with the sums of their log-probabilities.
    let mut numbers: Vec<usize> = (0..steps.open.rows().len()).collect();
    let mut captions = vec![Caption { tokens: Vec::new(), score: 0.0 }; numbers.len()];
    for _ in 1..max_length {
        if numbers.is_empty() {
            break;
        }
        let vocabulary = steps.vocabulary;
        let (open, logits_rv) = steps.ask()?;
        let chosen: Vec<Choice> = logits_rv
            .par_chunks_mut(vocabulary)
            .enumerate()
            .map(|(row, logits_v)| choose(numbers[row], open, row, logits_v))
            .collect::<Result<_>>()?;
        for (number, choice) in numbers.iter().zip(&chosen) {
            captions[*number].tokens.push(choice.token);
            captions[*number].score += choice.log_probability;
        }
        let goes_on: Vec<usize> = (0..chosen.len()).filter(|row| chosen[*row].token != special.sep).collect();
        let grown: Vec<Grown> =
            goes_on.iter().map(|row| Grown { parent: *row, token: chosen[*row].token }).collect();
        steps.grow(&grown);
        numbers = goes_on.iter().map(|row| numbers[*row]).collect();
    }
    captions.iter_mut().for_each(|caption| caption.score /= caption.tokens.len() as f64);
    Ok(captions)
}

/// Forbids what is less likely than the `k` likeliest tokens.
fn keep_top_k(logits_v: &mut [f32], k: usize) {
    if k == 0 || k >= logits_v.len() {
        return;
    }
    let mut values = logits_v.to_vec();
    let (_, bar, _) = values.select_nth_unstable_by(k - 1, |one, other| other.total_cmp(one));
    let bar = *bar;
    logits_v.iter_mut().filter(|logit| **logit < bar).for_each(|logit| *logit = f32::NEG_INFINITY);
}

/// Leaves the likeliest tokens whose weights together just exceed `p` of `sum`, at least one; of equal ones the lowest. Returns
/// the sum of those left. Only as many tokens as needed are put in order.
fn keep_top_p(weights_v: &mut [f32], sum: f64, p: f64) -> f64 {
    let possible = weights_v.iter().copied().zip(0u32..).filter(|(weight, _)| *weight > 0.0);
    let mut order: Vec<(f32, u32)> = possible.collect();
    let heavier = |one: &(f32, u32), other: &(f32, u32)| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1));
    let (mut sorted, mut kept, mut left) = (0, 0, 0.0);
    while kept < order.len() && (kept == 0 || left <= p * sum) {
        if kept == sorted {
            let rest = &mut order[sorted..];
            let more = rest.len().min(sorted.max(64));
            if more < rest.len() {
                rest.select_nth_unstable_by(more, heavier);
            }
            rest[..more].sort_unstable_by(heavier);
            sorted += more;
        }
        left += f64::from(order[kept].0);
        kept += 1;
    }
    order[kept..].iter().for_each(|(_, token)| weights_v[*token as usize] = 0.0);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_k() {
        let mut logits = [1.0, 3.0, 2.0, 2.0, -1.0];
        keep_top_k(&mut logits, 2);
        let gone = f32::NEG_INFINITY;
        assert_eq!(logits, [gone, 3.0, 2.0, 2.0, gone], "equal to the last one: both");
        keep_top_k(&mut logits, 0);
        keep_top_k(&mut logits, 5);
        assert_eq!(logits, [gone, 3.0, 2.0, 2.0, gone]);
    }

    #[test]
    fn the_likeliest_share() {
        for (p, wanted, left) in [
            (0.0, [0.0, 4.0, 0.0, 0.0], 4.0),
            (0.3, [0.0, 4.0, 0.0, 0.0], 4.0),
            (0.5, [0.0, 4.0, 0.0, 3.0], 7.0),
            (0.75, [2.0, 4.0, 0.0, 3.0], 9.0),
            (0.95, [2.0, 4.0, 1.0, 3.0], 10.0),
        ] {
            let mut weights = [2.0, 4.0, 1.0, 3.0];
            assert_eq!((keep_top_p(&mut weights, 10.0, p), weights), (left, wanted), "{p}");
        }
        // Many equal ones, in several portions: the lowest tokens stay.
        let mut weights = vec![1.0f32; 1000];
        assert_eq!(keep_top_p(&mut weights, 1000.0, 0.5), 501.0);
        assert!(weights[..501].iter().all(|w| *w == 1.0) && weights[501..].iter().all(|w| *w == 0.0));
    }
}
