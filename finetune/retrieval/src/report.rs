//! From scores of pairs to recall.

use std::collections::BTreeMap;

use finetune_harness::Scores;
use finetune_metrics::retrieval::{Recall, first_positive, recall};
use serde_json::{Map, Value, json};

use crate::gallery::Gallery;
use crate::pairs::Pairs;
use crate::settings::Direction;

/// The rank of the first partner of every query among what was scored, from 0; the largest number where none was.
/// Equal scores stand in reverse order, as in the field's scripts.
pub(crate) fn ranks(gallery: &Gallery, pairs: &Pairs, scores: &[f64], direction: Direction) -> Vec<usize> {
    let rank = |scored: &mut dyn Iterator<Item = (f64, bool)>| first_positive(scored).unwrap_or(usize::MAX);
    match direction {
        Direction::Texts => (0..pairs.n_pictures() as u32)
            .map(|picture| {
                let scored = pairs.of(picture);
                rank(
                    &mut scored
                        .map(|(number, caption)| (scores[number], gallery.picture_of(caption) == picture)),
                )
            })
            .collect(),
        Direction::Images => (0..gallery.n_captions() as u32)
            .map(|caption| {
                let own = gallery.picture_of(caption);
                rank(&mut (0..pairs.n_pictures() as u32).filter_map(|picture| {
                    pairs.find(picture, caption).map(|number| (scores[number], picture == own))
                }))
            })
            .collect(),
    }
}

/// Recall in the given directions, the first of which models are chosen by.
pub(crate) fn report(
    gallery: &Gallery,
    pairs: &Pairs,
    scores: &[f64],
    directions: &[Direction],
    more: &[(&str, Value)],
) -> Scores {
    let mut found: BTreeMap<&str, Recall> = BTreeMap::new();
    let mut figures = BTreeMap::new();
    for direction in directions {
        let recall = recall(&ranks(gallery, pairs, scores, *direction));
        for (name, value) in [("R@1", recall.at_1), ("R@5", recall.at_5), ("R@10", recall.at_10)] {
            figures.insert(format!("{}_{name}", direction.key()), value);
        }
        found.insert(direction.key(), recall);
    }
    let mut all: Map<String, Value> =
        found.iter().map(|(key, recall)| ((*key).to_owned(), json!(recall))).collect();
    let mut counts = json!({ "images": pairs.n_pictures(), "captions": gallery.n_captions() });
    for (key, value) in more {
        counts[*key] = value.clone();
    }
    all.insert("counts".to_owned(), counts);
    Scores { main: found[directions[0].key()].at_1, all: Value::Object(all), figures }
}

/// The share of queries none of whose partners is among the pairs: what no scoring of these pairs can find.
pub(crate) fn lost(gallery: &Gallery, pairs: &Pairs, direction: Direction) -> f64 {
    let has = |picture: u32, caption: u32| pairs.find(picture, caption).is_some();
    let (n_lost, n) = match direction {
        Direction::Texts => {
            let lost = |picture: &u32| !gallery.captions_of(*picture).any(|caption| has(*picture, caption));
            let n = gallery.n_pictures();
            ((0..n as u32).filter(lost).count(), n)
        }
        Direction::Images => {
            let lost = |caption: &u32| !has(gallery.picture_of(*caption), *caption);
            let n = gallery.n_captions();
            ((0..n as u32).filter(lost).count(), n)
        }
    };
    n_lost as f64 / n as f64
}
