//! What a reader needs to confirm a corpus by eye: pictures, and what its files say about them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::Error;
use crate::baselines::files::{json, json_lines};

/// A picture, or a pair of them, with lines that are to be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SheetScene {
    /// One file, or left and right.
    pub pictures: Vec<PathBuf>,
    /// Captions, questions with their answers, statements with their truth.
    pub lines: Vec<String>,
}

/// Scenes of each sort: COCO's with captions and VQA's questions, GQA's, NLVR2's pairs, NoCaps'. Together 16 pictures.
const COCO: usize = 6;
const GQA: usize = 4;
const PAIRS: usize = 2;
const NOCAPS: usize = 2;
/// Lines of each sort below a picture.
const CAPTIONS: usize = 3;
const QUESTIONS: usize = 4;

#[derive(Deserialize)]
struct Captions {
    images: Vec<Image>,
    annotations: Vec<Caption>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct Caption {
    image_id: u64,
    caption: String,
}

#[derive(Deserialize)]
struct Statement {
    identifier: String,
    sentence: String,
    label: String,
}

/// The first scenes of the validation splits in `folder`, as its files tell them; small corpora are shown from the
/// other splits, too.
///
/// # Errors
/// Files that are missing or have another layout.
pub fn sheet(folder: &Path) -> Result<Vec<SheetScene>, Error> {
    let (mut coco_scenes, mut gqa_scenes) = (Vec::new(), Vec::new());
    for (split, of_gqa) in [("val", "val"), ("test", "testdev"), ("train", "train")] {
        if coco_scenes.len() < COCO {
            coco_scenes.extend(coco(folder, split)?);
        }
        if gqa_scenes.len() < GQA {
            gqa_scenes.extend(gqa(folder, of_gqa)?);
        }
    }
    coco_scenes.truncate(COCO);
    gqa_scenes.truncate(GQA);
    Ok([coco_scenes, gqa_scenes, nlvr2(folder)?, nocaps(folder)?].concat())
}

fn coco(folder: &Path, split: &str) -> Result<Vec<SheetScene>, Error> {
    let captions: Captions = json(&folder.join(format!("coco/annotations/captions_{split}2014.json")))?;
    let questions: Value = json(&folder.join(format!("vqa/v2_OpenEnded_mscoco_{split}2014_questions.json")))?;
    let annotations: Value = json(&folder.join(format!("vqa/v2_mscoco_{split}2014_annotations.json")))?;
    let mut told: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    for (question, annotation) in list(&questions, "questions").iter().zip(list(&annotations, "annotations"))
    {
        let id = question["image_id"].as_u64().unwrap_or_default();
        let text = question["question"].as_str().unwrap_or_default();
        let answer = annotation["multiple_choice_answer"].as_str().unwrap_or_default();
        told.entry(id).or_default().push(format!("{text} {answer}"));
    }
    let scenes = captions.images.iter().take(COCO).map(|image| {
        let own = captions.annotations.iter().filter(|caption| caption.image_id == image.id);
        let mut lines: Vec<String> = own.take(CAPTIONS).map(|caption| caption.caption.clone()).collect();
        lines.extend(spread(told.remove(&image.id).unwrap_or_default()));
        let picture = folder.join(format!("coco/{split}2014")).join(&image.file_name);
        SheetScene { pictures: vec![picture], lines }
    });
    Ok(scenes.collect())
}

fn gqa(folder: &Path, split: &str) -> Result<Vec<SheetScene>, Error> {
    let file = match split {
        "train" => "gqa/train_all_questions/train_all_questions_0.json".to_string(),
        _ => format!("gqa/{split}_all_questions.json"),
    };
    let questions: BTreeMap<String, Value> = json(&folder.join(file))?;
    let mut told: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for question in questions.values() {
        let word = |name: &str| question[name].as_str().unwrap_or_default().to_string();
        let line = format!("{} {} ({})", word("question"), word("answer"), word("fullAnswer"));
        told.entry(word("imageId").parse().unwrap_or_default()).or_default().push(line);
    }
    let scenes = told.into_iter().take(GQA).map(|(id, lines)| SheetScene {
        pictures: vec![folder.join(format!("gqa/images/{split}/{id}.jpg"))],
        lines: spread(lines),
    });
    Ok(scenes.collect())
}

fn nlvr2(folder: &Path) -> Result<Vec<SheetScene>, Error> {
    let statements: Vec<Statement> = json_lines(&folder.join("nlvr2/data/dev.json"))?;
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in statements {
        let pair = one.identifier.rsplit_once('-').map_or("", |(pair, _)| pair).to_string();
        told.entry(pair).or_default().push(format!("{} {}", one.sentence, one.label));
    }
    let scenes = told.into_iter().take(PAIRS).map(|(pair, lines)| SheetScene {
        pictures: [0, 1].map(|side| folder.join(format!("nlvr2/images/dev/{pair}-img{side}.jpg"))).to_vec(),
        lines,
    });
    Ok(scenes.collect())
}

fn nocaps(folder: &Path) -> Result<Vec<SheetScene>, Error> {
    let captions: Captions = json(&folder.join("nocaps/nocaps_val_captions.json"))?;
    let scenes = captions.images.iter().take(NOCAPS).map(|image| {
        let own = captions.annotations.iter().filter(|caption| caption.image_id == image.id);
        SheetScene {
            pictures: vec![folder.join("nocaps/val").join(&image.file_name)],
            lines: own.map(|caption| caption.caption.clone()).collect(),
        }
    });
    Ok(scenes.collect())
}

/// Some lines from the whole list, since neighbours are of one sort.
fn spread(lines: Vec<String>) -> Vec<String> {
    let count = lines.len();
    let taken = QUESTIONS.min(count);
    (0..taken).map(|at| lines[at * count / taken].clone()).collect()
}
