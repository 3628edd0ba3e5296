//! A model for tests, and all captions that it can write.

use data_specs::SpecialIds;

use crate::decoding::{ModelError, NextToken, Open};

/// Ids of the vocabularies here: `[PAD]`, `[CLS]` and `[MASK]` share the first ones, then come words.
pub(crate) const SPECIAL: SpecialIds = SpecialIds { pad: 0, unk: 1, cls: 0, sep: 2, mask: 1 };

/// A model whose logits depend on the picture and on every token before; it holds what it is asked against the contract of
/// [`NextToken`], as a model with a cache would have to.
#[derive(Debug)]
pub(crate) struct MadeUp {
    pub(crate) seed: u64,
    pub(crate) vocabulary: usize,
    /// Numbers of the pictures of the batch.
    pub(crate) pictures: Vec<u64>,
    pub(crate) forbidden: Vec<u32>,
    /// Rows of all calls.
    pub(crate) asked: usize,
    /// Pictures and tokens of the rows of the last call.
    pub(crate) before: Vec<(usize, Vec<u32>)>,
}

impl MadeUp {
    pub(crate) fn new(seed: u64, vocabulary: usize, images: u64) -> Self {
        Self {
            seed,
            vocabulary,
            pictures: (0..images).collect(),
            forbidden: vec![SPECIAL.cls, SPECIAL.unk],
            asked: 0,
            before: vec![],
        }
    }

    /// Logits after `tokens` (with `[CLS]`).
    pub(crate) fn row(&self, image: usize, tokens: &[u32]) -> Vec<f32> {
        let hash = tokens.iter().fold(mix(self.seed ^ self.pictures[image] << 32), |hash, token| {
            mix(hash ^ u64::from(*token).wrapping_add(0x9e37_79b9_7f4a_7c15))
        });
        let logit = |token: u64| (mix(hash ^ token << 8) >> 40) as f32 / (1u64 << 22) as f32 - 2.0;
        let mut row: Vec<f32> = (0..self.vocabulary as u64).map(logit).collect();
        self.forbidden.iter().for_each(|token| row[*token as usize] = f32::NEG_INFINITY);
        row
    }

    /// Log-probabilities after `tokens`, in f64 throughout.
    pub(crate) fn log_probabilities(&self, image: usize, tokens: &[u32]) -> Vec<f64> {
        let row: Vec<f64> = self.row(image, tokens).into_iter().map(f64::from).collect();
        let sum: f64 = row.iter().map(|logit| logit.exp()).sum();
        row.iter().map(|logit| logit - sum.ln()).collect()
    }

    /// All captions of up to `length` tokens, without `[CLS]`: ended by `[SEP]`, or `length` tokens without it. With the sums of
    /// their log-probabilities.
    pub(crate) fn all_captions(&self, image: usize, length: usize) -> Vec<(Vec<u32>, f64)> {
        let mut captions = Vec::new();
        let mut open = vec![(vec![SPECIAL.cls], 0.0)];
        for left in (0..length).rev() {
            let mut longer = Vec::new();
            for (tokens, sum) in open {
                for (token, more) in (0u32..).zip(self.log_probabilities(image, &tokens)) {
                    let grown: Vec<u32> = tokens.iter().copied().chain([token]).collect();
                    match token {
                        _ if more == f64::NEG_INFINITY => {}
                        _ if token == SPECIAL.sep || left == 0 => {
                            captions.push((grown[1..].to_vec(), sum + more))
                        }
                        _ => longer.push((grown, sum + more)),
                    }
                }
            }
            open = longer;
        }
        captions
    }
}

impl NextToken for MadeUp {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn logits(&mut self, open: &Open, logits_rv: &mut [f32]) -> Result<(), ModelError> {
        assert_eq!(logits_rv.len(), open.rows().len() * self.vocabulary);
        assert!(!open.rows().is_empty() && open.rows().is_sorted_by_key(|row| row.image));
        let now: Vec<_> =
            (0..open.rows().len()).map(|row| (open.rows()[row].image, open.tokens(row).to_vec())).collect();
        for (row, ((image, tokens), logits_v)) in
            now.iter().zip(logits_rv.chunks_mut(self.vocabulary)).enumerate()
        {
            assert_eq!((tokens.len(), tokens.last()), (open.length(), Some(&open.newest(row))));
            let parent = open.rows()[row].parent;
            if open.length() == 1 {
                assert_eq!((parent, tokens.as_slice()), (row, &[SPECIAL.cls][..]));
            } else {
                let (newest, prefix) = tokens.split_last().unwrap();
                assert_eq!(
                    self.before[parent],
                    (*image, prefix.to_vec()),
                    "row {row} and its parent {parent}"
                );
                assert_ne!(*newest, SPECIAL.sep, "a caption that has ended");
            }
            logits_v.copy_from_slice(&self.row(*image, tokens));
        }
        self.asked += now.len();
        self.before = now;
        Ok(())
    }
}

/// The finaliser of splitmix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
