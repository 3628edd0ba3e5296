//! Batches of maps as the layers of a trained network hand them on: channels side by side, `[b, h, w, c]`.
//!
//! A pixel's numbers fill whole vectors of 16, the surplus ones zero, and a pixel of zeros follows each picture: what a
//! kernel sees beyond the border is read there. Where pixels would follow each other at a distance at which the first
//! cache holds only a few of them, 64 bytes lie between them that nobody reads.

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::path::Numbers;

/// Numbers that maps are stored in: f32, or bf16 for the processors that multiply it.
pub trait Number: sealed::Sealed + Copy + Default + Send + Sync + 'static {
    /// Rounded, to nearest even.
    fn from_f32(value: f32) -> Self;
    /// Exactly.
    fn to_f32(self) -> f32;
}

mod sealed {
    /// What the kernels need to know of a number.
    #[expect(private_bounds, reason = "how numbers are computed with is this crate's")]
    pub trait Sealed: super::Numbers {
        /// Numbers in 32 bits, which are multiplied together.
        const A_WORD: usize;
        /// A word of products: one or two numbers, the first in the low bits.
        fn word(numbers: [f32; 2]) -> u32;
    }
}

impl Number for f32 {
    fn from_f32(value: f32) -> Self {
        value
    }

    fn to_f32(self) -> f32 {
        self
    }
}

impl sealed::Sealed for f32 {
    const A_WORD: usize = 1;

    fn word([number, _]: [f32; 2]) -> u32 {
        number.to_bits()
    }
}

impl Number for bf16 {
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }
}

impl sealed::Sealed for bf16 {
    const A_WORD: usize = 2;

    fn word(numbers: [f32; 2]) -> u32 {
        let [low, high] = numbers.map(|number| u32::from(Self::from_f32(number).to_bits()));
        low | high << 16
    }
}

/// 64 bytes that a vector is loaded from at once.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u32; 16]);

/// Maps of a batch. The memory is kept when the shape changes.
#[derive(Debug)]
pub struct Maps<N> {
    lines: Vec<Line>,
    shape: Shape,
    numbers: std::marker::PhantomData<N>,
}

/// Pictures, their sizes, and where the numbers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    pub(crate) batch: usize,
    /// Height, width.
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    /// Numbers from one pixel to the next.
    pub(crate) pixel: usize,
}

/// Numbers from one pixel of so many channels to the next. A cache of 64 sets of 64 bytes keeps what is 4 kB apart in one
/// set, which has fewer places than a tile has rows.
pub(crate) fn pixel_of<N>(channels: usize) -> usize {
    const LINE: usize = 64;
    const SETS: usize = 64;
    let pixel = channels.next_multiple_of(LANES);
    let is_one_set = pixel > 0 && (pixel * size_of::<N>()).is_multiple_of(SETS * LINE / 2);
    if is_one_set { pixel + LINE / size_of::<N>() } else { pixel }
}

impl Shape {
    /// Numbers of a pixel: channels in whole vectors.
    pub(crate) fn width(&self) -> usize {
        self.channels.next_multiple_of(LANES)
    }

    pub(crate) fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Numbers from one picture to the next.
    pub(crate) fn image(&self) -> usize {
        (self.area() + 1) * self.pixel
    }
}

/// Some pictures of a batch.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, N> {
    pub(crate) numbers: &'a [N],
    pub(crate) shape: Shape,
}

/// Some pictures of a batch, to be written.
#[derive(Debug)]
pub struct ViewMut<'a, N> {
    pub(crate) numbers: &'a mut [N],
    pub(crate) shape: Shape,
}

/// Numbers a vector.
pub(crate) const LANES: usize = 16;

impl<N: Number> Default for Maps<N> {
    fn default() -> Self {
        Self { lines: Vec::new(), shape: Shape::default(), numbers: std::marker::PhantomData }
    }
}

impl<N: Number> Maps<N> {
    /// Takes another shape; what the numbers are is left open, but for the pixels of zeros.
    pub fn reshape(&mut self, batch: usize, size: [usize; 2], channels: usize) {
        self.take(Shape { batch, size, channels, pixel: pixel_of::<N>(channels) });
    }

    /// As [`reshape`](Self::reshape), with nothing between pixels: the layers that learn read runs of them.
    pub fn reshape_dense(&mut self, batch: usize, size: [usize; 2], channels: usize) {
        self.take(Shape { batch, size, channels, pixel: channels.next_multiple_of(LANES) });
    }

    fn take(&mut self, shape: Shape) {
        let bytes = shape.batch * shape.image() * size_of::<N>();
        let lines = bytes.div_ceil(size_of::<Line>()) + 1;
        if lines > self.lines.len() {
            self.lines = vec![Line([0; 16]); lines];
        }
        self.shape = shape;
        let (image, pixel) = (shape.image(), shape.pixel);
        let numbers = self.numbers_mut();
        if image > 0 {
            numbers.chunks_exact_mut(image).for_each(|image| {
                let zeros = image.len() - pixel;
                image[zeros..].fill(N::default());
            });
        }
    }

