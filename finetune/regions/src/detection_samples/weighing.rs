//! Which pictures an epoch shows, and how often.

use data_specs::Sample;
use pretrain_training::{Generator, Stream};

use super::boxes::{Fault, objects};
use super::names::Names;
use super::settings::SampleSettings;
use super::{SampleCounts, Shard};
use crate::Error;

/// Rows with boxes, and what an epoch shows of them, by shard.
pub(super) struct Weighed {
    pub(super) pictures: Vec<Vec<u32>>,
    pub(super) shown: Vec<Vec<u32>>,
    pub(super) counts: SampleCounts,
}

/// A picture of a source, while it is weighed.
struct Weight {
    shard: usize,
    /// Among the shard's pictures.
    place: u32,
    /// The class of every box.
    classes: Vec<u32>,
    shown: u32,
}

/// Counts boxes and settles copies. With `least_of_class` a class that an epoch would show too seldom gets its pictures
/// shown again, rarest class first, each of them once before one of them twice, in an order drawn from the seed.
pub(super) fn weigh(
    settings: &SampleSettings,
    shards: &[Shard],
    classes: &Names,
    attributes: &Names,
    seed: u64,
) -> Result<Weighed, Error> {
    let mut counts = SampleCounts { boxes_by_class: vec![0; classes.len()], ..SampleCounts::default() };
    let mut pictures: Vec<Vec<u32>> = vec![Vec::new(); shards.len()];
    let mut shown: Vec<Vec<u32>> = vec![Vec::new(); shards.len()];
    for (source, of) in settings.sources.iter().enumerate() {
        let mut weights = Vec::new();
        for (number, shard) in shards.iter().enumerate().filter(|(_, shard)| shard.source == source) {
            let reader = shard.data.shard(shard.number)?;
            for row in 0..reader.len() {
                let sample = reader.short(row);
                if !of.takes(sample) {
                    odd(&mut counts, "rows of other splits, or of two pictures; left out", sample);
                    continue;
                }
                let picture = &sample.images[0];
                let mut note = |fault: Fault| odd(&mut counts, fault, sample);
                if picture.width.is_none() || picture.height.is_none() {
                    note("pictures have no size; left out");
                }
                let found = objects(picture, of, classes, attributes, &mut note);
                if found.is_empty() {
                    note("pictures have no box to learn from; left out");
                    continue;
                }
                for object in &found {
                    counts.boxes_by_class[object.class] += 1;
                }
                let classes = found.iter().map(|object| object.class as u32).collect();
                let place = pictures[number].len() as u32;
                pictures[number].push(row as u32);
                weights.push(Weight { shard: number, place, classes, shown: of.copies });
            }
        }
        counts.pictures += weights.len() as u64;
        if of.least_of_class > 0 {
            raise(&mut weights, classes.len(), of.least_of_class, seed, source as u32);
        }
        for weight in &weights {
            shown[weight.shard].extend(std::iter::repeat_n(weight.place, weight.shown as usize));
        }
    }
    counts.samples = shown.iter().map(|shown| shown.len() as u64).sum();
    Ok(Weighed { pictures, shown, counts })
}

fn raise(weights: &mut [Weight], n_classes: usize, least: u64, seed: u64, source: u32) {
    let mut shown = vec![0u64; n_classes];
    let mut of_class: Vec<Vec<u32>> = vec![Vec::new(); n_classes];
    for (number, weight) in weights.iter().enumerate() {
        for &class in &weight.classes {
            shown[class as usize] += u64::from(weight.shown);
            if of_class[class as usize].last() != Some(&(number as u32)) {
                of_class[class as usize].push(number as u32);
            }
        }
    }
    let mut rare: Vec<usize> =
        (0..n_classes).filter(|&class| shown[class] > 0 && shown[class] < least).collect();
    rare.sort_by_key(|&class| (shown[class], class));
    let generator = Generator::new(seed, Stream::DatasetMix, source);
    for class in rare {
        let pictures = &mut of_class[class];
        pictures.sort_by_cached_key(|&picture| {
            (generator.words((class as u64) << 32 | u64::from(picture)), picture)
        });
        let mut next = pictures.iter().cycle();
        while shown[class] < least {
            let picture = *next.next().expect("a class that is shown has a picture");
            let weight = &mut weights[picture as usize];
            weight.shown += 1;
            for &other in &weight.classes {
                shown[other as usize] += 1;
            }
        }
    }
}

fn odd(counts: &mut SampleCounts, fault: Fault, sample: &Sample) {
    counts.odd.entry(fault).or_insert_with(|| (0, sample.key.clone())).0 += 1;
}
