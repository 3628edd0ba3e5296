//! Parts of samples that are embedded once and put together many times; what a token may see.

use candle_core::{Device, Tensor};
use pretrain_kernels::{AttentionMask, Sequences, tanh};

use super::batch::{Batch, Mask};
use super::encoder::Encoder;
use crate::Result;

/// How rows that are embedded already lie together: sequences end to end, the first row of each is its `[CLS]`.
#[derive(Debug, Clone)]
pub struct Joined {
    sequences: Sequences,
    first_rows: Vec<u32>,
    pairs: Option<Tensor>,
}

impl Joined {
    /// Sequences of these lengths; every row sees its whole sequence.
    pub fn new(lengths: &[usize]) -> Self {
        let sequences = Sequences::new(lengths);
        let first_rows = sequences.iter().map(|rows| rows.start as u32).collect();
        Self { sequences, first_rows, pairs: None }
    }

    /// The same, whose rows see what `sees` says of (sequence, query, key); rows are counted within their sequence.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn seeing(mut self, sees: &dyn Fn(usize, usize, usize) -> bool) -> Result<Self> {
        self.pairs = Some(pairs(&self.sequences, sees)?);
        Ok(self)
    }
}

impl Batch {
    /// The same batch, whose tokens see what `sees` says of (sample, query, key). Rows are counted within their sample:
    /// its tokens, then its regions.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn seeing(mut self, sees: &dyn Fn(usize, usize, usize) -> bool) -> Result<Self> {
        self.mask = Some(Mask::Pairs(pairs(&self.sequences, sees)?));
        Ok(self)
    }
}

impl Encoder {
    /// `LN(word + position + segment)`, without dropout.
    ///
    /// # Shapes
    /// - each of `words`, `positions`, `segments`: n; result: \[n, h\]
    ///
    /// # Errors
    /// Numbers beyond the tables.
    pub fn embed_tokens(&self, words: &[u32], positions: &[u32], segments: &[u32]) -> Result<Tensor> {
        self.embeddings.tokens(words, positions, segments)
    }

    /// `LN?(W v + b)`, without dropout.
    ///
    /// # Shapes
    /// - `regions_rd`: \[r, d\]; result: \[r, h\]
    ///
    /// # Errors
    /// Regions of another width.
    pub fn embed_regions(&self, regions_rd: &Tensor) -> Result<Tensor> {
        self.embeddings.regions(regions_rd)
    }

    /// What [`pool`](Self::pool) makes of the last layer, without dropout. The last layer is computed for the first rows
    /// only, behind its attention: nobody asks for the others.
    ///
    /// # Shapes
    /// - `x_th`: \[t, h\], embedded rows; result: \[b, h\]
    ///
    /// # Errors
    /// Rows that are not those of `joined`.
    pub fn pool_joined(&self, x_th: &Tensor, joined: &Joined) -> Result<Tensor> {
        let mut x_th = x_th.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            let only = (number + 1 == self.layers.len()).then_some(joined.first_rows.as_slice());
            let mask = joined.pairs.as_ref().map(AttentionMask::Pairs);
            x_th = layer.compute(&x_th, (&joined.sequences, mask), only, &|_, _| None)?;
        }
        Ok(tanh(&self.pooler.forward(&x_th)?)?)
    }
}

/// \[Σ l²\]
fn pairs(sequences: &Sequences, sees: &dyn Fn(usize, usize, usize) -> bool) -> Result<Tensor> {
    let mut pairs = Vec::with_capacity(sequences.iter().map(|rows| rows.len().pow(2)).sum());
    for (number, rows) in sequences.iter().enumerate() {
        for query in 0..rows.len() {
            pairs.extend((0..rows.len()).map(|key| u8::from(sees(number, query, key))));
        }
    }
    let n = pairs.len();
    Ok(Tensor::from_vec(pairs, n, &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::packing::{config, examples, parameters};
    use super::*;
    use crate::model::Pass;

    /// Embedded part by part and put together, the last layer for `[CLS]` alone: what a whole batch gives.
    #[test]
    fn parts_put_together_are_the_batch() {
        let config = config();
        let parameters = parameters(&config);
        let tensors = parameters.tensors();
        let encoder = Encoder::new(&config, crate::model::Tensors::new(&tensors)).unwrap();
        let examples = examples(0..6);
        let sees = |sample: usize, query: usize, key: usize| (query + key + sample) % 3 != 1 || query == key;
        for masked in [false, true] {
            let mut batch = Batch::pack(&examples, &config).unwrap();
            let lengths: Vec<usize> =
                examples.iter().map(|one| one.token_ids.len() + one.n_regions).collect();
            let mut joined = Joined::new(&lengths);
            if masked {
                (batch, joined) = (batch.seeing(&sees).unwrap(), joined.seeing(&sees).unwrap());
            }
            let hidden_th = encoder.forward(&batch, Pass::Evaluation).unwrap();
            let whole = encoder.pool(&hidden_th, &batch).unwrap();
            let mut rows = Vec::new();
            for one in &examples {
                let positions: Vec<u32> = (0..one.token_ids.len() as u32).collect();
                rows.push(encoder.embed_tokens(&one.token_ids, &positions, &one.segment_ids).unwrap());
                if one.n_regions > 0 {
                    let shape = (one.n_regions, config.img_feature_dim);
                    let regions = Tensor::from_slice(&one.regions, shape, &Device::Cpu).unwrap();
                    rows.push(encoder.embed_regions(&regions).unwrap());
                }
            }
            let parts = encoder.pool_joined(&Tensor::cat(&rows, 0).unwrap(), &joined).unwrap();
            let apart = (&whole - &parts).unwrap().abs().unwrap().max_all().unwrap();
            let apart = apart.to_scalar::<f32>().unwrap();
            assert!(apart < 1e-6, "{apart} apart, masked {masked}");
        }
    }
}
