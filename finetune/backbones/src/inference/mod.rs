//! A network that only looks: compiled once from its weights, with nothing between its layers that they do not need.
//!
//! Batch normalisation is folded into the convolution before it (`w' = w γ / sqrt(σ² + ε)`, `b' = β - μ γ / sqrt(σ² + ε)`,
//! in f64), activations, shortcuts and gates are part of the convolutions, and maps stay in an order of their own
//! ([`pretrain_kernels::image`]) until somebody asks for a tensor. A stage goes through its blocks with as many pictures
//! at once as the last cache holds, so that what blocks widen is not written to memory and read again.
//!
//! b batch, c channels, h and w of the map, d numbers of a vector, k classes, n regions.

mod block;
mod compile;

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::image::{Convolution, Maps, Number, VectorPath, cut_out, means};
use pretrain_kernels::{Padding, Precision, RoiAlign};

use crate::backbone::Network;
use crate::{Error, Result};
pub(crate) use block::Block;
use block::Space;
pub(crate) use compile::{Folded, classifier, excitation};

/// A compiled network, in the numbers that it computes with.
#[derive(Debug)]
pub(crate) enum Engine {
    F32(Compiled<f32>),
    Bf16(Compiled<half::bf16>),
}

/// `on!(engine, network => expression)`, whatever the numbers.
macro_rules! on {
    ($engine:expr, $network:ident => $body:expr) => {
        match $engine {
            $crate::inference::Engine::F32($network) => $body,
            $crate::inference::Engine::Bf16($network) => $body,
        }
    };
}
pub(crate) use on;

/// What to compile: blocks of the five stages, and what follows.
pub(crate) struct Parts<N> {
    pub(crate) stages: [Vec<Block<N>>; 5],
    pub(crate) head: Option<Block<N>>,
    pub(crate) classifier: Convolution<N>,
}

#[derive(Debug)]
pub(crate) struct Compiled<N> {
    path: VectorPath,
    stages: [Vec<Block<N>>; 5],
    head: Vec<Block<N>>,
    classifier: Convolution<N>,
    /// Memory of earlier calls.
    spaces: Mutex<Vec<Spaces<N>>>,
}

/// Maps between stages and inside of them.
#[derive(Debug)]
struct Spaces<N> {
    from: Maps<N>,
    to: Maps<N>,
    inner: Space<N>,
}

/// Bytes of maps that the blocks of a stage have in use at once.
const IN_CACHE: usize = 12 << 20;

impl Engine {
    /// Compiles for this processor.
    pub(crate) fn new(network: &Network, precision: Precision, path: VectorPath) -> Result<Self> {
        Ok(match precision.here() {
            Precision::Bf16 if path == VectorPath::Avx512 => {
                Self::Bf16(Compiled::new(network.parts()?, path))
            }
            _ => Self::F32(Compiled::new(network.parts()?, path)),
        })
    }
}

impl<N: Number> Compiled<N> {
    fn new(Parts { stages, head, classifier }: Parts<N>, path: VectorPath) -> Self {
        Self { path, stages, head: head.into_iter().collect(), classifier, spaces: Mutex::default() }
    }

