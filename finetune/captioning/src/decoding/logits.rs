//! One row of logits: normalisation, selection, penalties. v = vocabulary.

use std::cmp::Ordering;

use crate::{Error, Result};

/// Which row it is, for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) image: usize,
    pub(crate) length: usize,
}

/// `log sum exp` of a row of logits: what has to be taken from a logit for its log-probability.
pub(crate) fn log_normaliser(logits_v: &[f32], place: Place) -> Result<f64> {
    let highest = highest(logits_v, place)?;
    let sum: f64 = logits_v.chunks(BLOCK).map(|block| f64::from(sum_of_exponentials(block, highest))).sum();
    Ok(f64::from(highest) + sum.ln())
}

/// Replaces logits by exponentials of their distances from the highest one, and returns their sum.
pub(crate) fn exponentials(logits_v: &mut [f32], place: Place) -> Result<f64> {
    let highest = highest(logits_v, place)?;
    logits_v.iter_mut().for_each(|logit| *logit = exponential(*logit - highest));
    Ok(logits_v.chunks(BLOCK).map(sum_of_block).sum())
}

/// The token at which weights, added up in the order of tokens, exceed `target`; the last possible one where they do not.
pub(crate) fn at_sum(weights_v: &[f32], target: f64) -> u32 {
    let (mut before, mut last) = (0.0, 0);
    for (number, block) in weights_v.chunks(BLOCK).enumerate() {
        let sum = sum_of_block(block);
        if sum == 0.0 {
            continue;
        }
        let is_here = before + sum > target;
        let mut within = before;
        for (place, weight) in block.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            last = number * BLOCK + place;
            within += f64::from(*weight);
            if is_here && within > target {
                break;
            }
        }
        if is_here {
            break;
        }
        before += sum;
    }
    last as u32
}

/// The repetition penalty (Paper: 1909.05858, section 4.1, in its published form): a logit of a token that is in the caption
/// already, `[CLS]` included, is multiplied by the penalty where it is negative and divided by it elsewhere, once.
pub(crate) fn penalise(logits_v: &mut [f32], tokens: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    for (position, &token) in tokens.iter().enumerate() {
        if let Some(logit) = logits_v.get_mut(token as usize)
            && !tokens[..position].contains(&token)
        {
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
        }
    }
}

/// The `n` highest logits with their tokens, highest first, equal ones in the order of tokens; without those that `skip` names
/// and without forbidden ones. The row is read once and not sorted.
pub(crate) fn best(logits_v: &[f32], n: usize, skip: impl Fn(u32) -> bool) -> Vec<(f32, u32)> {
    let mut found: Vec<(f32, u32)> = Vec::with_capacity(n + 1);
    // Below or equal: not among the best, whatever comes.
    let mut bar = f32::NEG_INFINITY;
    for (token, &logit) in (0u32..).zip(logits_v) {
        if logit <= bar || skip(token) {
            continue;
        }
        let place = found.partition_point(|(better, _)| *better >= logit);
        found.insert(place, (logit, token));
        found.truncate(n);
        if found.len() == n {
            bar = found.last().map_or(f32::INFINITY, |(lowest, _)| *lowest);
        }
    }
    found
}

/// Higher scores first; no score is NaN.
pub(crate) fn descending(one: f64, other: f64) -> Ordering {
    other.total_cmp(&one)
}

fn highest(logits_v: &[f32], place: Place) -> Result<f32> {
    let higher = |one: f32, other: f32| if other > one { other } else { one };
    let (whole, rest) = logits_v.as_chunks::<LANES>();
    let (mut lanes, mut numbers) = ([f32::NEG_INFINITY; LANES], [true; LANES]);
    for chunk in whole {
        for lane in 0..LANES {
            numbers[lane] &= !chunk[lane].is_nan();
            lanes[lane] = higher(lanes[lane], chunk[lane]);
        }
    }
    let numbers = numbers == [true; LANES] && !rest.iter().any(|logit| logit.is_nan());
    let highest = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, higher);
    let (problem, hint) = match highest {
        _ if !numbers => {
            ("hold what is no number", "look for NaN in the weights and in the features of the picture")
        }
        f32::INFINITY => ("are infinite", "look for overflow in the model"),
        f32::NEG_INFINITY => ("forbid every token", "leave at least [SEP] possible"),
        _ => return Ok(highest),
    };
    Err(Error::Logits { image: place.image, length: place.length, problem, hint })
}

/// Summed in f32 before f64 takes over.
const BLOCK: usize = 256;
/// Sums and maxima run in so many lanes, which the compiler turns into vectors.
const LANES: usize = 16;

