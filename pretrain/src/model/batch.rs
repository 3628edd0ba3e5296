//! Samples end to end.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::{AttentionMask, Sequences};

use super::config::ModelConfig;
use crate::{Error, Example, Result};

/// What the encoder reads: the tokens of every sample, then its regions, sample after sample.
#[derive(Debug, Clone)]
pub struct Batch {
    /// \[n\]
    pub(crate) word_ids: Vec<u32>,
    /// \[n\]
    pub(crate) position_ids: Vec<u32>,
    /// \[n\]
    pub(crate) segment_ids: Vec<u32>,
    /// \[r of all, d\]; one of zeros, which no packed row is, where there are none: no device computes over nothing.
    pub(crate) regions_rd: Tensor,
    /// Row of (all words, then all regions) for every packed row. \[t\]
    pub(crate) order_t: Tensor,
    /// Packed row of every token of a text. \[n\]
    pub(crate) token_rows: Vec<u32>,
    /// Packed row of every sample's `[CLS]`. \[b\]
    pub(crate) first_rows: Vec<u32>,
    pub(crate) sequences: Sequences,
    pub(crate) mask: Option<Mask>,
    /// Numbers of rows, for dropout: of words \[n\], of regions, of packed rows \[t\].
    pub(crate) numbers: RowNumbers,
}

/// What every token of a batch of texts was, and every sample's class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// -1 where nothing is asked. \[n\]
    pub token_labels: Vec<i64>,
    /// -1 where nothing is asked. \[b\]
    pub contrastive_labels: Vec<i64>,
}

/// A batch as tensors of equal lengths, with masks: how other programs write it.
#[derive(Debug, Clone)]
pub struct PaddedBatch {
    /// i64 \[b, l\]
    pub input_ids_bl: Tensor,
    /// i64 \[b, l\]
    pub token_type_ids_bl: Tensor,
    /// i64 \[b, l + r\], or \[b, l + r, l + r\] with a row for every query
    pub attention_mask: Tensor,
    /// f32 \[b, r, d\]
    pub img_feats_brd: Tensor,
}

#[derive(Debug, Clone)]
pub(crate) enum Mask {
    Keys(Tensor),
    Pairs(Tensor),
}

#[derive(Debug, Clone)]
pub(crate) struct RowNumbers {
    pub(crate) words: Arc<[u32]>,
    pub(crate) regions: Arc<[u32]>,
    pub(crate) packed: Arc<[u32]>,
}

/// More tokens and regions than a sample has: a row's number is this times the sample's place, plus its own.
const LONGEST: usize = 1024;

impl Batch {
    /// Packs samples; every token sees its whole sample.
    ///
    /// # Errors
    /// Ids or texts beyond the model's tables, regions of another width, more tokens and regions than 1024 a sample.
    pub fn pack(examples: &[Example], config: &ModelConfig) -> Result<Self> {
        let (parts, regions_rd) = Parts::of(examples, config, &|_, token| token as u32)?;
        if let Some(example) = examples.iter().position(|example| example.token_ids.is_empty()) {
            let hint = format!("1 to {}: max_position_embeddings", config.max_position_embeddings);
            return Err(unfit("a sample", format!("has a text of 0 tokens, number {example}"), &hint));
        }
        parts.batch(regions_rd, None, config)
    }

    /// Packs samples whose tokens need not stand one after the other: `position(sample, token)` is where a token stands. A
    /// sample may be of regions alone, where nobody asks for its first token.
    ///
    /// # Errors
    /// As [`pack`](Self::pack).
    pub fn pack_at(
        examples: &[Example],
        config: &ModelConfig,
        position: &dyn Fn(usize, usize) -> u32,
    ) -> Result<Self> {
        let (parts, regions_rd) = Parts::of(examples, config, position)?;
        parts.batch(regions_rd, None, config)
    }

