//! What the encoder reads of captions, tags and regions, and who sees whom (Paper: 2004.06165, section 5 and appendix).
//!
//! ```text
//!                caption token i                  tags, regions
//! caption        those up to itself               all
//! tags, regions  none                             all
//! ```
//! Only real tokens are there: tags stand behind the room of a caption because their positions say so, not because padding
//! lies before them.

use std::ops::Range;

use data_specs::SpecialIds;
use pretrain::Example;
use pretrain::model::{Batch, ModelConfig};
use serde::{Deserialize, Serialize};

use crate::pictures::Picture;

/// Tokens of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Room {
    /// Of `[CLS] caption [SEP]`.
    pub(crate) caption: usize,
    /// Of `tags [SEP]`; they are cut.
    pub(crate) tags: usize,
    /// Where tags begin: behind the longest caption that is learnt or written.
    pub(crate) first_tag: u32,
}

/// A token of a caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// Which caption of the sample.
    pub(crate) caption: u32,
    /// Its position.
    pub(crate) place: u32,
    /// Whether it is a `[MASK]` that stands beside the token of its place, asks for it, and is seen by nobody else.
    pub(crate) asks: bool,
}

/// A sample: captions' tokens first, then tags and regions, which all captions share.
#[derive(Debug, Clone)]
pub(crate) struct Laid {
    pub(crate) example: Example,
    /// Tokens of captions.
    written: Vec<Written>,
    first_tag: u32,
}

/// Packs samples.
pub(crate) fn pack(samples: &[Laid], config: &ModelConfig) -> pretrain::Result<Batch> {
    let examples: Vec<Example> = samples.iter().map(|sample| sample.example.clone()).collect();
    let position = |sample: usize, token: usize| samples[sample].position(token);
    let sees = |sample: usize, query: usize, key: usize| samples[sample].sees(query, key);
    Batch::pack_at(&examples, config, &position)?.seeing(&sees)
}

impl Laid {
    /// Tokens of captions beside tags and regions of a picture. `place` is the sample's in the batch.
    pub(crate) fn new(
        captions: impl Iterator<Item = (u32, Written)>,
        picture: &Picture,
        room: Room,
        special: SpecialIds,
        place: u32,
    ) -> Self {
        let (mut token_ids, written): (Vec<u32>, Vec<Written>) = captions.unzip();
        let n = token_ids.len();
        if !picture.tags.is_empty() {
            token_ids.extend(picture.tags.iter().take(room.tags - 1));
            token_ids.push(special.sep);
        }
        Self {
            example: Example {
                segment_ids: (0..token_ids.len()).map(|token| u32::from(token >= n)).collect(),
                token_labels: Vec::new(),
                token_ids,
                contrastive_label: -1,
                regions: picture.regions.clone(),
                n_regions: picture.n_regions,
                place,
            },
            written,
            first_tag: room.first_tag,
        }
    }

    /// The tokens of captions.
    pub(crate) fn written(&self) -> Range<usize> {
        0..self.written.len()
    }

    /// Tokens of tags, and regions.
    pub(crate) fn n_shared(&self) -> usize {
        self.example.token_ids.len() - self.written.len() + self.example.n_regions
    }

    fn position(&self, token: usize) -> u32 {
        match self.written.get(token) {
            Some(written) => written.place,
            None => self.first_tag + (token - self.written.len()) as u32,
        }
    }

    fn sees(&self, query: usize, key: usize) -> bool {
        match (self.written.get(query), self.written.get(key)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(_), Some(_)) if query == key => true,
            (Some(query), Some(key)) => query.caption == key.caption && !key.asks && key.place < query.place,
        }
    }
}

/// One caption, token behind token.
pub(crate) fn one_caption(tokens: &[u32]) -> impl Iterator<Item = (u32, Written)> {
    tokens.iter().zip(0..).map(|(token, place)| (*token, Written { caption: 0, place, asks: false }))
}

/// Captions `[CLS] y1 y2 ... yn` (without the last token, which nobody sees), and a `[MASK]` in the place of each of
/// y1 ... y(n+1): what it sees is what decoding showed when that token was chosen.
pub(crate) fn asked_captions(captions: &[&[u32]], special: SpecialIds) -> Vec<(u32, Written)> {
    let mut all = Vec::new();
    for (caption, tokens) in (0u32..).zip(captions) {
        let before = std::iter::once(special.cls).chain(tokens[..tokens.len() - 1].iter().copied());
        for (place, token) in (0u32..).zip(before) {
            all.push((token, Written { caption, place, asks: false }));
            all.push((special.mask, Written { caption, place: place + 1, asks: true }));
        }
    }
    all
}
