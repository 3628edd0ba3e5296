//! How good a network is.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use pretrain_comm::Collective;
use pretrain_kernels::soft_cross_entropy;
use serde::Serialize;

use super::confusion::Confusion;
use super::pictures::{LabelledPictures, Pixels, View};
use super::targets::smoothed;
use super::{Error, Result};
use crate::backbone::Backbone;

/// Scores over all pictures that could be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Pictures that were looked at.
    pub pictures: u64,
    /// Pictures that could not be read.
    pub unreadable: u64,
    /// Share of pictures whose class has the largest logit.
    pub top1: f64,
    /// Share of pictures whose class is among the five largest; 1 where there are no more classes than five.
    pub top5: f64,
    /// Mean cross-entropy, without smoothing.
    pub loss: f64,
    /// Which classes are taken for which.
    pub confusion: Confusion,
}

/// Looks at every picture once, `batch` at a time; ranks share the batches.
///
/// A class with a logit equal to that of the right one counts against it only if it stands before it.
///
/// # Errors
/// Classes that are not the network's; more unreadable pictures than the share `unreadable`; a rank that does not come.
pub fn evaluate(
    backbone: &Backbone,
    pictures: &dyn LabelledPictures,
    batch: u64,
    unreadable: f64,
    ranks: &dyn Collective,
) -> Result<Evaluation> {
    let k = pictures.classes().len();
    if k != backbone.n_classes() {
        return Err(Error::Classes {
            what: "the pictures for evaluation have".to_owned(),
            found: k,
            expected: backbone.n_classes(),
            hint: "give pictures of the classes that it was trained on",
        });
    }
    let n = pictures.n_pictures();
    let (mut sums, mut counts) = ([0.0; 4], vec![0.0; k * k]);
    let mut bad = BTreeMap::new();
    let starts = (0..n).step_by(batch.max(1) as usize).enumerate();
    for (_, start) in starts.filter(|(i, _)| i % ranks.world() == ranks.rank()) {
        let wanted: Vec<_> = (start..(start + batch).min(n)).map(|i| (i, View::Evaluation)).collect();
        let mut pixels = Pixels::load(pictures, &wanted);
        bad.extend(std::mem::take(&mut pixels.unreadable));
        if pixels.is_empty() {
            continue;
        }
        let labels = std::mem::take(&mut pixels.labels);
        let logits_bk = backbone.logits(&pixels.tensor(pictures.side())?)?;
        let targets_bk = Tensor::from_vec(smoothed(&labels, k, 0.0), (labels.len(), k), &Device::Cpu)?;
        sums[0] += f64::from(soft_cross_entropy(&logits_bk, &targets_bk)?.sum_all()?.to_scalar::<f32>()?);
        for (logits_k, label) in logits_bk.to_vec2::<f32>()?.iter().zip(&labels) {
            let better = |(j, logit): (usize, &f32)| {
                *logit > logits_k[*label] || (*logit == logits_k[*label] && j < *label)
            };
            let rank = logits_k.iter().enumerate().filter(|pair| better(*pair)).count();
            let answer = (0..k).fold(0, |best, j| if logits_k[j] > logits_k[best] { j } else { best });
            counts[label * k + answer] += 1.0;
            sums[1] += 1.0;
            sums[2] += f64::from(u8::from(rank == 0));
            sums[3] += f64::from(u8::from(rank < 5));
        }
    }
    ranks.all_reduce_sum_f64(&mut sums)?;
    ranks.all_reduce_sum_f64(&mut counts)?;
    let [loss, seen, top1, top5] = sums;
    // comparisons with NaN are false, so a network that says NaN would always be right
    pretrain_training::require_finite(loss, "cross-entropy of the evaluation", 0)?;
    let missing = n - seen as u64;
    if missing as f64 > unreadable * n as f64 || seen == 0.0 {
        let last = bad.last_key_value().map(|(_, bad)| format!("{}: {}", bad.name, bad.reason));
        return Err(Error::Unreadable {
            unreadable: missing as usize,
            pictures: n,
            allowed: unreadable,
            last: last.unwrap_or_else(|| "with another rank".to_owned()),
        });
    }
    Ok(Evaluation {
        pictures: seen as u64,
        unreadable: missing,
        top1: top1 / seen,
        top5: top5 / seen,
        loss: loss / seen,
        confusion: Confusion::new(pictures.classes(), &counts),
    })
}
