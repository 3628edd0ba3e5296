//! What the words of a text look at: the weights of attention, for people.

use data_specs::{Picture, RowId, Tokenizer};
use pretrain::Result;
use pretrain::model::{Batch, Encoder, ModelConfig};

use crate::texts::{Pictures, Place, Texts};

/// How much the words of one sequence look at its tags and regions: the mean over all heads and layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// `[CLS]`, the pieces of the text, `[SEP]`.
    pub words: Vec<String>,
    /// Pieces of the tags.
    pub tags: Vec<String>,
    /// Which of the row's pictures each region is of, and which of that picture's regions it is.
    pub regions: Vec<(usize, usize)>,
    /// A row for every word: its share for every tag, then for every region. What is missing to 1 goes to words.
    pub weights: Vec<f32>,
}

impl Attention {
    /// Attention of every sequence that is read of a text: one, or one a picture.
    ///
    /// # Errors
    /// A failed read; those of the operations.
    pub fn of(
        texts: &Texts,
        at: RowId,
        encoder: &Encoder,
        config: &ModelConfig,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<Self>> {
        let place = texts.place(at)?;
        let sequences = texts.sequences(at, 0)?;
        let read = texts.pictures();
        let of = |(number, example): (usize, &pretrain::Example)| {
            let batch = Batch::pack(std::slice::from_ref(example), config)?;
            let layers = encoder.attention_weights(&batch)?;
            let n_layers = layers.len() as f64;
            let sum = layers.into_iter().reduce(|sum, layer| (sum + layer).expect("layers have one shape"));
            let weights_tt = (sum.expect("an encoder has layers") / n_layers)?.to_vec2::<f32>()?;

            let ids = example.token_ids.iter().zip(&example.segment_ids);
            let piece = |id: &u32| tokenizer.token(*id).unwrap_or("[UNK]").to_owned();
            let (words, tags): (Vec<_>, Vec<_>) = ids.partition(|(_, segment)| **segment == 0);
            let n_words = words.len();
            let seen = weights_tt[..n_words].iter().flat_map(|row| &row[n_words..]);
            Ok(Self {
                words: words.iter().map(|(id, _)| piece(id)).collect(),
                tags: tags.iter().map(|(id, _)| piece(id)).collect(),
                regions: regions(read, number, &place, texts.max_regions()),
                weights: seen.copied().collect(),
            })
        };
        sequences.iter().enumerate().map(of).collect()
    }

    /// Share of a region in what a word looks at.
    pub fn of_region(&self, word: usize, region: usize) -> f32 {
        let width = self.tags.len() + self.regions.len();
        self.weights[word * width + self.tags.len() + region]
    }
}

/// The regions of a sequence in the order in which it reads them.
fn regions(read: Pictures, sequence: usize, place: &Place, at_most: usize) -> Vec<(usize, usize)> {
    let of = |(number, picture): (usize, &Picture)| {
        (0..(picture.regions as usize).min(at_most)).map(move |region| (number, region))
    };
    let pictures = place.sample().images.iter().enumerate();
    match read {
        Pictures::One | Pictures::Pair => pictures.skip(sequence).take(1).flat_map(of).collect(),
        Pictures::PairAtOnce => pictures.flat_map(of).collect(),
    }
}
