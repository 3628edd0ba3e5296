//! Pooling of regions by bilinear samples. Paper: 1703.06870, section 3; numbers as torchvision's `roi_align`.
//!
//! `y[n, c, p, q] = Σ samples / count` over the samples of bin (p, q), each interpolated between four elements of
//! x[batch index of n, c]. Axis by axis: a region begins at `coordinate · scale - 1/2` (aligned) or without the half
//! (legacy, and its sides are at least 1); bin p of length `side / bins` has its sample i of s at
//! `start + p bin + (i + 1/2) bin / s`. What lies beyond -1 or the map's side counts as zero; the rest is clamped
//! onto the map.
//!
//! Legend: b batch, c channels, h and w rows and columns, n regions, p and q bins. 8 operations and 4 elements read a
//! sample and channel; y is written once. The gradient goes to x alone, and has no derivatives itself.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::element::{Element, by_dtype, check, dims, elements, slice};
use crate::{Error, Result};

/// How regions are sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoiAlign {
    /// Bins along \[h, w\].
    pub output: [usize; 2],
    /// Elements of the map per pixel of the boxes: 1/16 for a map of stride 16.
    pub spatial_scale: f64,
    /// Samples of a bin along each axis; 0 takes as many as the bin is long, rounded up.
    pub sampling_ratio: usize,
    /// Whether a pixel's centre is at 1/2 (Detectron2) or at 0 (legacy, torchvision's default).
    pub aligned: bool,
}

/// The mean of bilinear samples in every bin of every region; empty bins and what lies outside of the map are 0.
///
/// # Shapes
/// - `x_bchw`: \[b, c, h, w\]
/// - `rois_n5`: \[n, 5\], each the index in the batch, x1, y1, x2, y2 in pixels of the boxes
/// - result: \[n, c, output h, output w\]
///
/// # Errors
/// Beside shapes and types: an index that is none of the batch, coordinates that are not finite, a region of more than
/// a million samples along one axis.
pub fn roi_align(x_bchw: &Tensor, rois_n5: &Tensor, how: &RoiAlign) -> Result<Tensor> {
    check(OP, &[("x", x_bchw), ("rois", rois_n5)])?;
    let [batch, _, height, width] = dims(OP, "x", "[b, c, h, w]", x_bchw)?;
    let [_, 5] = dims(OP, "rois", "[n, 5]", rois_n5)? else {
        let expected = "[n, 5]: batch index, x1, y1, x2, y2".to_owned();
        return Err(Error::Shape { op: OP, tensor: "rois", expected, got: rois_n5.dims().to_vec() });
    };
    how.check([height, width])?;
    let rois_n5 = rois_n5.contiguous()?;
    let x_bchw = x_bchw.contiguous()?;
    by_dtype!(x_bchw.dtype(), T => {
        let guard = rois_n5.storage_and_layout();
        let rois = elements::<T>(&guard)?.as_chunks::<5>().0.iter().enumerate();
        let regions: Result<Vec<Region<T>>> =
            rois.map(|(roi, numbers)| Region::new(roi, numbers, batch, [height, width], how)).collect();
        Ok(x_bchw.apply_op1(Sampling { output: how.output, regions: regions? })?)
    })
}

const OP: &str = "roi_align";

impl RoiAlign {
    fn check(&self, [height, width]: [usize; 2]) -> Result<()> {
        let usable = !self.output.contains(&0) && self.spatial_scale.is_finite() && self.spatial_scale > 0.0;
        if usable && height > 0 && width > 0 {
            return Ok(());
        }
        let expected = "at least one bin, a positive scale and a map of at least 1 x 1";
        Err(Error::Geometry { op: OP, expected, got: format!("{self:?}, map {height} x {width}") })
    }

