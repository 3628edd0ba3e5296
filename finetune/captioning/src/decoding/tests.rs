use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{
    Error,
    made_up::{MadeUp, SPECIAL},
};

const DRAWS: Draws = Draws { seed: 5, step: 7, first_image: 0 };

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-5
}

/// Beam search as its documentation says it, one picture, everything sorted.
fn plain_beam_search(model: &MadeUp, image: usize, settings: &BeamSettings) -> Vec<(Vec<u32>, f64)> {
    let power = |length: usize| (length as f64).powf(settings.length_penalty);
    let mut open = vec![(vec![SPECIAL.cls], 0.0)];
    let mut finished: Vec<(Vec<u32>, f64)> = Vec::new();
    for length in 1..settings.max_length {
        let mut candidates = Vec::new();
        for (tokens, sum) in &open {
            for (token, more) in (0u32..).zip(model.log_probabilities(image, tokens)) {
                let grown: Vec<u32> = tokens.iter().copied().chain([token]).collect();
                candidates.push((grown, sum + more));
            }
        }
        candidates.retain(|(_, sum)| *sum > f64::NEG_INFINITY);
        candidates.sort_by(|one, other| other.1.total_cmp(&one.1));
        candidates.truncate(2 * settings.beams);
        let best = candidates[0].1 / power(settings.max_length - 1);
        if finished.len() == settings.keep && finished.iter().all(|(_, score)| *score >= best) {
            break;
        }
        open.clear();
        for (grown, sum) in candidates {
            if grown.last() == Some(&SPECIAL.sep) || length + 1 == settings.max_length {
                finished.push((grown[1..].to_vec(), sum / power(length)));
                finished.sort_by(|one, other| other.1.total_cmp(&one.1));
                finished.truncate(settings.keep);
            } else {
                open.push((grown, sum));
            }
            if open.len() == settings.beams {
                break;
            }
        }
        if open.is_empty() {
            break;
        }
    }
    finished
}

proptest! {
    #[test]
    fn narrow_beams_are_as_documented(
        seed in any::<u64>(), vocabulary in 4usize..12, max_length in 2usize..9, beams in 1usize..5,
        length_penalty in 0.3f64..2.5,
    ) {
        for keep in 1..=beams {
            let mut model = MadeUp::new(seed, vocabulary, 2);
            let settings = BeamSettings { max_length, beams, keep, length_penalty, ..BeamSettings::default() };
            let got = beam_search(&mut model, 2, SPECIAL, &settings).unwrap();
            for (image, got) in got.iter().enumerate() {
                let wanted = plain_beam_search(&model, image, &settings);
                prop_assert_eq!(got.len(), wanted.len());
                for (got, (tokens, score)) in got.iter().zip(&wanted) {
                    prop_assert_eq!(&got.tokens, tokens);
                    prop_assert!(close(got.score, *score));
                }
            }
        }
    }

    /// With room for every open caption, beam search finds what looking at all captions finds.
    #[test]
    fn wide_beams_find_the_best(
        seed in any::<u64>(), vocabulary in 4usize..7, max_length in 2usize..6, keep in 1usize..5,
        length_penalty in 0.3f64..2.5,
    ) {
        let mut model = MadeUp::new(seed, vocabulary, 2);
        let settings = BeamSettings { max_length, beams: 300, keep, length_penalty, ..BeamSettings::default() };
        let got = beam_search(&mut model, 2, SPECIAL, &settings).unwrap();
        for (image, got) in got.iter().enumerate() {
            let mut wanted: Vec<(Vec<u32>, f64)> = model.all_captions(image, max_length - 1);
            wanted.iter_mut().for_each(|(tokens, sum)| *sum /= (tokens.len() as f64).powf(length_penalty));
            wanted.sort_by(|one, other| other.1.total_cmp(&one.1));
            prop_assert_eq!(got.len(), keep.min(wanted.len()));
            for (got, (_, score)) in got.iter().zip(&wanted) {
                prop_assert!(close(got.score, *score), "{:?} {:?}", got, wanted);
                let own = wanted.iter().find(|(tokens, _)| *tokens == got.tokens).unwrap();
                prop_assert!(close(own.1, *score));
            }
        }
    }

    /// Narrow beams: every score is that of its tokens, best first, and a batch does not change what a picture gets.
    #[test]
    fn scores_are_those_of_the_tokens(
        seed in any::<u64>(), beams in 1usize..5, max_length in 2usize..9, penalty in 1f32..2.0,
    ) {
        let settings =
            BeamSettings { max_length, beams, keep: beams, repetition_penalty: penalty, ..BeamSettings::default() };
        let mut model = MadeUp::new(seed, 12, 3);
        let got = beam_search(&mut model, 3, SPECIAL, &settings).unwrap();
        for (image, captions) in got.iter().enumerate() {
            prop_assert!(!captions.is_empty() && captions.is_sorted_by(|one, other| one.score >= other.score));
            for caption in captions {
                prop_assert!(!caption.words().contains(&SPECIAL.sep));
                prop_assert!(caption.tokens.last() == Some(&SPECIAL.sep) || caption.tokens.len() == max_length - 1);
                let mut sum = 0.0;
                for (position, token) in caption.tokens.iter().enumerate() {
                    let before: Vec<u32> = [SPECIAL.cls].iter().chain(&caption.tokens[..position]).copied().collect();
                    let mut row = model.row(image, &before);
                    logits::penalise(&mut row, &before, penalty);
                    let exps: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
                    sum += f64::from(row[*token as usize]) - exps.ln();
                }
                prop_assert!(close(caption.score, sum / caption.tokens.len() as f64));
            }
            let mut alone = MadeUp { pictures: vec![image as u64], ..MadeUp::new(seed, 12, 1) };
            prop_assert_eq!(&beam_search(&mut alone, 1, SPECIAL, &settings).unwrap()[0], captions);
        }
    }
}

