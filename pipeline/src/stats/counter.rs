//! Counting strings without keeping all of them.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

/// Distinct strings that a counter keeps: at most about 20 MB with 64-byte keys.
const LIMIT: usize = 1 << 17;
/// Longer strings are cut to this many bytes, so that strings which begin alike count as one.
const KEY_BYTES: usize = 64;
/// Hashes from which the number of distinct strings is estimated: standard error 1 / sqrt(4096) = 1.6 %.
const SKETCH: usize = 4096;

/// How often strings occur.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Frequencies {
    /// Strings counted, repetitions included.
    pub total: u64,
    /// Different strings; an estimate (to about 2 %) if `undercount` is not 0.
    pub distinct: u64,
    /// How much a count in `most` may be too low: 0 up to 131,072 different strings.
    pub undercount: u64,
    /// The most frequent ones, equal counts in the order of their bytes.
    pub most: Vec<Counted>,
}

/// One string and how often it occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The string, at most 64 bytes of it.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// Counts strings in bounded memory.
///
/// Beyond the limit the rarer half is forgotten. What is then counted again starts from 0, so a count is
/// at most the sum of the forgotten counts' maxima too low (lossy counting; Manku and Motwani 2002).
/// Which strings are forgotten depends on counts only, never on a hash table's order.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    counts: HashMap<String, u64>,
    limit: usize,
    total: u64,
    undercount: u64,
    /// From the first forgetting on.
    ever_seen: Option<DistinctSketch>,
}

/// The smallest hashes of all strings seen: their density tells how many there are (k minimum values).
#[derive(Debug, Clone, Default)]
struct DistinctSketch {
    smallest: BTreeSet<u64>,
}

impl Default for Counter {
    fn default() -> Counter {
        Counter::with_limit(LIMIT)
    }
}

impl Counter {
    fn with_limit(limit: usize) -> Counter {
        Counter { counts: HashMap::new(), limit, total: 0, undercount: 0, ever_seen: None }
    }

    pub(super) fn add(&mut self, name: &str) {
        let name = &name[..name.floor_char_boundary(KEY_BYTES)];
        self.total += 1;
        self.put(name, 1);
        self.forget_beyond_limit();
    }

    pub(super) fn merge(&mut self, other: &Counter) {
        if other.ever_seen.is_some() {
            self.start_sketch();
        }
        if let (Some(mine), Some(theirs)) = (&mut self.ever_seen, &other.ever_seen) {
            theirs.smallest.iter().for_each(|&hash| mine.add(hash));
        }
        // Sums do not depend on the order, and nothing is forgotten before all are in.
        other.counts.iter().for_each(|(name, &count)| self.put(name, count));
        self.total += other.total;
        self.undercount += other.undercount;
        self.forget_beyond_limit();
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The figures, with the `most` most frequent strings.
    pub(super) fn finish(&self, most: usize) -> Frequencies {
        let mut sorted: Vec<(&String, u64)> =
            self.counts.iter().map(|(name, &count)| (name, count)).collect();
        sorted.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let distinct = match &self.ever_seen {
            None => sorted.len() as u64,
            Some(sketch) => sketch.estimate(),
        };
        let most = sorted.into_iter().take(most);
        let most = most.map(|(name, count)| Counted { name: name.clone(), count }).collect();
        Frequencies { total: self.total, distinct, undercount: self.undercount, most }
    }

    fn put(&mut self, name: &str, count: u64) {
        if let Some(known) = self.counts.get_mut(name) {
            *known += count;
            return;
        }
        if let Some(sketch) = &mut self.ever_seen {
            sketch.add(hash(name));
        }
        self.counts.insert(name.to_string(), count);
    }

    fn forget_beyond_limit(&mut self) {
        if self.counts.len() <= self.limit {
            return;
        }
        self.start_sketch();
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let middle = counts.len() / 2;
        let highest_forgotten = *counts.select_nth_unstable(middle).1;
        self.counts.retain(|_, &mut count| count > highest_forgotten);
        self.undercount += highest_forgotten;
    }

    fn start_sketch(&mut self) {
        if self.ever_seen.is_none() {
            let mut sketch = DistinctSketch::default();
            self.counts.keys().for_each(|name| sketch.add(hash(name)));
            self.ever_seen = Some(sketch);
        }
    }
}

impl DistinctSketch {
    fn add(&mut self, hash: u64) {
        if self.smallest.len() < SKETCH {
            self.smallest.insert(hash);
        } else if self.smallest.last().is_some_and(|&largest| hash < largest) && self.smallest.insert(hash) {
            self.smallest.pop_last();
        }
    }

    fn estimate(&self) -> u64 {
        match self.smallest.last() {
            Some(&largest) if self.smallest.len() == SKETCH => {
                ((SKETCH - 1) as f64 * 2f64.powi(64) / largest as f64).round() as u64
            }
            _ => self.smallest.len() as u64,
        }
    }
}

/// FNV-1a with a finaliser that spreads it over all bits: the same on every machine and in every release.
fn hash(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_strings_are_counted_exactly_and_ties_are_in_order() {
        let mut counter = Counter::default();
        "b a c a b d".split(' ').for_each(|word| counter.add(word));
        let figures = counter.finish(3);
        let most: Vec<_> = figures.most.iter().map(|entry| (entry.name.as_str(), entry.count)).collect();
        assert_eq!(most, [("a", 2), ("b", 2), ("c", 1)]);
        assert_eq!((figures.total, figures.distinct, figures.undercount), (6, 4, 0));
    }

    #[test]
    fn beyond_the_limit_memory_is_bounded_and_the_error_is_what_it_says() {
        // Word i occurs about 40,000 / (i + 1) times, among 60,000 words that occur once.
        let mut counter = Counter::with_limit(1000);
        let mut parts = vec![Counter::with_limit(1000); 4];
        let mut rare = 0;
        for round in 0..40_000u32 {
            let mut words: Vec<String> =
                (0..20).filter(|i| round % (i + 1) == 0).map(|i| format!("w{i}")).collect();
            for _ in 0..(round % 4) {
                words.push(format!("rare{rare}"));
                rare += 1;
            }
            for word in words {
                counter.add(&word);
                parts[round as usize % 4].add(&word);
                assert!(counter.counts.len() <= 1000);
            }
        }
        let (first, rest) = parts.split_first_mut().unwrap();
        rest.iter().for_each(|part| first.merge(part));
        for figures in [counter.finish(20), first.finish(20)] {
            assert!(figures.undercount > 0);
            assert_eq!(figures.most[0].name, "w0");
            for (i, entry) in figures.most.iter().enumerate().take(8) {
                let count = (0..40_000).filter(|round| round % (i + 1) == 0).count() as u64;
                assert!(entry.count <= count && count <= entry.count + figures.undercount, "{entry:?}");
            }
            let distinct = 20.0 + f64::from(rare);
            assert!((figures.distinct as f64 / distinct - 1.0).abs() < 0.06, "{}", figures.distinct);
        }
    }

    #[test]
    fn long_strings_are_cut_between_characters() {
        let mut counter = Counter::default();
        counter.add(&"é".repeat(1_000_000));
        counter.add(&format!("x{}", "é".repeat(100)));
        let figures = counter.finish(2);
        assert!(figures.most.iter().all(|entry| (63..=64).contains(&entry.name.len())));
    }
}
