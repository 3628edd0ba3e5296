//! Pictures of data sets with their captions: rows of shards become what the encoder reads.

use std::path::PathBuf;
use std::sync::Arc;

use data_specs::{Dataset, RowId, Sample, ShardReader, TextKind, Tokenizer, Verify};
use finetune_harness::{Layout, SetSettings};
use pretrain::data::{PLACE_NUMBERS, VerifyShards, append_regions};
use pretrain::model::ModelConfig;
use pretrain::{Error, Result};
use rayon::prelude::*;

/// Tags and regions of one picture.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// Ids of the tags' pieces.
    pub(crate) tags: Vec<u32>,
    /// \[r, D + 6\]
    pub(crate) regions: Vec<f32>,
    pub(crate) n_regions: usize,
}

/// What pictures are opened with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    /// `train` or `held_out`: the key of `data` that the sets stand under.
    pub(crate) role: &'static str,
    pub(crate) sets: &'a [SetSettings],
    pub(crate) verify: VerifyShards,
    pub(crate) layout: &'a Layout,
    pub(crate) config: &'a ModelConfig,
    pub(crate) tokenizer: &'a Tokenizer,
    /// Whether only pictures with captions are read.
    pub(crate) captioned: bool,
}

/// The pictures of some data sets.
#[derive(Debug)]
pub(crate) struct PictureSet {
    shards: Vec<Shard>,
    layout: Layout,
    config: ModelConfig,
    tokenizer: Tokenizer,
    /// Rows of every shard, in stored order.
    rows: Vec<Vec<Row>>,
    /// Rows that have no caption, or are of another split.
    left_out: usize,
}

#[derive(Debug)]
struct Shard {
    data: Arc<Dataset>,
    folder: PathBuf,
    number: usize,
    splits: Option<Vec<String>>,
}

/// A row: its number, and which of its texts are captions.
#[derive(Debug, Clone)]
struct Row {
    number: u32,
    captions: Vec<u32>,
    /// Captions of the shard before its own.
    first: u64,
}

/// Shards that stay open: the longest block of the reading order (19), and one of the next.
const OPEN_SHARDS: usize = 20;
/// What builds the data.
pub(crate) const SPEC: &str = "data-specs/corpora/coco-captions.toml and karpathy.toml have captions";

impl PictureSet {
    pub(crate) fn open(opening: &Opening<'_>) -> Result<Self> {
        let verify = match opening.verify {
            VerifyShards::First => Verify::First,
            VerifyShards::Never => Verify::Never,
        };
        let mut shards = Vec::new();
        for set in opening.sets {
            let data = Arc::new(Dataset::with(&set.path, verify, OPEN_SHARDS)?);
            let width = data.manifest().features.width as usize;
            if width + PLACE_NUMBERS != opening.config.img_feature_dim {
                return Err(Error::Unfit {
                    path: set.path.clone(),
                    field: "features".to_owned(),
                    problem: format!(
                        "are {width} wide; the model reads {} and six numbers of the place",
                        opening.config.img_feature_dim - PLACE_NUMBERS
                    ),
                    hint: "build shards by the backbone that the model was trained with".to_owned(),
                });
            }
            shards.extend((0..data.manifest().shards.len()).map(|number| Shard {
                data: data.clone(),
                folder: set.path.clone(),
                number,
                splits: set.splits.clone(),
            }));
        }
        let found: Vec<(Vec<Row>, usize)> =
            shards.par_iter().map(|shard| shard.rows(opening)).collect::<Result<_>>()?;
        let left_out = found.iter().map(|(_, left_out)| left_out).sum();
        let set = Self {
            shards,
            layout: opening.layout.clone(),
            config: opening.config.clone(),
            tokenizer: opening.tokenizer.clone(),
            rows: found.into_iter().map(|(rows, _)| rows).collect(),
            left_out,
        };
        if set.all().next().is_none() {
            let what = if opening.captioned { "captions" } else { "pictures" };
            return Err(Error::Unfit {
                path: opening.sets.first().map(|set| set.path.clone()).unwrap_or_default(),
                field: format!("data.{}", opening.role),
                problem: format!("has no {what} ({left_out} rows are without them or of other splits)"),
                hint: format!("build a data set with what the task asks for: {SPEC}"),
            });
        }
        Ok(set)
    }

