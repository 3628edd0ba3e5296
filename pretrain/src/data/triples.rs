//! Open data sets with the table of their texts, checked against the settings and the model.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use data_specs::{Dataset, FeatureInfo, Manifest, ShardReader, Tokenizer, hash_file};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::regions::PLACE_NUMBERS;
use super::scan::{Scan, Scanned};
use super::settings::{DataSettings, SetSettings};
use super::summary::{SetSummary, listed};
use super::table::{Among, Contents, Table, TableWriter};
use crate::model::RegionGeometry;
use crate::objectives::{ObjectiveSettings, WrongTags};
use crate::{Error, Result};

/// What the data must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelInput {
    /// Numbers of a region's vector with its place: D + 6 (`img_feature_dim`).
    pub region_numbers: usize,
    /// Ids of tokens are below it.
    pub vocab_size: usize,
    /// Tokens that have a position embedding.
    pub max_positions: usize,
    /// Order of the last two numbers of a region.
    pub region_geometry: RegionGeometry,
}

/// The data sets of a training or of its evaluation.
#[derive(Debug)]
pub(super) struct Triples {
    pub(super) sets: Vec<Set>,
    pub(super) table: Table,
    pub(super) summaries: Vec<SetSummary>,
}

/// One data set.
#[derive(Debug)]
pub(super) struct Set {
    folder: PathBuf,
    dataset: Dataset,
    /// Held while a shard is opened, so that two threads do not open it both.
    gates: Vec<Mutex<()>>,
    /// Its first section in the table.
    pub(super) first_section: u32,
}

/// What data sets are opened with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    /// `train` or `held_out`.
    pub(super) role: &'static str,
    pub(super) sets: &'a [SetSettings],
    pub(super) settings: &'a DataSettings,
    pub(super) objectives: &'a ObjectiveSettings,
    pub(super) model: &'a ModelInput,
    pub(super) tokenizer: &'a Tokenizer,
    /// Where the table is, or will be.
    pub(super) folder: &'a Path,
}

/// Version of the table and of what goes into it.
const FORMAT: u32 = 1;

/// Shards that stay open: the longest block of the reading order (19), and one of the next.
const OPEN_SHARDS: usize = 20;

/// The file beside a table that says what is in it. It is written last.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    /// All that the table depends on.
    identity: Value,
    /// BLAKE3 of the table.
    blake3: String,
    contents: Contents,
    summaries: Vec<SetSummary>,
    /// Whether the texts of each kind of [`Among`] belong to more than one picture.
    several_pictures: [bool; 3],
}

impl Triples {
    /// Opens the data sets of `opening`, and the table of their texts if it is there and was made of the same shards with
    /// the same settings; otherwise the table is made: one pass over the short columns of all shards, on all threads of the
    /// current rayon pool, with the rows of one shard a thread in memory.
    ///
    /// # Errors
    /// Whatever does not fit, with file, field and remedy.
    pub(super) fn open(opening: Opening<'_>) -> Result<Triples> {
        opening.check_model()?;
        let datasets = opening.datasets()?;
        let card = opening.card(&datasets)?;
        opening
            .sets
            .iter()
            .zip(&card.summaries)
            .try_for_each(|(set, summary)| opening.check_set(set, summary))?;
        let table = Table::open(&opening.table_path(), card.contents)?;
        opening.check_table(&table, card.several_pictures)?;
        let mut first_section = 0;
        let sets = datasets.into_iter().zip(opening.sets).map(|(dataset, settings)| {
            let n_shards = dataset.manifest().shards.len();
            let gates = (0..n_shards).map(|_| Mutex::new(())).collect();
            let set = Set { folder: settings.path.clone(), dataset, gates, first_section };
            first_section += n_shards as u32;
            set
        });
        Ok(Triples { sets: sets.collect(), table, summaries: card.summaries })
    }

    /// The set that a section of the table belongs to.
    pub(super) fn set_of(&self, section: u32) -> &Set {
        &self.sets[self.sets.partition_point(|set| set.first_section <= section) - 1]
    }
}

impl Set {
    /// How its features are stored.
    pub(super) fn features(&self) -> FeatureInfo {
        self.dataset.manifest().features
    }

    /// The shard that a section of the table was made of, opened if it is not.
    ///
    /// # Errors
    /// A missing or damaged file.
    pub(super) fn shard(&self, section: u32) -> Result<Arc<ShardReader>> {
        let index = (section - self.first_section) as usize;
        let _gate = self.gates[index].lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.dataset.shard(index)?)
    }

    /// Where that shard lies, for errors.
    pub(super) fn shard_path(&self, section: u32) -> PathBuf {
        self.folder.join(&self.dataset.manifest().shards[(section - self.first_section) as usize].name)
    }

    pub(super) fn n_shards(&self) -> usize {
        self.gates.len()
    }
}

