//! How much every token and region looks at every other: what attention multiplies values by.

use candle_core::{D, Tensor};

use super::batch::{Batch, Mask};
use super::encoder::{Encoder, Layer};
use super::pass::Pass;
use crate::{Error, Result};

impl Encoder {
    /// `softmax(q kᵀ / sqrt(d) - 10000 (1 - mask))` of every layer (Paper: 1706.03762, eq. 1), the mean over its heads.
    ///
    /// # Shapes
    /// - `batch`: one sample of t tokens and regions
    /// - result, one a layer: \[t, t\]; row i is what position i looks at, and sums to 1
    ///
    /// # Errors
    /// A batch of several samples; those of the operations.
    pub fn attention_weights(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        if batch.n_samples() != 1 {
            return Err(Error::Input {
                tensor: "batch".to_owned(),
                problem: format!("has {} samples", batch.n_samples()),
                hint: "attention is shown of one sample at a time".to_owned(),
            });
        }
        let mut x_th = self.embed(batch, Pass::Evaluation)?;
        let mut weights = Vec::with_capacity(self.n_layers());
        for (number, layer) in self.layers().iter().enumerate() {
            weights.push(layer.weights(&x_th, batch)?);
            x_th = self.layer(number, &x_th, batch, Pass::Evaluation)?;
        }
        Ok(weights)
    }
}

impl Layer {
    fn weights(&self, x_th: &Tensor, batch: &Batch) -> Result<Tensor> {
        let (t, h) = x_th.dims2()?;
        let heads = self.n_heads();
        let d = h / heads;
        let [query, key] = self.query_and_key();
        let by_head = |y_th: Tensor| y_th.reshape((t, heads, d))?.transpose(0, 1)?.contiguous();
        let q_atd = by_head(query.forward(x_th)?)?;
        let k_atd = by_head(key.forward(x_th)?)?;
        let mut scores_att = (q_atd.matmul(&k_atd.transpose(1, 2)?.contiguous()?)? / (d as f64).sqrt())?;
        let seen = match &batch.mask {
            Some(Mask::Keys(keys)) => Some(keys.reshape((1, 1, t))?),
            Some(Mask::Pairs(pairs)) => Some(pairs.reshape((1, t, t))?),
            None => None,
        };
        if let Some(seen) = seen {
            let hidden = ((seen.to_dtype(scores_att.dtype())?.to_device(x_th.device())? - 1.0)? * 10_000.0)?;
            scores_att = scores_att.broadcast_add(&hidden)?;
        }
        let largest = scores_att.max_keepdim(D::Minus1)?;
        let e_att = scores_att.broadcast_sub(&largest)?.exp()?;
        Ok(e_att.broadcast_div(&e_att.sum_keepdim(D::Minus1)?)?.mean(0)?)
    }
}