    /// Logits, and every stage's map where `visit` wants it.
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, 3, h, w\], f32
    /// - result: \[b, k\]
    pub(crate) fn logits(
        &self,
        x_bchw: &Tensor,
        mut visit: impl FnMut(Tensor) + Send,
        wants_stages: bool,
    ) -> Result<Tensor> {
        self.with_spaces(|spaces| {
            self.stem(spaces, x_bchw)?;
            for stage in 0..5 {
                if stage > 0 {
                    self.pass(spaces, &self.stages[stage])?;
                }
                if wants_stages {
                    visit(tensor(&spaces.from)?);
                }
            }
            let averaged_bd = self.averaged(spaces)?;
            self.classified(spaces, &averaged_bd)
        })
    }

    /// \[b, c, ceil(h / 16), ceil(w / 16)\].
    pub(crate) fn stride16_map(&self, x_bchw: &Tensor) -> Result<Tensor> {
        self.with_spaces(|spaces| {
            self.stem(spaces, x_bchw)?;
            self.stages[1..4].iter().try_for_each(|blocks| self.pass(spaces, blocks))?;
            tensor(&spaces.from)
        })
    }

    /// \[b, d, ceil(h / 32), ceil(w / 32)\].
    pub(crate) fn head_map(&self, x_bchw: &Tensor) -> Result<Tensor> {
        self.with_spaces(|spaces| {
            self.stem(spaces, x_bchw)?;
            self.stages[1..].iter().try_for_each(|blocks| self.pass(spaces, blocks))?;
            self.pass(spaces, &self.head)?;
            tensor(&spaces.from)
        })
    }

    /// From \[n, c, h, w\] of the map of stride 16 to \[n, d\].
    pub(crate) fn region_vectors(&self, rois_nchw: &Tensor) -> Result<Tensor> {
        let (n, c, h, w) = rois_nchw.dims4()?;
        let values = rois_nchw.flatten_all()?.to_vec1::<f32>()?;
        self.with_spaces(|spaces| {
            spaces.from.take_tensor(&values, [n, c, h, w]);
            self.pass(spaces, &self.stages[4])?;
            self.averaged(spaces)
        })
    }

    /// From boxes in pixels of the picture, cut out of the map of stride 16, to \[n, d\]. So many at once as fit.
    pub(crate) fn boxes_vectors(
        &self,
        map_bchw: &Tensor,
        boxes: &[[f32; 4]],
        how: &RoiAlign,
    ) -> Result<Tensor> {
        /// More would not be faster: a stage goes through its blocks with as few as the last cache holds.
        const AT_ONCE: usize = 32;
        let (_, c, h, w) = map_bchw.dims4()?;
        let values = map_bchw.flatten_all()?.to_vec1::<f32>()?;
        let mut map = Maps::default();
        map.take_tensor(&values, [1, c, h, w]);
        let parts = boxes.chunks(AT_ONCE).map(|some| {
            self.with_spaces(|spaces| {
                cut_out(self.path, map.all(), some, how, &mut spaces.from)?;
                self.pass(spaces, &self.stages[4])?;
                self.averaged(spaces)
            })
        });
        Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// From \[n, d\] to \[n, k\].
    pub(crate) fn classify(&self, vectors_nd: &Tensor) -> Result<Tensor> {
        self.with_spaces(|spaces| self.classified(spaces, vectors_nd))
    }

    /// On a thread of the pool: layers that are handed in from outside wait for each other through locks, which takes
    /// longer than a small layer.
    fn with_spaces(&self, work: impl FnOnce(&mut Spaces<N>) -> Result<Tensor> + Send) -> Result<Tensor> {
        let taken = self.spaces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut spaces = taken.unwrap_or_else(|| Spaces {
            from: Maps::default(),
            to: Maps::default(),
            inner: Space::default(),
        });
        let result = rayon::scope(|_| work(&mut spaces));
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).push(spaces);
        result
    }

    /// The first stage, from pictures.
    fn stem(&self, spaces: &mut Spaces<N>, x_bchw: &Tensor) -> Result<()> {
        let (batch, channels, height, width) = x_bchw.dims4()?;
        let x_bchw = x_bchw.contiguous()?;
        let (storage, layout) = x_bchw.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            return Err(unfit("pictures on the CPU", &x_bchw));
        };
        let Some((start, end)) = layout.contiguous_offsets() else {
            return Err(unfit("contiguous pictures", &x_bchw));
        };
        let x = &storage.as_slice::<f32>()?[start..end];
        let picture = channels * height * width;
        let blocks = &self.stages[0];
        let Spaces { from, inner, .. } = spaces;
        let (size, used) = sizes(blocks, [height, width])?;
        from.reshape(batch, size, blocks.last().map_or(channels, Block::outputs));
        let at_once = at_once(batch, used * size_of::<N>());
        for first in (0..batch).step_by(at_once) {
            let count = at_once.min(batch - first);
            let x = &x[first * picture..(first + count) * picture];
            let to = from.images_mut(first..first + count);
            inner.pass_pictures(self.path, blocks, x, [count, channels, height, width], to)?;
        }
        Ok(())
    }

    /// Blocks after the first stage: from `from` to `from`.
    fn pass(&self, spaces: &mut Spaces<N>, blocks: &[Block<N>]) -> Result<()> {
        let Spaces { from, to, inner } = spaces;
        let [batch, _, height, width] = from.all().dims();
        let Some(last) = blocks.last() else { return Ok(()) };
        let (size, used) = sizes(blocks, [height, width])?;
        to.reshape(batch, size, last.outputs());
        let at_once = at_once(batch, used * size_of::<N>());
        for first in (0..batch).step_by(at_once) {
            let range = first..(first + at_once).min(batch);
            inner.pass_maps(self.path, blocks, from.images(range.clone()), to.images_mut(range))?;
        }
        std::mem::swap(from, to);
        Ok(())
    }

    /// The head's maps, averaged: \[b, d\].
    fn averaged(&self, spaces: &mut Spaces<N>) -> Result<Tensor> {
        self.pass(spaces, &self.head)?;
        let [batch, width, ..] = spaces.from.all().dims();
        let padded = means(self.path, spaces.from.all());
        let stride = padded.len().checked_div(batch).unwrap_or(width).max(1);
        let rows = padded.chunks_exact(stride).flat_map(|row| row[..width].iter().copied());
        Ok(Tensor::from_vec(rows.collect::<Vec<f32>>(), (batch, width), &Device::Cpu)?)
    }

    fn classified(&self, spaces: &mut Spaces<N>, vectors_nd: &Tensor) -> Result<Tensor> {
        let (n, d) = vectors_nd.dims2()?;
        let k = self.classifier.outputs();
        spaces.from.take_tensor(&vectors_nd.flatten_all()?.to_vec1::<f32>()?, [n, d, 1, 1]);
        spaces.to.reshape(n, [1, 1], k);
        let to = spaces.to.all_mut();
        self.classifier.run(self.path, spaces.from.all(), Padding::default(), None, None, to);
        Ok(tensor(&spaces.to)?.reshape((n, k))?)
    }
}

