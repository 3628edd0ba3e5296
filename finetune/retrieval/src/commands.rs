//! `finetune image-retrieval | text-retrieval train | eval | predict`.

use std::path::{Path, PathBuf};

use data_specs::Tokenizer;
use data_specs::durable::write_durably;
use finetune_harness::{
    Description, DeviceChoice, Error, Layout, Opening, Outcome, Pictures, Result, Scores, SetSettings, Train,
    Watch,
};
use pretrain::data::VerifyShards;
use pretrain::model::{ModelFolder, Tensors};
use pretrain_comm::Solo;
use pretrain_kernels::Precision;
use serde::Serialize;
use serde_json::json;

use crate::candidates::shortlist;
use crate::gallery::{Captions, Gallery, SPEC};
use crate::matcher::Matcher;
use crate::pairs::Pairs;
use crate::report::{lost, report};
use crate::retrieving::{Retrieving, with_tags};
use crate::scoring::Scorer;
use crate::settings::{Direction, Retrieval};
use crate::submission::write;

/// Model and data of an evaluation or of predictions.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Fine-tuned model folder, of either direction.
    pub model: PathBuf,
    /// Data set with captions.
    pub data: PathBuf,
    /// File with one picture id a line: only these pictures, in this order.
    pub keys: Option<PathBuf>,
    /// Score only so many candidates of each query, which are most alike by words.
    pub shortlist: Option<usize>,
    /// Pairs that are computed at once.
    pub micro: usize,
    /// What products are computed in.
    pub precision: Precision,
    /// Where the network computes.
    pub device: DeviceChoice,
    /// Whether pictures may have any number of captions and there may be one picture: a question is asked, and nothing is
    /// scored against what is known.
    pub any: bool,
}

/// An evaluation that is asked for.
#[derive(Debug, Clone)]
pub struct Eval {
    /// Of what.
    pub selection: Selection,
    /// Pictures of a fold: each is searched for itself, and all queries count.
    pub fold: Option<usize>,
}

/// Predictions that are asked for.
#[derive(Debug, Clone)]
pub struct Predict {
    /// Of what.
    pub selection: Selection,
    /// Only the picture of this key or, where pictures are looked for, its captions, or the caption of this id.
    pub key: Option<String>,
    /// Partners that are told of each query.
    pub top: usize,
    /// Where the scores of all pairs go, `.npy` or `.json`.
    pub out: Option<PathBuf>,
}

/// A query with the partners that suit it best.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Retrieved {
    /// The picture's row.
    pub key: String,
    /// The caption's id, where it is the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The caption, where it is the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The best first.
    pub found: Vec<Ranked>,
}

/// A partner.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// The picture's row.
    pub key: String,
    /// The caption's id, where captions are looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The caption, where captions are looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The probability that the two belong together.
    pub confidence: f64,
}

/// Told how many pairs are scored, and of how many.
pub(crate) type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Trains; how it ended.
///
/// # Errors
/// Settings, data or network that do not fit; whatever stops the loop.
pub fn train(train: &Train, direction: Direction, watch: &dyn Watch) -> Result<Outcome> {
    train.run_task(watch, |settings| Retrieving::open(direction, settings))
}

impl Eval {
    /// Recall in both directions, as `finetune score retrieval` gives it for the scores; under a shortlist in the one that
    /// it is made for, with what it loses.
    ///
    /// # Errors
    /// Model or data that do not fit.
    pub fn run(&self, direction: Direction, progress: Progress<'_>) -> Result<Scores> {
        let mut asked = Asked::open(&self.selection)?;
        let other = if direction == Direction::Images { Direction::Texts } else { Direction::Images };
        let (pairs, directions, more) = match (self.selection.shortlist, self.fold) {
            (Some(_), Some(_)) => {
                return Err(setting("--fold", "is set beside --shortlist", "leave one of them out"));
            }
            (Some(n), None) => {
                let gallery = &asked.gallery;
                let pairs = shortlist(gallery, direction, n, false)?;
                let loss = lost(gallery, &pairs, direction);
                let whole = gallery.n_pictures() * gallery.n_captions();
                let share = pairs.len() as f64 / whole as f64;
                let told = json!({ "candidates": n, "share_of_pairs": share, "lost": loss });
                (pairs, vec![direction], vec![("shortlist", told)])
            }
            (None, Some(fold)) => {
                let gallery = &mut asked.gallery;
                let n_folds = gallery.n_pictures().checked_div(fold).unwrap_or(0);
                if n_folds == 0 {
                    let problem = format!("is {fold}; there are {} pictures", gallery.n_pictures());
                    return Err(setting("--fold", &problem, "at least 1, and no more than there are"));
                }
                // what is left over is no fold
                gallery.truncate(n_folds * fold);
                let starts = (0..n_folds).map(|number| gallery.captions_of((number * fold) as u32).start);
                let firsts: Vec<u32> = starts.chain([gallery.n_captions() as u32]).collect();
                (Pairs::folds(fold, &firsts), vec![direction, other], vec![("folds", json!(n_folds))])
            }
            (None, None) => (asked.every_pair(), vec![direction, other], Vec::new()),
        };
        let scores = asked.score(&pairs, progress)?;
        Ok(report(&asked.gallery, &pairs, &scores, &directions, &more))
    }
}

