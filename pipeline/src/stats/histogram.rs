//! Distributions in bounded memory, and the bins in which they are shown.

use std::collections::BTreeMap;

use serde::Serialize;

/// Bins of counts, about: their width is chosen so that no more hold the bulk of the values.
const BINS: u64 = 24;
/// Bins that are rather added than an open one begun.
const FEW_MORE: u64 = 6;
/// Counts up to here are kept one by one; above, to 1 part in 64. So a tally has a few thousand entries.
const EXACT: u64 = 4096;
/// Edges of the bins of shares: boxes differ by orders of magnitude, so the bins grow with them.
const SHARE_EDGES: [f64; 11] = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// How values are distributed; there is at least one value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// Number of values.
    pub count: u64,
    /// Smallest value.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Largest value.
    pub max: f64,
    /// Every value is in one of them; ascending and without gaps.
    pub bins: Vec<Bin>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// What to write under it: `7`, `10–14`, `200+`, `1–2 %`.
    pub label: String,
    /// Smallest value of a bin of counts; shares lie above it (in the first bin also on it).
    pub from: f64,
    /// Largest value.
    pub to: f64,
    /// Values in it.
    pub count: u64,
}

/// Counts (regions, words, pixels) as they are met.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    values: BTreeMap<u64, u64>,
    count: u64,
    sum: u128,
    min_max: Option<(u64, u64)>,
}

/// Shares in 0..=1 as they are met, and larger ones beside them.
#[derive(Debug, Clone, Default)]
pub(super) struct ShareTally {
    /// One for each bin of [`SHARE_EDGES`], and one for what is above 1.
    bins: [u64; SHARE_EDGES.len()],
    sum: f64,
    min_max: Option<(f64, f64)>,
}

impl Tally {
    pub(super) fn add(&mut self, value: u64) {
        self.add_times(value, 1);
    }

    pub(super) fn add_times(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        *self.values.entry(cell(value)).or_default() += times;
        self.count += times;
        self.sum += u128::from(value) * u128::from(times);
        self.widen((value, value));
    }

    pub(super) fn merge(&mut self, other: &Tally) {
        for (&value, &times) in &other.values {
            *self.values.entry(value).or_default() += times;
        }
        self.count += other.count;
        self.sum += other.sum;
        other.min_max.into_iter().for_each(|range| self.widen(range));
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn sum(&self) -> u64 {
        u64::try_from(self.sum).unwrap_or(u64::MAX)
    }

    /// The histogram, or nothing if there was no value.
    pub(super) fn finish(&self) -> Option<Histogram> {
        let (min, max) = self.min_max?;
        // One text of a thousand words must not squeeze all others into one bar: the last half per
        // cent may share an open bin. Where nearly all values are the smallest, the rest is the news.
        let last = self.quantile(0.995);
        let last = if last > min { last } else { max };
        let width = bin_width(last - min + 1);
        let first = min - min % width;
        let last = if (max - first) / width < BINS + FEW_MORE { max } else { last };
        let mut bins: Vec<Bin> = (first..=last)
            .step_by(usize::try_from(width).unwrap_or(usize::MAX))
            .map(|from| {
                let to = from.saturating_add(width - 1);
                let label = if width == 1 { from.to_string() } else { format!("{from}–{to}") };
                Bin { label, from: from as f64, to: to as f64, count: 0 }
            })
            .collect();
        if let Some(open) = bins.last_mut().filter(|bin| bin.to < max as f64) {
            open.label = format!("{}+", open.from);
            open.to = max as f64;
        }
        for (&value, &times) in &self.values {
            // A cell above EXACT may begin below the smallest value that fell into it.
            let at = (value.saturating_sub(first) / width) as usize;
            let at = at.min(bins.len() - 1);
            bins[at].count += times;
        }
        let mean = self.sum as f64 / self.count as f64;
        Some(Histogram { count: self.count, min: min as f64, mean, max: max as f64, bins })
    }

    fn quantile(&self, share: f64) -> u64 {
        let wanted = (share * self.count as f64).ceil() as u64;
        let mut seen = 0;
        let reaches = |(&value, &times): (&u64, &u64)| {
            seen += times;
            (seen >= wanted).then_some(value)
        };
        self.values.iter().find_map(reaches).unwrap_or(0)
    }

    fn widen(&mut self, (low, high): (u64, u64)) {
        let (min, max) = self.min_max.unwrap_or((low, high));
        self.min_max = Some((min.min(low), max.max(high)));
    }
}

impl ShareTally {
    pub(super) fn add(&mut self, share: f64) {
        let bin = SHARE_EDGES[1..].iter().position(|&edge| share <= edge).unwrap_or(SHARE_EDGES.len() - 1);
        self.bins[bin] += 1;
        self.sum += share;
        self.widen((share, share));
    }

