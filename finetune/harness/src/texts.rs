//! Texts of data sets, tokenised once, with what is asked of each; their regions stay in the shards.

mod opening;
mod parts;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use data_specs::{RowId, Sample, ShardReader, SpecialIds, Text};
use pretrain::data::append_regions;
use pretrain::model::ModelConfig;
use pretrain::objectives::Sequence;
use pretrain::{Error, Example, Result};
use rayon::prelude::*;

pub use self::opening::Opening;
use self::opening::Shard;
pub(crate) use self::opening::each_row;
use crate::settings::Layout;

/// How the pictures of a row are read beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictures {
    /// Rows have one picture.
    One,
    /// Rows have two; the text is read twice, beside the left one and beside the right one.
    Pair,
    /// Rows have two; the text is read once, beside the tags and the regions of both.
    PairAtOnce,
}

/// What is made of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// Something is asked: weights of labels, ascending by label.
    Target(Vec<(u32, f32)>),
    /// It is one of the task's texts, but its answer is not known, or is none of the labels.
    Unknown,
    /// It is no text of the task; what it is instead.
    Other(&'static str),
    /// What the text asks does not fit the labels, in words: the data set cannot be used with them.
    Unfit(String),
}

/// Where a text stands.
#[derive(Debug, Clone)]
pub struct Place {
    shard: Arc<ShardReader>,
    row: usize,
    text: usize,
}

/// The texts of some data sets.
#[derive(Debug)]
pub struct Texts {
    shards: Vec<Shard>,
    sections: Vec<Section>,
    special: SpecialIds,
    layout: Layout,
    pictures: Pictures,
    config: ModelConfig,
    /// Texts that are read although nothing is known of their answer.
    n_unknown: u64,
    /// Texts and rows that are left out, by reason.
    left_out: BTreeMap<&'static str, u64>,
}

/// The texts of one shard.
#[derive(Debug, Default)]
struct Section {
    ids: Vec<u32>,
    targets: Vec<(u32, f32)>,
    records: Vec<Record>,
    n_unknown: u64,
    left_out: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone)]
struct Record {
    row: u32,
    text: u32,
    a: Range<u32>,
    /// Tags of each sequence.
    b: [Range<u32>; 2],
    target: Range<u32>,
}

impl Place {
    /// The row.
    pub fn sample(&self) -> &Sample {
        self.shard.short(self.row)
    }

    /// The row with what its pictures are kept as, which [`sample`](Self::sample) leaves in the shard.
    ///
    /// # Errors
    /// A failed read.
    pub fn whole(&self) -> Result<Sample> {
        Ok(self.shard.whole_row(self.row)?)
    }

    /// The text.
    pub fn text(&self) -> &Text {
        &self.sample().texts[self.text]
    }
}

impl Pictures {
    /// Sequences that the encoder reads of a sample.
    pub fn n_sequences(self) -> usize {
        match self {
            Self::One | Self::PairAtOnce => 1,
            Self::Pair => 2,
        }
    }

    fn n_pictures(self) -> usize {
        match self {
            Self::One => 1,
            Self::Pair | Self::PairAtOnce => 2,
        }
    }
}

