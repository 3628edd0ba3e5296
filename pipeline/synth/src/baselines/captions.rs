//! Captions: what they say without their picture, and whether tags find them only by what they name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::files::json;
use super::text_model::words;
use super::{CaptionFigures, Retrieval};
use crate::Error;
use crate::chance::{Chance, Stream};

/// Pictures against which captions are ranked, at most.
const PICTURES: usize = 500;
const KS: [usize; 3] = [1, 5, 10];

#[derive(Deserialize)]
struct Captions {
    annotations: Vec<Caption>,
}

#[derive(Deserialize)]
struct Caption {
    image_id: u64,
    caption: String,
}

#[derive(Deserialize)]
struct Instances {
    annotations: Vec<Instance>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Instance {
    image_id: u64,
    category_id: u64,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

/// A picture as a ranking sees it.
#[derive(Clone)]
struct Ranked {
    tags: BTreeSet<String>,
    captions: Vec<String>,
}

pub(super) fn figures(folder: &Path) -> Result<CaptionFigures, Error> {
    let all: Captions = json(&folder.join("coco/annotations/captions_train2014.json"))?;
    let mut equal: HashMap<&str, usize> = HashMap::new();
    let (mut tokens, mut types) = (0, BTreeSet::new());
    for one in &all.annotations {
        *equal.entry(&one.caption).or_default() += 1;
        let words = words(&one.caption);
        tokens += words.len();
        types.extend(words);
    }
    let captions = all.annotations.len();
    let unique = all.annotations.iter().filter(|one| equal[one.caption.as_str()] == 1).count();
    let share = |count: usize| count as f64 / captions.max(1) as f64;
    Ok(CaptionFigures { captions, tokens, types: types.len(), unique: share(unique), length: share(tokens) })
}

pub(super) fn retrieval(folder: &Path) -> Result<Vec<Retrieval>, Error> {
    let train: Captions = json(&folder.join("coco/annotations/captions_train2014.json"))?;
    let train: Vec<String> = train.annotations.into_iter().map(|one| one.caption).collect();
    let mut pictures = Vec::new();
    for split in ["val", "test"] {
        pictures.extend(read(folder, split)?);
    }
    pictures.truncate(PICTURES);
    let names: BTreeSet<String> = pictures.iter().flat_map(|picture| picture.tags.iter().cloned()).collect();

    let model = Bigrams::of(&train);
    let blind = |_: &Ranked, caption: &str| model.likelihood(caption);
    let matching = |picture: &Ranked, caption: &str| agreement(&picture.tags, &named(&names, caption));
    // A shift by a random number of places gives everybody something of another's.
    let shift = 1 + Chance::new(0, Stream::Controls, 0).below(pictures.len().max(2) - 1);
    let other = |at: usize| &pictures[(at + shift) % pictures.len()];
    let other_tags: Vec<Ranked> = pictures
        .iter()
        .enumerate()
        .map(|(at, picture)| Ranked { tags: other(at).tags.clone(), captions: picture.captions.clone() })
        .collect();
    let other_objects: Vec<Ranked> = pictures
        .iter()
        .enumerate()
        .map(|(at, picture)| {
            let captions = picture.captions.iter().zip(&other(at).captions);
            let captions = captions.map(|(caption, giver)| renamed(&names, caption, giver)).collect();
            Ranked { tags: picture.tags.clone(), captions }
        })
        .collect();
    Ok(vec![
        rank("words alone", &pictures, &blind),
        rank("tags", &pictures, &matching),
        rank("tags of another picture", &other_tags, &matching),
        rank("tags; objects of another caption", &other_objects, &matching),
    ])
}

fn read(folder: &Path, split: &str) -> Result<Vec<Ranked>, Error> {
    let captions: Captions = json(&folder.join(format!("coco/annotations/captions_{split}2014.json")))?;
    let instances: Instances = json(&folder.join(format!("coco/annotations/instances_{split}2014.json")))?;
    let names: HashMap<u64, String> =
        instances.categories.into_iter().map(|category| (category.id, category.name)).collect();
    let mut pictures: BTreeMap<u64, Ranked> = BTreeMap::new();
    for one in captions.annotations {
        let picture = pictures
            .entry(one.image_id)
            .or_insert_with(|| Ranked { tags: BTreeSet::new(), captions: Vec::new() });
        picture.captions.push(one.caption);
    }
    for one in instances.annotations {
        if let (Some(picture), Some(name)) = (pictures.get_mut(&one.image_id), names.get(&one.category_id)) {
            picture.tags.insert(name.clone());
        }
    }
    Ok(pictures.into_values().collect())
}

/// Names in a caption: a word, or its beginning, where plurals add something.
fn named(names: &BTreeSet<String>, caption: &str) -> BTreeSet<String> {
    words(caption).iter().filter_map(|word| name_of(names, word).cloned()).collect()
}

fn name_of<'a>(names: &'a BTreeSet<String>, word: &str) -> Option<&'a String> {
    let singular = |ending: &str| word.strip_suffix(ending).and_then(|word| names.get(word));
    names.get(word).or_else(|| singular("s")).or_else(|| singular("es"))
}