impl Opening<'_> {
    fn table_path(&self) -> PathBuf {
        self.folder.join(format!("{}.texts", self.role))
    }

    fn card_path(&self) -> PathBuf {
        self.folder.join(format!("{}.texts.json", self.role))
    }

    fn check_model(&self) -> Result<()> {
        let setting = |key: &str, problem: String, hint: &str| {
            Err(Error::Setting { key: key.to_owned(), problem, hint: hint.to_owned() })
        };
        let ModelInput { vocab_size, max_positions, .. } = *self.model;
        let (n_tokens, max_tokens) = (self.tokenizer.len(), self.settings.max_tokens);
        if n_tokens > vocab_size {
            let problem = format!("is {vocab_size}, but the tokenizer has {n_tokens} tokens");
            return setting("model.vocab_size", problem, "take the tokenizer that the model was made with");
        }
        if max_tokens > max_positions {
            let problem = format!("is {max_tokens}, but the model has {max_positions} positions");
            return setting("data.max_tokens", problem, "set at most the model's positions");
        }
        Ok(())
    }

    fn datasets(&self) -> Result<Vec<Dataset>> {
        let open = |set: &SetSettings| {
            let dataset = Dataset::with(&set.path, self.settings.verify.into(), OPEN_SHARDS)?;
            let width = dataset.manifest().features.width as usize;
            if self.settings.regions && width + PLACE_NUMBERS != self.model.region_numbers {
                return Err(Error::Unfit {
                    path: set.path.clone(),
                    field: "features.width".to_owned(),
                    problem: format!(
                        "is {width}, {} with the place; the model's regions have {} numbers",
                        width + PLACE_NUMBERS,
                        self.model.region_numbers
                    ),
                    hint: "set the model's img_feature_dim to the data set's width + 6, or take another data set".into(),
                });
            }
            Ok(dataset)
        };
        self.sets.iter().map(open).collect()
    }

    /// The card of the table that is there, or of one that is made now.
    fn card(&self, datasets: &[Dataset]) -> Result<Card> {
        std::fs::create_dir_all(self.folder).map_err(data_specs::Error::io("create", self.folder))?;
        let identity = self.identity(datasets)?;
        if let Some(card) = self.card_of(&identity) {
            return Ok(card);
        }
        let path = self.table_path();
        let shards: Vec<(usize, usize)> = datasets
            .iter()
            .enumerate()
            .flat_map(|(set, dataset)| (0..dataset.manifest().shards.len()).map(move |shard| (set, shard)))
            .collect();
        let mut writer = TableWriter::create(&path, self.tokenizer.len())?;
        let mut summaries = vec![SetSummary::default(); datasets.len()];
        let mut pictures = [Pictures::None; 3];
        for together in shards.chunks(rayon::current_num_threads()) {
            let scanned = together.par_iter().map(|&(set, shard)| {
                let manifest = datasets[set].manifest();
                let (settings, features) = (self.settings, manifest.features);
                let scan = Scan { settings, set: &self.sets[set], features, tokenizer: self.tokenizer };
                scan.shard(&manifest.shards[shard])
            });
            let scanned: Vec<Result<Scanned>> = scanned.collect(); // so that of several errors the first one is told
            for ((set, _), scanned) in together.iter().zip(scanned) {
                let Scanned { section, summary } = scanned?;
                let picture = |text: &u32| section.records[*text as usize].picture;
                section.records.iter().for_each(|record| pictures[Among::All as usize].see(record.picture));
                section.with_b.iter().map(picture).for_each(|seen| pictures[Among::WithB as usize].see(seen));
                section
                    .answered
                    .iter()
                    .map(picture)
                    .for_each(|seen| pictures[Among::Answered as usize].see(seen));
                writer.write(&section)?;
                summaries[*set] += &summary;
            }
        }
        let contents = writer.commit()?;
        let several_pictures = pictures.map(|seen| matches!(seen, Pictures::Several));
        let card = Card { identity, blake3: hash_file(&path)?, contents, summaries, several_pictures };
        let text = serde_json::to_vec(&card).expect("a card has only plain fields");
        data_specs::durable::write_durably(&self.card_path(), &text, "texts")?;
        Ok(card)
    }

    /// The card beside a table that is there, whole, and of the same identity. Any other is no error: the table can be made
    /// again from the shards.
    fn card_of(&self, identity: &Value) -> Option<Card> {
        let text = std::fs::read(self.card_path()).ok()?;
        let card: Card = serde_json::from_slice(&text).ok()?;
        let is_whole = || hash_file(&self.table_path()).is_ok_and(|blake3| blake3 == card.blake3);
        (card.identity == *identity && is_whole()).then_some(card)
    }

    /// Everything that the table depends on. The tokenizer is put beside the table: its hash is that of its file.
    fn identity(&self, datasets: &[Dataset]) -> Result<Value> {
        self.tokenizer.write(self.folder)?;
        let tokenizer = hash_file(&self.folder.join("tokenizer.json"))?;
        let set = |(set, dataset): (&SetSettings, &Dataset)| {
            let Manifest { shards, features, .. } = dataset.manifest();
            let shards: Vec<&str> = shards.iter().map(|shard| shard.blake3.as_str()).collect();
            json!({
                "splits": set.splits, "kinds": set.kinds, "tags": set.tags, "features": features, "shards": shards,
            })
        };
        let sets: Vec<Value> = self.sets.iter().zip(datasets).map(set).collect();
        let DataSettings { max_tokens, tags, regions, .. } = self.settings;
        Ok(json!({
            "format": FORMAT, "tokenizer": tokenizer, "max_tokens": max_tokens, "tags": tags, "regions": regions,
            "sets": sets,
        }))
    }

    /// A data set without what it was chosen for.
    fn check_set(&self, set: &SetSettings, summary: &SetSummary) -> Result<()> {
        let unfit = |field: &str, problem: String, hint: &str| {
            let (path, field, hint) = (set.path.clone(), field.to_owned(), hint.to_owned());
            Err(Error::Unfit { path, field, problem, hint })
        };
        if let Some(split) = set.splits.iter().flatten().find(|split| !summary.splits.contains_key(*split)) {
            let problem = format!("`{split}` is not in the data set; there are {}", listed(&summary.splits));
            return unfit("splits", problem, "correct `splits`, or leave it out for all");
        }
        let kinds = listed(&summary.kinds);
        if let Some(kind) = set.kinds.iter().flatten().find(|kind| !summary.kinds.contains_key(kind.as_str()))
        {
            let problem = format!("`{}` is not in the data set; there are {kinds}", kind.as_str());
            return unfit("kinds", problem, "correct `kinds`, or leave it out for all but labels");
        }
        if summary.texts == 0 {
            let (left_out, empty) = (summary.other_kind + summary.false_statements, summary.empty);
            let problem =
                format!("has no text to train on: kinds {kinds}; {left_out} left out, {empty} empty");
            return unfit(
                "texts",
                problem,
                "`pipeline stats` shows what the data set holds; correct `splits` and `kinds`",
            );
        }
        if self.settings.regions && summary.rows_with_regions == 0 {
            let problem = format!("are in none of {} rows", summary.rows);
            return unfit(
                "regions",
                problem,
                "build the data set with features, or set data.regions = false",
            );
        }
        if !self.settings.tags {
            return Ok(());
        }
        let origins = listed(&summary.origins);
        if let Some(origin) = set.tags.iter().flatten().find(|origin| !summary.origins.contains_key(*origin))
        {
            let problem = format!("of origin `{origin}` are not in the data set; origins are {origins}");
            return unfit("tags", problem, "correct `tags`, or leave it out for all origins");
        }
        let wants_tags = summary.texts > summary.with_answer + summary.unanswered;
        if wants_tags && summary.with_tags == 0 {
            let problem = format!("are in no row whose texts want them; origins are {origins}");
            return unfit("tags", problem, "build the data set with tags, or set data.tags = false");
        }
        Ok(())
    }

    /// Too little to draw replacements from.
    fn check_table(&self, table: &Table, several_pictures: [bool; 3]) -> Result<()> {
        let refuse = |problem: &str, hint: &str| {
            let (key, problem, hint) = (format!("data.{}", self.role), problem.to_owned(), hint.to_owned());
            Err(Error::Setting { key, problem, hint })
        };
        let ObjectiveSettings { pollution, wrong_text, textb_sample_mode: mode, .. } = *self.objectives;
        let hint = "add data, set objectives.same_picture_after_tries, or objectives.pollution = 0";
        let exchanges_b = pollution > wrong_text && table.len(Among::WithB) > 0;
        if mode == WrongTags::Answers && table.len(Among::Answered) < 2 {
            let hint = "add a data set of questions, or set another objectives.textb_sample_mode";
            return refuse(
                "has not two answered questions, which \"answers\" takes wrong answers from",
                hint,
            );
        }
        if pollution == 0.0 || self.objectives.same_picture_after_tries.is_some() {
            return Ok(());
        }
        if !several_pictures[Among::All as usize] {
            return refuse("has one picture only, so that nothing can be of another one", hint);
        }
        if exchanges_b && mode == WrongTags::Tags && !several_pictures[Among::WithB as usize] {
            return refuse(
                "has tags or answers of one picture only, so that none can be of another one",
                hint,
            );
        }
        Ok(())
    }
}

/// Whether texts belong to more than one picture.
#[derive(Debug, Clone, Copy)]
enum Pictures {
    None,
    One(u64),
    Several,
}

impl Pictures {
    fn see(&mut self, picture: u64) {
        *self = match *self {
            Pictures::None => Pictures::One(picture),
            Pictures::One(known) if known == picture => Pictures::One(known),
            _ => Pictures::Several,
        };
    }
}
