use data_specs::SpecialIds;

use super::*;

const SPECIAL: SpecialIds = SpecialIds { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
const VOCABULARY: u32 = 1000;

/// Five deviations of a share of `n` draws.
fn near(count: usize, n: usize, share: f64) {
    let deviation = (n as f64 * share * (1.0 - share)).sqrt();
    assert!((count as f64 - n as f64 * share).abs() < 5.0 * deviation, "{count} of {n} is not {share}");
}

#[test]
fn tokens_are_hidden_in_the_published_shares() {
    let settings = ObjectiveSettings::default();
    let masking = Masking::new(&settings, SPECIAL.mask, VOCABULARY);
    let (a, b): (Vec<u32>, Vec<u32>) = ((500..520).collect(), (600..612).collect());
    let clean = Sequence::lay_out(&a, &b, SPECIAL, 35);
    let (mut n, mut asked, mut masked, mut unchanged, mut low) = (0, 0, 0, 0, 0);
    let mut others = Vec::new();
    let mut at = [0usize; 35];
    for step in 0..40 {
        for place in 0..256 {
            let mut sequence = clean.clone();
            let labels = masking.hide(&mut sequence, 9, step, place);
            assert_eq!(labels.len(), 35);
            for (position, label) in labels.iter().enumerate() {
                let (was, is) = (clean.token_ids[position], sequence.token_ids[position]);
                if [0, 21, 34].contains(&position) {
                    assert!(*label == -1 && was == is && [SPECIAL.cls, SPECIAL.sep].contains(&is));
                    continue;
                }
                n += 1;
                if *label == -1 {
                    assert_eq!(was, is);
                    continue;
                }
                assert_eq!(*label, i64::from(was));
                (asked, at[position]) = (asked + 1, at[position] + 1);
                match is {
                    4 => masked += 1,
                    is if is == was => unchanged += 1,
                    is => others.push(is),
                }
            }
            let again = masking.hide(&mut clean.clone(), 9, step, place);
            assert_eq!(again, labels, "a draw is a function of seed, step and place");
        }
    }
    near(asked, n, 0.15);
    near(masked, asked, 0.8 + 0.1 / 1000.0);
    near(unchanged, asked, 0.1 + 0.1 / 1000.0);
    near(others.len(), asked, 0.1 * 0.998);
    low += others.iter().filter(|id| **id < 100).count();
    near(low, others.len(), 0.1 * 99.0 / 99.8);
    assert!(others.iter().all(|id| *id < VOCABULARY) && others.contains(&SPECIAL.cls));
    at.iter().filter(|count| **count > 0).for_each(|count| near(*count, 40 * 256, 0.15));

    // neighbours in place, position and step do not decide alike
    let hidden = |step, place| masking.hide(&mut clean.clone(), 9, step, place);
    let together = |other: &dyn Fn(u32, u32) -> Vec<i64>| {
        let both = |place: u32| {
            let (one, two) = (hidden(0, place), other(0, place));
            one.iter().zip(&two).filter(|(one, two)| **one >= 0 && **two >= 0).count()
        };
        (0..4096).map(both).sum::<usize>()
    };
    near(together(&|step, place| hidden(step, place + 1)), 4096 * 32, 0.15 * 0.15);
    near(together(&|step, place| hidden(step + 1, place)), 4096 * 32, 0.15 * 0.15);
    // position p and position p - moved of the next place; so many of both are tokens of a or b
    for (moved, n) in [(1, 30), (2, 29)] {
        let shifted = |step, place| {
            let mut labels = hidden(step, place + 1);
            labels.rotate_right(moved);
            labels
        };
        near(together(&shifted), 4096 * n, 0.15 * 0.15);
    }
}

#[test]
fn the_parts_are_exchanged_in_the_published_shares() {
    const N: usize = 20_000;
    let counted = |settings: ObjectiveSettings, has_b: bool| {
        let mut counts = [0; 3];
        for place in 0..N as u32 {
            let draws = PollutionDraws::new(5, place / 1000, place % 1000);
            counts[settings.exchange(draws.share(), has_b) as usize] += 1;
        }
        counts
    };
    let binary = ObjectiveSettings::default();
    let three_way = ObjectiveSettings { wrong_text: 0.25, ..binary };

    let [clean, b, a] = counted(binary, true);
    near(clean, N, 0.5);
    assert_eq!((b, a), (N - clean, 0));
    let [clean, b, a] = counted(three_way, true);
    near(clean, N, 0.5);
    near(b, N, 0.25);
    near(a, N, 0.25);
    let [clean, b, a] = counted(three_way, false);
    near(clean, N, 0.5);
    assert_eq!((b, a), (0, N - clean));
    assert_eq!(counted(ObjectiveSettings { pollution: 0.0, ..binary }, true), [N, 0, 0]);
    let [clean, ..] = counted(ObjectiveSettings { pollution: 1.0, ..binary }, true);
    assert_eq!(clean, 0);
}

#[test]
fn candidates_are_even_and_their_coins_fair() {
    const N: usize = 35_000;
    let mut counts = [[0; 2]; 7];
    for place in 0..N as u32 / 7 {
        for attempt in 1..8 {
            let (number, coin) = PollutionDraws::new(1, 3, place).candidate(attempt, 7);
            counts[number as usize][usize::from(coin)] += 1;
        }
    }
    counts.as_flattened().iter().for_each(|count| near(*count, N, 1.0 / 14.0));
}

#[test]
fn no_two_samples_share_a_draw() {
    let mut drawn: Vec<u64> = Vec::new();
    for (step, place) in (0..3).flat_map(|step| (0..60).map(move |place| (step, place))) {
        let draws = PollutionDraws::new(1, step, place);
        drawn.push((draws.share() * (1u64 << 52) as f64) as u64);
        drawn.extend((1..60).map(|attempt| draws.candidate(attempt, 1 << 52).0));
    }
    let n = drawn.len();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), n);
}

