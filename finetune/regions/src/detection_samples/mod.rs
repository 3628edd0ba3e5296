//! What a detector learns from, out of data sets: pictures with the boxes, names and attributes that people gave them.
//!
//! A data set is what `pipeline build` writes with `regions.provider = "none"` (or any other provider with boxes) and
//! `images.keep = "full"`: COCO, Visual Genome, OpenImages, drawn pictures, all in one form.
//!
//! ```text
//! rows of data sets -> classes and attributes    counted, or from lists
//!                   -> an epoch's pictures       copies of a source, then as many of rare classes as asked for
//!                   -> sample n                  order and changes are functions of (seed, n): resuming is asking for n
//! ```

mod boxes;
mod drawing;
mod names;
mod settings;
#[cfg(test)]
mod tests;
mod weighing;

pub use names::Names;
pub use settings::{NamesSettings, SampleSettings, SampleSource};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use data_specs::{Dataset, EpochOrder, OrderOptions, SampleOrder, Verify};

use crate::Error;
use crate::decoding::{Limits, decode};
use crate::detector::TrainingPicture;
use boxes::{Fault, objects};

/// Shards of a data set that stay open: those of a block of the reading order (19 at most), and one of the next.
const OPEN_SHARDS: usize = 20;

/// Pictures with boxes, in an order and with changes drawn from a seed.
///
/// Memory: the short columns of 20 shards a data set, and 8 bytes a picture. It may be asked from many threads.
#[derive(Debug)]
pub struct DetectionSamples {
    settings: SampleSettings,
    classes: Names,
    attributes: Names,
    shards: Vec<Shard>,
    /// Rows with boxes of each shard, ascending.
    pictures: Vec<Vec<u32>>,
    /// What an epoch shows of each shard: places in `pictures`.
    shown: Vec<Vec<u32>>,
    order: SampleOrder,
    seed: u64,
    epoch: Mutex<Option<(u64, Arc<EpochOrder>)>>,
    counts: SampleCounts,
}

/// One shard of one source.
#[derive(Debug)]
struct Shard {
    data: Arc<Dataset>,
    source: usize,
    number: usize,
}

/// What was found, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// Pictures with boxes of a known class.
    pub pictures: u64,
    /// Samples of an epoch: pictures with their copies.
    pub samples: u64,
    /// Boxes of each class, in their order.
    pub boxes_by_class: Vec<u64>,
    /// What is odd, with how many there are and the key of the first row.
    pub odd: BTreeMap<&'static str, (u64, String)>,
}

impl DetectionSamples {
    /// Looks through the short columns of all data sets.
    ///
    /// # Errors
    /// Settings that cannot be meant; data sets that cannot be read, or without pictures that can be learned from.
    pub fn open(settings: &SampleSettings, seed: u64) -> Result<DetectionSamples, Error> {
        settings.validate()?;
        let mut shards = Vec::new();
        for (source, of) in settings.sources.iter().enumerate() {
            let data = Arc::new(Dataset::with(&of.path, Verify::First, OPEN_SHARDS)?);
            let numbers = 0..data.manifest().shards.len();
            shards.extend(numbers.map(|number| Shard { data: data.clone(), source, number }));
        }
        let (classes, attributes) = names::of(settings, &shards)?;
        let weighed = weighing::weigh(settings, &shards, &classes, &attributes, seed)?;
        let samples: Vec<u64> = weighed.shown.iter().map(|shown| shown.len() as u64).collect();
        let order = SampleOrder::new(&samples, seed, OrderOptions::default())?;
        let made = DetectionSamples {
            settings: settings.clone(),
            classes,
            attributes,
            shards,
            pictures: weighed.pictures,
            shown: weighed.shown,
            order,
            seed,
            epoch: Mutex::new(None),
            counts: weighed.counts,
        };
        if made.len() == 0 {
            let odd = made.counts.odd.iter().map(|(what, (count, _))| format!("{count} {what}"));
            let odd: Vec<String> = odd.collect();
            return Err(made.unfit(
                0,
                format!("no picture has a box of a known class ({})", odd.join(", ")),
                "build with [boxes] and regions.provider = \"none\": data-specs/corpora/coco-detection.toml",
            ));
        }
        made.picture(0)?; // so that missing pixels are told before the first step
        Ok(made)
    }

