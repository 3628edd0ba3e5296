//! What becomes of the numbers that a layer computes, while they are in registers.

use super::function::{Function, with_function};
use super::norm::Norm;
use super::sums::Sums;
use crate::image::convolution::Activation;
use crate::image::maps::{LANES, Shape, View};
use crate::image::shared::SharedOut;
use crate::image::vector::Vector;

/// What is gathered of the numbers that are written, and what is done to them before.
#[derive(Debug, Clone, Copy)]
pub enum Sink<'a> {
    /// Written as they are.
    Nothing,
    /// Sums for a normalisation: a number k of each part, `Σ (y - k)`, `Σ (y - k)²`.
    Moments,
    /// The numbers are gradients behind an activation: written times its slope, d_z. `Σ d_z`, `Σ d_z (y - centre)`.
    Slope(Behind<'a>),
    /// The numbers are gradients of what a gate scaled: written as they are, d. `Σ d f(z)`, `Σ d f'(z)`,
    /// `Σ d f'(z) (y - centre)`.
    Gated(Behind<'a>),
    /// The numbers are gradients of a rectified sum of normalised maps: written where the sum is larger than zero, d. `Σ d`,
    /// then `Σ d (y - centre)` of each map.
    Joined {
        /// The sum.
        sum: View<'a, f32>,
        /// A map and its normalisation.
        y: (View<'a, f32>, &'a Norm),
        /// Another one.
        beside: Option<(View<'a, f32>, &'a Norm)>,
    },
}

/// A normalised map and its activation.
#[derive(Debug, Clone, Copy)]
pub struct Behind<'a> {
    /// The map before normalisation.
    pub y: View<'a, f32>,
    /// Its normalisation.
    pub norm: &'a Norm,
    /// What follows it.
    pub activation: Activation,
}

/// Pixels whose numbers lie `step` apart, and go to `start + n every` of the map.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) every: usize,
    pub(super) count: usize,
    pub(super) channel: usize,
    /// Where the part's sums stand, and whether these pixels are its first.
    pub(super) sums: usize,
    pub(super) is_first: bool,
}