/// The size behind all blocks, and the most numbers a picture that one block has in use.
fn sizes<N: Number>(blocks: &[Block<N>], size: [usize; 2]) -> Result<([usize; 2], usize)> {
    blocks.iter().try_fold((size, 0), |(size, most), block| {
        let (size, used) = block.sizes(size)?;
        Ok((size, most.max(used)))
    })
}

/// Pictures at once: as many as fit, in equal parts.
fn at_once(batch: usize, bytes: usize) -> usize {
    let most = (IN_CACHE / bytes.max(1)).max(1);
    batch.div_ceil(batch.div_ceil(most).max(1)).max(1)
}

fn tensor<N: Number>(maps: &Maps<N>) -> Result<Tensor> {
    let view = maps.all();
    Ok(Tensor::from_vec(view.to_tensor(), &view.dims(), &Device::Cpu)?)
}

fn unfit(expected: &str, got: &Tensor) -> Error {
    let got = format!("{:?} of {:?}", got.dims(), got.dtype());
    Error::Input { tensor: "x", expected: expected.to_owned(), got }
}

/// Whether a network of this weight may be compiled: it is f32, and it does not change.
pub(crate) fn is_fixed(weight: &Tensor) -> bool {
    weight.dtype() == DType::F32 && weight.device().is_cpu() && !weight.is_variable()
}
