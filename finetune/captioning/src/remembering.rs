//! A captioner as a model of the next token, with cached keys and values.

use candle_core::Tensor;
use data_specs::SpecialIds;
use pretrain::model::{Incremental, Memory, NewTokens};
use pretrain_kernels::KeySpan;

use crate::captioner::Captioner;
use crate::decoding::{ModelError, NextToken, Open};
use crate::pictures::Picture;
use crate::sequence::{Laid, Room, pack};

/// Scores the next token of captions of a batch of pictures.
///
/// Tags and regions see no caption, so what they give to attention is computed once a picture and shared by all its captions.
/// A step computes, for every open caption, its newest token and the `[MASK]` in the place of the next one, as published; the
/// newest token's keys and values are kept, and a caption knows by which steps' rows it came about, so nothing is copied when
/// captions are reordered.
#[derive(Debug, Clone)]
pub(crate) struct Remembering<'a> {
    captioner: &'a Captioner,
    incremental: Incremental,
    special: SpecialIds,
    memory: Memory,
    /// Tags and regions of every picture.
    shared: Vec<KeySpan>,
    /// Tokens of every row of the last call.
    paths: Vec<Vec<KeySpan>>,
}

impl<'a> Remembering<'a> {
    /// Reads tags and regions. `captioner` is one that does not remember what it computes.
    pub(crate) fn new(
        captioner: &'a Captioner,
        incremental: &Incremental,
        pictures: &[&Picture],
        room: Room,
        special: SpecialIds,
    ) -> pretrain::Result<Self> {
        let laid = pictures
            .iter()
            .zip(0..)
            .map(|(picture, place)| Laid::new(std::iter::empty(), picture, room, special, place));
        let laid: Vec<Laid> = laid.collect();
        let mut first = 0;
        let shared = laid.iter().map(|sample| {
            let span = KeySpan { block: 0, first, count: sample.n_shared() };
            first += span.count;
            span
        });
        let shared = shared.collect();
        let memory = incremental.begin(&pack(&laid, &captioner.config)?)?;
        Ok(Self { captioner, incremental: incremental.clone(), special, memory, shared, paths: Vec::new() })
    }

    fn next(&mut self, open: &Open) -> pretrain::Result<Tensor> {
        let (rows, block) = (open.rows(), self.memory.n_blocks());
        let (mut paths, mut keys) = (Vec::with_capacity(rows.len()), Vec::with_capacity(2 * rows.len()));
        for (number, row) in rows.iter().enumerate() {
            let mut path = if open.length() == 1 { Vec::new() } else { self.paths[row.parent].clone() };
            path.push(KeySpan { block, first: number, count: 1 });
            keys.push(std::iter::once(self.shared[row.image]).chain(path.iter().copied()).collect());
            paths.push(path);
        }
        for number in 0..rows.len() {
            let mut of_mask: Vec<KeySpan> = Vec::clone(&keys[number]);
            of_mask.push(KeySpan { block, first: rows.len() + number, count: 1 });
            keys.push(of_mask);
        }
        let newest = (0..rows.len()).map(|row| open.newest(row));
        let words: Vec<u32> = newest.chain(std::iter::repeat_n(self.special.mask, rows.len())).collect();
        let places = [open.length() as u32 - 1, open.length() as u32];
        let positions: Vec<u32> =
            places.iter().flat_map(|place| std::iter::repeat_n(*place, rows.len())).collect();
        let new = NewTokens {
            word_ids: &words,
            position_ids: &positions,
            segment_ids: &vec![0; words.len()],
            keys: &keys,
            n_kept: rows.len(),
        };
        let hidden_rh = self.incremental.go_on(new, &mut self.memory)?;
        self.paths = paths;
        self.captioner.head.logits(&hidden_rh.narrow(0, rows.len(), rows.len())?.contiguous()?)
    }
}

impl NextToken for Remembering<'_> {
    fn vocabulary(&self) -> usize {
        self.captioner.config.vocab_size
    }

    fn logits(&mut self, open: &Open, logits_rv: &mut [f32]) -> Result<(), ModelError> {
        let logits = self.next(open)?.flatten_all()?.to_vec1::<f32>()?;
        logits_rv.copy_from_slice(&logits);
        Ok(())
    }
}