    /// Takes pictures of a tensor's order, `[b, c, h, w]`, with zeros around: rows above and below, columns to the left
    /// and right. Their pixels are as narrow as they can be, which only a convolution over whole pixels reads
    /// ([`Convolution::over_whole_pixels`](super::Convolution::over_whole_pixels)).
    ///
    /// # Panics
    /// Another number of values than the shape has.
    pub fn take_pictures(
        &mut self,
        x_bchw: &[f32],
        [batch, channels, height, width]: [usize; 4],
        [above, below]: [usize; 2],
        [left, right]: [usize; 2],
    ) {
        assert!(x_bchw.len() == batch * channels * height * width, "values and shape do not fit");
        let size = [above + height + below, left + width + right];
        self.take(Shape { batch, size, channels, pixel: channels });
        let (image, row) = (self.shape.image(), size[1] * channels);
        let area = height * width;
        let tasks = self.numbers_mut().par_chunks_exact_mut(image).enumerate().flat_map(|(b, numbers)| {
            numbers.par_chunks_mut(row).enumerate().map(move |(y, numbers)| (b, y, numbers))
        });
        tasks.for_each(|(b, y, numbers)| {
            numbers.fill(N::default());
            if y < above || y >= above + height || width == 0 {
                return;
            }
            let first = b * channels * area + (y - above) * width;
            let pixels = &mut numbers[left * channels..][..width * channels];
            for c in 0..channels {
                let from = &x_bchw[first + c * area..][..width];
                for (to, from) in pixels[c..].iter_mut().step_by(channels).zip(from) {
                    *to = N::from_f32(*from);
                }
            }
        });
    }

    /// Takes maps of a tensor's order, `[b, c, h, w]`.
    ///
    /// # Panics
    /// Another number of values than the shape has.
    pub fn take_tensor(&mut self, x_bchw: &[f32], [batch, channels, height, width]: [usize; 4]) {
        assert!(x_bchw.len() == batch * channels * height * width, "values and shape do not fit");
        self.reshape(batch, [height, width], channels);
        let (image, pixel, area) = (self.shape.image(), self.shape.pixel, height * width);
        if x_bchw.is_empty() {
            return;
        }
        let planes = x_bchw.par_chunks_exact(channels * area);
        self.numbers_mut().par_chunks_exact_mut(image).zip(planes).for_each(|(to, from)| {
            for (p, to) in to[..area * pixel].chunks_exact_mut(pixel).enumerate() {
                for (c, to) in to.iter_mut().enumerate() {
                    *to = if c < channels { N::from_f32(from[c * area + p]) } else { N::default() };
                }
            }
        });
    }

    /// Some of its pictures.
    ///
    /// # Panics
    /// Pictures that are not there.
    pub fn images(&self, range: Range<usize>) -> View<'_, N> {
        assert!(range.start <= range.end && range.end <= self.shape.batch, "no such pictures");
        let image = self.shape.image();
        let shape = Shape { batch: range.len(), ..self.shape };
        View { numbers: &self.numbers()[range.start * image..range.end * image], shape }
    }

    /// As [`images`](Self::images), to be written.
    ///
    /// # Panics
    /// Pictures that are not there.
    pub fn images_mut(&mut self, range: Range<usize>) -> ViewMut<'_, N> {
        assert!(range.start <= range.end && range.end <= self.shape.batch, "no such pictures");
        let image = self.shape.image();
        let shape = Shape { batch: range.len(), ..self.shape };
        ViewMut { numbers: &mut self.numbers_mut()[range.start * image..range.end * image], shape }
    }

    /// All pictures.
    pub fn all(&self) -> View<'_, N> {
        self.images(0..self.shape.batch)
    }

    /// All pictures, to be written.
    pub fn all_mut(&mut self) -> ViewMut<'_, N> {
        self.images_mut(0..self.shape.batch)
    }

    fn numbers(&self) -> &[N] {
        let count = self.shape.batch * self.shape.image();
        assert!(count * size_of::<N>() <= size_of_val(self.lines.as_slice()));
        // SAFETY: the lines are that long and aligned for any N, and all bits are numbers of f32 and of bf16.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), count) }
    }

    fn numbers_mut(&mut self) -> &mut [N] {
        let count = self.shape.batch * self.shape.image();
        assert!(count * size_of::<N>() <= size_of_val(self.lines.as_slice()));
        // SAFETY: as above, and the lines are borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), count) }
    }
}

impl<N: Number> View<'_, N> {
    /// Pictures, channels, height, width.
    pub fn dims(&self) -> [usize; 4] {
        let Shape { batch, size: [height, width], channels, .. } = self.shape;
        [batch, channels, height, width]
    }

    /// In a tensor's order, `[b, c, h, w]`.
    pub fn to_tensor(&self) -> Vec<f32> {
        let Shape { batch, channels, pixel, .. } = self.shape;
        let (area, image) = (self.shape.area(), self.shape.image());
        let mut x_bchw = vec![0.0; batch * channels * area];
        if x_bchw.is_empty() {
            return x_bchw;
        }
        // 16 channels at a time: what one reads of a pixel is read by the others while it is near
        let per_image =
            x_bchw.par_chunks_exact_mut(channels * area).zip(self.numbers.par_chunks_exact(image));
        per_image.for_each(|(to, from)| {
            to.par_chunks_mut(LANES * area).enumerate().for_each(|(block, to)| {
                for (p, pixel) in from[..area * pixel].chunks_exact(pixel).enumerate() {
                    for (to, number) in to[p..].iter_mut().step_by(area).zip(&pixel[block * LANES..]) {
                        *to = number.to_f32();
                    }
                }
            });
        });
        x_bchw
    }
}