    /// What each bin of a box x1, y1, x2, y2 touches of the rows and of the columns of a map; the mean over the samples is in
    /// the rows. `roi` is the box's number, for messages.
    pub(crate) fn touched(&self, roi: usize, rect: [f32; 4], map: [usize; 2]) -> Result<[Vec<Touched>; 2]> {
        self.check(map)?;
        let [x1, y1, x2, y2] = rect;
        let region = Region::new(roi, &[0.0, x1, y1, x2, y2], 1, map, self)?;
        Ok([region.rows.touched(region.share), region.columns.touched(1.0)])
    }
}

/// Elements of an axis that a bin touches, one after the other, with the weights of its samples.
#[derive(Debug, Clone, Default)]
pub(crate) struct Touched {
    pub(crate) first: usize,
    pub(crate) weights: Vec<f32>,
}
/// Samples along one axis of a region.
const MOST_SAMPLES: usize = 1_000_000;

/// Where the samples of one region are.
struct Region<T> {
    sample: usize,
    rows: Axis<T>,
    columns: Axis<T>,
    /// 1 / samples a bin, those outside of the map too.
    share: T,
}

/// The samples along one axis that lie on the map, bin by bin.
struct Axis<T> {
    bins: Vec<Range<usize>>,
    samples: Vec<Between<T>>,
}

/// `(1 - toward) x[low] + toward x[high]`.
#[derive(Clone, Copy)]
struct Between<T> {
    low: usize,
    high: usize,
    toward: T,
}

impl<T: Element> Region<T> {
    fn new(roi: usize, numbers: &[T; 5], batch: usize, map: [usize; 2], how: &RoiAlign) -> Result<Self> {
        let refuse = |expected, got: String| Err(Error::Region { roi, expected, got });
        let [index, x1, y1, x2, y2] = *numbers;
        if !numbers.iter().all(|number| number.to_f64().is_finite()) {
            return refuse("finite numbers", format!("{numbers:?}"));
        }
        let sample = index.to_f64();
        if sample.fract() != 0.0 || sample < 0.0 || sample >= batch as f64 {
            return refuse("the index of a sample of the batch", format!("{sample} of {batch}"));
        }
        let scale = T::from_f64(how.spatial_scale);
        let offset = T::from_f64(if how.aligned { 0.5 } else { 0.0 });
        let axis = |i: usize, from: T, to: T| {
            let start = from * scale - offset;
            let side = to * scale - offset - start;
            let side = if how.aligned || side > T::ONE { side } else { T::ONE };
            let bin = side / T::from_f64(how.output[i] as f64);
            let count =
                if how.sampling_ratio > 0 { how.sampling_ratio as f64 } else { bin.to_f64().ceil().max(0.0) };
            (count * how.output[i] as f64 <= MOST_SAMPLES as f64)
                .then(|| (count as usize, Axis::new(start, bin, count as usize, how.output[i], map[i])))
        };
        let (Some((count_h, rows)), Some((count_w, columns))) = (axis(0, y1, y2), axis(1, x1, x2)) else {
            return refuse("a box clipped to its picture", format!("{numbers:?}"));
        };
        let share = T::ONE / T::from_f64((count_h * count_w).max(1) as f64);
        Ok(Self { sample: sample as usize, rows, columns, share })
    }

    /// Calls `visit(bin, four elements of the plane, their weights)` for every sample on the map.
    #[inline(always)]
    fn for_each_sample(&self, width: usize, mut visit: impl FnMut(usize, [usize; 4], [T; 4])) {
        for (p, rows) in self.rows.bins.iter().enumerate() {
            for (q, columns) in self.columns.bins.iter().enumerate() {
                let bin = p * self.columns.bins.len() + q;
                for h in &self.rows.samples[rows.clone()] {
                    for w in &self.columns.samples[columns.clone()] {
                        let (low, high) = (h.low * width, h.high * width);
                        let (up, left) = (T::ONE - h.toward, T::ONE - w.toward);
                        let at = [low + w.low, low + w.high, high + w.low, high + w.high];
                        visit(bin, at, [up * left, up * w.toward, h.toward * left, h.toward * w.toward]);
                    }
                }
            }
        }
    }
}

