//! Whether two data sets see the same in the same pictures: regions, vectors, tags.
//!
//! Vectors that one detector computed mean something to a model that learned from them; those of another, or of the same
//! with other boxes, other NMS or another order of colours, are noise to it. Users of VinVL who extracted features
//! themselves lost 45 CIDEr points that way (140 to 95).

mod figures;
mod matching;
mod terminal;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use data_specs::{Dataset, FeatureType, IdMatching, Manifest, Picture, RowId, ShardReader, Verify};
use serde::Serialize;

use crate::plan::Ids;
use crate::stats::Histogram;
use crate::{Error, Watch};
use figures::Figures;
use matching::Seen;

/// Shards of each data set that stay open.
const OPEN_SHARDS: usize = 8;

/// What is compared, and what is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CheckOptions {
    /// Pictures that are compared at most, evenly spread over those in both.
    pub pictures: usize,
    /// Two regions are one from this intersection over union on.
    pub iou: f64,
    /// Share of the other's regions that have to be found.
    pub least_matched: f64,
    /// Median cosine of the vectors of a region.
    pub least_cosine: f64,
    /// Jaccard index of the tags of a picture, on average.
    pub least_tags: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeaturesCheck {
    /// Whether a model that learned from one can read the other.
    pub alike: bool,
    /// Why not; empty where it can.
    pub reasons: Vec<String>,
    /// The first and the second data set.
    pub sets: [CheckedSet; 2],
    /// Pictures in both.
    pub common: u64,
    /// Those compared.
    pub compared: u64,
    /// Those compared of which one set has no boxes, or not in a form that fits the other's; their tags count.
    pub without_boxes: u64,
    /// Pairs of regions that are one.
    pub matched: u64,
    /// Share of each set's regions that are matched.
    pub matched_shares: [f64; 2],
    /// Mean intersection over union of matched regions.
    pub mean_iou: Option<f64>,
    /// Cosines of the vectors of matched regions, if both sets have vectors of one width.
    pub cosine: Option<Cosines>,
    /// Names of regions, where both sets have any.
    pub tags: Option<TagOverlap>,
    /// What was asked.
    pub options: CheckOptions,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedSet {
    /// Its folder.
    pub folder: PathBuf,
    /// Its corpus.
    pub corpus: String,
    /// Numbers of a vector.
    pub width: u32,
    /// Its pictures.
    pub pictures: u64,
    /// Regions of a compared picture, on average.
    pub regions: f64,
}

/// How alike the vectors of matched regions are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cosines {
    /// Half are below.
    pub median: f64,
    /// A twentieth is below.
    pub twentieth: f64,
    /// Length of the first set's vectors over that of the second's, on average: the cosine does not see it.
    pub length_ratio: f64,
    /// All.
    pub histogram: Histogram,
}

/// Means over pictures of which both sets have tags.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TagOverlap {
    /// Such pictures.
    pub pictures: u64,
    /// Names in both, of those in either.
    pub jaccard: f64,
    /// Names of the first set that the second has too.
    pub precision: f64,
    /// Names of the second set that the first has too.
    pub recall: f64,
}

/// Compares the pictures that are in both `folders`; ids count by their trailing number, as COCO's do.
///
/// Memory: 40 bytes a picture, and the short columns of 8 shards of each.
///
/// # Errors
/// Data sets that cannot be read; no common picture; a signal.
pub fn features_check(
    folders: [&Path; 2],
    options: CheckOptions,
    watch: &dyn Watch,
) -> Result<FeaturesCheck, Error> {
    let one = Side::open(folders[0])?;
    let other = Side::open(folders[1])?;
    let mut common: Vec<(At, At)> =
        one.index.iter().filter_map(|(id, &at)| other.index.get(id).map(|&beside| (at, beside))).collect();
    common.sort_unstable();
    if common.is_empty() {
        return Err(Error::Input {
            path: folders[1].to_path_buf(),
            line: None,
            what: format!("has no picture of {}", folders[0].display()),
            hint: "compare data sets of the same pictures; `pipeline peek` shows their ids".into(),
        });
    }
    let count = common.len();
    let compared = count.min(options.pictures.max(1));
    let mut figures = Figures::default();
    for number in 0..compared {
        crate::plan::interrupted(watch)?;
        // evenly spread, so that a data set of several parts is compared in all of them
        let (at, beside) = common[number * count / compared];
        figures.add(&one.seen(at)?, &other.seen(beside)?, options.iou);
    }
    Ok(figures.finish([&one, &other], count as u64, options))
}

/// A picture of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    row: RowId,
    picture: usize,
}

struct Side {
    folder: PathBuf,
    data: Dataset,
    /// The first picture of every id.
    index: HashMap<Box<str>, At>,
}

impl Side {
    fn open(folder: &Path) -> Result<Side, Error> {
        let data = Dataset::with(folder, Verify::First, OPEN_SHARDS)?;
        let ids = Ids(IdMatching::TrailingDigits);
        let mut index = HashMap::new();
        for shard in 0..data.manifest().shards.len() {
            let reader = data.shard(shard)?;
            for row in 0..reader.len() {
                for (picture, image) in reader.short(row).images.iter().enumerate() {
                    let row = RowId { shard: shard as u32, row: row as u64 };
                    index.entry(ids.normal(&image.image_id).into()).or_insert(At { row, picture });
                }
            }
        }
        Ok(Side { folder: folder.to_path_buf(), data, index })
    }

    fn manifest(&self) -> &Manifest {
        self.data.manifest()
    }

    fn seen(&self, at: At) -> Result<Seen, Error> {
        let reader: &ShardReader = &*self.data.shard(at.row.shard as usize)?;
        let row = at.row.row as usize;
        let picture: &Picture = &reader.short(row).images[at.picture];
        let mut bytes = Vec::new();
        reader.read_features(row, at.picture, &mut bytes)?;
        let numbers = match self.manifest().features.dtype {
            FeatureType::F32 => bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
            FeatureType::F16 => {
                bytes.as_chunks::<2>().0.iter().map(|x| half::f16::from_le_bytes(*x).to_f32()).collect()
            }
        };
        Ok(Seen::new(picture, numbers, self.manifest().features.width as usize))
    }
}
