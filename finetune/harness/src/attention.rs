//! What the words of a text look at: the weights of attention, for people.

use data_specs::{Sample, Tokenizer};
use pretrain::model::{Batch, Encoder};
use pretrain::{Example, Result};

use crate::texts::Pictures;

/// A text that was asked of a row's pictures, and what its words looked at.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The text, what came of it, and how sure that is.
    pub title: String,
    /// The row whose pictures were looked at.
    pub sample: Sample,
    /// Of each sequence: one, or one a picture.
    pub sequences: Vec<Attention>,
}

/// How much the words of one sequence look at its tags and regions: the mean over all heads and layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// `[CLS]`, the pieces of the text, `[SEP]`.
    pub words: Vec<String>,
    /// Pieces of the tags, and their `[SEP]`.
    pub tags: Vec<String>,
    /// Which of the row's pictures each region is of, and which of that picture's regions it is.
    pub regions: Vec<(usize, usize)>,
    /// A row for every word: its share for every tag, then for every region. What is missing to 1 goes to words.
    pub weights: Vec<f32>,
}

impl Attention {
    /// Of a sample whose words are the tokens of segment 0; `batch` has it alone.
    ///
    /// # Errors
    /// A batch of several samples; those of the operations.
    pub fn of(
        encoder: &Encoder,
        batch: &Batch,
        example: &Example,
        regions: Vec<(usize, usize)>,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let layers = encoder.attention_weights(batch)?;
        let n_layers = layers.len().max(1) as f64;
        let mut sum_tt = layers[0].zeros_like()?;
        for layer_tt in &layers {
            sum_tt = (sum_tt + layer_tt)?;
        }
        let weights_tt = (sum_tt / n_layers)?.to_vec2::<f32>()?;

        let n_words = example.segment_ids.iter().take_while(|segment| **segment == 0).count();
        let piece = |id: &u32| tokenizer.token(*id).unwrap_or("?").to_owned();
        let (words, tags) = example.token_ids.split_at(n_words);
        Ok(Self {
            words: words.iter().map(piece).collect(),
            tags: tags.iter().map(piece).collect(),
            regions,
            weights: weights_tt[..n_words].iter().flat_map(|row| &row[n_words..]).copied().collect(),
        })
    }

    /// How much all words together look at a region: the mean over the words.
    pub fn of_region(&self, region: usize) -> f32 {
        let width = self.tags.len() + self.regions.len();
        let rows = self.weights.chunks_exact(width);
        rows.map(|row| row[self.tags.len() + region]).sum::<f32>() / self.words.len() as f32
    }
}

/// The regions that a sequence reads, in its order: at most `at_most` of a picture.
pub(crate) fn regions_read(
    read: Pictures,
    sequence: usize,
    sample: &Sample,
    at_most: usize,
) -> Vec<(usize, usize)> {
    let of = |number: usize| {
        let regions = (sample.images[number].regions as usize).min(at_most);
        (0..regions).map(move |region| (number, region))
    };
    match read {
        Pictures::One | Pictures::Pair => of(sequence).collect(),
        Pictures::PairAtOnce => (0..sample.images.len()).flat_map(of).collect(),
    }
}
