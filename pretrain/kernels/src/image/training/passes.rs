//! What goes over maps once without weights: sums of activations, joins of two branches, gradients of means.

use rayon::prelude::*;

use super::function::{Function, with_function};
use super::norm::Norm;
use super::sink::{Behind, Run, Sink, room};
use super::source::{Source, Wanted};
use super::sums::{Cut, Sums};
use crate::image::convolution::Activation;
use crate::image::maps::{LANES, View, ViewMut};
use crate::image::path::{Numbers, VectorPath, Work};
use crate::image::shared::SharedOut;
use crate::image::vector::Lanes;

/// Pixels of a task.
const PIXELS: usize = 448;
/// Pixels that are near while their vectors are gone through, and are added up in registers.
const NEAR: usize = 16;

/// `Σ f(z)`, `Σ f'(z)` and `Σ f'(z) (y - centre)` of every picture and channel. One read of y.
///
/// # Panics
/// A normalisation of other channels.
pub fn activation_sums(path: VectorPath, behind: &Behind<'_>) -> Sums {
    let shape = behind.y.shape;
    assert!(behind.norm.scale.len() == shape.pixel, "a norm of the map's channels");
    let cut = Cut { images: 1, ..Cut::new(shape.batch, shape.area(), PIXELS, 1) };
    let mut sums = Sums::zeros(shape, 3, (0..cut.parts).map(|part| cut.range(part).len()).collect());
    let stride = sums.stride();
    if shape.pixel == 0 {
        return sums;
    }
    sums.numbers.par_chunks_exact_mut(stride).with_max_len(1).enumerate().for_each(|(at, sums)| {
        let (image, range) = (at / cut.parts, cut.range(at % cut.parts));
        let start = image * shape.image() + range.start * shape.pixel;
        let y = &behind.y.numbers[start..start + range.len() * shape.pixel];
        with_function!(behind.activation, F => {
            f32::send(path, Gather::<F> { y, norm: behind.norm, pixel: shape.pixel, sums, of: std::marker::PhantomData });
        });
    });
    sums
}

struct Gather<'a, F> {
    y: &'a [f32],
    norm: &'a Norm,
    pixel: usize,
    sums: &'a mut [f32],
    of: std::marker::PhantomData<F>,
}

impl<F: Function> Work<f32> for Gather<'_, F> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { y, norm, pixel, sums, .. } = self;
        for y in y.chunks(NEAR * pixel) {
            for channel in (0..pixel).step_by(LANES) {
                // SAFETY: the path is this processor's; slices of whole vectors.
                unsafe {
                    let scale = V::load(norm.scale.as_ptr().add(channel));
                    let shift = V::load(norm.shift.as_ptr().add(channel));
                    let centre = V::load(norm.centre.as_ptr().add(channel));
                    let mut gathered = [V::splat(0.0); 3];
                    for at in (channel..y.len()).step_by(pixel) {
                        let y = V::load(y.as_ptr().add(at));
                        let [value, slope] = F::both(y.mul_add(scale, shift));
                        gathered[0] = gathered[0].add(value);
                        gathered[1] = gathered[1].add(slope);
                        gathered[2] = y.sub(centre).mul_add(slope, gathered[2]);
                    }
                    for (kind, sum) in gathered.iter().enumerate() {
                        let total = sums[kind * pixel + channel..][..LANES].as_mut_ptr();
                        V::load(total).add(*sum).store(total);
                    }
                }
            }
        }
    }
}

/// What a normalised map is added to.
#[derive(Debug, Clone, Copy)]
pub enum Beside<'a> {
    /// Nothing.
    Nothing,
    /// A map as it stands.
    Map(View<'a, f32>),
    /// Another normalised map.
    Normed(View<'a, f32>, &'a Norm),
}

