//! The numbers in feature blocks, or a fixed sample of them.

use data_specs::{FeatureInfo, FeatureType, Manifest};
use half::f16;

use super::figures::{FeatureStats, ValueStats};

/// Feature bytes that are looked at, about: a second's work, and plenty for a mean.
const SAMPLE_BYTES: u64 = 512 << 20;

/// Every how many rows features are looked at: a function of the manifest alone.
pub(super) fn sampling_step(manifest: &Manifest) -> u64 {
    let bytes: u64 = manifest.shards.iter().map(|shard| shard.bytes).sum();
    bytes.div_ceil(SAMPLE_BYTES).max(1)
}

/// Sums over feature numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct ValueTally {
    rows: u64,
    numbers: u64,
    not_finite: u64,
    zeros: u64,
    sum: f64,
    squares: f64,
    min_max: Option<(f32, f32)>,
}

impl ValueTally {
    pub(super) fn add_row(&mut self) {
        self.rows += 1;
    }

    pub(super) fn add_block(&mut self, block: &[u8], dtype: FeatureType) {
        match dtype {
            FeatureType::F32 => {
                self.add(block.chunks_exact(4).map(|at| f32::from_le_bytes([at[0], at[1], at[2], at[3]])));
            }
            FeatureType::F16 => {
                self.add(block.chunks_exact(2).map(|at| f16::from_le_bytes([at[0], at[1]]).to_f32()));
            }
        }
    }

    pub(super) fn merge(&mut self, other: &ValueTally) {
        self.rows += other.rows;
        self.numbers += other.numbers;
        self.not_finite += other.not_finite;
        self.zeros += other.zeros;
        self.sum += other.sum;
        self.squares += other.squares;
        other.min_max.into_iter().for_each(|range| self.widen(range));
    }

    pub(super) fn finish(&self, info: FeatureInfo, every: u64) -> FeatureStats {
        let finite = (self.numbers - self.not_finite) as f64;
        let mean = self.sum / finite;
        FeatureStats {
            dtype: info.dtype,
            width: info.width,
            every,
            rows: self.rows,
            numbers: self.numbers,
            not_finite: self.not_finite,
            values: self.min_max.map(|(min, max)| ValueStats {
                min: f64::from(min),
                mean,
                deviation: (self.squares / finite - mean * mean).max(0.0).sqrt(),
                max: f64::from(max),
                zeros: self.zeros as f64 / finite,
            }),
        }
    }

    fn add(&mut self, numbers: impl Iterator<Item = f32>) {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for number in numbers {
            self.numbers += 1;
            if !number.is_finite() {
                self.not_finite += 1;
                continue;
            }
            let wide = f64::from(number);
            self.zeros += u64::from(number == 0.0);
            self.sum += wide;
            self.squares += wide * wide;
            low = low.min(number);
            high = high.max(number);
        }
        if low <= high {
            self.widen((low, high));
        }
    }

    fn widen(&mut self, (low, high): (f32, f32)) {
        let (min, max) = self.min_max.unwrap_or((low, high));
        self.min_max = Some((min.min(low), max.max(high)));
    }
}