    /// A padded batch as it is, padding included: a masked token is seen by none, and what it becomes is unspecified.
    ///
    /// # Errors
    /// Shapes or types that do not fit together; as [`pack`](Self::pack).
    pub fn padded(padded: &PaddedBatch, config: &ModelConfig) -> Result<Self> {
        let dims = |name: &str, tensor: &Tensor, rank: usize, dtype: DType| {
            if tensor.rank() == rank && tensor.dtype() == dtype {
                return Ok(tensor.dims().to_vec());
            }
            let got = format!("is {:?} of {:?}", tensor.dims(), tensor.dtype());
            Err(unfit(name, got, &format!("{rank} axes of {dtype:?}")))
        };
        let ids = dims("input_ids", &padded.input_ids_bl, 2, DType::I64)?;
        let (b, l) = (ids[0], ids[1]);
        let segments = dims("token_type_ids", &padded.token_type_ids_bl, 2, DType::I64)?;
        let features = dims("img_feats", &padded.img_feats_brd, 3, DType::F32)?;
        let r = features[1];
        if segments != ids {
            return Err(unfit(
                "token_type_ids",
                format!("are {segments:?}"),
                &format!("{ids:?}, as input_ids"),
            ));
        }
        if features[0] != b || features[2] != config.img_feature_dim {
            let hint = format!("[{b}, r, {}]: the model's img_feature_dim", config.img_feature_dim);
            return Err(unfit("img_feats", format!("are {features:?}"), &hint));
        }
        let mask = &padded.attention_mask;
        let mask = match mask.dims() {
            [rows, keys] if [*rows, *keys] == [b, l + r] => Mask::Keys(mask.clone()),
            [rows, queries, keys] if [*rows, *queries, *keys] == [b, l + r, l + r] => {
                Mask::Pairs(mask.clone())
            }
            other => {
                let hint = format!("[{b}, {0}] or [{b}, {0}, {0}]: text and regions", l + r);
                return Err(unfit("attention_mask", format!("is {other:?}"), &hint));
            }
        };
        let parts = Parts {
            word_ids: unsigned("input_ids", &padded.input_ids_bl)?,
            segment_ids: unsigned("token_type_ids", &padded.token_type_ids_bl)?,
            position_ids: (0..b).flat_map(|_| 0..l as u32).collect(),
            lengths: vec![[l, r]; b],
            places: (0..b as u32).collect(),
        };
        let regions_rd = padded.img_feats_brd.reshape((b * r, config.img_feature_dim))?;
        parts.batch(regions_rd, Some(mask), config)
    }

    /// b
    pub fn n_samples(&self) -> usize {
        self.first_rows.len()
    }

    /// t
    pub fn n_rows(&self) -> usize {
        self.sequences.tokens()
    }

    /// Packed row of every token of a text, in order. \[n\]
    pub fn token_rows(&self) -> &[u32] {
        &self.token_rows
    }

    pub(crate) fn attention_mask(&self) -> Option<AttentionMask<'_>> {
        self.mask.as_ref().map(|mask| match mask {
            Mask::Keys(keys) => AttentionMask::Keys(keys),
            Mask::Pairs(pairs) => AttentionMask::Pairs(pairs),
        })
    }
}

impl Targets {
    /// What is asked of samples.
    pub fn of(examples: &[Example]) -> Self {
        Self {
            token_labels: examples.iter().flat_map(|example| example.token_labels.iter().copied()).collect(),
            contrastive_labels: examples.iter().map(|example| example.contrastive_label).collect(),
        }
    }

    /// Tokens with a label, samples with a label.
    pub fn counts(&self) -> [usize; 2] {
        [&self.token_labels, &self.contrastive_labels]
            .map(|labels| labels.iter().filter(|label| **label != -1).count())
    }
}

#[derive(Default)]
struct Parts {
    word_ids: Vec<u32>,
    segment_ids: Vec<u32>,
    position_ids: Vec<u32>,
    /// Tokens and regions of every sample.
    lengths: Vec<[usize; 2]>,
    places: Vec<u32>,
}