impl<T: Element> Axis<T> {
    fn new(start: T, bin: T, count: usize, bins: usize, side: usize) -> Self {
        let number = |count: usize| T::from_f64(count as f64);
        let half = T::from_f64(0.5);
        let mut axis = Self { bins: Vec::with_capacity(bins), samples: Vec::new() };
        for p in 0..bins {
            let first = axis.samples.len();
            for i in 0..count {
                let at = start + number(p) * bin + (number(i) + half) * bin / number(count);
                if at < -T::ONE || at > number(side) {
                    continue;
                }
                let at = if at > T::ZERO { at } else { T::ZERO };
                let low = at.to_f64() as usize;
                axis.samples.push(if low + 1 >= side {
                    Between { low: side - 1, high: side - 1, toward: T::ZERO }
                } else {
                    Between { low, high: low + 1, toward: at - number(low) }
                });
            }
            axis.bins.push(first..axis.samples.len());
        }
        axis
    }
}

impl Axis<f32> {
    fn touched(&self, share: f32) -> Vec<Touched> {
        let of_bin = |bin: &Range<usize>| {
            let samples = &self.samples[bin.clone()];
            let Some(first) = samples.iter().map(|between| between.low).min() else {
                return Touched::default();
            };
            let last = samples.iter().map(|between| between.high).max().unwrap_or(first);
            let mut weights = vec![0.0; last + 1 - first];
            for Between { low, high, toward } in samples {
                weights[low - first] += (1.0 - toward) * share;
                weights[high - first] += toward * share;
            }
            Touched { first, weights }
        };
        self.bins.iter().map(of_bin).collect()
    }
}

struct Sampling<T> {
    output: [usize; 2],
    regions: Vec<Region<T>>,
}

impl<T: Element> Sampling<T> {
    fn bins(&self) -> usize {
        self.output[0] * self.output[1]
    }

    fn forward(&self, x: &[T], [_, channels, height, width]: [usize; 4]) -> Vec<T> {
        let mut y = vec![T::ZERO; self.regions.len() * channels * self.bins()];
        y.par_chunks_mut(self.bins()).enumerate().with_min_len(16).for_each(|(task, y)| {
            let region = &self.regions[task / channels];
            let plane = &x[(region.sample * channels + task % channels) * height * width..][..height * width];
            region.for_each_sample(width, |bin, at, weights| {
                y[bin] += weights[0] * plane[at[0]]
                    + weights[1] * plane[at[1]]
                    + weights[2] * plane[at[2]]
                    + weights[3] * plane[at[3]];
            });
            y.iter_mut().for_each(|y| *y *= region.share);
        });
        y
    }

    /// A task owns one plane and goes through the regions in order.
    fn backward(&self, d_y: &[T], [batch, channels, height, width]: [usize; 4]) -> Vec<T> {
        let mut d_x = vec![T::ZERO; batch * channels * height * width];
        d_x.par_chunks_mut(height * width).enumerate().for_each(|(task, d_x)| {
            for (n, region) in self.regions.iter().enumerate() {
                if region.sample != task / channels {
                    continue;
                }
                let d_y = &d_y[(n * channels + task % channels) * self.bins()..][..self.bins()];
                region.for_each_sample(width, |bin, at, weights| {
                    let share = d_y[bin] * region.share;
                    for (at, weight) in at.into_iter().zip(weights) {
                        d_x[at] += weight * share;
                    }
                });
            }
        });
        d_x
    }
}

impl<T: Element> CustomOp1 for Sampling<T> {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let y = self.forward(slice(x, layout)?, [batch, channels, height, width]);
        let shape = Shape::from((self.regions.len(), channels, self.output[0], self.output[1]));
        Ok((T::to_cpu_storage_owned(y), shape))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, d_y: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let (batch, channels, height, width) = x.dims4()?;
        let d_y = d_y.contiguous()?;
        let d_y = d_y.storage_and_layout();
        let d_x = self.backward(elements(&d_y)?, [batch, channels, height, width]);
        Ok(Some(Tensor::from_vec(d_x, x.shape(), x.device())?))
    }
}