/// The caption with the names of another in their places.
fn renamed(names: &BTreeSet<String>, caption: &str, giver: &str) -> String {
    let given: Vec<String> = named(names, giver).into_iter().collect();
    let mut next = given.iter().cycle();
    let words = words(caption).into_iter().map(|word| match name_of(names, &word) {
        Some(_) => next.next().cloned().unwrap_or(word),
        None => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The cosine of two sets.
fn agreement(one: &BTreeSet<String>, other: &BTreeSet<String>) -> f64 {
    if one.is_empty() || other.is_empty() {
        return 0.0;
    }
    one.intersection(other).count() as f64 / libm::sqrt((one.len() * other.len()) as f64)
}

/// Equal scores are ordered by chance, as often as there are orders.
fn rank(
    scorer: &'static str,
    pictures: &[Ranked],
    score: &(dyn Fn(&Ranked, &str) -> f64 + Sync),
) -> Retrieval {
    let captions: Vec<(usize, &str)> = pictures
        .iter()
        .enumerate()
        .flat_map(|(at, picture)| picture.captions.iter().map(move |caption| (at, caption.as_str())))
        .collect();
    let mut chance = Chance::new(0, Stream::Controls, 1);
    let ties: Vec<u64> = captions.iter().map(|_| chance.word()).collect();
    let order = |a: (f64, u64), b: (f64, u64)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let (mut to_text, mut to_picture) = ([0; 3], [0; 3]);
    for (at, picture) in pictures.iter().enumerate() {
        let scores: Vec<(f64, u64)> =
            captions.iter().zip(&ties).map(|((_, caption), tie)| (score(picture, caption), *tie)).collect();
        let own =
            captions.iter().zip(&scores).filter(|((owner, _), _)| *owner == at).map(|(_, score)| *score);
        let Some(best) = own.min_by(|a, b| order(*a, *b)) else { continue };
        let before = scores.iter().filter(|other| order(**other, best).is_lt()).count();
        add(&mut to_text, before);
    }
    for (owner, caption) in &captions {
        let scores: Vec<(f64, u64)> =
            pictures.iter().map(|picture| (score(picture, caption), chance.word())).collect();
        let before = scores.iter().filter(|other| order(**other, scores[*owner]).is_lt()).count();
        add(&mut to_picture, before);
    }
    let each = captions.len() as f64 / pictures.len().max(1) as f64;
    Retrieval {
        scorer,
        pictures: pictures.len(),
        to_text: to_text.map(|found| found as f64 / pictures.len().max(1) as f64),
        to_picture: to_picture.map(|found| found as f64 / captions.len().max(1) as f64),
        chance_to_text: KS.map(|k| first_of(k, each as usize, captions.len())),
        chance_to_picture: KS.map(|k| (k as f64 / pictures.len().max(1) as f64).min(1.0)),
    }
}

fn add(found: &mut [usize; 3], before: usize) {
    for (found, k) in found.iter_mut().zip(KS) {
        *found += usize::from(before < k);
    }
}

/// The probability that one of `good` among `all` is in the first `k` of a random order.
fn first_of(k: usize, good: usize, all: usize) -> f64 {
    let none = (0..k).map(|at| {
        let left = all.saturating_sub(at);
        if left == 0 { 0.0 } else { left.saturating_sub(good) as f64 / left as f64 }
    });
    1.0 - none.product::<f64>()
}

/// How likely a caption is, word after word, by the training captions.
struct Bigrams {
    pairs: HashMap<String, f64>,
    singles: HashMap<String, f64>,
}

impl Bigrams {
    fn of(captions: &[String]) -> Bigrams {
        let (mut pairs, mut singles) = (HashMap::new(), HashMap::new());
        for caption in captions {
            let words = words(caption);
            for word in &words {
                *singles.entry(word.clone()).or_insert(0.0) += 1.0;
            }
            for pair in words.windows(2) {
                *pairs.entry(pair.join(" ")).or_insert(0.0) += 1.0;
            }
        }
        Bigrams { pairs, singles }
    }

    /// Mean logarithm of the smoothed probability of a word after the one before.
    fn likelihood(&self, caption: &str) -> f64 {
        let words = words(caption);
        let types = self.singles.len() as f64;
        let logarithms = words.windows(2).map(|pair| {
            let together = self.pairs.get(&pair.join(" ")).copied().unwrap_or_default();
            let first = self.singles.get(&pair[0]).copied().unwrap_or_default();
            libm::log((together + 0.1) / (first + 0.1 * types))
        });
        logarithms.sum::<f64>() / words.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_is_full_with_the_right_score_and_chance_with_none() {
        let tags = |at: usize| BTreeSet::from([format!("kind{at}")]);
        let pictures: Vec<Ranked> =
            (0..40).map(|at| Ranked { tags: tags(at), captions: vec![format!("A kind{at}."); 5] }).collect();
        let names: BTreeSet<String> = pictures.iter().flat_map(|picture| picture.tags.clone()).collect();
        let found =
            rank("t", &pictures, &|picture, caption| agreement(&picture.tags, &named(&names, caption)));
        assert!(found.to_text == [1.0; 3] && found.to_picture == [1.0; 3]);
        let blind = rank("t", &pictures, &|_, _| 0.0);
        assert!(blind.to_picture[0] < 0.08 && (blind.chance_to_picture[0] - 0.025).abs() < 1e-9);
        // One order of captions serves all pictures, so one picture has the first.
        assert!((blind.to_text[0] - 0.025).abs() < 1e-9, "{:?}", blind.to_text);
        assert!((first_of(1, 5, 200) - 0.025).abs() < 1e-9);
    }

    #[test]
    fn names_change_places_and_nothing_else() {
        let names: BTreeSet<String> = ["cat", "dog", "box"].map(str::to_string).into();
        assert_eq!(renamed(&names, "Two red boxes by a cat.", "A dog."), "two red dog by a dog");
    }
}