impl Parts {
    /// Of examples, and their regions \[r of all, d\].
    fn of(
        examples: &[Example],
        config: &ModelConfig,
        position: &dyn Fn(usize, usize) -> u32,
    ) -> Result<(Self, Tensor)> {
        let mut parts = Self::default();
        let mut regions = Vec::new();
        for (sample, example) in examples.iter().enumerate() {
            let n = example.token_ids.len();
            let wanted = example.n_regions * config.img_feature_dim;
            if example.segment_ids.len() != n || example.regions.len() != wanted {
                let got =
                    format!("{} segments, {} numbers", example.segment_ids.len(), example.regions.len());
                return Err(unfit(
                    "an example",
                    format!("has {n} tokens and {} regions, but {got}", example.n_regions),
                    "features have another width than the model's img_feature_dim; build shards anew",
                ));
            }
            parts.word_ids.extend(&example.token_ids);
            parts.segment_ids.extend(&example.segment_ids);
            parts.position_ids.extend((0..n).map(|token| position(sample, token)));
            parts.lengths.push([n, example.n_regions]);
            parts.places.push(example.place);
            regions.extend_from_slice(&example.regions);
        }
        let count = regions.len() / config.img_feature_dim;
        let regions_rd = Tensor::from_vec(regions, (count, config.img_feature_dim), &Device::Cpu)?;
        Ok((parts, regions_rd))
    }

    fn batch(self, regions_rd: Tensor, mask: Option<Mask>, config: &ModelConfig) -> Result<Batch> {
        let Self { word_ids, segment_ids, position_ids, lengths, places } = self;
        for (name, ids, rows, hint) in [
            ("input_ids", &word_ids, config.vocab_size, "the tokenizer belongs to another model"),
            ("token_type_ids", &segment_ids, config.type_vocab_size, "0 for words, 1 for tags"),
        ] {
            if let Some(id) = ids.iter().find(|id| **id as usize >= rows) {
                return Err(unfit(name, format!("have the id {id}; the model's end at {}", rows - 1), hint));
            }
        }
        if let Some(last) =
            position_ids.iter().max().filter(|last| **last as usize >= config.max_position_embeddings)
        {
            let problem = format!("has a text of {} tokens", last + 1);
            let hint = format!("1 to {}: max_position_embeddings", config.max_position_embeddings);
            return Err(unfit("a sample", problem, &hint));
        }
        let n = word_ids.len();
        let mut next_token = 0;
        let (mut order, mut token_rows, mut first_rows) = (Vec::new(), Vec::with_capacity(n), Vec::new());
        let (mut words, mut regions, mut packed) = (Vec::with_capacity(n), Vec::new(), Vec::new());
        let mut next_region = n;
        for ([tokens, n_regions], place) in lengths.iter().copied().zip(places) {
            if tokens + n_regions > LONGEST || place as usize >= (1 << 28) / LONGEST {
                let problem = format!("has {tokens} tokens and {n_regions} regions at place {place}");
                return Err(unfit("a sample", problem, "at most 1024 in all, and 262,144 samples a batch"));
            }
            let number = place * LONGEST as u32;
            let row = order.len() as u32;
            first_rows.push(row);
            token_rows.extend(row..row + tokens as u32);
            order.extend(next_token as u32..(next_token + tokens) as u32);
            next_token += tokens;
            order.extend(next_region as u32..(next_region + n_regions) as u32);
            next_region += n_regions;
            words.extend(number..number + tokens as u32);
            regions.extend(number..number + n_regions as u32);
            packed.extend(number..number + (tokens + n_regions) as u32);
        }
        let mut regions_rd = regions_rd;
        if regions.is_empty() {
            regions_rd = Tensor::zeros((1, config.img_feature_dim), DType::F32, &Device::Cpu)?;
            regions.push(0);
        }
        let lengths: Vec<usize> = lengths.iter().map(|[tokens, regions]| tokens + regions).collect();
        let t = order.len();
        Ok(Batch {
            word_ids,
            position_ids,
            segment_ids,
            regions_rd,
            order_t: Tensor::from_vec(order, t, &Device::Cpu)?,
            token_rows,
            first_rows,
            sequences: Sequences::new(&lengths),
            mask,
            numbers: RowNumbers { words: words.into(), regions: regions.into(), packed: packed.into() },
        })
    }
}

fn unsigned(name: &str, ids: &Tensor) -> Result<Vec<u32>> {
    let ids = ids.flatten_all()?.to_vec1::<i64>()?;
    let unsigned =
        ids.iter().map(|id| u32::try_from(*id).map_err(|_| *id)).collect::<std::result::Result<_, _>>();
    unsigned.map_err(|id| unfit(name, format!("have the id {id}"), "ids are 0 or above"))
}

fn unfit(tensor: &str, problem: String, hint: &str) -> Error {
    Error::Input { tensor: tensor.to_owned(), problem, hint: hint.to_owned() }
}
