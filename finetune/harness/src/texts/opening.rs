//! From the short columns of shards to texts.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_specs::{Dataset, Sample, Text, Tokenizer, Verify};
use pretrain::data::{PLACE_NUMBERS, VerifyShards};
use pretrain::model::ModelConfig;
use pretrain::{Error, Result};
use serde::Deserialize;

use super::{Asked, Pictures, Record, Section};
use crate::settings::{Layout, SetSettings};

/// What texts are opened with.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// `train` or `held_out`: the key of `data` that the sets stand under.
    pub role: &'static str,
    /// The data sets.
    pub sets: &'a [SetSettings],
    /// When the hashes of shards are compared.
    pub verify: VerifyShards,
    /// How texts and tags are cut.
    pub layout: &'a Layout,
    /// How many pictures a row must have.
    pub pictures: Pictures,
    /// Of the network that reads the regions.
    pub config: &'a ModelConfig,
    /// Of the texts.
    pub tokenizer: &'a Tokenizer,
    /// Whether texts of unknown answers are read.
    pub with_unknown: bool,
    /// A spec that builds what the task needs.
    pub spec: &'static str,
    /// Shards that stay open, with their short columns in memory: [`IN_ORDER`](Self::IN_ORDER) where rows are read in
    /// the order's blocks, all where any row may be next.
    pub open_shards: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) data: Arc<Dataset>,
    folder: PathBuf,
    pub(super) number: usize,
}

/// A text that brings tags with it.
#[derive(Debug, Deserialize)]
struct TagsOfText {
    o: Names,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Two { left: String, right: String },
}

/// Shows every row that is read to `look`, in stored order.
pub(crate) fn each_row(opening: &Opening<'_>, look: &mut dyn FnMut(&Sample)) -> Result<()> {
    for (shard, set) in opening.shards()? {
        let reader = shard.data.shard(shard.number)?;
        (0..reader.len())
            .map(|row| reader.short(row))
            .filter(|sample| set.takes(sample))
            .for_each(&mut *look);
    }
    Ok(())
}

impl SetSettings {
    fn takes(&self, sample: &Sample) -> bool {
        self.splits.as_ref().is_none_or(|splits| splits.contains(&sample.split))
    }
}

impl Shard {
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.data.manifest().shards[self.number].name)
    }
}