#[test]
fn greedy_takes_the_likeliest() {
    let mut model = MadeUp::new(3, 9, 40);
    let settings = GreedySettings { max_length: 8, ..GreedySettings::default() };
    let got = greedy(&mut model, 40, SPECIAL, &settings).unwrap();
    let (mut ended, mut full) = (0, 0);
    for (image, caption) in got.iter().enumerate() {
        let (mut tokens, mut sum) = (vec![SPECIAL.cls], 0.0);
        while tokens.len() < 8 && tokens.last() != Some(&SPECIAL.sep) {
            let row = model.log_probabilities(image, &tokens);
            let (token, more) = (0u32..).zip(row).max_by(|one, other| one.1.total_cmp(&other.1)).unwrap();
            tokens.push(token);
            sum += more;
        }
        assert_eq!(caption.tokens, tokens[1..]);
        assert!(close(caption.score, sum / caption.tokens.len() as f64));
        assert!(close(caption.confidence(), caption.score.exp()));
        ended += usize::from(caption.tokens.last() == Some(&SPECIAL.sep));
        full += usize::from(caption.tokens.len() == 7);
    }
    assert!(ended > 0 && full > 0, "{ended} ended, {full} are of full length");
}

/// How often each caption is drawn, against its probability, within five deviations.
#[test]
fn captions_are_drawn_as_often_as_they_are_likely() {
    const N: usize = 40_000;
    let mut model = MadeUp::new(11, 5, 1);
    let settings = SamplingSettings { max_length: 4, samples: N, ..SamplingSettings::default() };
    let drawn = sample(&mut model, 1, SPECIAL, &settings, DRAWS).unwrap().remove(0);
    let mut counts: HashMap<Vec<u32>, f64> = HashMap::new();
    for caption in &drawn {
        *counts.entry(caption.tokens.clone()).or_default() += 1.0;
    }
    let all = model.all_captions(0, 3);
    assert!(all.len() > 10);
    for (tokens, sum) in &all {
        let (expected, got) = (N as f64 * sum.exp(), counts.get(tokens).copied().unwrap_or_default());
        assert!((got - expected).abs() < 5.0 * expected.sqrt() + 1.0, "{tokens:?}: {got}, not {expected}");
        if let Some(caption) = drawn.iter().find(|caption| caption.tokens == *tokens) {
            assert!(close(caption.score, sum / tokens.len() as f64));
        }
    }
    assert_eq!(counts.values().sum::<f64>(), N as f64);
}

#[test]
fn a_cut_distribution_is_the_one_that_is_scored() {
    let first = |settings: SamplingSettings| {
        let mut model = MadeUp::new(2, 30, 1);
        let settings = SamplingSettings { max_length: 2, samples: 4000, ..settings };
        let drawn = sample(&mut model, 1, SPECIAL, &settings, DRAWS).unwrap().remove(0);
        let found: HashMap<u32, f64> =
            drawn.iter().map(|caption| (caption.tokens[0], caption.score)).collect();
        let all: f64 = found.values().map(|score| score.exp()).sum();
        assert!(close(all, 1.0), "the tokens that come make up everything: {found:?}");
        found.len()
    };
    assert_eq!(first(SamplingSettings::default()), 28);
    assert_eq!(first(SamplingSettings { top_k: 4, ..SamplingSettings::default() }), 4);
    assert_eq!(first(SamplingSettings { top_p: 0.0, ..SamplingSettings::default() }), 1);
    let half = first(SamplingSettings { top_p: 0.5, ..SamplingSettings::default() });
    assert!((2..14).contains(&half), "{half}");
    // Nearly cold: the likeliest token is all of it.
    let cold = first(SamplingSettings { temperature: 0.01, ..SamplingSettings::default() });
    assert!(cold <= 2, "{cold}");
    let both = SamplingSettings { top_k: 6, top_p: 0.4, ..SamplingSettings::default() };
    assert_eq!(first(SamplingSettings { top_p: 1.0, ..both }), 6);
    assert!((2..6).contains(&first(both)), "the share is of what is left of the six");
}