impl Predict {
    /// Queries in stored order, each with its best partners.
    ///
    /// # Errors
    /// Model or data that do not fit; a key that is not there; a full disk.
    pub fn run(&self, direction: Direction, progress: Progress<'_>) -> Result<Vec<Retrieved>> {
        if self.key.is_some() && self.out.is_some() {
            return Err(setting("--out", "is set beside --key", "the file has the scores of all pairs"));
        }
        let asked = Asked::open(&self.selection)?;
        let gallery = &asked.gallery;
        let Found { queries, pairs, scores } = self.find(&asked, direction, progress)?;
        if let Some(path) = &self.out {
            write_durably(path, &write(path, gallery, &pairs, &scores)?, "scores")?;
        }
        queries.iter().map(|query| self.retrieved(gallery, &pairs, &scores, *query, direction)).collect()
    }

    /// Scores of the queries' pairs.
    pub(crate) fn find(&self, asked: &Asked, direction: Direction, progress: Progress<'_>) -> Result<Found> {
        let gallery = &asked.gallery;
        let queries = self.queries(gallery, direction)?;
        let mut pairs = match self.selection.shortlist {
            Some(n) => shortlist(gallery, direction, n, false)?,
            None => asked.every_pair(),
        };
        if self.key.is_some() {
            let is_asked = |query: u32| queries.binary_search(&query).is_ok();
            let of = |picture: u32| match direction {
                Direction::Texts if !is_asked(picture) => Vec::new(),
                Direction::Texts => pairs.of(picture).map(|(_, caption)| caption).collect(),
                Direction::Images => pairs
                    .of(picture)
                    .map(|(_, caption)| caption)
                    .filter(|caption| is_asked(*caption))
                    .collect(),
            };
            pairs = Pairs::lists((0..gallery.n_pictures() as u32).map(of).collect());
        }
        let scores = asked.score(&pairs, progress)?;
        Ok(Found { queries, pairs, scores })
    }

    /// Numbers of the queries, ascending.
    fn queries(&self, gallery: &Gallery, direction: Direction) -> Result<Vec<u32>> {
        let n = match direction {
            Direction::Texts => gallery.n_pictures(),
            Direction::Images => gallery.n_captions(),
        };
        let all = 0..n as u32;
        let Some(key) = &self.key else { return Ok(all.collect()) };
        let mut found = Vec::new();
        for query in all {
            let is_it = match direction {
                Direction::Texts => gallery.key(query)? == *key,
                Direction::Images => {
                    let place = gallery.place(query)?;
                    place.sample().key == *key || place.text().id == *key
                }
            };
            found.extend(is_it.then_some(query));
        }
        if found.is_empty() {
            return Err(Error::Unfit {
                path: self.selection.data.clone(),
                field: "key".to_owned(),
                problem: format!("`{key}` is not there, or has no caption"),
                hint: "`pipeline peek` lists keys".to_owned(),
            });
        }
        Ok(found)
    }

    fn retrieved(
        &self,
        gallery: &Gallery,
        pairs: &Pairs,
        scores: &[f64],
        query: u32,
        direction: Direction,
    ) -> Result<Retrieved> {
        let found = partners(gallery, pairs, scores, query, direction).into_iter().take(self.top).map(
            |(partner, confidence)| {
                Ok(match direction {
                    Direction::Texts => {
                        let place = gallery.place(partner)?;
                        Ranked {
                            key: place.sample().key.clone(),
                            id: Some(place.text().id.clone()),
                            text: Some(place.text().text.clone()),
                            confidence,
                        }
                    }
                    Direction::Images => {
                        Ranked { key: gallery.key(partner)?, id: None, text: None, confidence }
                    }
                })
            },
        );
        let found = found.collect::<Result<_>>()?;
        Ok(match direction {
            Direction::Texts => Retrieved { key: gallery.key(query)?, id: None, text: None, found },
            Direction::Images => {
                let place = gallery.place(query)?;
                Retrieved {
                    key: place.sample().key.clone(),
                    id: Some(place.text().id.clone()),
                    text: Some(place.text().text.clone()),
                    found,
                }
            }
        })
    }
}