/// Writes `f(factor[b] z + beside)`, z the normalised y. Every map is touched once.
///
/// # Panics
/// Maps and vectors that do not fit together.
pub fn join(
    path: VectorPath,
    behind: &Behind<'_>,
    factors_b: Option<&[f32]>,
    beside: Beside<'_>,
    to: ViewMut<'_, f32>,
) {
    let shape = behind.y.shape;
    assert!(to.shape == shape && behind.norm.scale.len() == shape.pixel, "maps of one shape");
    assert!(factors_b.is_none_or(|factors| factors.len() == shape.batch), "a factor a picture");
    match beside {
        Beside::Nothing => {}
        Beside::Map(x) => assert!(x.shape == shape, "maps of one shape"),
        Beside::Normed(y, norm) => {
            assert!(y.shape == shape && norm.scale.len() == shape.pixel, "maps of one shape");
        }
    }
    if shape.pixel == 0 || shape.batch == 0 {
        return;
    }
    let (image, pixels) = (shape.image(), shape.area() * shape.pixel);
    to.numbers.par_chunks_exact_mut(image).enumerate().for_each(|(b, to)| {
        let parts = to[..pixels].par_chunks_mut(PIXELS * shape.pixel).enumerate();
        parts.with_max_len(1).for_each(|(part, to)| {
            let start = b * image + part * PIXELS * shape.pixel;
            let factor = factors_b.map_or(1.0, |factors| factors[b]);
            let task = Join { behind, factor, beside, start, pixel: shape.pixel, to };
            f32::send(path, task);
        });
    });
}

struct Join<'a> {
    behind: &'a Behind<'a>,
    factor: f32,
    beside: Beside<'a>,
    start: usize,
    pixel: usize,
    to: &'a mut [f32],
}

impl Work<f32> for Join<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        // SAFETY: the path is this processor's.
        unsafe {
            match self.behind.activation {
                Activation::None => self.write::<V, super::function::Identity>(),
                Activation::Relu => self.write::<V, super::function::Rectifier>(),
                Activation::Swish => self.write::<V, super::function::Swish>(),
            }
        }
    }
}

