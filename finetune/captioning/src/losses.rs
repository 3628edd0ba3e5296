//! Losses of tokens that are asked for.
//!
//! Legend: k asked tokens, v vocabulary.

use candle_core::Tensor;
use pretrain::Result;
use pretrain::model::Pass;
use pretrain_kernels::soft_cross_entropy;

use crate::captioner::Captioner;
use crate::sequence::Laid;

/// A caption with hidden tokens.
#[derive(Debug)]
pub(crate) struct Masked {
    pub(crate) laid: Laid,
    /// Which tokens are asked for.
    pub(crate) asked: Vec<usize>,
    /// What they were.
    pub(crate) labels: Vec<u32>,
}

/// The sum of the `kept` smallest losses of hidden tokens.
pub(crate) fn of_hidden(
    network: &Captioner,
    masked: &[&Masked],
    smoothing: f64,
    kept: usize,
    pass: Pass,
) -> Result<Tensor> {
    let laid: Vec<Laid> = masked.iter().map(|one| one.laid.clone()).collect();
    let asked: Vec<Vec<usize>> = masked.iter().map(|one| one.asked.clone()).collect();
    let labels: Vec<u32> = masked.iter().flat_map(|one| one.labels.iter().copied()).collect();
    let hidden_kh = network.hidden(&laid, &asked, pass)?;
    if kept == labels.len() && smoothing == 0.0 {
        let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
        return Ok(network.head.loss(&hidden_kh, &labels)?.sum);
    }
    sum_of_smallest(&smoothed(&network.head.logits(&hidden_kh)?, &labels, smoothing)?, kept)
}

/// `KL(t || softmax(x))` of every token, where t gives the label `1 - smoothing` and all other tokens together the rest; without
/// smoothing that is `-log p(label)`.
///
/// # Shapes
/// - `logits_kv`: \[k, v\]; result: \[k\]
pub(crate) fn smoothed(logits_kv: &Tensor, labels: &[u32], smoothing: f64) -> Result<Tensor> {
    let v = logits_kv.dim(1)?;
    let other = smoothing / (v - 1) as f64;
    let mut target = vec![other as f32; labels.len() * v];
    target
        .chunks_exact_mut(v)
        .zip(labels)
        .for_each(|(row, label)| row[*label as usize] = (1.0 - smoothing) as f32);
    let target_kv = Tensor::from_vec(target, (labels.len(), v), logits_kv.device())?;
    let loss_k = soft_cross_entropy(logits_kv, &target_kv)?;
    if smoothing == 0.0 {
        return Ok(loss_k);
    }
    Ok((loss_k + ((1.0 - smoothing) * (1.0 - smoothing).ln() + smoothing * other.ln()))?)
}

/// How many of n tokens a loss without the worst ones has.
pub(crate) fn n_kept(n: usize, drop_worst_ratio: f64) -> usize {
    (n as f64 * (1.0 - drop_worst_ratio)) as usize
}

/// The sum of the `kept` smallest losses; of equal ones the first. \[k\] to one number
pub(crate) fn sum_of_smallest(loss_k: &Tensor, kept: usize) -> Result<Tensor> {
    let losses = loss_k.to_vec1::<f32>()?;
    if kept >= losses.len() {
        return Ok(loss_k.sum_all()?);
    }
    if kept == 0 {
        // by a tensor: candle's backward leaves out what is multiplied by the number 0
        return Ok((loss_k * loss_k.zeros_like()?)?.sum_all()?);
    }
    let mut order: Vec<u32> = (0..losses.len() as u32).collect();
    order.sort_by(|a, b| losses[*a as usize].total_cmp(&losses[*b as usize]));
    order.truncate(kept);
    order.sort_unstable();
    Ok(loss_k.index_select(&Tensor::from_vec(order, kept, loss_k.device())?, 0)?.sum_all()?)
}

/// `Σ_k w_k (-log p(label_k))`
///
/// # Shapes
/// - `logits_kv`: \[k, v\]
pub(crate) fn weighted(logits_kv: &Tensor, labels: &[u32], weights: Vec<f32>) -> Result<Tensor> {
    let n = weights.len();
    let loss_k = smoothed(logits_kv, labels, 0.0)?;
    Ok((&loss_k * Tensor::from_vec(weights, n, loss_k.device())?)?.sum_all()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_worst_are_left_out() {
        let losses = Tensor::new(&[3f32, 1.0, 2.0, 5.0, 1.0], &Device::Cpu).unwrap();
        for (ratio, wanted) in [(0.0, 12.0), (0.2, 7.0), (0.39, 4.0), (0.41, 2.0), (0.99, 0.0)] {
            let sum = sum_of_smallest(&losses, n_kept(5, ratio)).unwrap().to_scalar::<f32>().unwrap();
            assert_eq!(sum, wanted, "{ratio}");
        }
    }

    /// The divergence itself, in f64.
    #[test]
    fn smoothing_is_a_divergence() {
        let logits = [0.3f64, -1.2, 2.0, 0.0, 0.7];
        let sum: f64 = logits.iter().map(|x| x.exp()).sum();
        let x = Tensor::new(&[logits.map(|x| x as f32)], &Device::Cpu).unwrap();
        for smoothing in [0.0f64, 0.1, 0.4] {
            let t = |token: usize| if token == 3 { 1.0 - smoothing } else { smoothing / 4.0 };
            let wanted: f64 = (0..5)
                .filter(|token| t(*token) > 0.0)
                .map(|token| t(token) * (t(token).ln() - (logits[token] - sum.ln())))
                .sum();
            let got = smoothed(&x, &[3], smoothing).unwrap().to_vec1::<f32>().unwrap()[0];
            assert!((f64::from(got) - wanted).abs() < 1e-5, "{smoothing}: {got}, not {wanted}");
        }
    }
}