impl Opening<'_> {
    /// The longest block of the reading order (19), and one of the next.
    pub const IN_ORDER: usize = 20;

    /// All shards of all sets, whose features are as wide as the model's.
    pub(super) fn shards(&self) -> Result<Vec<(Shard, &SetSettings)>> {
        let verify = match self.verify {
            VerifyShards::First => Verify::First,
            VerifyShards::Never => Verify::Never,
        };
        let mut shards = Vec::new();
        for set in self.sets {
            let data = Arc::new(Dataset::with(&set.path, verify, self.open_shards)?);
            let width = data.manifest().features.width as usize;
            if width + PLACE_NUMBERS != self.config.img_feature_dim {
                return Err(Error::Unfit {
                    path: set.path.clone(),
                    field: "features".to_owned(),
                    problem: format!(
                        "are {width} wide; the model reads {} and six numbers of the place",
                        self.config.img_feature_dim - PLACE_NUMBERS
                    ),
                    hint: "build shards by the backbone that the model was trained with".to_owned(),
                });
            }
            let numbers = 0..data.manifest().shards.len();
            shards.extend(
                numbers.map(|number| (Shard { data: data.clone(), folder: set.path.clone(), number }, set)),
            );
        }
        Ok(shards)
    }

    pub(super) fn section(
        &self,
        shard: &Shard,
        set: &SetSettings,
        asked: &(dyn Fn(&Text) -> Asked + Sync),
    ) -> Result<Section> {
        let reader = shard.data.shard(shard.number)?;
        let mut section = Section::default();
        for row in 0..reader.len() {
            let sample = reader.short(row);
            if !set.takes(sample) {
                *section.left_out.entry("rows of other splits").or_insert(0) += 1;
                continue;
            }
            let mut tags: Option<[Range<u32>; 2]> = None;
            for (number, text) in sample.texts.iter().enumerate() {
                let target = match asked(text) {
                    Asked::Target(target) => target,
                    Asked::Unknown if self.with_unknown => Vec::new(),
                    Asked::Unknown => {
                        *section.left_out.entry("texts without a known answer").or_insert(0) += 1;
                        continue;
                    }
                    Asked::Other(what) => {
                        *section.left_out.entry(what).or_insert(0) += 1;
                        continue;
                    }
                    Asked::Unfit(problem) => {
                        return Err(Error::Unfit {
                            path: shard.path(),
                            field: format!("row {row} ({}), text {}", sample.key, text.id),
                            problem,
                            hint: "a model, its labels and a data set's numbers must be of one label map"
                                .to_owned(),
                        });
                    }
                };
                self.require_pictures(&shard.path(), row, sample)?;
                section.n_unknown += u64::from(target.is_empty());
                let tags = match (self.tags_of_text(text, &mut section)?, &tags) {
                    (Some(own), _) => own,
                    (None, Some(tags)) => tags.clone(),
                    (None, None) => tags.insert(self.tags(sample, &mut section)?).clone(),
                };
                let a = self.put(&text.text, &mut section)?;
                let first = section.targets.len() as u32;
                section.targets.extend(target);
                section.records.push(Record {
                    row: row as u32,
                    text: number as u32,
                    a,
                    b: tags,
                    target: first..section.targets.len() as u32,
                });
            }
        }
        Ok(section)
    }

    fn require_pictures(&self, path: &Path, row: usize, sample: &Sample) -> Result<()> {
        let (wanted, got) = (self.pictures.n_pictures(), sample.images.len());
        if wanted == got {
            return Ok(());
        }
        Err(Error::Unfit {
            path: path.to_owned(),
            field: format!("row {row} ({})", sample.key),
            problem: format!("has {got} pictures where the task reads {wanted}"),
            hint: format!("build a data set with what the task asks for: {}", self.spec),
        })
    }

    /// The tags that stand in each sequence: names of the chosen origins in stored order, joined by blanks.
    fn tags(&self, sample: &Sample, section: &mut Section) -> Result<[Range<u32>; 2]> {
        if !self.layout.tags {
            return Ok([0..0, 0..0]);
        }
        let origins = self.layout.tag_origins.as_ref();
        let names = |pictures: &[data_specs::Picture]| {
            let tags = pictures.iter().flat_map(|picture| &picture.tags);
            let chosen = tags.filter(|tag| origins.is_none_or(|origins| origins.contains(&tag.origin)));
            chosen.map(|tag| tag.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        Ok(match self.pictures {
            Pictures::One | Pictures::PairAtOnce => [self.put(&names(&sample.images), section)?, 0..0],
            Pictures::Pair => [
                self.put(&names(&sample.images[..1]), section)?,
                self.put(&names(&sample.images[1..]), section)?,
            ],
        })
    }

    /// The tags that a question list gives a text: `o`, names with `;` between them, of one picture or of a left and a
    /// right one. Such a text does not read its pictures' tags, and a chosen origin does not hold for it.
    fn tags_of_text(&self, text: &Text, section: &mut Section) -> Result<Option<[Range<u32>; 2]>> {
        let given = text.extra.as_deref().filter(|_| self.layout.tags);
        let given = given.and_then(|extra| serde_json::from_str::<TagsOfText>(extra).ok());
        let Some(TagsOfText { o }) = given else { return Ok(None) };
        let [left, right] = match (o, self.pictures) {
            (Names::One(names), _) => [names, String::new()],
            (Names::Two { left, right }, Pictures::Pair) => [left, right],
            (Names::Two { left, right }, _) => [format!("{left};{right}"), String::new()],
        };
        let mut put = |names: &str| self.put(&names.replace(';', " "), section);
        Ok(Some([put(&left)?, put(&right)?]))
    }

    /// Adds the first tokens of a text to the section; no more can be in a sequence, whatever stands beside them.
    fn put(&self, text: &str, section: &mut Section) -> Result<Range<u32>> {
        let mut ids = self.tokenizer.encode(text)?;
        ids.truncate(self.layout.max_tokens);
        let first = section.ids.len() as u32;
        section.ids.extend(ids);
        Ok(first..section.ids.len() as u32)
    }
}