/// Logits divided by the temperature, then normalised.
#[test]
fn heat_flattens() {
    for temperature in [0.5, 3.0] {
        let mut model = MadeUp::new(4, 12, 1);
        let settings = SamplingSettings { max_length: 2, samples: 2000, temperature, ..Default::default() };
        let drawn = sample(&mut model, 1, SPECIAL, &settings, DRAWS).unwrap().remove(0);
        let weights: Vec<f64> = model
            .row(0, &[SPECIAL.cls])
            .iter()
            .map(|logit| (f64::from(*logit) / f64::from(temperature)).exp())
            .collect();
        for caption in &drawn {
            let share = weights[caption.tokens[0] as usize] / weights.iter().sum::<f64>();
            assert!(close(caption.score, share.ln()), "{temperature}: {caption:?}");
        }
    }
}

#[test]
fn draws_belong_to_pictures_and_not_to_batches() {
    let settings = SamplingSettings { max_length: 7, samples: 3, ..SamplingSettings::default() };
    let draw = |pictures: &[u64], draws: Draws| {
        let mut model = MadeUp { pictures: pictures.to_vec(), ..MadeUp::new(6, 14, 1) };
        sample(&mut model, pictures.len(), SPECIAL, &settings, draws).unwrap()
    };
    let all = draw(&[0, 1, 2, 3, 4], DRAWS);
    assert_eq!(draw(&[0, 1], DRAWS), all[..2]);
    assert_eq!(draw(&[2, 3, 4], Draws { first_image: 2, ..DRAWS }), all[2..]);
    assert!(all.iter().all(|drawn| drawn.len() == 3 && !(drawn[0] == drawn[1] && drawn[1] == drawn[2])));
    for draws in [Draws { step: 8, ..DRAWS }, Draws { seed: 6, ..DRAWS }, Draws { first_image: 5, ..DRAWS }] {
        assert_ne!(draw(&[0, 1, 2, 3, 4], draws), all);
    }
}

/// A model that answers wrongly.
struct Broken(fn(&mut [f32]) -> std::result::Result<(), ModelError>);

impl NextToken for Broken {
    fn vocabulary(&self) -> usize {
        6
    }

    fn logits(&mut self, open: &Open, logits_rv: &mut [f32]) -> std::result::Result<(), ModelError> {
        if open.length() < 3 {
            logits_rv.fill(0.0);
            // Nothing ends here.
            logits_rv.chunks_mut(6).for_each(|row| row[SPECIAL.sep as usize] = -9.0);
            return Ok(());
        }
        (self.0)(logits_rv)
    }
}

#[test]
fn what_a_broken_model_is_told() {
    let forgets = |_: &mut [f32]| Ok(());
    let fails = |_: &mut [f32]| Err("no memory".into());
    let half = |logits: &mut [f32]| {
        logits[..6].fill(0.0);
        Ok(())
    };
    for (answer, part) in [
        (forgets as fn(&mut [f32]) -> _, "length 3 hold what is no number"),
        (fails, "cannot score the next token at length 3: no memory"),
        (half, "picture 1 at length 3"),
    ] {
        let mut model = Broken(answer);
        let errors: [Error; 3] = [
            beam_search(&mut model, 2, SPECIAL, &BeamSettings { beams: 1, ..Default::default() })
                .unwrap_err(),
            greedy(&mut model, 2, SPECIAL, &GreedySettings::default()).unwrap_err(),
            sample(&mut model, 2, SPECIAL, &SamplingSettings { samples: 1, ..Default::default() }, DRAWS)
                .unwrap_err(),
        ];
        // What is drawn may end early.
        for error in &errors[..2] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[test]
fn no_pictures_are_no_question() {
    let mut model = MadeUp::new(1, 9, 0);
    assert!(beam_search(&mut model, 0, SPECIAL, &BeamSettings::default()).unwrap().is_empty());
    assert!(greedy(&mut model, 0, SPECIAL, &GreedySettings::default()).unwrap().is_empty());
    assert!(sample(&mut model, 0, SPECIAL, &SamplingSettings::default(), DRAWS).unwrap().is_empty());
    assert_eq!(model.asked, 0);
}