/// Partners of a query with their scores, the best first.
pub(crate) fn partners(
    gallery: &Gallery,
    pairs: &Pairs,
    scores: &[f64],
    query: u32,
    direction: Direction,
) -> Vec<(u32, f64)> {
    let mut partners: Vec<(u32, f64)> = match direction {
        Direction::Texts => pairs.of(query).map(|(number, caption)| (caption, scores[number])).collect(),
        Direction::Images => (0..gallery.n_pictures() as u32)
            .filter_map(|picture| Some((picture, scores[pairs.find(picture, query)?])))
            .collect(),
    };
    // of equal scores the later stands first, as in the scores
    partners.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    partners
}

/// Queries, and the scores of their pairs.
pub(crate) struct Found {
    pub(crate) queries: Vec<u32>,
    pub(crate) pairs: Pairs,
    pub(crate) scores: Vec<f64>,
}

/// A fine-tuned model and what it is asked about.
pub(crate) struct Asked {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) matcher: Matcher,
    pub(crate) gallery: Gallery,
    pub(crate) layout: Layout,
    micro: usize,
}

impl Asked {
    pub(crate) fn open(selection: &Selection) -> Result<Self> {
        let Selection { model, data, keys, shortlist, micro, precision, device, any } = selection;
        let device = device.open(0)?;
        if let Some(n) = shortlist.filter(|n| *n < 10) {
            return Err(setting("--shortlist", &format!("is {n}"), "at least 10: recall looks at ten"));
        }
        let (settings, layout) = described(model)?;
        let loaded = ModelFolder::open(model)?;
        let tokenizer = Tokenizer::open(model)?;
        loaded.require(model, &Matcher::shapes(&loaded.config))?;
        let with_tags = with_tags(&layout);
        let opening = Opening {
            role: "held_out",
            sets: &[SetSettings { path: data.clone(), splits: None }],
            verify: VerifyShards::First,
            layout: &with_tags,
            pictures: Pictures::One,
            config: &loaded.config,
            tokenizer: &tokenizer,
            with_unknown: false,
            spec: SPEC,
            open_shards: Opening::IN_ORDER,
        };
        let listed = keys.as_deref().map(read_keys).transpose()?;
        let wanted = match any {
            true => Captions::All,
            false => Captions::Exactly(settings.captions_per_image, listed.as_deref()),
        };
        let gallery = Gallery::open(&opening, wanted)?;
        let weights = loaded.tensors_on(&device)?;
        let tensors = Tensors::new(&weights).computing_in(*precision);
        let matcher = Matcher::new(&loaded.config, settings.attention, tensors)?;
        Ok(Self { tokenizer, matcher, gallery, layout, micro: (*micro).max(1) })
    }

    fn every_pair(&self) -> Pairs {
        Pairs::all(self.gallery.n_pictures(), self.gallery.n_captions())
    }

    fn score(&self, pairs: &Pairs, progress: Progress<'_>) -> Result<Vec<f64>> {
        let scorer = Scorer {
            matcher: &self.matcher,
            gallery: &self.gallery,
            max_tokens: self.layout.max_tokens,
            tags: self.layout.tags,
            micro: self.micro,
        };
        scorer.score(pairs, &Solo, &|done| progress(done, pairs.len() as u64))
    }
}

/// Settings of a model of either direction: the two are asked alike.
fn described(folder: &Path) -> Result<(Retrieval, Layout)> {
    let found = Description::find(folder)?;
    let direction = found.and_then(|found| Direction::of(&found.task)).unwrap_or(Direction::Texts);
    Description::require(folder, direction.name())
}

fn read_keys(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(data_specs::Error::io("read", path))?;
    let keys: Vec<String> =
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    if keys.is_empty() {
        return Err(Error::Unfit {
            path: path.to_owned(),
            field: "picture ids".to_owned(),
            problem: "are missing".to_owned(),
            hint: "one id a line, as in test_img_keys_1k.tsv".to_owned(),
        });
    }
    Ok(keys)
}

fn setting(key: &str, problem: &str, hint: &str) -> Error {
    Error::Setting { key: key.to_owned(), problem: problem.to_owned(), hint: hint.to_owned() }
}