impl Texts {
    /// Reads the short columns of all shards, on all threads of the current rayon pool.
    ///
    /// # Errors
    /// Whatever does not fit, with file, field and remedy; sets with nothing to read.
    pub fn open(opening: &Opening<'_>, asked: &(dyn Fn(&Text) -> Asked + Sync)) -> Result<Self> {
        let shards = opening.shards()?;
        let sections = shards.par_iter().map(|(shard, set)| opening.section(shard, set, asked));
        let sections: Vec<Section> = sections.collect::<Result<_>>()?;
        let (mut n_unknown, mut left_out) = (0, BTreeMap::new());
        for section in &sections {
            n_unknown += section.n_unknown;
            section.left_out.iter().for_each(|(reason, n)| *left_out.entry(*reason).or_insert(0) += n);
        }
        let texts = Self {
            shards: shards.into_iter().map(|(shard, _)| shard).collect(),
            sections,
            special: opening.tokenizer.special(),
            layout: opening.layout.clone(),
            pictures: opening.pictures,
            config: opening.config.clone(),
            n_unknown,
            left_out,
        };
        if texts.len() == 0 {
            let found = texts.left_out.iter().map(|(reason, n)| format!("{n} {reason}"));
            let found = found.collect::<Vec<_>>().join(", ");
            return Err(Error::Unfit {
                path: opening.sets.first().map(|set| set.path.clone()).unwrap_or_default(),
                field: format!("data.{}", opening.role),
                problem: format!(
                    "has nothing to learn or to answer ({})",
                    if found.is_empty() { "no texts at all" } else { &found }
                ),
                hint: format!("build a data set with what the task asks for: {}", opening.spec),
            });
        }
        Ok(texts)
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "a data set without texts is an error")]
    pub fn len(&self) -> u64 {
        self.sections.iter().map(|section| section.records.len() as u64).sum()
    }

    /// How many there are in each shard.
    pub fn n_samples(&self) -> Vec<u64> {
        self.sections.iter().map(|section| section.records.len() as u64).collect()
    }

    /// How pictures are read beside a text.
    pub fn pictures(&self) -> Pictures {
        self.pictures
    }

    /// Regions that are read of a picture, at most.
    pub fn max_regions(&self) -> usize {
        self.layout.max_regions
    }

    /// All, in stored order.
    pub fn all(&self) -> impl Iterator<Item = RowId> + '_ {
        let of = |(shard, section): (usize, &Section)| {
            (0..section.records.len() as u64).map(move |row| RowId { shard: shard as u32, row })
        };
        self.sections.iter().enumerate().flat_map(of)
    }

    /// What is asked of a text; empty where its answer is not known.
    pub fn target(&self, at: RowId) -> &[(u32, f32)] {
        let (section, record) = self.record(at);
        &section.targets[record.target.start as usize..record.target.end as usize]
    }

    /// Where a text stands, with all that its row says.
    ///
    /// # Errors
    /// A failed read.
    pub fn place(&self, at: RowId) -> Result<Place> {
        let shard = &self.shards[at.shard as usize];
        let (_, record) = self.record(at);
        let (row, text) = (record.row as usize, record.text as usize);
        Ok(Place { shard: shard.data.shard(shard.number)?, row, text })
    }

    /// What the encoder reads of a text: one sequence, or one a picture. `place` is the sample's in the batch; sequences
    /// have places of their own.
    ///
    /// # Errors
    /// A failed read, with file and row.
    pub fn sequences(&self, at: RowId, place: u32) -> Result<Vec<Example>> {
        let shard = &self.shards[at.shard as usize];
        let reader = shard.data.shard(shard.number)?;
        let (section, record) = self.record(at);
        let row = record.row as usize;
        let ids = |part: &Range<u32>| &section.ids[part.start as usize..part.end as usize];
        let n = self.pictures.n_sequences();
        let mut a = ids(&record.a);
        let mut examples = Vec::with_capacity(n);
        for number in 0..n {
            let sequence = Sequence::lay_out(a, ids(&record.b[number]), self.special, self.layout.max_tokens);
            // what the text loses beside the left picture's tags it has lost beside the right one's, as published
            a = &a[..sequence.a.len()];
            let mut regions = Vec::new();
            match self.pictures {
                Pictures::One | Pictures::Pair => self.regions(shard, &reader, row, number, &mut regions)?,
                Pictures::PairAtOnce => {
                    self.regions(shard, &reader, row, 0, &mut regions)?;
                    self.regions(shard, &reader, row, 1, &mut regions)?;
                }
            }
            examples.push(Example {
                token_labels: Vec::new(),
                contrastive_label: -1,
                n_regions: regions.len() / self.config.img_feature_dim,
                regions,
                token_ids: sequence.token_ids,
                segment_ids: sequence.segment_ids,
                place: place * n as u32 + number as u32,
            });
        }
        Ok(examples)
    }

    /// What is left out, in words; empty where nothing is.
    pub fn left_out(&self) -> String {
        let mut parts: Vec<String> =
            self.left_out.iter().map(|(reason, n)| format!("left out: {n} {reason}")).collect();
        parts.extend((self.n_unknown > 0).then(|| format!("{} of unknown answer", self.n_unknown)));
        parts.join(", ")
    }

    /// Appends the vectors of a picture.
    fn regions(
        &self,
        shard: &Shard,
        reader: &ShardReader,
        row: usize,
        picture: usize,
        into: &mut Vec<f32>,
    ) -> Result<()> {
        let info = shard.data.manifest().features;
        let sample = reader.short(row);
        let described = &sample.images[picture];
        let n = (described.regions as usize).min(self.layout.max_regions);
        let mut bytes = vec![0; n * info.width as usize * info.dtype.size()];
        reader.fill_slot(row, picture, &mut bytes)?;
        append_regions(described, &bytes, info, self.config.region_geometry, into).map_err(|problem| {
            Error::Unfit {
                path: shard.path(),
                field: format!("row {row} ({})", sample.key),
                problem: problem.to_owned(),
                hint: "build the data set from a source with boxes and the sizes of pictures".to_owned(),
            }
        })
    }

    fn record(&self, at: RowId) -> (&Section, &Record) {
        let section = &self.sections[at.shard as usize];
        (section, &section.records[at.row as usize])
    }
}

#[cfg(test)]
mod tests;
