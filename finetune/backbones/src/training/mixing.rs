//! Pictures made of two: mixup (Paper: 1710.09412) and CutMix (Paper: 1905.04899).

use pretrain_training::{Generator, Stream};
use serde::{Deserialize, Serialize};

/// How often and how strongly pictures of a micro-batch are mixed. Both off by default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mixing {
    /// Both parameters of mixup's beta distribution; 0 for no mixup.
    pub mixup: f64,
    /// Both parameters of CutMix's beta distribution; 0 for no CutMix. With both, each micro-batch has one or the other
    /// with equal chance.
    pub cutmix: f64,
}

/// Indices of the draws of one micro-batch.
#[derive(Debug, Clone, Copy)]
enum Draw {
    Which,
    Row,
    Column,
}

/// The share is drawn by rejection, from here on.
const SHARE: u64 = 16;
/// Draws of one micro-batch.
const DRAWS: u64 = 1 << 20;

impl Mixing {
    /// Mixes every picture of a micro-batch with its mirror image in the batch's order, the first with the last, and
    /// their targets in the same proportion. The draws are those of update `step` and the batch's number in it.
    ///
    /// # Shapes
    /// - `x_bchw`: b x 3 x `side` x `side`; `targets_bk`: b x `n_classes`
    pub(crate) fn apply(
        &self,
        x_bchw: &mut [f32],
        targets_bk: &mut [f32],
        [side, n_classes]: [usize; 2],
        [seed, step, micro_batch]: [u64; 3],
    ) {
        let draws = Generator::new(seed, Stream::Mixing, step as u32);
        let at = |draw: Draw| draws.unit(micro_batch * DRAWS + draw as u64);
        let is_cutmix = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return,
            (mixup, cutmix) => cutmix && (!mixup || at(Draw::Which) < 0.5),
        };
        let parameter = if is_cutmix { self.cutmix } else { self.mixup };
        let share = beta(parameter, |n| draws.unit(micro_batch * DRAWS + SHARE + n));
        let share = if is_cutmix {
            let window = Window::new(side, share, [at(Draw::Row), at(Draw::Column)]);
            mirrored(x_bchw, 3 * side * side, |own, other| window.exchange(own, other, side));
            1.0 - window.area() as f64 / (side * side) as f64
        } else {
            mirrored(x_bchw, 3 * side * side, |own, other| mix(own, other, share as f32));
            share
        };
        mirrored(targets_bk, n_classes, |own, other| mix(own, other, share as f32));
    }
}

/// Calls `each` with the first row and the last, the second and the one before the last, and so on.
fn mirrored(rows: &mut [f32], width: usize, each: impl Fn(&mut [f32], &mut [f32])) {
    let n = rows.len() / width;
    let (front, back) = rows.split_at_mut(n / 2 * width);
    front
        .chunks_exact_mut(width)
        .zip(back.chunks_exact_mut(width).rev())
        .for_each(|(own, other)| each(own, other));
}

/// Each keeps `share` of itself and gets the rest from the other.
fn mix(own: &mut [f32], other: &mut [f32], share: f32) {
    for (own, other) in own.iter_mut().zip(other) {
        (*own, *other) = (share * *own + (1.0 - share) * *other, share * *other + (1.0 - share) * *own);
    }
}

/// A rectangle of a picture, rows and columns.
#[derive(Debug, Clone)]
struct Window([std::ops::Range<usize>; 2]);

impl Window {
    /// Around a centre drawn anywhere, with sides of sqrt(1 - share) of the picture's; cut off at the border.
    fn new(side: usize, share: f64, centre: [f64; 2]) -> Self {
        let half = (side as f64 * (1.0 - share).sqrt() / 2.0) as usize;
        Self(centre.map(|at| {
            let at = (at * side as f64) as usize;
            at.saturating_sub(half)..(at + half).min(side)
        }))
    }

    fn area(&self) -> usize {
        self.0[0].len() * self.0[1].len()
    }

    fn exchange(&self, own: &mut [f32], other: &mut [f32], side: usize) {
        let planes = own.chunks_exact_mut(side * side).zip(other.chunks_exact_mut(side * side));
        for (own, other) in planes {
            for row in self.0[0].clone() {
                let columns = row * side + self.0[1].start..row * side + self.0[1].end;
                own[columns.clone()].swap_with_slice(&mut other[columns]);
            }
        }
    }
}

