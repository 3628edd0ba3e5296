//! One forward pass in training: what is left out by chance, and what normalisation saw.
//!
//! b batch, c channels, h and w of the map, d numbers of a vector.

use std::cell::RefCell;
use std::collections::BTreeSet;

use candle_core::{DType, Tensor};
use pretrain_kernels::scale_channels;
use pretrain_training::{Generator, Stream};

use crate::Result;

/// Draws for the samples of one micro-batch, and collects the statistics that normalisation saw in them.
///
/// What is drawn for a sample depends on the seed, the step, and the sample's place in the global batch: not on how the
/// batch is cut into micro-batches and ranks.
#[derive(Debug)]
pub struct TrainingPass {
    drop_connect: f64,
    dropout: f64,
    blocks: Generator,
    numbers: Generator,
    /// Places of this micro-batch's samples in the global batch.
    places: Vec<u64>,
    /// Normalisations that keep to the running statistics.
    fixed: BTreeSet<String>,
    observed: RefCell<Vec<Statistics>>,
}

/// What a batch normalisation saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The layer.
    pub layer: String,
    /// Of every channel.
    pub mean: Vec<f32>,
    /// Unbiased, as PyTorch keeps it.
    pub variance: Vec<f32>,
}

/// More blocks or numbers of a vector than any network has: places of samples stand above them in an index.
const MOST_BLOCKS: u64 = 1 << 10;
const MOST_NUMBERS: u64 = 1 << 20;

impl TrainingPass {
    /// The samples at `places` of the global batch of update `step`. `drop_connect` is the rate that the last block comes
    /// near to, `dropout` that of the numbers before the classifier; 0 for none.
    pub fn new(seed: u64, step: u64, places: Vec<u64>, drop_connect: f64, dropout: f64) -> Self {
        let generator = |stream| Generator::new(seed, stream, step as u32);
        Self {
            drop_connect,
            dropout,
            blocks: generator(Stream::DropConnect),
            numbers: generator(Stream::Dropout),
            places,
            fixed: BTreeSet::new(),
            observed: RefCell::default(),
        }
    }

    /// The same, where normalisation in these layers takes the running statistics and shows none.
    pub fn fixing(self, layers: BTreeSet<String>) -> Self {
        Self { fixed: layers, ..self }
    }

    /// What was seen, in the order of computation.
    pub fn into_statistics(self) -> Vec<Statistics> {
        self.observed.into_inner()
    }

    /// Whether a normalisation keeps to the running statistics.
    pub(crate) fn fixes(&self, layer: &str) -> bool {
        self.fixed.contains(layer)
    }

    /// How many samples it is for.
    pub(crate) fn n_samples(&self) -> usize {
        self.places.len()
    }

    /// The first layer, in the order of computation, in front of which numbers are not finite.
    pub(crate) fn first_not_finite(&self) -> Option<String> {
        let observed = self.observed.borrow();
        let is_bad = |seen: &&Statistics| seen.mean.iter().chain(&seen.variance).any(|x| !x.is_finite());
        observed.iter().find(is_bad).map(|seen| seen.layer.clone())
    }

    /// Keeps what the layer `name` saw in `values` values a channel.
    pub(crate) fn observe(
        &self,
        name: &str,
        mean_c: &Tensor,
        variance_c: &Tensor,
        values: usize,
    ) -> Result<()> {
        let doubles = |tensor: &Tensor| -> Result<Vec<f64>> { Ok(tensor.to_dtype(DType::F64)?.to_vec1()?) };
        self.observe_numbers(name, &doubles(mean_c)?, &doubles(variance_c)?, values);
        Ok(())
    }

    /// As [`observe`](Self::observe), of numbers.
    pub(crate) fn observe_numbers(&self, name: &str, mean: &[f64], variance: &[f64], values: usize) {
        let unbiased = values as f64 / (values as f64 - 1.0);
        let mean = mean.iter().map(|mean| *mean as f32).collect();
        let variance = variance.iter().map(|variance| (variance * unbiased) as f32).collect();
        self.observed.borrow_mut().push(Statistics { layer: name.to_owned(), mean, variance });
    }

    /// Leaves block `number` of `n_blocks` out for some samples, with a chance that grows from 0 over the blocks, and
    /// makes up for it in the others (Paper: 1603.09382).
    ///
    /// # Shapes
    /// - `y_bchw` and the result: \[b, c, h, w\]
    pub(crate) fn drop_connect(&self, y_bchw: &Tensor, [number, n_blocks]: [usize; 2]) -> Result<Tensor> {
        let Some(factors_b) = self.drop_factors([number, n_blocks]) else { return Ok(y_bchw.clone()) };
        let channels = y_bchw.dims()[1];
        let factors = factors_b.iter().flat_map(|factor| std::iter::repeat_n(*factor, channels));
        let factors: Vec<f64> = factors.collect();
        let s_bc = Tensor::from_vec(factors, (self.places.len(), channels), y_bchw.device())?;
        Ok(scale_channels(y_bchw, &s_bc.to_dtype(y_bchw.dtype())?)?)
    }

    /// What [`drop_connect`](Self::drop_connect) multiplies every sample by; none where all stay.
    pub(crate) fn drop_factors(&self, [number, n_blocks]: [usize; 2]) -> Option<Vec<f64>> {
        let rate = self.drop_connect * number as f64 / n_blocks as f64;
        let factor = |place: &u64| {
            let is_out = self.blocks.unit(place * MOST_BLOCKS + number as u64) < rate;
            if is_out { 0.0 } else { 1.0 / (1.0 - rate) }
        };
        (rate != 0.0).then(|| self.places.iter().map(factor).collect())
    }

    /// Sets numbers to zero by chance and makes up for it in the others.
    ///
    /// # Shapes
    /// - `x_bd` and the result: \[b, d\]
    pub(crate) fn dropout(&self, x_bd: &Tensor) -> Result<Tensor> {
        if self.dropout == 0.0 {
            return Ok(x_bd.clone());
        }
        let width = x_bd.dims()[1] as u64;
        let factor = |index: u64| {
            let is_out = self.numbers.unit(index) < self.dropout;
            if is_out { 0.0 } else { 1.0 / (1.0 - self.dropout) }
        };
        let places = self.places.iter().map(|place| place * MOST_NUMBERS);
        let factors: Vec<f64> = places.flat_map(|first| (first..first + width).map(factor)).collect();
        let factors_bd = Tensor::from_vec(factors, x_bd.shape(), x_bd.device())?;
        Ok((x_bd * factors_bd.to_dtype(x_bd.dtype())?)?)
    }
}