    /// All pictures, in stored order.
    pub(crate) fn all(&self) -> impl Iterator<Item = RowId> + '_ {
        (0u32..)
            .zip(&self.rows)
            .flat_map(|(shard, rows)| (0..rows.len() as u64).map(move |row| RowId { shard, row }))
    }

    /// Pictures in each shard.
    pub(crate) fn n_pictures(&self) -> Vec<u64> {
        self.rows.iter().map(|rows| rows.len() as u64).collect()
    }

    /// Captions in each shard.
    pub(crate) fn n_captions(&self) -> Vec<u64> {
        let of = |rows: &Vec<Row>| rows.iter().map(|row| row.captions.len() as u64).sum();
        self.rows.iter().map(of).collect()
    }

    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }

    /// The picture of a caption, which is counted through its shard, and the caption.
    pub(crate) fn caption(&self, at: RowId) -> Result<(RowId, String)> {
        let rows = &self.rows[at.shard as usize];
        // rows without captions have the same first number as the row behind them
        let number = rows.partition_point(|row| row.first + row.captions.len() as u64 <= at.row);
        let row = &rows[number];
        let text = row.captions[(at.row - row.first) as usize] as usize;
        let picture = RowId { shard: at.shard, row: number as u64 };
        let (reader, stored) = self.stored(picture)?;
        Ok((picture, reader.short(stored).texts[text].text.clone()))
    }

    /// All captions of a picture.
    pub(crate) fn captions(&self, at: RowId) -> Result<Vec<String>> {
        let (reader, row) = self.stored(at)?;
        let texts = &reader.short(row).texts;
        let captions = &self.rows[at.shard as usize][at.row as usize].captions;
        Ok(captions.iter().map(|text| texts[*text as usize].text.clone()).collect())
    }

    /// All that the row says in words.
    pub(crate) fn sample(&self, at: RowId) -> Result<Sample> {
        let (reader, row) = self.stored(at)?;
        Ok(reader.short(row).clone())
    }

    /// The row with what it keeps of its picture.
    pub(crate) fn whole(&self, at: RowId) -> Result<Sample> {
        let (reader, row) = self.stored(at)?;
        Ok(reader.whole_row(row)?)
    }

    /// What the encoder reads of a picture.
    ///
    /// # Errors
    /// A failed read; a picture without tags and regions, of which there is nothing to say.
    pub(crate) fn picture(&self, at: RowId) -> Result<Picture> {
        let shard = &self.shards[at.shard as usize];
        let (reader, row) = self.stored(at)?;
        let (sample, info) = (reader.short(row), shard.data.manifest().features);
        let unfit = |problem: &str, hint: &str| Error::Unfit {
            path: shard.path(),
            field: format!("row {row} ({})", sample.key),
            problem: problem.to_owned(),
            hint: hint.to_owned(),
        };
        let [described] = sample.images.as_slice() else {
            return Err(unfit("has two pictures; a caption is of one", SPEC));
        };
        let n = (described.regions as usize).min(self.layout.max_regions);
        let mut bytes = vec![0; n * info.width as usize * info.dtype.size()];
        reader.fill_slot(row, 0, &mut bytes)?;
        let mut regions = Vec::new();
        append_regions(described, &bytes, info, self.config.region_geometry, &mut regions).map_err(
            |problem| unfit(problem, "build the data set from a source with boxes and the sizes of pictures"),
        )?;
        let tags = if self.layout.tags {
            let origins = self.layout.tag_origins.as_ref();
            let chosen =
                described.tags.iter().filter(|tag| origins.is_none_or(|list| list.contains(&tag.origin)));
            self.tokenizer.encode(&chosen.map(|tag| tag.name.as_str()).collect::<Vec<_>>().join(" "))?
        } else {
            Vec::new()
        };
        if n == 0 && tags.is_empty() {
            return Err(unfit(
                "has neither regions nor tags that are read",
                "leave it out by data.*.splits, or see data.layout: max_regions, tags, tag_origins",
            ));
        }
        Ok(Picture { tags, n_regions: regions.len() / self.config.img_feature_dim, regions })
    }

    fn stored(&self, at: RowId) -> Result<(Arc<ShardReader>, usize)> {
        let shard = &self.shards[at.shard as usize];
        let row = &self.rows[at.shard as usize][at.row as usize];
        Ok((shard.data.shard(shard.number)?, row.number as usize))
    }
}

impl Shard {
    fn path(&self) -> PathBuf {
        self.folder.join(&self.data.manifest().shards[self.number].name)
    }

    fn rows(&self, opening: &Opening<'_>) -> Result<(Vec<Row>, usize)> {
        let reader = self.data.shard(self.number)?;
        let (mut rows, mut left_out, mut first) = (Vec::new(), 0, 0);
        for number in 0..reader.len() {
            let sample = reader.short(number);
            let texts = (0u32..).zip(&sample.texts);
            let captions: Vec<u32> =
                texts.filter(|(_, text)| text.kind == TextKind::Caption).map(|(number, _)| number).collect();
            let is_read = self.splits.as_ref().is_none_or(|splits| splits.contains(&sample.split));
            if is_read && (!opening.captioned || !captions.is_empty()) {
                let n = captions.len() as u64;
                rows.push(Row { number: number as u32, captions, first });
                first += n;
            } else {
                left_out += 1;
            }
        }
        Ok((rows, left_out))
    }
}