/// A number of the beta distribution with both parameters `a`, from uniform ones (Jöhnk 1964): two powers, accepted if
/// their sum is at most 1. Of seven tries one succeeds at a = 2, the largest that settings allow.
fn beta(a: f64, unit: impl Fn(u64) -> f64) -> f64 {
    for pair in 0.. {
        let [x, y] = [2 * pair, 2 * pair + 1].map(|n| unit(n).powf(1.0 / a));
        if x + y <= 1.0 && x + y > 0.0 {
            return x / (x + y);
        }
    }
    0.5 // nobody is that unlucky: 2^63 tries
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 8;
    const PLACE: [u64; 3] = [1, 2, 3];

    /// Picture i is all i, its target is class i.
    fn batch(n: usize) -> (Vec<f32>, Vec<f32>) {
        let x = (0..n).flat_map(|i| vec![i as f32; 3 * SIDE * SIDE]).collect();
        let targets = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { 0.0 }).collect();
        (x, targets)
    }

    /// What a picture is made of is what its target says.
    #[test]
    fn targets_follow_the_pixels() {
        const N: usize = 5;
        let (mut least, mut most) = (1f32, 0f32);
        for mixing in [Mixing { mixup: 0.4, cutmix: 0.0 }, Mixing { mixup: 0.0, cutmix: 1.0 }] {
            for step in 0..40 {
                let (mut x, mut targets) = batch(N);
                mixing.apply(&mut x, &mut targets, [SIDE, N], [7, step, 0]);
                for (i, (x, target)) in x.chunks(3 * SIDE * SIDE).zip(targets.chunks(N)).enumerate() {
                    let mean = x.iter().sum::<f32>() / x.len() as f32;
                    let wanted: f32 = target.iter().zip(0u8..).map(|(share, k)| share * f32::from(k)).sum();
                    assert!((mean - wanted).abs() < 1e-4, "{mixing:?} {i}: {mean} is not {wanted}");
                    assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-6);
                    if i == 0 {
                        (least, most) = (least.min(target[0]), most.max(target[0]));
                    }
                }
                // the one in the middle has no partner
                assert_eq!(x[2 * 3 * SIDE * SIDE], 2.0);
            }
        }
        assert!(least < 0.3 && most > 0.7, "{least} to {most}");
    }

    #[test]
    fn cutmix_exchanges_rectangles_and_mixup_blends() {
        let kinds = |mixing: Mixing| {
            let (mut x, mut targets) = batch(2);
            mixing.apply(&mut x, &mut targets, [SIDE, 2], PLACE);
            x.into_iter().filter(|value| *value != 0.0 && *value != 1.0).count()
        };
        assert_eq!(kinds(Mixing { mixup: 0.0, cutmix: 1.0 }), 0);
        assert_eq!(kinds(Mixing { mixup: 1.0, cutmix: 0.0 }), 2 * 3 * SIDE * SIDE);
        let (x, _) = batch(2);
        let (mut same, mut targets) = batch(2);
        Mixing::default().apply(&mut same, &mut targets, [SIDE, 2], PLACE);
        assert_eq!(same, x);
    }

    /// Mean 1/2 and variance 1 / (4 (2a + 1)).
    #[test]
    fn shares_are_of_the_beta_distribution() {
        for a in [0.2, 1.0, 2.0] {
            const N: u64 = 20_000;
            let draws = Generator::new(9, Stream::Mixing, 0);
            let shares: Vec<f64> = (0..N).map(|i| beta(a, |n| draws.unit(i * 4096 + n))).collect();
            let mean = shares.iter().sum::<f64>() / N as f64;
            let variance = shares.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / N as f64;
            let wanted = 1.0 / (4.0 * (2.0 * a + 1.0));
            let slack = 5.0 / (N as f64).sqrt();
            assert!((mean - 0.5).abs() < slack * wanted.sqrt(), "{a}: mean {mean}");
            assert!((variance / wanted - 1.0).abs() < 2.0 * slack, "{a}: variance {variance}, not {wanted}");
        }
    }
}