impl Sink<'_> {
    pub(super) fn kinds(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Moments | Self::Gated(_) => 3,
            Self::Slope(_) => 2,
            Self::Joined { beside, .. } => 2 + usize::from(beside.is_some()),
        }
    }

    /// Panics where maps are not of the shape that is written.
    pub(super) fn check(&self, to: Shape) {
        let fits = |y: &View<'_, f32>, norm: &Norm| {
            assert!(y.shape == to && norm.scale.len() == to.pixel, "a map of the shape that is written");
        };
        match self {
            Self::Nothing | Self::Moments => {}
            Self::Slope(behind) | Self::Gated(behind) => fits(&behind.y, behind.norm),
            Self::Joined { sum, y, beside } => {
                assert!(sum.shape == to, "a sum of the shape that is written");
                fits(&y.0, y.1);
                beside.iter().for_each(|(y, norm)| fits(y, norm));
            }
        }
    }

    /// Writes 16 numbers of each pixel of a run, and adds to its sums.
    ///
    /// # Safety
    /// Of the vectors; the sink was checked against the map `to`, in which the run lies; run and sums are the caller's alone.
    #[inline(always)]
    pub(super) unsafe fn take<V: Vector>(
        &self,
        run: Run,
        from: *const f32,
        step: usize,
        to: &SharedOut<'_, f32>,
        sums: &SharedOut<'_, f32>,
        pixel: usize,
    ) {
        let Run { start, every, count, channel, .. } = run;
        if count == 0 {
            return;
        }
        // SAFETY: the run lies in the map, as `pointer` asserts of both ends, and in the sink's maps, which have its shape;
        // sums have a row of whole vectors a kind, as `pointer` asserts.
        unsafe {
            to.pointer(start + (count - 1) * every, LANES);
            let y = to.pointer(start, LANES);
            let kinds = self.kinds();
            let mut totals = [sums.pointer(0, 0); 3];
            for (kind, total) in totals[..kinds].iter_mut().enumerate() {
                *total = sums.pointer(run.sums + kind * pixel + channel, LANES);
            }
            match self {
                Self::Nothing => {
                    for n in 0..count {
                        V::load(from.add(n * step)).store(y.add(n * every));
                    }
                }
                Self::Moments => {
                    if run.is_first {
                        V::load(from).store(totals[0]);
                    }
                    let k = V::load(totals[0]);
                    let (mut first, mut second) = (V::splat(0.0), V::splat(0.0));
                    for n in 0..count {
                        let value = V::load(from.add(n * step));
                        value.store(y.add(n * every));
                        let apart = value.sub(k);
                        first = first.add(apart);
                        second = apart.mul_add(apart, second);
                    }
                    add(totals[1], first);
                    add(totals[2], second);
                }
                Self::Slope(behind) => with_function!(behind.activation, F => {
                    behind.slope::<V, F>(run, from, step, y, totals)
                }),
                Self::Gated(behind) => with_function!(behind.activation, F => {
                    behind.gated::<V, F>(run, from, step, y, totals)
                }),
                Self::Joined { sum, y: (own, norm), beside } => {
                    let sum = sum.numbers.as_ptr().add(start);
                    let centre = V::load(norm.centre.as_ptr().add(channel));
                    let own = own.numbers.as_ptr().add(start);
                    let zero = V::splat(0.0);
                    let mut gathered = [zero; 3];
                    let other = beside.map(|(y, norm)| {
                        (y.numbers.as_ptr().add(start), V::load(norm.centre.as_ptr().add(channel)))
                    });
                    for n in 0..count {
                        let d = V::load(from.add(n * step));
                        let d = V::load(sum.add(n * every)).where_greater(zero, d, zero);
                        d.store(y.add(n * every));
                        gathered[0] = gathered[0].add(d);
                        gathered[1] = V::load(own.add(n * every)).sub(centre).mul_add(d, gathered[1]);
                        if let Some((other, centre)) = other {
                            gathered[2] = V::load(other.add(n * every)).sub(centre).mul_add(d, gathered[2]);
                        }
                    }
                    for (total, sum) in totals.iter().zip(gathered).take(kinds) {
                        add(*total, sum);
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn add<V: Vector>(total: *mut f32, sum: V) {
    // SAFETY: the caller's.
    unsafe { V::load(total).add(sum).store(total) }
}

impl Behind<'_> {
    /// Scale, shift and centre of a run's channels, and where the run begins in the map.
    #[inline(always)]
    unsafe fn at<V: Vector>(&self, run: Run) -> ([V; 3], *const f32) {
        let Norm { scale, shift, centre, .. } = self.norm;
        // SAFETY: of `Sink::take`.
        unsafe {
            let scale = V::load(scale.as_ptr().add(run.channel));
            let shift = V::load(shift.as_ptr().add(run.channel));
            let centre = V::load(centre.as_ptr().add(run.channel));
            ([scale, shift, centre], self.y.numbers.as_ptr().add(run.start))
        }
    }

    #[inline(always)]
    unsafe fn slope<V: Vector, F: Function>(
        &self,
        run: Run,
        from: *const f32,
        step: usize,
        to: *mut f32,
        totals: [*mut f32; 3],
    ) {
        let Run { every, count, .. } = run;
        // SAFETY: of `Sink::take`.
        unsafe {
            let ([scale, shift, centre], own) = self.at::<V>(run);
            let (mut first, mut second) = (V::splat(0.0), V::splat(0.0));
            for n in 0..count {
                let y = V::load(own.add(n * every));
                let d = V::load(from.add(n * step)).mul(F::slope(y.mul_add(scale, shift)));
                d.store(to.add(n * every));
                first = first.add(d);
                second = y.sub(centre).mul_add(d, second);
            }
            add(totals[0], first);
            add(totals[1], second);
        }
    }

    #[inline(always)]
    unsafe fn gated<V: Vector, F: Function>(
        &self,
        run: Run,
        from: *const f32,
        step: usize,
        to: *mut f32,
        totals: [*mut f32; 3],
    ) {
        let Run { every, count, .. } = run;
        // SAFETY: of `Sink::take`.
        unsafe {
            let ([scale, shift, centre], own) = self.at::<V>(run);
            let mut gathered = [V::splat(0.0); 3];
            for n in 0..count {
                let y = V::load(own.add(n * every));
                let d = V::load(from.add(n * step));
                d.store(to.add(n * every));
                let [value, slope] = F::both(y.mul_add(scale, shift));
                let slope = slope.mul(d);
                gathered[0] = value.mul_add(d, gathered[0]);
                gathered[1] = gathered[1].add(slope);
                gathered[2] = y.sub(centre).mul_add(slope, gathered[2]);
            }
            for (total, sum) in totals.iter().zip(gathered) {
                add(*total, sum);
            }
        }
    }
}

/// Room for the sums of a sink.
pub(super) fn room(sink: &Sink<'_>, to: Shape, sizes: Vec<usize>) -> Sums {
    Sums::zeros(to, sink.kinds(), sizes)
}
