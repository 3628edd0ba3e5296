//! Softmax cross-entropy, `Σ_rows ln Σ_c e^(x_c - x_label)`, and with a vocabulary's product before it.
//!
//! Rows with label -1 count nothing. The result is the SUM over the others, and how many they are: a mean over
//! micro-batches and ranks divides by the count of all, which only the caller knows.
//!
//! Over a vocabulary: `logits[n, v] = bias[v] + Σ_h w[v, h] x[row n, h]` at the n labelled rows alone, in blocks of 256
//! rows; a block is V·256·4 bytes in f32 (31 MB at 30,522 words). 2·n·V·h operations forward, 4·n·V·h backward and the
//! logits' again where there were several blocks (one block's are kept). Backward: `d_logits = (softmax - one_hot)
//! d_sum`, in the logits' place; `d_x = d_logits w`, `d_w = d_logitsᵀ x`, blocks added in order, `d_bias = Σ_rows d_logits`.

use std::sync::Mutex;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::collected::collect;
use crate::element::{Element, by_dtype, check_anywhere, check_vector, dims, elements, slice};
use crate::precision::Precision;
use crate::product::{Matrix, Shared, written};
use crate::softmax::{max_and_sum, softmax_row};
use crate::tiles::{column_sums, tiled_product};
use crate::{Error, Result, composed};

/// A sum of losses, and of how many rows.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// The sum, a scalar with gradient.
    pub sum: Tensor,
    /// Rows with a label.
    pub count: usize,
}

/// Of given logits: a few classes.
///
/// # Shapes
/// - `logits_nc`: \[n, c\]; `labels`: n numbers below c, or -1 for none
///
/// # Errors
/// Beside shapes and types: labels of another number, or beyond the classes.
pub fn cross_entropy(logits_nc: &Tensor, labels: &[i64]) -> Result<CrossEntropy> {
    const OP: &str = "cross_entropy";
    check_anywhere(OP, &[("logits", logits_nc)])?;
    let [rows, classes] = dims(OP, "logits", "[n, c]", logits_nc)?;
    let labelled = labelled(OP, labels, rows, classes)?;
    let count = labelled.len();
    if composed::is_needed(logits_nc) {
        return Ok(CrossEntropy { sum: composed::cross_entropy(logits_nc, &labelled)?, count });
    }
    let sum = logits_nc.contiguous()?.apply_op1(OfLogits { classes, labelled })?;
    Ok(CrossEntropy { sum, count })
}

/// Of the logits of a vocabulary, which are computed at the labelled rows only, with gradients to all tensors.
///
/// # Shapes
/// - `x_th`: \[t, h\]; `w_vh`: \[v, h\], the word embeddings where they are tied; `bias_v`: \[v\]
/// - `labels`: t numbers below v, or -1 for none
///
/// # Errors
/// Beside shapes and types: labels of another number, or beyond the vocabulary.
pub fn vocabulary_cross_entropy(
    x_th: &Tensor,
    w_vh: &Tensor,
    bias_v: &Tensor,
    labels: &[i64],
) -> Result<CrossEntropy> {
    vocabulary_cross_entropy_in(Precision::F32, x_th, w_vh, bias_v, labels)
}

/// As [`vocabulary_cross_entropy`], its products and those of the gradients in a precision of choice.
///
/// # Errors
/// The same.
pub fn vocabulary_cross_entropy_in(
    precision: Precision,
    x_th: &Tensor,
    w_vh: &Tensor,
    bias_v: &Tensor,
    labels: &[i64],
) -> Result<CrossEntropy> {
    const OP: &str = "vocabulary_cross_entropy";
    check_anywhere(OP, &[("x", x_th), ("w", w_vh), ("bias", bias_v)])?;
    let [rows, inputs] = dims(OP, "x", "[t, h]", x_th)?;
    let [words, w_inputs] = dims(OP, "w", "[v, h]", w_vh)?;
    if inputs != w_inputs || inputs == 0 {
        let expected = format!("[v, {inputs}], not empty");
        return Err(Error::Shape { op: OP, tensor: "w", expected, got: w_vh.dims().to_vec() });
    }
    check_vector(OP, "bias", bias_v, words)?;
    let labelled = labelled(OP, labels, rows, words)?;
    let count = labelled.len();
    if composed::is_needed(x_th) {
        let sum = composed::vocabulary_cross_entropy(precision, x_th, w_vh, bias_v, &labelled)?;
        return Ok(CrossEntropy { sum, count });
    }
    let tracked = x_th.track_op() || w_vh.track_op() || bias_v.track_op();
    let op = OfVocabulary { precision, inputs, words, labelled, keep: tracked, kept: Mutex::new(None) };
    let sum = x_th.contiguous()?.apply_op3(&w_vh.contiguous()?, &bias_v.contiguous()?, op)?;
    Ok(CrossEntropy { sum, count })
}