    /// What boxes may be called.
    pub fn classes(&self) -> &Names {
        &self.classes
    }

    /// What boxes may be like.
    pub fn attributes(&self) -> &Names {
        &self.attributes
    }

    /// Samples of an epoch.
    #[expect(clippy::len_without_is_empty, reason = "a source without samples is an error")]
    pub fn len(&self) -> u64 {
        self.order.len()
    }

    /// What was found, and what was left out.
    pub fn counts(&self) -> &SampleCounts {
        &self.counts
    }

    /// Sample number `n` of the training, from 0 and without end: a function of the seed and `n`.
    ///
    /// # Errors
    /// A failed read; a picture that is not kept whole or cannot be decoded, with its row.
    pub fn sample(&self, n: u64) -> Result<TrainingPicture, Error> {
        let (epoch, position) = (n / self.len(), n % self.len());
        let at = self.epoch_order(epoch).at(position).expect("a remainder is below the epoch's length");
        let shard = at.shard as usize;
        let found = self.read(shard, self.shown[shard][at.row as usize] as usize)?;
        drawing::changed(found, &self.settings, self.seed, epoch, position)
    }

    /// Pictures, without copies: for evaluation.
    pub fn n_pictures(&self) -> u64 {
        self.counts.pictures
    }

    /// Picture `n` in stored order, as it is.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    ///
    /// # Panics
    /// Where there are not so many.
    pub fn picture(&self, mut n: u64) -> Result<TrainingPicture, Error> {
        for (shard, pictures) in self.pictures.iter().enumerate() {
            match n.checked_sub(pictures.len() as u64) {
                Some(rest) => n = rest,
                None => return self.read(shard, n as usize),
            }
        }
        panic!("asked for a picture behind the last");
    }

    /// The order of an epoch; kept until another one is asked for.
    fn epoch_order(&self, epoch: u64) -> Arc<EpochOrder> {
        // Nothing that holds the lock can panic half-way, so a poisoned one is still consistent.
        let mut kept = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((known, order)) if *known == epoch => order.clone(),
            _ => kept.insert((epoch, Arc::new(self.order.epoch(epoch)))).1.clone(),
        }
    }

    fn read(&self, shard: usize, place: usize) -> Result<TrainingPicture, Error> {
        let at = &self.shards[shard];
        let row = self.pictures[shard][place] as usize;
        let sample = at.data.shard(at.number)?.whole_row(row)?;
        let unfit = |what: String, hint: &'static str| {
            self.unfit(shard, format!("row {row} ({}) {what}", sample.key), hint)
        };
        const KEEP: &str = "build the data set with images.keep = \"full\"";
        let [described] = sample.images.as_slice() else {
            return Err(unfit("has two pictures".into(), "a detector learns from rows with one picture"));
        };
        let bytes = described.image.as_ref().and_then(|image| image.bytes.as_ref());
        let bytes = bytes.ok_or_else(|| unfit("keeps no picture".into(), KEEP))?;
        let picture = decode(bytes, &Limits::default()).map_err(|error| {
            unfit(format!("cannot be decoded: {error}"), "leave its picture out of the build")
        })?;
        if (Some(picture.width), Some(picture.height)) != (described.width, described.height) {
            let what = format!(
                "keeps a picture of {} x {}, and its boxes are in one of {:?} x {:?}",
                picture.width,
                picture.height,
                described.width.unwrap_or_default(),
                described.height.unwrap_or_default()
            );
            return Err(unfit(what, KEEP));
        }
        let of = &self.settings.sources[at.source];
        let found = objects(described, of, &self.classes, &self.attributes, &mut |_: Fault| {});
        let mut made = TrainingPicture { picture, boxes: vec![], classes: vec![], attributes: vec![] };
        for mut object in found {
            object.attributes.truncate(self.settings.most_attributes);
            made.boxes.push(object.rect);
            made.classes.push(object.class);
            made.attributes.push(object.attributes);
        }
        Ok(made)
    }

    fn unfit(&self, shard: usize, what: String, hint: &'static str) -> Error {
        let path = self.shards.get(shard).map_or_else(
            || self.settings.sources[0].path.clone(),
            |at| self.settings.sources[at.source].path.join(&at.data.manifest().shards[at.number].name),
        );
        Error::Samples { path, what, hint }
    }
}
