//! Multi-head scaled dot-product self-attention over sequences that lie end to end. Paper: 1706.03762, eq. 1.
//!
//! Products of many small matrices at once need sequences of one length: shorter ones get rows of zeros behind them, whose
//! scores as keys are [`PADDING`] and whose results as queries are left out. Work and memory are those of the longest
//! sequence: heads·b·l² numbers for scores and probabilities, kept for backward.
//!
//! Legend: t tokens of all sequences, b sequences, l tokens of the longest, a heads, d numbers of a head, w = a d.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::dropout::keep;
use super::elementwise::softmax;
use super::linear::product;
use super::rows::{Moved, NONE};
use crate::Result;
use crate::attention::{Bias, SelfAttention, Sequence};
use crate::dropout::Dropout;

/// # Shapes
/// - `qkv_t3w`: \[t, 3 w\]; result: \[t, w\]
pub(crate) fn attention(qkv_t3w: &Tensor, how: &SelfAttention) -> Result<Tensor> {
    let (t, a, d) = (qkv_t3w.dim(0)?, how.heads, how.head);
    let sequences: Vec<&Sequence> = how.tasks.iter().filter(|sequence| !sequence.tokens.is_empty()).collect();
    let device = qkv_t3w.device();
    let grid = Grid::new(&sequences);
    let (b, l) = (sequences.len(), grid.length);

    let moved = (b * l != t).then(|| Moved::new(&grid.rows(), t, device)).transpose()?;
    let back = moved.as_ref().map(Moved::inverse);
    let qkv = moved.map_or_else(|| qkv_t3w.contiguous().map_err(Into::into), |moved| moved.apply(qkv_t3w))?;
    let qkv_3bald = qkv.reshape((b, l, 3, a, d))?.permute((2, 0, 3, 1, 4))?.contiguous()?;
    let [q_bald, k_bald, v_bald] = [qkv_3bald.get(0)?, qkv_3bald.get(1)?, qkv_3bald.get(2)?];

    let mut scores_ball = (product(how.precision, &q_bald, &k_bald.t()?)? * (1.0 / (d as f64).sqrt()))?;
    if let Some(bias) = grid.bias(how.bias.as_ref(), b * l != t, device)? {
        scores_ball = scores_ball.broadcast_add(&bias.to_dtype(scores_ball.dtype())?)?;
    }
    let mut p_ball = softmax(&scores_ball)?;
    if let Some(dropout) = &how.dropout {
        p_ball = keep(&p_ball, grid.kept(dropout, a), dropout, device)?;
    }
    let y = product(how.precision, &p_ball, &v_bald)?.transpose(1, 2)?.reshape((b * l, a * d))?;
    match back {
        Some(back) => back.apply(&y),
        None => Ok(y),
    }
}

/// What a key of padding adds to a score: its exponential is 0 beside any other, a mask's -10000 included.
const PADDING: f32 = -1e30;

/// Sequences as rows of equal length.
struct Grid<'a> {
    sequences: &'a [&'a Sequence],
    length: usize,
}

impl<'a> Grid<'a> {
    fn new(sequences: &'a [&'a Sequence]) -> Self {
        let length = sequences.iter().map(|sequence| sequence.tokens.len()).max().unwrap_or(0);
        Self { sequences, length }
    }

    /// The token of every place, [`NONE`] behind a sequence. \[b l\]
    fn rows(&self) -> Vec<u32> {
        let places = self.sequences.iter().flat_map(|sequence| {
            let tokens = sequence.tokens.clone().map(|token| token as u32);
            tokens.chain(std::iter::repeat(NONE)).take(self.length)
        });
        places.collect()
    }

    /// What is added to scores, if anything: \[b, 1, 1, l\] or, where each query has its own, \[b, 1, l, l\].
    fn bias(&self, bias: Option<&Bias>, is_padded: bool, device: &Device) -> Result<Option<Tensor>> {
        let (b, l) = (self.sequences.len(), self.length);
        let queries = match bias {
            None if !is_padded => return Ok(None),
            None | Some(Bias::Keys(_)) => 1,
            Some(Bias::Pairs(_)) => l,
        };
        let mut values = vec![PADDING; b * queries * l];
        for (sequence, values) in self.sequences.iter().zip(values.chunks_exact_mut(queries * l)) {
            let n = sequence.tokens.len();
            for (query, values) in values.chunks_exact_mut(l).enumerate() {
                match bias {
                    // a query of padding sees the sequence's keys: what comes of it is left out
                    Some(Bias::Pairs(pairs)) if query < n => {
                        values[..n].copy_from_slice(&pairs[sequence.pairs + query * n..][..n]);
                    }
                    Some(Bias::Keys(keys)) => values[..n].copy_from_slice(&keys[sequence.tokens.clone()]),
                    _ => values[..n].fill(0.0),
                }
            }
        }
        Ok(Some(Tensor::from_vec(values, (b, 1, queries, l), device)?))
    }

    /// What is kept of the probabilities: \[b, a, l, l\]. A row of a query is numbered by its token and head.
    fn kept(&self, dropout: &Dropout, heads: usize) -> Vec<u8> {
        let l = self.length;
        let mut kept = vec![0; self.sequences.len() * heads * l * l];
        kept.par_chunks_exact_mut(l * l).enumerate().for_each(|(task, kept)| {
            let (sequence, head) = (self.sequences[task / heads], task % heads);
            for (kept, token) in kept.chunks_exact_mut(l).zip(sequence.tokens.clone()) {
                let number = dropout.row_number(token) * heads as u32 + head as u32;
                dropout.draw(number, &mut kept[..sequence.tokens.len()]);
            }
        });
        kept
    }
}