    pub(super) fn merge(&mut self, other: &ShareTally) {
        self.bins.iter_mut().zip(other.bins).for_each(|(into, count)| *into += count);
        self.sum += other.sum;
        other.min_max.into_iter().for_each(|range| self.widen(range));
    }

    /// The histogram, or nothing if there was no value.
    pub(super) fn finish(&self) -> Option<Histogram> {
        let (min, max) = self.min_max?;
        let percent = |edge: f64| (edge * 1e4).round() / 1e2;
        let mut bins: Vec<Bin> = SHARE_EDGES
            .windows(2)
            .zip(self.bins)
            .map(|(edges, count)| Bin {
                label: format!("{}–{} %", percent(edges[0]), percent(edges[1])),
                from: edges[0],
                to: edges[1],
                count,
            })
            .collect();
        let above = self.bins[SHARE_EDGES.len() - 1];
        if above > 0 {
            bins.push(Bin { label: "over 100 %".into(), from: 1.0, to: max, count: above });
        }
        let count = self.bins.iter().sum::<u64>();
        Some(Histogram { count, min, mean: self.sum / count as f64, max, bins })
    }

    fn widen(&mut self, (low, high): (f64, f64)) {
        let (min, max) = self.min_max.unwrap_or((low, high));
        self.min_max = Some((min.min(low), max.max(high)));
    }
}

/// The value under which `value` is kept.
fn cell(value: u64) -> u64 {
    if value < EXACT {
        return value;
    }
    let width = 1 << (value.ilog2() - 6);
    value - value % width
}

/// The least of 1, 2, 5, 10, 20, 50, ... with which [`BINS`] bins hold `span` values.
fn bin_width(span: u64) -> u64 {
    let mut decade = 1;
    loop {
        for width in [decade, 2 * decade, 5 * decade] {
            if span.div_ceil(width) <= BINS {
                return width;
            }
        }
        decade *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(values: impl IntoIterator<Item = u64>) -> Tally {
        let mut tally = Tally::default();
        values.into_iter().for_each(|value| tally.add(value));
        tally
    }

    #[test]
    fn bins_hold_every_value_once_and_keep_the_tail_apart() {
        let mut values: Vec<u64> = (0..4000).map(|i| 5 + i % 37).collect();
        values.extend([900, 5000, 1 << 40]);
        let histogram = tally(values.iter().copied()).finish().unwrap();
        assert_eq!((histogram.min, histogram.max), (5.0, (1u64 << 40) as f64));
        assert_eq!(histogram.bins.last().unwrap().label, "40+");
        for bin in &histogram.bins {
            let inside = values.iter().filter(|&&v| (bin.from..=bin.to).contains(&(v as f64))).count();
            assert_eq!(bin.count, inside as u64, "{bin:?}");
        }
        assert_eq!(histogram.bins.iter().map(|bin| bin.count).sum::<u64>(), values.len() as u64);
        assert!(histogram.bins.len() <= 30);
    }

    #[test]
    fn edges_of_the_number_line_do_no_harm() {
        assert_eq!(tally([]).finish(), None);
        let one = tally([36; 9]).finish().unwrap();
        assert_eq!(one.bins, [Bin { label: "36".into(), from: 36.0, to: 36.0, count: 9 }]);
        let rare = tally((0..1000).map(|i| if i < 998 { 0 } else { i })).finish().unwrap();
        assert_eq!((rare.bins[0].count, rare.bins.last().unwrap().count), (998, 2));
        let wide = tally([0, u64::MAX, u64::MAX - 1, 1 << 33]).finish().unwrap();
        assert_eq!(wide.bins.iter().map(|bin| bin.count).sum::<u64>(), 4);
        assert!(tally((0..1 << 20).map(|i| i * 977)).values.len() < 6000);
    }

    #[test]
    fn merging_is_counting_together() {
        let (mut a, b) = (tally([1, 5, 9000]), tally([5, 70]));
        a.merge(&b);
        assert_eq!(a.finish(), tally([1, 5, 9000, 5, 70]).finish());
        a.merge(&Tally::default());
        assert_eq!((a.count(), a.sum()), (5, 9081));
    }

    #[test]
    fn shares_on_an_edge_belong_below_it() {
        let mut shares = ShareTally::default();
        [0.0, 0.001, 0.0011, 0.5, 1.0, 1.5].into_iter().for_each(|share| shares.add(share));
        let histogram = shares.finish().unwrap();
        assert_eq!(
            histogram.bins.iter().map(|bin| bin.count).collect::<Vec<_>>(),
            [2, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1]
        );
        assert_eq!(histogram.bins[1].label, "0.1–0.2 %");
        assert_eq!(histogram.max, 1.5);
    }
}