impl Join<'_> {
    #[inline(always)]
    unsafe fn write<V: Lanes<f32>, F: Function>(self) {
        let Self { behind: Behind { y, norm, .. }, factor, beside, start, pixel, to } = self;
        let y = &y.numbers[start..start + to.len()];
        for first in (0..to.len()).step_by(NEAR * pixel) {
            let end = (first + NEAR * pixel).min(to.len());
            for channel in (0..pixel).step_by(LANES) {
                // SAFETY: the maps have one shape, and vectors are whole.
                unsafe {
                    let factor = V::splat(factor);
                    let scale = V::load(norm.scale.as_ptr().add(channel)).mul(factor);
                    let shift = V::load(norm.shift.as_ptr().add(channel)).mul(factor);
                    let places = (first + channel..end).step_by(pixel);
                    match beside {
                        Beside::Nothing => {
                            for at in places {
                                let z = V::load(y.as_ptr().add(at)).mul_add(scale, shift);
                                F::of(z).store(to.as_mut_ptr().add(at));
                            }
                        }
                        Beside::Map(x) => {
                            let x = x.numbers.as_ptr().add(start);
                            for at in places {
                                let z = V::load(y.as_ptr().add(at)).mul_add(scale, shift);
                                F::of(z.add(V::load(x.add(at)))).store(to.as_mut_ptr().add(at));
                            }
                        }
                        Beside::Normed(other, norm) => {
                            let other = other.numbers.as_ptr().add(start);
                            let other_scale = V::load(norm.scale.as_ptr().add(channel));
                            let other_shift = V::load(norm.shift.as_ptr().add(channel));
                            for at in places {
                                let z = V::load(y.as_ptr().add(at)).mul_add(scale, shift);
                                let x = V::load(other.add(at)).mul_add(other_scale, other_shift);
                                F::of(z.add(x)).store(to.as_mut_ptr().add(at));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Writes what is computed where it is needed as a map: a kernel of several elements reads it.
///
/// # Panics
/// A map of another shape.
pub fn lay_out(path: VectorPath, source: &Source<'_>, to: ViewMut<'_, f32>) {
    let shape = to.shape;
    source.check();
    assert!(source.shape() == shape && shape.pixel.is_multiple_of(LANES), "a map of the source's shape");
    let cut = Cut { images: 1, ..Cut::new(shape.batch, shape.area(), PIXELS, 1) };
    let out = SharedOut::new(to.numbers);
    (0..shape.batch * cut.parts).into_par_iter().with_max_len(1).for_each(|task| {
        let (image, range) = (task / cut.parts, cut.range(task % cut.parts));
        f32::send(path, LayOut { source, image, range, out: &out });
    });
}

struct LayOut<'a> {
    source: &'a Source<'a>,
    image: usize,
    range: std::ops::Range<usize>,
    out: &'a SharedOut<'a, f32>,
}

impl Work<f32> for LayOut<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { source, image, range, out } = self;
        let shape = source.shape();
        for first in range.clone().step_by(NEAR) {
            let count = NEAR.min(range.end - first);
            for channel in (0..shape.pixel).step_by(LANES) {
                let start = image * shape.image() + first * shape.pixel + channel;
                let wanted = Wanted { image, first, every: 1, count, channel };
                // SAFETY: the path is this processor's; the pixels are this task's alone, and the last one is there.
                unsafe {
                    out.pointer(start + (count - 1) * shape.pixel, LANES);
                    source.write::<V>(wanted, out.pointer(start, LANES), shape.pixel);
                }
            }
        }
    }
}

/// Sends a gradient that is the same for all pixels of a picture into a sink. `levels_bc` in whole vectors.
///
/// # Panics
/// Maps and vectors that do not fit together.
pub fn spread(path: VectorPath, levels_bc: &[f32], sink: &Sink<'_>, to: ViewMut<'_, f32>) -> Sums {
    let shape = to.shape;
    sink.check(shape);
    assert!(levels_bc.len() == shape.batch * shape.pixel, "a level a channel");
    let cut = Cut { images: 1, ..Cut::new(shape.batch, shape.area(), PIXELS, 1) };
    let mut sums = room(sink, shape, (0..cut.parts).map(|part| cut.range(part).len()).collect());
    let stride = sums.stride();
    let out = SharedOut::new(to.numbers);
    let shared = SharedOut::new(&mut sums.numbers);
    (0..shape.batch * cut.parts).into_par_iter().with_max_len(1).for_each(|task| {
        let (image, range) = (task / cut.parts, cut.range(task % cut.parts));
        let run = Run {
            start: image * shape.image() + range.start * shape.pixel,
            every: shape.pixel,
            count: range.len(),
            channel: 0,
            sums: task * stride,
            is_first: true,
        };
        let levels = &levels_bc[image * shape.pixel..(image + 1) * shape.pixel];
        f32::send(path, Spread { levels, run, sink, out: &out, sums: &shared });
    });
    sums
}

struct Spread<'a> {
    levels: &'a [f32],
    run: Run,
    sink: &'a Sink<'a>,
    out: &'a SharedOut<'a, f32>,
    sums: &'a SharedOut<'a, f32>,
}

impl Work<f32> for Spread<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { levels, run, sink, out, sums } = self;
        let pixel = levels.len();
        for first in (0..run.count).step_by(NEAR) {
            for channel in (0..pixel).step_by(LANES) {
                let run = Run {
                    start: run.start + first * pixel + channel,
                    count: NEAR.min(run.count - first),
                    channel,
                    is_first: first == 0,
                    ..run
                };
                // SAFETY: the path is this processor's; the pixels and their sums are this task's alone.
                unsafe { sink.take::<V>(run, levels.as_ptr().add(channel), 0, out, sums, pixel) };
            }
        }
    }
}
