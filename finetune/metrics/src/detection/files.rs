//! COCO's files: instances, and results `[{image_id, category_id, bbox, score}]`.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use super::{DetectionScores, FoundBox, PictureBoxes, TrueBox, score};
use crate::{
    Error,
    layouts::{Id, TextFile},
};

#[derive(Deserialize)]
struct Instances<'a> {
    #[serde(borrow)]
    images: Vec<Named<'a>>,
    #[serde(borrow)]
    categories: Vec<Named<'a>>,
    #[serde(borrow)]
    annotations: Vec<Annotation<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Annotation<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    #[serde(borrow)]
    image_id: Id<'a>,
    #[serde(borrow)]
    category_id: Id<'a>,
    bbox: [f64; 4],
    area: Option<f64>,
    #[serde(default)]
    iscrowd: Crowd,
}

/// COCO writes 0 and 1, others truth values.
#[derive(Deserialize)]
#[serde(untagged)]
enum Crowd {
    Number(u64),
    Truth(bool),
}

impl Default for Crowd {
    fn default() -> Self {
        Self::Number(0)
    }
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    image_id: Id<'a>,
    #[serde(borrow)]
    category_id: Id<'a>,
    bbox: [f64; 4],
    score: f64,
}

/// Scores results against instances, both in COCO's layout.
///
/// As with pycocotools, `ignore` of an annotation is passed over, `iscrowd` counts, and results of unlisted classes do
/// not (they are counted beside). An annotation with the id 0 can be matched here; there it never is.
///
/// # Errors
/// Results of a picture that the truth does not list; annotations with one id; sides below 0.
pub fn score_files(truth: &TextFile, results: &TextFile) -> Result<DetectionScores, Error> {
    let (instances, found) = rayon::join(
        || truth.parse::<Instances<'_>>("COCO instances (images, categories, annotations)"),
        || results.parse::<Vec<Found<'_>>>("a list of {image_id, category_id, bbox, score}"),
    );
    let (mut instances, found) = (instances?, found?);
    instances.categories.sort_by(|one, other| one.id.cmp(&other.id));
    instances.categories.dedup_by(|one, other| one.id == other.id);
    let classes: FxHashMap<&Id<'_>, usize> =
        instances.categories.iter().enumerate().map(|(class, category)| (&category.id, class)).collect();
    if classes.is_empty() || instances.images.is_empty() {
        return Err(truth.content("lists no images or no categories"));
    }
    let mut pictures: BTreeMap<&Id<'_>, PictureBoxes> =
        instances.images.iter().map(|image| (&image.id, PictureBoxes::default())).collect();
    let (mut stray, mut without_area) = (0, 0);
    let mut ids = FxHashSet::default();
    for annotation in &instances.annotations {
        if !ids.insert(&annotation.id) {
            let (path, id) = (truth.path().to_owned(), annotation.id.to_string());
            return Err(Error::DoubledId { path, id });
        }
        let rect = sides(annotation.bbox)
            .ok_or_else(|| truth.content(format!("annotation {} has {}", annotation.id, BELOW)))?;
        let (Some(picture), Some(&class)) =
            (pictures.get_mut(&annotation.image_id), classes.get(&annotation.category_id))
        else {
            stray += 1;
            continue;
        };
        without_area += usize::from(annotation.area.is_none());
        let area = annotation.area.unwrap_or(rect[2] * rect[3]);
        let crowd = !matches!(annotation.iscrowd, Crowd::Number(0) | Crowd::Truth(false));
        picture.truths.push(TrueBox { class, rect, area, crowd });
    }
    // A class that is not listed: `score` counts what was found of it.
    let unlisted = classes.len();
    for (index, one) in found.iter().enumerate() {
        let rect = sides(one.bbox)
            .ok_or_else(|| results.content(format!("result {} (from 1) has {BELOW}", index + 1)))?;
        let Some(picture) = pictures.get_mut(&one.image_id) else {
            let (path, id) = (results.path().to_owned(), one.image_id.to_string());
            return Err(Error::SurplusId { path, id, other: "the truth's images" });
        };
        let class = classes.get(&one.category_id).copied().unwrap_or(unlisted);
        picture.found.push(FoundBox { class, rect, score: one.score });
    }
    let names: Vec<String> = instances
        .categories
        .iter()
        .map(|category| category.name.clone().unwrap_or_else(|| category.id.to_string()))
        .collect();
    let pictures: Vec<PictureBoxes> = pictures.into_values().collect();
    let mut scores = score(&names, &pictures);
    scores.counts.stray_truths += stray;
    scores.counts.truths_without_area = without_area;
    Ok(scores)
}

const BELOW: &str = "a width or height below 0; bbox is x, y, width, height";

fn sides(rect: [f64; 4]) -> Option<[f64; 4]> {
    (rect[2] >= 0.0 && rect[3] >= 0.0).then_some(rect)
}
