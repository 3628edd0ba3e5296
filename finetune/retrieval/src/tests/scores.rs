//! Scoring in blocks against one pair at a time, one rank against two, folds, shortlists.

use std::time::Duration;

use candle_core::IndexOp;
use finetune_metrics::retrieval::{ScoreMatrix, recall};
use pretrain::Example;
use pretrain::model::Pass;
use pretrain::train::in_threads;
use pretrain_comm::Solo;
use serde_json::json;

use super::made::{Made, sample};
use crate::candidates::shortlist;
use crate::gallery::{Captions, Gallery};
use crate::layout::lay_out;
use crate::matcher::{Matcher, probabilities};
use crate::pairs::Pairs;
use crate::report::{lost, ranks, report};
use crate::scoring::Scorer;
use crate::settings::{Direction, Sight};
use crate::submission::write;

fn made() -> Made {
    // more than one block of pictures, more captions than are kept at a time
    Made::new(&(0..70).map(|number| sample(number, 4)).collect::<Vec<_>>())
}

fn scorer<'a>(made: &Made, matcher: &'a Matcher, gallery: &'a Gallery, micro: usize) -> Scorer<'a> {
    Scorer { matcher, gallery, max_tokens: made.layout.max_tokens, tags: made.layout.tags, micro }
}

fn alone(made: &Made, matcher: &Matcher, gallery: &Gallery, picture: u32, caption: u32) -> f64 {
    let tags: &[u32] = if made.layout.tags { gallery.tags(picture) } else { &[] };
    let (token_ids, segment_ids) =
        lay_out(gallery.words(caption), tags, gallery.special(), made.layout.max_tokens);
    let mut regions = Vec::new();
    let n_regions = gallery.append_regions(picture, &mut regions).unwrap();
    let (token_labels, contrastive_label, place) = (Vec::new(), -1, 0);
    let example =
        Example { token_labels, contrastive_label, token_ids, segment_ids, regions, n_regions, place };
    let logits_b2 = matcher.logits(&[example], Pass::Evaluation).unwrap();
    probabilities(&logits_b2.i(0..1).unwrap()).unwrap()[0]
}

#[test]
fn blocks_are_one_pair_at_a_time() {
    for (sight, tags) in [(Sight::Clr, true), (Sight::Clr, false), (Sight::Cr, true), (Sight::Cl, true)] {
        let mut made = made();
        let gallery = made.gallery(Captions::Exactly(4, None)).unwrap();
        made.layout.tags = tags;
        let matcher = made.matcher(sight);
        let pairs = Pairs::all(gallery.n_pictures(), gallery.n_captions());
        let scores = scorer(&made, &matcher, &gallery, 7).score(&pairs, &Solo, &|_| {}).unwrap();
        let (mut largest, mut smallest) = (0f64, 1f64);
        // 70 x 280 pairs: every 13th
        for number in (0..pairs.len()).step_by(13) {
            let (picture, caption) = ((number / 280) as u32, (number % 280) as u32);
            let own = alone(&made, &matcher, &gallery, picture, caption);
            assert!((scores[number] - own).abs() < 1e-6, "{sight:?}, {picture} x {caption}: {own}");
            (largest, smallest) = (largest.max(own), smallest.min(own));
        }
        assert!(largest - smallest > 0.1, "{sight:?}: all scores are alike");
    }
}

#[test]
fn neither_ranks_nor_lists_change_a_score() {
    let made = made();
    let gallery = made.gallery(Captions::Exactly(4, None)).unwrap();
    let matcher = made.matcher(Sight::Clr);
    let pairs = Pairs::all(gallery.n_pictures(), gallery.n_captions());
    let one = scorer(&made, &matcher, &gallery, 8).score(&pairs, &Solo, &|_| {}).unwrap();
    let of_ranks = |n| {
        in_threads(n, Duration::from_secs(60), &|ranks| {
            scorer(&made, &matcher, &gallery, 8).score(&pairs, ranks, &|_| {})
        })
    };
    assert_eq!(one, of_ranks(2).unwrap());
    assert_eq!(one, of_ranks(3).unwrap(), "more ranks than blocks");

    let few = Pairs::lists(
        vec![vec![3, 77], vec![], vec![0, 1, 279]].into_iter().chain(vec![vec![]; 67]).collect(),
    );
    let told = std::sync::atomic::AtomicU64::new(0);
    let progress = |done| told.store(done, std::sync::atomic::Ordering::Relaxed);
    let scores = scorer(&made, &matcher, &gallery, 2).score(&few, &Solo, &progress).unwrap();
    assert_eq!(told.into_inner(), 5);
    for (picture, caption) in [(0, 3), (0, 77), (2, 0), (2, 1), (2, 279)] {
        let own = scores[few.find(picture, caption).unwrap()];
        assert!((own - one[pairs.find(picture, caption).unwrap()]).abs() < 1e-6);
    }
}