/// Rows of one block.
const BLOCK: usize = 256;

/// The rows that have a label, and the labels.
fn labelled(op: &'static str, labels: &[i64], rows: usize, classes: usize) -> Result<Vec<(usize, usize)>> {
    if labels.len() != rows {
        let got = format!("{} for {rows} rows", labels.len());
        return Err(Error::Geometry { op, expected: "a label for every row, -1 for none", got });
    }
    let with_label = labels.iter().enumerate().filter(|(_, label)| **label != -1);
    with_label
        .map(|(row, &label)| {
            let index = usize::try_from(label).ok().filter(|index| *index < classes);
            Ok((row, index.ok_or(Error::Label { op, row, got: label, classes })?))
        })
        .collect()
}

/// The loss of one row.
fn loss<T: Element>(logits: &[T], label: usize) -> f64 {
    let [largest, sum] = max_and_sum(logits);
    libm::log(sum.to_f64()) + (largest.to_f64() - logits[label].to_f64())
}

/// `(softmax - one_hot) d_sum` in the logits' place.
fn logits_gradient<T: Element>(logits: &mut [T], label: usize, d_sum: T) {
    softmax_row(logits);
    logits[label] -= T::ONE;
    logits.iter_mut().for_each(|value| *value *= d_sum);
}

fn scalar<T: Element>(losses: &[f64]) -> (CpuStorage, Shape) {
    (T::to_cpu_storage_owned(vec![T::from_f64(losses.iter().sum())]), Shape::from(()))
}

struct OfLogits {
    classes: usize,
    labelled: Vec<(usize, usize)>,
}

impl CustomOp1 for OfLogits {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(logits.dtype(), T => {
            let logits = slice::<T>(logits, layout)?;
            let of_row = |&(row, label): &(usize, usize)| loss(&logits[row * self.classes..][..self.classes], label);
            Ok(scalar::<T>(&self.labelled.iter().map(of_row).collect::<Vec<f64>>()))
        })
    }

    fn bwd(&self, logits: &Tensor, _sum: &Tensor, d_sum: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if !logits.track_op() {
            return Ok(None);
        }
        by_dtype!(logits.dtype(), T => {
            let d_sum = d_sum.to_scalar::<T>()?;
            let guard = logits.storage_and_layout();
            let values = elements::<T>(&guard)?;
            let mut d_logits = vec![T::ZERO; values.len()];
            for &(row, label) in &self.labelled {
                let d_logits = &mut d_logits[row * self.classes..][..self.classes];
                d_logits.copy_from_slice(&values[row * self.classes..][..self.classes]);
                logits_gradient(d_logits, label, d_sum);
            }
            Ok(Some(Tensor::from_vec(d_logits, logits.shape(), logits.device())?))
        })
    }
}

struct OfVocabulary {
    precision: Precision,
    inputs: usize,
    words: usize,
    labelled: Vec<(usize, usize)>,
    keep: bool,
    /// The logits of the only block, until backward takes them.
    kept: Mutex<Option<CpuStorage>>,
}

/// Gradients to x, w (unless they are collected) and bias.
struct OfArguments<T> {
    d_x: Vec<T>,
    d_w: Option<Vec<T>>,
    d_bias: Vec<T>,
}

impl OfVocabulary {
    fn gather<T: Element>(&self, x: &[T], block: &[(usize, usize)]) -> Vec<T> {
        let rows = block.iter().flat_map(|(row, _)| &x[row * self.inputs..][..self.inputs]);
        rows.copied().collect()
    }

