//! A keyed permutation of [0, n) that needs no table.

/// Rounds of the network: each half is changed six times.
const ROUNDS: usize = 12;

/// Smallest domain, 2^8. Halves of one or two bits mix so badly that the 120 orders of five rows are visibly
/// not equally likely after twelve rounds; halves of four bits show nothing (see the tests).
const LEAST_BITS: u32 = 8;

/// A pseudo-random permutation of `[0, n)`, computed value by value.
///
/// An alternating Feistel network over the smallest 2^b >= n (b at least 8) splits a value into a high and a low half and
/// changes them by turns:
///
/// ```text
/// low  ^= F(key_0, high)      high ^= F(key_1, low)      low ^= F(key_2, high)  ...
/// ```
///
/// Each step undoes itself, so the whole is a bijection of [0, 2^b) whatever F is. A value that falls outside
/// [0, n) is sent through again ("cycle walking") until it falls inside, which keeps the bijection and takes
/// fewer than two passes on average because 2^b < 2n; below 128 rows it takes 256 / n.
///
/// A table made by Fisher-Yates would be exactly uniform, but it costs 4 to 8 bytes a row, has to be rebuilt
/// after a seek, and would be shared between threads. This costs 104 bytes whatever n is.
#[derive(Debug, Clone)]
pub(super) struct Permutation {
    n: u64,
    low_bits: u32,
    high_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `[0, n)` that `stream` and the numbers in `key` choose.
    pub(super) fn new(n: u64, stream: &str, key: [u64; 3]) -> Permutation {
        let bits = (u64::BITS - n.saturating_sub(1).leading_zeros()).max(LEAST_BITS);
        let mut hasher = blake3::Hasher::new_derive_key(stream);
        for number in key {
            hasher.update(&number.to_le_bytes());
        }
        let mut bytes = [0; ROUNDS * 8];
        hasher.finalize_xof().fill(&mut bytes);
        let (words, _) = bytes.as_chunks::<8>();
        let mut keys = [0; ROUNDS];
        for (key, word) in keys.iter_mut().zip(words) {
            *key = u64::from_le_bytes(*word);
        }
        Permutation { n, low_bits: bits / 2, high_bits: bits - bits / 2, keys }
    }

    /// Where `x` goes. `x` must lie in `[0, n)`.
    pub(super) fn at(&self, x: u64) -> u64 {
        debug_assert!(x < self.n);
        let mut y = self.pass(x);
        while y >= self.n {
            y = self.pass(y);
        }
        y
    }

    fn pass(&self, x: u64) -> u64 {
        let (low_mask, high_mask) = ((1 << self.low_bits) - 1, (1 << self.high_bits) - 1);
        let (mut low, mut high) = (x & low_mask, x >> self.low_bits);
        let (pairs, _) = self.keys.as_chunks::<2>();
        for [first, second] in pairs {
            low ^= mix(high ^ first) & low_mask;
            high ^= mix(low ^ second) & high_mask;
        }
        high << self.low_bits | low
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014; constants of Stafford's variant 13): every input bit
/// flips every output bit with a probability near one half.
fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn image(n: u64, key: u64) -> Vec<u64> {
        let permutation = Permutation::new(n, "test", [key, 0, 0]);
        (0..n).map(|x| permutation.at(x)).collect()
    }

    /// Chi-squared of `counts` against equal cells, in standard deviations from its mean.
    fn deviation(counts: &[u64], total: u64) -> f64 {
        let expected = total as f64 / counts.len() as f64;
        let chi2: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
        let freedom = counts.len() as f64 - 1.0;
        (chi2 - freedom) / (2.0 * freedom).sqrt()
    }

    #[test]
    fn it_is_a_bijection_for_every_size() {
        for n in (1..600).chain([1_000, 1_023, 1_024, 1_025, 65_537, 200_000]) {
            let mut seen = image(n, n);
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..n), "n = {n}");
        }
        let huge = Permutation::new(u64::MAX, "test", [1, 2, 3]);
        assert_ne!(huge.at(0), huge.at(u64::MAX - 1));
    }

    #[test]
    fn all_permutations_of_a_few_rows_are_equally_likely() {
        for (n, factorial) in [(2, 2), (3, 6), (4, 24), (5, 120), (6, 720)] {
            let total = 400 * factorial;
            let mut counts: BTreeMap<Vec<u64>, u64> = BTreeMap::new();
            for key in 0..total {
                *counts.entry(image(n, key)).or_default() += 1;
            }
            let counts: Vec<u64> = counts.into_values().collect();
            assert_eq!(counts.len() as u64, factorial, "n = {n}: some permutation never came");
            let deviation = deviation(&counts, total);
            println!("n = {n}: chi-squared {deviation:+.2} standard deviations from uniform");
            assert!(deviation.abs() < 4.0, "n = {n}: {deviation}");
        }
    }

    #[test]
    fn every_row_goes_everywhere() {
        // 20 x 20 table of (tenth of the input, tenth of the output) over many keys.
        let (n, cells) = (1_000, 20);
        let mut counts = vec![0; (cells * cells) as usize];
        for key in 0..400 {
            for (x, y) in image(n, key).into_iter().enumerate() {
                counts[(x as u64 * cells / n * cells + y * cells / n) as usize] += 1;
            }
        }
        // A permutation fills rows and columns evenly, which makes chi-squared smaller than for free draws.
        let deviation = deviation(&counts, 400 * n);
        println!("from-to table: {deviation:+.2}");
        assert!(deviation < 4.0, "{deviation}");
    }

    #[test]
    fn neighbours_are_not_correlated() {
        let n = 100_000;
        for key in 0..8 {
            let image = image(n, key);
            let mean = (n - 1) as f64 / 2.0;
            let variance = (n as f64).powi(2) / 12.0;
            for lag in [1, 2, 3, 64, 1_000] {
                let r = image
                    .iter()
                    .zip(&image[lag..])
                    .map(|(&a, &b)| (a as f64 - mean) * (b as f64 - mean))
                    .sum::<f64>()
                    / (variance * (n as usize - lag) as f64);
                // Standard error of a correlation: 1 / sqrt(n).
                assert!(r.abs() < 4.5 / (n as f64).sqrt(), "key {key}, lag {lag}: r = {r}");
            }
            // Distances between neighbours: (a - b) mod n falls evenly into 64 cells.
            let mut cells = vec![0; 64];
            for pair in image.windows(2) {
                cells[((pair[0] + n - pair[1]) % n * 64 / n) as usize] += 1;
            }
            let deviation = deviation(&cells, n - 1);
            assert!(deviation.abs() < 4.5, "key {key}: distances {deviation}");
        }
    }

    #[test]
    fn keys_give_unrelated_permutations() {
        // Two random permutations agree in one place on average (Poisson, variance 1).
        let n = 4_096;
        let first = image(n, 0);
        let agreements: usize =
            (1..=200).map(|key| first.iter().zip(image(n, key)).filter(|(a, b)| **a == *b).count()).sum();
        assert!((140..=260).contains(&agreements), "{agreements} agreements in 200 pairs");
    }
}