#[test]
fn reports_are_those_of_the_matrix() {
    let made = made();
    let gallery = made.gallery(Captions::Exactly(4, None)).unwrap();
    let pairs = Pairs::all(gallery.n_pictures(), gallery.n_captions());
    // many equal scores
    let scores: Vec<f64> = (0..pairs.len()).map(|number| ((number * 7919) % 23) as f64 / 23.0).collect();
    let both = [Direction::Images, Direction::Texts];
    let found = report(&gallery, &pairs, &scores, &both, &[]);
    let matrix = ScoreMatrix::new(scores.chunks(280).map(<[f64]>::to_vec).collect()).unwrap();
    let (to_captions, to_pictures) = matrix.ranks(4).unwrap();
    let counts = json!({ "images": 70, "captions": 280 });
    assert_eq!(
        found.all,
        json!({ "i2t": recall(&to_captions), "t2i": recall(&to_pictures), "counts": counts })
    );
    assert_eq!(found.main, recall(&to_pictures).at_1);

    // the file that is written says the same
    let path = made.folder.path().join("scores.npy");
    for name in ["scores.npy", "scores.json"] {
        let path = path.with_file_name(name);
        std::fs::write(&path, write(&path, &gallery, &pairs, &scores).unwrap()).unwrap();
        assert_eq!(ScoreMatrix::read(&path).unwrap(), matrix, "{name}");
    }
    let message =
        write(&path.with_file_name("scores.pt"), &gallery, &pairs, &scores).unwrap_err().to_string();
    assert!(message.contains(".npy"), "{message}");
}

/// A fold sees its own pictures only.
#[test]
fn folds_are_data_sets_of_their_own() {
    let made = made();
    let mut gallery = made.gallery(Captions::Exactly(4, None)).unwrap();
    gallery.truncate(60);
    let value = |picture: u32, caption: u32| f64::from((picture * 7919 + caption * 104_729) % 997);
    let pairs = Pairs::folds(20, &[0, 80, 160, 240]);
    assert_eq!((pairs.n_pictures(), pairs.len()), (60, 3 * 20 * 80));
    let mut scores = vec![0.0; pairs.len()];
    let mut wanted = (Vec::new(), Vec::new());
    for fold in 0..3 {
        let mut rows = Vec::new();
        for picture in 20 * fold..20 * (fold + 1) {
            rows.push(
                (80 * fold..80 * (fold + 1)).map(|caption| value(picture, caption)).collect::<Vec<_>>(),
            );
            for caption in 80 * fold..80 * (fold + 1) {
                scores[pairs.find(picture, caption).unwrap()] = value(picture, caption);
            }
        }
        let (to_captions, to_pictures) = ScoreMatrix::new(rows).unwrap().ranks(4).unwrap();
        wanted.0.extend(to_captions);
        wanted.1.extend(to_pictures);
    }
    assert_eq!(ranks(&gallery, &pairs, &scores, Direction::Texts), wanted.0);
    assert_eq!(ranks(&gallery, &pairs, &scores, Direction::Images), wanted.1);
    let counts = &report(&gallery, &pairs, &scores, &[Direction::Texts], &[]).all["counts"];
    assert_eq!(*counts, json!({ "images": 60, "captions": 240 }));
}

#[test]
fn a_shortlist_loses_what_it_says() {
    let made = made();
    let gallery = made.gallery(Captions::Exactly(4, None)).unwrap();
    let whole = Pairs::all(70, 280);
    let scores: Vec<f64> = (0..whole.len()).map(|number| ((number * 7919) % 1009) as f64 / 1009.0).collect();
    for direction in [Direction::Texts, Direction::Images] {
        let short = shortlist(&gallery, direction, 12, false).unwrap();
        let n_queries = if direction == Direction::Texts { 70 } else { 280 };
        assert_eq!(short.len(), 12 * n_queries, "{direction:?}");
        let of_short: Vec<f64> = (0..70)
            .flat_map(|picture| short.of(picture).map(move |(_, caption)| (picture, caption)))
            .map(|(picture, caption)| scores[whole.find(picture, caption).unwrap()])
            .collect();
        let found = ranks(&gallery, &short, &of_short, direction);
        let n_lost = found.iter().filter(|rank| **rank == usize::MAX).count();
        let share = lost(&gallery, &short, direction);
        assert_eq!(share, n_lost as f64 / n_queries as f64, "{direction:?}");
        assert!(share > 0.0 && share < 0.9, "{direction:?}: {share}");
        // what is scored stands before what is not: the file gives the same recall
        let path = made.folder.path().join("short.npy");
        std::fs::write(&path, write(&path, &gallery, &short, &of_short).unwrap()).unwrap();
        let (to_captions, to_pictures) = ScoreMatrix::read(&path).unwrap().ranks(4).unwrap();
        let of_file = if direction == Direction::Texts { to_captions } else { to_pictures };
        assert_eq!(recall(&of_file[..n_queries]), recall(&found[..n_queries]), "{direction:?}");

        let with_own = shortlist(&gallery, direction, 12, true).unwrap();
        assert_eq!((with_own.len(), lost(&gallery, &with_own, direction)), (12 * n_queries, 0.0));
    }
}