/// C and the labels, as the published code has them.
#[test]
fn classes_are_numbered_as_published() {
    let default = ObjectiveSettings::default();
    let cases = [
        // wrong_text, tags -> C; labels of nothing, wrong b, wrong a
        (0.0, true, 2, [0, 1, 1]),
        (0.0, false, 3, [0, 1, 2]),
        (0.25, true, 3, [0, 1, 2]),
        (0.25, false, 3, [0, 1, 2]),
        (0.5, true, 2, [0, 1, 1]),
        (0.5, false, 2, [0, 1, 1]),
    ];
    for (wrong_text, tags, n_classes, labels) in cases {
        let settings = ObjectiveSettings { wrong_text, ..default };
        settings.validate(tags).unwrap();
        assert_eq!(settings.n_classes(tags), n_classes, "{wrong_text}, {tags}");
        let found = [Exchange::Nothing, Exchange::B, Exchange::A].map(|exchange| exchange.label(n_classes));
        assert_eq!(found, labels, "{wrong_text}, {tags}");
    }
}

#[test]
fn sequences_are_laid_out_and_cut_as_published() {
    // tokens of a, of b, and the limit; what is left of them
    let cases = [
        ((3, 2, 35), (3, 2)),
        ((20, 12, 35), (20, 12)),
        ((20, 13, 35), (19, 13)), // a is longer
        ((13, 20, 35), (13, 19)), // b is longer
        ((17, 17, 35), (16, 16)), // a tie goes to a
        ((16, 17, 35), (16, 16)),
        ((17, 16, 35), (16, 16)),
        ((40, 40, 35), (16, 16)),
        ((5, 90, 35), (5, 27)),
        ((90, 5, 35), (27, 5)),
        ((40, 40, 36), (17, 16)), // of an odd room a has the one more
        ((4, 4, 5), (1, 1)),
        ((33, 0, 35), (33, 0)), // without b one [SEP] less
        ((34, 0, 35), (33, 0)),
        ((0, 40, 35), (0, 32)),
    ];
    for ((n_a, n_b, limit), (kept_a, kept_b)) in cases {
        let a: Vec<u32> = (100..100 + n_a).collect();
        let b: Vec<u32> = (200..200 + n_b).collect();
        let sequence = Sequence::lay_out(&a, &b, SPECIAL, limit);
        let mut tokens = vec![2];
        tokens.extend(&a[..kept_a]);
        tokens.push(3);
        let mut segments = vec![0; tokens.len()];
        if n_b > 0 {
            tokens.extend(&b[..kept_b]);
            tokens.push(3);
            segments.resize(tokens.len(), 1);
        }
        assert_eq!(sequence.token_ids, tokens, "{n_a}, {n_b}, {limit}");
        assert_eq!(sequence.segment_ids, segments, "{n_a}, {n_b}, {limit}");
        assert_eq!(&sequence.token_ids[sequence.a.clone()], &a[..kept_a]);
        assert_eq!(&sequence.token_ids[sequence.b.clone()], &b[..kept_b]);
    }
}

/// The table of texts keeps no more of a and b than can be in any sequence: that changes none.
#[test]
fn what_the_table_keeps_is_enough() {
    let ids: Vec<u32> = (100..200).collect();
    for limit in [5, 6, 20, 35] {
        for (n_a, n_b) in (1..60).flat_map(|n_a| (0..60).map(move |n_b| (n_a, n_b))) {
            let whole = Sequence::lay_out(&ids[..n_a], &ids[..n_b], SPECIAL, limit);
            let (kept_a, kept_b) = (n_a.min(limit - 2), n_b.min(limit - 3));
            assert_eq!(Sequence::lay_out(&ids[..kept_a], &ids[..kept_b], SPECIAL, limit), whole);
        }
    }
}

#[test]
fn settings_that_contradict_are_refused() {
    let ok = ObjectiveSettings::default();
    ok.validate(true).unwrap();
    ok.validate(false).unwrap();
    ObjectiveSettings { masked_share: 0.7, random_share: 0.3, ..ok }.validate(true).unwrap();
    let refused = [
        (ObjectiveSettings { mask_probability: 1.5, ..ok }, true, "objectives.mask_probability is 1.5"),
        (ObjectiveSettings { pollution: f64::NAN, ..ok }, true, "objectives.pollution is NaN"),
        (ObjectiveSettings { random_share: 0.3, ..ok }, true, "together at most 1"),
        (ObjectiveSettings { wrong_text: 0.6, ..ok }, true, "objectives.wrong_text is 0.6"),
        (
            ObjectiveSettings { same_picture_after_tries: Some(0), ..ok },
            true,
            "same_picture_after_tries is 0",
        ),
        (ObjectiveSettings { textb_sample_mode: WrongTags::Answers, ..ok }, false, "data.tags is false"),
    ];
    for (settings, tags, part) in refused {
        let message = settings.validate(tags).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}
