//! The encoder token by token: what earlier tokens gave to attention is kept, so that a step computes its new tokens only.

use candle_core::Tensor;
use pretrain_kernels::{Attention, KeySpan, attention, attention_over};

use super::batch::Batch;
use super::encoder::Encoder;
use super::heads::Linear;
use super::pass::Pass;
use crate::Result;

/// An encoder that goes on from what it computed before. Nothing is dropped, and there are no gradients.
#[derive(Debug, Clone)]
pub struct Incremental {
    encoder: Encoder,
    /// Of every layer, made once.
    qkv: Vec<Linear>,
}

/// Keys and values of what was read, for every layer one block a step. Block 0 is what [`Incremental::begin`] read, its rows
/// as they lie in the batch; block k has the first `n_kept` tokens of step k.
#[derive(Debug, Clone)]
pub struct Memory {
    layers: Vec<Vec<Tensor>>,
}

/// The tokens of a step, and what each of them sees.
#[derive(Debug, Clone, Copy)]
pub struct NewTokens<'a> {
    /// \[r\]
    pub word_ids: &'a [u32],
    /// \[r\]
    pub position_ids: &'a [u32],
    /// \[r\]
    pub segment_ids: &'a [u32],
    /// Spans of blocks; a token does not see itself unless it says so, as a row of the block that comes next, in which all
    /// tokens of the step are as long as it lasts. \[r\]
    pub keys: &'a [Vec<KeySpan>],
    /// How many tokens, the first ones, later steps can see.
    pub n_kept: usize,
}

impl Memory {
    /// Blocks so far: the number of the block of the step that comes next.
    pub fn n_blocks(&self) -> usize {
        self.layers.first().map_or(0, Vec::len)
    }
}

impl Incremental {
    /// Over an encoder whose tensors do not change meanwhile.
    ///
    /// # Errors
    /// Those of the operations.
    pub fn new(encoder: &Encoder) -> Result<Self> {
        let qkv = encoder.layers.iter().map(|layer| Ok(detached(layer.qkv()?))).collect::<Result<_>>()?;
        Ok(Self { encoder: encoder.clone(), qkv })
    }

    /// Reads a batch whose rows see nothing that comes later.
    ///
    /// # Errors
    /// Those of the operations.
    pub fn begin(&self, batch: &Batch) -> Result<Memory> {
        let mut x_th = self.encoder.embed(batch, Pass::Evaluation)?;
        let mut layers = Vec::with_capacity(self.qkv.len());
        for (number, (layer, qkv)) in self.encoder.layers.iter().zip(&self.qkv).enumerate() {
            let qkv_t3h = qkv.forward(&x_th)?;
            if number + 1 < self.qkv.len() {
                let how = Attention {
                    heads: layer.heads,
                    sequences: &batch.sequences,
                    mask: batch.attention_mask(),
                    dropout: None,
                    precision: qkv.precision,
                };
                let seen_th = attention(&qkv_t3h, &how)?;
                x_th = layer.after_attention(&seen_th, &x_th, &|_, _| None)?;
            }
            layers.push(vec![keys_and_values(&qkv_t3h, batch.n_rows())?]);
        }
        Ok(Memory { layers })
    }

    /// Reads new tokens and remembers the kept ones.
    ///
    /// # Shapes
    /// - result: \[r, h\], the last layer's output
    ///
    /// # Errors
    /// Ids beyond the tables, keys that are not there; those of the operations.
    pub fn go_on(&self, new: NewTokens<'_>, memory: &mut Memory) -> Result<Tensor> {
        let mut x_rh =
            self.encoder.embeddings.tokens(new.word_ids, new.position_ids, new.segment_ids)?.detach();
        for ((layer, qkv), blocks) in self.encoder.layers.iter().zip(&self.qkv).zip(&mut memory.layers) {
            let qkv_r3h = qkv.forward(&x_rh)?;
            blocks.push(qkv_r3h.clone());
            let seen_rh = attention_over(&qkv_r3h, layer.heads, blocks, new.keys)?;
            let kept = keys_and_values(&qkv_r3h, new.n_kept)?;
            if let Some(last) = blocks.last_mut() {
                *last = kept;
            }
            x_rh = layer.after_attention(&seen_rh, &x_rh, &|_, _| None)?.detach();
        }
        Ok(x_rh)
    }
}

fn detached(layer: Linear) -> Linear {
    Linear { w_oi: layer.w_oi.detach(), bias_o: layer.bias_o.detach(), ..layer }
}

/// Of the first rows; a copy, so that queries and other rows do not stay in memory.
fn keys_and_values(qkv_r3h: &Tensor, rows: usize) -> Result<Tensor> {
    let width = qkv_r3h.dim(1)? / 3;
    Ok(qkv_r3h.narrow(0, 0, rows)?.narrow(1, width, 2 * width)?.contiguous()?.detach())
}
