//! Sums over pictures, and the verdict.

use super::matching::Seen;
use super::{CheckOptions, CheckedSet, Cosines, FeaturesCheck, Side, TagOverlap};
use crate::stats::{Bin, Histogram};

/// Bins in which cosines are shown: from -1 to 0 in one, above in steps of 0.05.
const BINS: usize = 21;
/// Bins in which quantiles are found, over -1..=1.
const FINE: usize = 4000;
/// Vectors of equal direction that are longer or shorter than this are scaled otherwise.
const LENGTHS: [f64; 2] = [0.9, 1.1];

#[derive(Default)]
pub(super) struct Figures {
    pictures: u64,
    without_boxes: u64,
    /// Of pictures whose places can be compared.
    compared_regions: [u64; 2],
    regions: [u64; 2],
    matched: u64,
    iou: f64,
    cosines: Tally,
    length_ratio: f64,
    tagged: u64,
    jaccard: f64,
    precision: f64,
    recall: f64,
}

/// Cosines as they are met.
struct Tally {
    fine: Vec<u64>,
    bins: [u64; BINS],
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Figures {
    pub(super) fn add(&mut self, one: &Seen, other: &Seen, least_iou: f64) {
        self.pictures += 1;
        let regions = [one.regions as u64, other.regions as u64];
        self.regions.iter_mut().zip(regions).for_each(|(into, count)| *into += count);
        if !one.tags.is_empty() && !other.tags.is_empty() {
            let both = one.tags.intersection(&other.tags).count() as f64;
            let either = one.tags.union(&other.tags).count() as f64;
            self.tagged += 1;
            self.jaccard += both / either;
            self.precision += both / one.tags.len() as f64;
            self.recall += both / other.tags.len() as f64;
        }
        let Some(pairs) = one.matched(other, least_iou) else {
            self.without_boxes += 1;
            return;
        };
        self.compared_regions.iter_mut().zip(regions).for_each(|(into, count)| *into += count);
        self.matched += pairs.len() as u64;
        for pair in pairs {
            self.iou += pair.iou;
            if let Some((cosine, ratio)) = one.cosine(other, pair) {
                self.cosines.add(cosine);
                self.length_ratio += ratio;
            }
        }
    }

    pub(super) fn finish(self, sides: [&Side; 2], common: u64, options: CheckOptions) -> FeaturesCheck {
        let mean = |sum: f64, count: u64| sum / count.max(1) as f64;
        let sets = [0, 1].map(|side: usize| CheckedSet {
            folder: sides[side].folder.clone(),
            corpus: sides[side].manifest().corpus.clone(),
            width: sides[side].manifest().features.width,
            pictures: sides[side].index.len() as u64,
            regions: mean(self.regions[side] as f64, self.pictures),
        });
        let matched_shares = self.compared_regions.map(|regions| mean(self.matched as f64, regions));
        let cosine = self.cosines.histogram().map(|histogram| Cosines {
            median: self.cosines.quantile(0.5),
            twentieth: self.cosines.quantile(0.05),
            length_ratio: mean(self.length_ratio, self.cosines.count),
            histogram,
        });
        let tags = (self.tagged > 0).then(|| TagOverlap {
            pictures: self.tagged,
            jaccard: mean(self.jaccard, self.tagged),
            precision: mean(self.precision, self.tagged),
            recall: mean(self.recall, self.tagged),
        });
        let mut found = FeaturesCheck {
            alike: false,
            reasons: vec![],
            sets,
            common,
            compared: self.pictures,
            without_boxes: self.without_boxes,
            matched: self.matched,
            matched_shares,
            mean_iou: (self.matched > 0).then(|| mean(self.iou, self.matched)),
            cosine,
            tags,
            options,
        };
        found.reasons = reasons(&found);
        found.alike = found.reasons.is_empty();
        found
    }
}

/// What speaks against reading the one as the other.
fn reasons(found: &FeaturesCheck) -> Vec<String> {
    let mut reasons = Vec::new();
    let options = &found.options;
    let [one, other] = &found.sets;
    if one.width == 0 || other.width == 0 {
        let without = if one.width == 0 { one } else { other };
        reasons.push(format!("{} has no vectors (regions.provider = \"none\")", without.folder.display()));
    } else if one.width != other.width {
        reasons.push(format!(
            "vectors are {} numbers wide in {} and {} in {}: no model reads both",
            one.width,
            one.folder.display(),
            other.width,
            other.folder.display()
        ));
    }
    if found.without_boxes == found.compared {
        reasons.push(
            "regions cannot be compared: a set has no boxes, or boxes without the picture's size".into(),
        );
    } else if found.matched_shares[1] < options.least_matched {
        reasons.push(format!(
            "{:.1} % of the second set's regions are in the first (asked: {:.1} %): other boxes, thresholds or NMS",
            100.0 * found.matched_shares[1],
            100.0 * options.least_matched
        ));
    }
    if let Some(cosine) = &found.cosine {
        if cosine.median < options.least_cosine {
            reasons.push(format!(
                "vectors of the same regions differ: median cosine {:.3} (asked: {:.3}); a model that learned from the \
                 one reads the other as noise, which has cost a published captioner 45 CIDEr points",
                cosine.median, options.least_cosine
            ));
        }
        if !(LENGTHS[0]..=LENGTHS[1]).contains(&cosine.length_ratio) {
            reasons.push(format!(
                "vectors of the first set are {:.2} times as long as the second's: normalised or scaled otherwise",
                cosine.length_ratio
            ));
        }
    } else if one.width == other.width && one.width > 0 && found.matched > 0 {
        reasons.push("no matched region has a vector in both that is neither zero nor NaN".into());
    }
    if let Some(tags) = found.tags.filter(|tags| tags.jaccard < options.least_tags) {
        reasons.push(format!(
            "tags overlap by {:.3} (asked: {:.3}): another vocabulary, threshold or spelling",
            tags.jaccard, options.least_tags
        ));
    }
    reasons
}

impl Default for Tally {
    fn default() -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Tally { fine: vec![0; FINE], bins: [0; BINS], count: 0, sum: 0.0, min, max }
    }
}