    fn weight<'a, T: Element>(&self, w: &'a [T]) -> Matrix<'a, T> {
        Matrix::new(w, [self.words, self.inputs], [self.inputs, 1])
    }

    fn logits<T: Element>(&self, gathered: &[T], w: &[T], bias: &[T]) -> Vec<T> {
        let rows = gathered.len() / self.inputs;
        let gathered = Matrix::new(gathered, [rows, self.inputs], [self.inputs, 1]);
        let weight = self.weight(w).transposed();
        let product = |logits: &Shared<'_, T>| {
            tiled_product(self.precision, logits, false, gathered, weight, |tile, _, column| {
                for row in 0..tile.row_count() {
                    tile.row(row).iter_mut().zip(&bias[column..]).for_each(|(logit, bias)| *logit += *bias);
                }
            });
        };
        // SAFETY: a product writes all of its output.
        unsafe { written(rows * self.words, product) }
    }

    fn forward<T: Element>(&self, x: &[T], w: &[T], bias: &[T]) -> (CpuStorage, Shape) {
        let mut losses = Vec::with_capacity(self.labelled.len());
        for block in self.labelled.chunks(BLOCK) {
            let logits = self.logits(&self.gather(x, block), w, bias);
            let rows = logits.par_chunks_exact(self.words).zip(block);
            losses.par_extend(rows.map(|(logits, (_, label))| loss(logits, *label)));
            if self.keep && self.labelled.len() <= BLOCK {
                *self.kept() = Some(T::to_cpu_storage_owned(logits));
            }
        }
        scalar::<T>(&losses)
    }

    /// Gradients to x, w (unless those of the tensor `collected`, which is w, are collected) and bias.
    fn backward<T: Element>(
        &self,
        x: &[T],
        w: &[T],
        bias: &[T],
        d_sum: T,
        collected: &Tensor,
    ) -> candle_core::Result<OfArguments<T>> {
        let mut d_x = vec![T::ZERO; x.len()];
        let mut d_w = None;
        let mut d_bias = vec![0.0; bias.len()];
        let kept = self.kept().take();
        let mut kept = kept.map(T::cpu_storage_data).transpose()?;
        for (index, block) in self.labelled.chunks(BLOCK).enumerate() {
            let gathered = self.gather(x, block);
            let mut logits = kept.take().unwrap_or_else(|| self.logits(&gathered, w, bias));
            logits.par_chunks_exact_mut(self.words).zip(block).for_each(|(logits, (_, label))| {
                logits_gradient(logits, *label, d_sum);
            });
            let d_logits = Matrix::new(&logits, [block.len(), self.words], [self.words, 1]);
            let mut d_rows = vec![T::ZERO; gathered.len()];
            let out = Shared::new(&mut d_rows);
            tiled_product(self.precision, &out, false, d_logits, self.weight(w), |_, _, _| {});
            for (d_row, (row, _)) in d_rows.chunks_exact(self.inputs).zip(block) {
                d_x[row * self.inputs..][..self.inputs].copy_from_slice(d_row);
            }
            let gathered = Matrix::new(&gathered, [block.len(), self.inputs], [self.inputs, 1]);
            let add = |sums: &mut [T]| {
                let (sums, d_logits) = (Shared::new(sums), d_logits.transposed());
                tiled_product(self.precision, &sums, true, d_logits, gathered, |_, _, _| {});
            };
            if collect(collected, add).is_none() {
                let d_w = d_w.get_or_insert_with(|| vec![T::ZERO; w.len()]);
                let (d_w, d_logits) = (Shared::new(d_w), d_logits.transposed());
                tiled_product(self.precision, &d_w, index > 0, d_logits, gathered, |_, _, _| {});
            }
            let sums = column_sums(&logits, self.words);
            d_bias.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        if self.labelled.is_empty() && collect(collected, |_: &mut [T]| ()).is_none() {
            d_w = Some(vec![T::ZERO; w.len()]);
        }
        Ok(OfArguments { d_x, d_w, d_bias: d_bias.into_iter().map(T::from_f64).collect() })
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<CpuStorage>> {
        // Whole values are put in and taken out, so that a panic elsewhere leaves nothing half done.
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl CustomOp3 for OfVocabulary {
    fn name(&self) -> &'static str {
        "vocabulary_cross_entropy"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => {
            let (w, bias) = (slice(w, w_layout)?, slice(bias, bias_layout)?);
            Ok(self.forward::<T>(slice(x, x_layout)?, w, bias))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _sum: &Tensor,
        d_sum: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => {
            let (x_guard, w_guard) = (x.storage_and_layout(), w.storage_and_layout());
            let bias_guard = bias.storage_and_layout();
            let (w_values, bias_values) = (elements::<T>(&w_guard)?, elements::<T>(&bias_guard)?);
            let d_sum = d_sum.to_scalar::<T>()?;
            let gradients = self.backward(elements::<T>(&x_guard)?, w_values, bias_values, d_sum, w)?;
            let OfArguments { d_x, d_w, d_bias } = gradients;
            let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
            Ok((Some(tensor(d_x, x)?), d_w.map(|d_w| tensor(d_w, w)).transpose()?, Some(tensor(d_bias, bias)?)))
        })
    }
}
