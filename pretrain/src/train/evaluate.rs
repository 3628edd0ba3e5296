//! How good a network is on samples that it does not learn from.

use std::collections::BTreeMap;

use candle_core::{D, DType};
use data_specs::Tokenizer;
use pretrain_comm::Collective;
use pretrain_kernels::cross_entropy;
use serde::Serialize;

use crate::data::HeldOut;
use crate::model::{Batch, ModelConfig, Pass, PretrainingModel, Targets};
use crate::{Error, Result};

/// Figures over all held-out samples. A share of nothing is 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Evaluation {
    /// Samples that were looked at.
    pub samples: u64,
    /// Mean over hidden tokens.
    pub masked_token_loss: f64,
    /// Mean over samples.
    pub contrastive_loss: f64,
    /// Share of hidden words (segment 0) that are guessed.
    pub word_accuracy: f64,
    /// Share of hidden tokens of tags and answers (segment 1) that are guessed.
    pub tag_accuracy: f64,
    /// Share of samples whose class is right.
    pub contrastive_accuracy: f64,
    /// Share of hidden words of each probe that are guessed, in samples whose parts belong together.
    pub probes: BTreeMap<String, f64>,
    /// How many hidden words each of these is a share of.
    pub probe_counts: BTreeMap<String, u64>,
}

/// Words by group, as ids.
#[derive(Debug, Clone, Default)]
pub struct Probes(Vec<(String, Vec<i64>)>);

impl Probes {
    /// Looks the words up.
    ///
    /// # Errors
    /// A word that is not one token of the vocabulary.
    pub fn new(words: &BTreeMap<String, Vec<String>>, tokenizer: &Tokenizer) -> Result<Self> {
        let group = |(name, words): (&String, &Vec<String>)| {
            let ids = words.iter().map(|word| match tokenizer.encode(word)?.as_slice() {
                [id] if *id != tokenizer.special().unk => Ok(i64::from(*id)),
                ids => Err(Error::Setting {
                    key: format!("run.probes.{name}"),
                    problem: format!("has `{word}`, which is {} tokens of the vocabulary", ids.len()),
                    hint: "probe words that are one known token".to_owned(),
                }),
            });
            Ok((name.clone(), ids.collect::<Result<_>>()?))
        };
        Ok(Self(words.iter().map(group).collect::<Result<_>>()?))
    }
}

/// Looks at all held-out samples once, shared among the ranks. `model` should not remember what it computes.
///
/// # Errors
/// A failed read, those of the operations, a rank that does not come.
pub fn evaluate(
    model: &PretrainingModel,
    config: &ModelConfig,
    held_out: &HeldOut,
    micro: u64,
    probes: &Probes,
    ranks: &dyn Collective,
) -> Result<Evaluation> {
    const FIXED: usize = 9;
    let mut sums = vec![0.0; FIXED + 2 * probes.0.len()];
    for examples in held_out.batches(micro, ranks.rank(), ranks.world())? {
        let examples = examples?;
        let batch = Batch::pack(&examples, config)?;
        let targets = Targets::of(&examples);
        let hidden_th = model.encoder().forward(&batch, Pass::Evaluation)?;

        let logits_bc = model.contrastive_logits(&hidden_th, &batch)?;
        let of_samples = cross_entropy(&logits_bc, &targets.contrastive_labels)?;
        let guessed = logits_bc.argmax(D::Minus1)?.to_dtype(DType::I64)?.to_vec1::<i64>()?;
        let right = guessed.iter().zip(&targets.contrastive_labels).filter(|(a, b)| a == b).count();
        sums[0] += examples.len() as f64;
        sums[1] += f64::from(of_samples.sum.to_scalar::<f32>()?);
        sums[2] += right as f64;

        let labels: Vec<i64> = targets.token_labels.iter().copied().filter(|label| *label != -1).collect();
        if labels.is_empty() {
            continue;
        }
        let logits_kv = model.masked_token_logits(&hidden_th, &batch, &targets)?;
        sums[3] += f64::from(cross_entropy(&logits_kv, &labels)?.sum.to_scalar::<f32>()?);
        sums[4] += labels.len() as f64;
        let guessed = logits_kv.argmax(D::Minus1)?.to_dtype(DType::I64)?.to_vec1::<i64>()?;
        let tokens = examples.iter().flat_map(|example| {
            let tokens = example.segment_ids.iter().zip(&example.token_labels);
            tokens.map(|(segment, label)| (*segment, *label, example.contrastive_label == 0))
        });
        let asked = tokens.filter(|(_, label, _)| *label != -1).zip(guessed);
        for ((segment, label, is_matched), guess) in asked {
            let (part, is_right) = (5 + 2 * segment.min(1) as usize, f64::from(u8::from(guess == label)));
            sums[part] += 1.0;
            sums[part + 1] += is_right;
            for (number, (_, ids)) in probes.0.iter().enumerate() {
                if is_matched && segment == 0 && ids.contains(&label) {
                    sums[FIXED + 2 * number] += 1.0;
                    sums[FIXED + 2 * number + 1] += is_right;
                }
            }
        }
    }
    ranks.all_reduce_sum_f64(&mut sums)?;
    let share = |part: usize, whole: usize| if sums[whole] > 0.0 { sums[part] / sums[whole] } else { 0.0 };
    let of_probes = probes.0.iter().enumerate().map(|(number, (name, _))| (name.clone(), FIXED + 2 * number));
    let of_probes: Vec<(String, usize)> = of_probes.collect();
    Ok(Evaluation {
        samples: sums[0] as u64,
        contrastive_loss: share(1, 0),
        contrastive_accuracy: share(2, 0),
        masked_token_loss: share(3, 4),
        word_accuracy: share(6, 5),
        tag_accuracy: share(8, 7),
        probes: of_probes.iter().map(|(name, at)| (name.clone(), share(at + 1, *at))).collect(),
        probe_counts: of_probes.iter().map(|(name, at)| (name.clone(), sums[*at] as u64)).collect(),
    })
}