impl Tally {
    fn add(&mut self, cosine: f64) {
        let fine = ((cosine + 1.0) / 2.0 * FINE as f64) as usize;
        self.fine[fine.min(FINE - 1)] += 1;
        let bin = if cosine < 0.0 { 0 } else { 1 + (cosine * (BINS - 1) as f64) as usize };
        self.bins[bin.min(BINS - 1)] += 1;
        self.count += 1;
        self.sum += cosine;
        (self.min, self.max) = (self.min.min(cosine), self.max.max(cosine));
    }

    /// The upper end of the fine bin in which a share of the values is reached: exact to 1 / 2000.
    fn quantile(&self, share: f64) -> f64 {
        let wanted = (share * self.count as f64).ceil() as u64;
        let mut seen = 0;
        let reached = self.fine.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let end = reached.map_or(FINE, |bin| bin + 1) as f64 / FINE as f64 * 2.0 - 1.0;
        end.clamp(self.min, self.max)
    }

    fn histogram(&self) -> Option<Histogram> {
        let bins = self.bins.iter().enumerate().map(|(bin, &count)| {
            let edge = |at: usize| at as f64 / (BINS - 1) as f64;
            let (from, to) = if bin == 0 { (-1.0, 0.0) } else { (edge(bin - 1), edge(bin)) };
            Bin { label: format!("{from:.2}–{to:.2}"), from, to, count }
        });
        let (count, min, max) = (self.count, self.min, self.max);
        (count > 0).then(|| Histogram {
            count,
            min,
            mean: self.sum / count as f64,
            max,
            bins: bins.collect(),
        })
    }
}
