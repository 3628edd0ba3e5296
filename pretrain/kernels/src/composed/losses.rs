//! Cross-entropies.
//!
//! Legend: n rows, c classes, t tokens, h width, v words, b samples, k classes.

use candle_core::{D, Tensor};

use super::linear::linear;
use super::rows::indices;
use crate::Result;
use crate::precision::Precision;

/// `Σ ln Σ_c e^(x_c - x_label)` over the labelled rows, which are pairs of row and label; 0 where there are none.
///
/// # Shapes
/// - `logits_nc`: \[n, c\]; result: a number
pub(crate) fn cross_entropy(logits_nc: &Tensor, labelled: &[(usize, usize)]) -> Result<Tensor> {
    let asked = Asked::of(labelled, logits_nc.dim(0)?);
    let logits_nc = asked.rows_of(logits_nc)?;
    let (shifted_nc, log_n1) = shifted(&logits_nc)?;
    let device = logits_nc.device();
    let labels_n1 = Tensor::from_slice(&asked.labels, (asked.labels.len(), 1), device)?;
    asked.counted((log_n1 - shifted_nc.gather(&labels_n1, 1)?)?.sum_all()?)
}

/// As [`cross_entropy`] of `x wᵀ + bias`, whose product is computed at the labelled rows alone.
///
/// # Shapes
/// - `x_th`: \[t, h\]; `w_vh`: \[v, h\]; `bias_v`: \[v\]; result: a number
pub(crate) fn vocabulary_cross_entropy(
    precision: Precision,
    x_th: &Tensor,
    w_vh: &Tensor,
    bias_v: &Tensor,
    labelled: &[(usize, usize)],
) -> Result<Tensor> {
    let asked = Asked::of(labelled, x_th.dim(0)?);
    let logits_nv = linear(precision, &asked.rows_of(x_th)?, w_vh, Some(bias_v))?;
    let of_rows: Vec<(usize, usize)> =
        asked.labels.iter().enumerate().map(|(row, label)| (row, *label as usize)).collect();
    asked.counted(cross_entropy(&logits_nv, &of_rows)?)
}

/// `Σ_k t_k (ln Σ_j e^x_j - x_k)` of every sample; targets have no gradient.
///
/// # Shapes
/// - `x_bk`, `t_bk`: \[b, k\]; result: \[b\]
pub(crate) fn soft_cross_entropy(x_bk: &Tensor, t_bk: &Tensor) -> Result<Tensor> {
    let (shifted_bk, log_b1) = shifted(x_bk)?;
    Ok(log_b1.broadcast_sub(&shifted_bk)?.mul(&t_bk.detach())?.sum(D::Minus1)?)
}

/// `x - max x`, and the logarithm of the sum of its exponentials. The largest number is a constant: it cancels.
fn shifted(x_nc: &Tensor) -> Result<(Tensor, Tensor)> {
    let shifted_nc = x_nc.broadcast_sub(&x_nc.detach().max_keepdim(D::Minus1)?)?;
    let log_n1 = shifted_nc.exp()?.sum_keepdim(D::Minus1)?.log()?;
    Ok((shifted_nc, log_n1))
}

/// Rows that have a label. Where none has, the first one of any label, which counts nothing: a tensor of no rows cannot be
/// on every device, and gradients of 0 must arrive.
struct Asked {
    /// None for all of them in their order.
    rows: Option<Vec<u32>>,
    labels: Vec<u32>,
    counts: bool,
}

impl Asked {
    fn of(labelled: &[(usize, usize)], n_rows: usize) -> Self {
        if labelled.is_empty() {
            return Self { rows: Some(vec![0]), labels: vec![0], counts: false };
        }
        let rows: Vec<u32> = labelled.iter().map(|(row, _)| *row as u32).collect();
        Self {
            rows: (rows.len() < n_rows).then_some(rows),
            labels: labelled.iter().map(|(_, label)| *label as u32).collect(),
            counts: true,
        }
    }

    /// The sum, or 0 with gradients of 0: by a tensor, as candle's backward leaves out what is multiplied by the number 0.
    fn counted(&self, sum: Tensor) -> Result<Tensor> {
        if self.counts { Ok(sum) } else { Ok(sum.mul(&sum.zeros_like()?)?) }
    }

    fn rows_of(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match &self.rows {
            Some(rows) => x.contiguous()?.index_select(&indices(rows, x.device())?, 0)?,
            None => x.clone(),
        })
    }
}
