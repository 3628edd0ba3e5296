//! What a layer reads: maps as they stand, or what follows from them number by number and is never written to memory.

use super::function::{Function, with_function};
use super::norm::{Norm, Terms};
use crate::image::convolution::Activation;
use crate::image::maps::{LANES, Shape, View};
use crate::image::vector::Vector;

/// Numbers that a layer reads.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// As they stand.
    Plain(View<'a, f32>),
    /// What a normalisation and an activation make of a map.
    Activated(Activated<'a>),
    /// The gradient of a normalisation's input.
    Gradient(Gradient<'a>),
}

/// `f(z) gate[b, c]`, z the normalised y.
#[derive(Debug, Clone, Copy)]
pub struct Activated<'a> {
    /// The map before normalisation.
    pub y: View<'a, f32>,
    /// Its normalisation.
    pub norm: &'a Norm,
    /// What follows it.
    pub activation: Activation,
    /// Factors in whole vectors.
    pub gates_bc: Option<&'a [f32]>,
}

/// `α d_z + β y + γ` with `d_z = (gate[b, c] d + level[b, c]) f'(z)`.
#[derive(Debug, Clone, Copy)]
pub struct Gradient<'a> {
    /// The gradient that arrives; none for zeros.
    pub d: Option<View<'a, f32>>,
    /// Its factors, in whole vectors.
    pub gates_bc: Option<&'a [f32]>,
    /// What is the same for all pixels, in whole vectors.
    pub levels_bc: Option<&'a [f32]>,
    /// The map before normalisation.
    pub y: View<'a, f32>,
    /// Its normalisation.
    pub norm: &'a Norm,
    /// The activation whose slope the arriving gradient lacks.
    pub activation: Activation,
    /// The normalisation's.
    pub terms: &'a Terms,
}

/// Which numbers are wanted: 16 channels of some pixels of a picture.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) image: usize,
    /// First pixel, and steps between pixels.
    pub(super) first: usize,
    pub(super) every: usize,
    pub(super) count: usize,
    pub(super) channel: usize,
}

impl Source<'_> {
    /// Pictures, channels, height, width.
    pub fn dims(&self) -> [usize; 4] {
        let Shape { batch, channels, size: [height, width], .. } = self.shape();
        [batch, channels, height, width]
    }

    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::Plain(x) => x.shape,
            Self::Activated(activated) => activated.y.shape,
            Self::Gradient(gradient) => gradient.y.shape,
        }
    }

    /// Panics where vectors or maps do not fit together.
    pub(super) fn check(&self) {
        let shape = self.shape();
        let (pixel, all) = (shape.pixel, shape.batch * shape.pixel);
        let fits = |values: Option<&[f32]>| values.is_none_or(|values| values.len() == all);
        match self {
            Self::Plain(_) => {}
            Self::Activated(Activated { norm, gates_bc, .. }) => {
                assert!(
                    norm.scale.len() == pixel && fits(*gates_bc),
                    "a norm and gates of the map's channels"
                );
            }
            Self::Gradient(Gradient { d, gates_bc, levels_bc, norm, terms, .. }) => {
                assert!(
                    norm.scale.len() == pixel && terms.alpha.len() == pixel,
                    "a norm of the map's channels"
                );
                assert!(fits(*gates_bc) && fits(*levels_bc), "gates and levels of the map's channels");
                assert!(d.is_none_or(|d| d.shape == shape), "a gradient of the map's shape");
            }
        }
    }

    /// Writes 16 numbers of each wanted pixel, `step` apart. The source has been checked.
    ///
    /// # Safety
    /// Of the vectors; `to` has room.
    #[inline(always)]
    pub(super) unsafe fn write<V: Vector>(&self, wanted: Wanted, to: *mut f32, step: usize) {
        let shape = self.shape();
        let Wanted { image, first, every, count, channel } = wanted;
        if count == 0 {
            return;
        }
        assert!(image < shape.batch && first + (count - 1) * every < shape.area());
        assert!(channel + LANES <= shape.pixel);
        let start = image * shape.image() + first * shape.pixel + channel;
        let every = every * shape.pixel;
        // SAFETY: the pixels and channels are there, as was asserted; vectors are whole, says `check`.
        unsafe {
            match self {
                Self::Plain(x) => {
                    let x = x.numbers.as_ptr().add(start);
                    for n in 0..count {
                        V::load(x.add(n * every)).store(to.add(n * step));
                    }
                }
                Self::Activated(activated) => with_function!(activated.activation, F => {
                    activated.write::<V, F>(image * shape.pixel + channel, start, every, wanted, to, step)
                }),
                Self::Gradient(gradient) => with_function!(gradient.activation, F => {
                    gradient.write::<V, F>(image * shape.pixel + channel, start, every, wanted, to, step)
                }),
            }
        }
    }
}

/// 16 numbers of a vector with an entry a picture and channel, or the same for all.
#[inline(always)]
unsafe fn given<V: Vector>(values: Option<&[f32]>, at: usize, otherwise: f32) -> V {
    // SAFETY: the callers' checks.
    unsafe {
        match values {
            Some(values) => V::load(values.as_ptr().add(at)),
            None => V::splat(otherwise),
        }
    }
}

impl Activated<'_> {
    #[inline(always)]
    unsafe fn write<V: Vector, F: Function>(
        &self,
        at: usize,
        start: usize,
        every: usize,
        Wanted { count, channel, .. }: Wanted,
        to: *mut f32,
        step: usize,
    ) {
        // SAFETY: of `Source::write`.
        unsafe {
            let scale = V::load(self.norm.scale.as_ptr().add(channel));
            let shift = V::load(self.norm.shift.as_ptr().add(channel));
            let gate = given::<V>(self.gates_bc, at, 1.0);
            let y = self.y.numbers.as_ptr().add(start);
            for n in 0..count {
                let z = V::load(y.add(n * every)).mul_add(scale, shift);
                F::of(z).mul(gate).store(to.add(n * step));
            }
        }
    }
}

impl Gradient<'_> {
    #[inline(always)]
    unsafe fn write<V: Vector, F: Function>(
        &self,
        at: usize,
        start: usize,
        every: usize,
        Wanted { count, channel, .. }: Wanted,
        to: *mut f32,
        step: usize,
    ) {
        // SAFETY: of `Source::write`.
        unsafe {
            let scale = V::load(self.norm.scale.as_ptr().add(channel));
            let shift = V::load(self.norm.shift.as_ptr().add(channel));
            let alpha = V::load(self.terms.alpha.as_ptr().add(channel));
            let beta = V::load(self.terms.beta.as_ptr().add(channel));
            let gamma = V::load(self.terms.gamma.as_ptr().add(channel));
            let gate = given::<V>(self.gates_bc, at, 1.0);
            let level = given::<V>(self.levels_bc, at, 0.0);
            let y = self.y.numbers.as_ptr().add(start);
            let (gate, level) = (gate.mul(alpha), level.mul(alpha));
            match self.d {
                Some(d) => {
                    let d = d.numbers.as_ptr().add(start);
                    for n in 0..count {
                        let y = V::load(y.add(n * every));
                        let slope = F::slope(y.mul_add(scale, shift));
                        let d = V::load(d.add(n * every)).mul_add(gate, level);
                        d.mul_add(slope, y.mul_add(beta, gamma)).store(to.add(n * step));
                    }
                }
                None => {
                    for n in 0..count {
                        let y = V::load(y.add(n * every));
                        let slope = F::slope(y.mul_add(scale, shift));
                        level.mul_add(slope, y.mul_add(beta, gamma)).store(to.add(n * step));
                    }
                }
            }
        }
    }
}