fn sum_of_block(weights: &[f32]) -> f64 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = weights.as_chunks::<LANES>();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, weight)| *lane += weight);
    }
    f64::from(lanes.into_iter().chain(rest.iter().copied()).sum::<f32>())
}

fn sum_of_exponentials(block: &[f32], highest: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = block.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane += exponential(logit - highest);
        }
    }
    lanes.into_iter().chain(rest.iter().map(|logit| exponential(logit - highest))).sum()
}

/// `exp(x)` for x <= 0 in arithmetic that vectorises and has the same bits on every system: x = n ln 2 + r with |r| <= ln 2 / 2,
/// exp(r) by its series up to r^7 (remainder below 4e-9 of it). Below -87, where f32 ends, 0.
fn exponential(x: f32) -> f32 {
    /// Adding and taking away 1.5 * 2^23 rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let held = if x < -87.0 { -87.0 } else { x };
    // n stands in the low bits of the rounded number.
    let rounded = held * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = held - n * LN_2_HIGH - n * LN_2_LOW;
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let power = f32::from_bits(exponent << 23);
    if x < -87.0 { 0.0 } else { series * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { image: 3, length: 2 };

    #[test]
    fn the_exponential_is_one() {
        let worst = (0..=870_000).map(|i| -(i as f32) * 1e-4).fold(0f64, |worst, x| {
            let wanted = f64::from(x).exp();
            worst.max((f64::from(exponential(x)) / wanted - 1.0).abs())
        });
        assert!(worst < 4e-7, "{worst}");
        assert_eq!((exponential(0.0), exponential(-87.5), exponential(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn normalisers() {
        for n in [1, 2, 15, 16, 17, 255, 256, 257, 30_522] {
            let logits: Vec<f32> = (0..n).map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 50.0).collect();
            let wanted = logits.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
            let got = log_normaliser(&logits, HERE).unwrap();
            assert!((got - wanted).abs() < 1e-6, "{n}: {got}, not {wanted}");
            let mut weights = logits.clone();
            let sum = exponentials(&mut weights, HERE).unwrap();
            let highest = logits.iter().copied().fold(f32::MIN, f32::max);
            assert!((sum.ln() + f64::from(highest) - wanted).abs() < 1e-6);
        }
        assert!(
            (log_normaliser(&[1e4, f32::NEG_INFINITY, 1e4], HERE).unwrap() - 1e4 - 2f64.ln()).abs() < 1e-3
        );
    }

    #[test]
    fn what_is_no_score() {
        let nan = [0.0, f32::NAN, 1.0];
        let forbidden = [f32::NEG_INFINITY; 3];
        for (logits, part) in [
            (&nan, "no number"),
            (&[0.0, f32::INFINITY, 1.0], "infinite"),
            (&forbidden, "forbid every token"),
        ] {
            let message = log_normaliser(logits, HERE).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("picture 3 at length 2"), "{message}");
            assert!(exponentials(&mut logits.to_vec(), HERE).is_err());
        }
    }

    #[test]
    fn the_best_are_those_of_a_sorted_row() {
        let logits: Vec<f32> = (0..5000).map(|i| (i * 7919 % 337) as f32 / 7.0).collect();
        let odd = |token: u32| token % 2 == 1;
        let mut wanted: Vec<(f32, u32)> = (0u32..)
            .zip(&logits)
            .filter(|(token, _)| !odd(*token))
            .map(|(token, logit)| (*logit, token))
            .collect();
        wanted.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        for n in [1, 2, 10, 400] {
            assert_eq!(best(&logits, n, odd), wanted[..n]);
        }
        assert_eq!(best(&[1.0, f32::NEG_INFINITY, 2.0], 9, |_| false), [(2.0, 2), (1.0, 0)]);
    }

    #[test]
    fn where_a_sum_is_reached() {
        let weights = [0.0, 2.0, 0.0, 1.0, 0.0];
        assert_eq!([0.0, 1.9, 2.0, 2.9, 3.0].map(|target| at_sum(&weights, target)), [1, 1, 3, 3, 3]);
        let mut weights = vec![1.0; 1000];
        weights[256..600].fill(0.0);
        for (target, token) in
            [(0.0, 0), (255.5, 255), (256.0, 600), (300.5, 644), (655.0, 999), (700.0, 999)]
        {
            assert_eq!(at_sum(&weights, target), token, "{target}");
        }
    }

    #[test]
    fn repetition_counts_once() {
        let mut logits = [2.0, -2.0, 4.0, -4.0];
        penalise(&mut logits, &[1, 2, 1, 2, 7], 2.0);
        assert_eq!(logits, [2.0, -4.0, 2.0, -4.0]);
    }
}
