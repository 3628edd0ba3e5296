//! A network that learns, on maps of its own ([`pretrain_kernels::image::training`]): logits forward, and all gradients back,
//! without a tensor in between. [`inference`](crate::inference) is its twin that only looks.
//!
//! Of every layer the map before its normalisation is kept from the way there to the way back, and no other map but the
//! outputs of blocks; memory is kept between steps. The classifier, dropout before it and the loss are operations on
//! tensors. What the operations on tensors compute of the whole network ([`crate::backbone::Backbone::output`]) is what this
//! computes, but for rounding.
//!
//! b batch, c channels, h and w of a map, d numbers of a vector, k classes.

mod bottleneck;
mod inverted;
mod layer;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor, Var};
use pretrain_kernels::image::training::{
    Gradient, LearningPool, Packed, Sink, Source, Sums, activation_sums, lay_out, spread,
};
use pretrain_kernels::image::{Activation, Maps, MaxPool, VectorPath, means};
use pretrain_training::{Gradients, Parameters};

use crate::training_pass::TrainingPass;
use crate::{Error, Result};
pub(crate) use bottleneck::Bottleneck;
use bottleneck::{BottleneckKept, BottleneckSpace};
pub(crate) use inverted::{GateSlots, Inverted};
use inverted::{InvertedKept, InvertedSpace};
use layer::{Ahead, Back, Feed, Kept, with_numbers};
pub(crate) use layer::{Layer, Slots};

/// What a network is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) stem: Layer,
    pub(crate) activation: Activation,
    pub(crate) pool: Option<MaxPool>,
    pub(crate) blocks: Vec<Block>,
    /// Before the mean, followed by a swish.
    pub(crate) head: Option<Layer>,
}

#[derive(Debug)]
pub(crate) enum Block {
    Inverted(Inverted),
    Bottleneck(Bottleneck),
}

/// A network that can go there and back.
#[derive(Debug)]
pub(crate) struct Plan {
    parts: Parts,
    path: VectorPath,
    /// Of earlier steps.
    memory: Mutex<Vec<Memory>>,
}

/// All maps of a step.
#[derive(Debug)]
struct Memory {
    packed: Packed,
    pictures: Maps<f32>,
    stem: Kept,
    pool: Option<LearningPool>,
    /// Behind the stem's activation or the pooling, where it is a map.
    seen: Maps<f32>,
    blocks: Vec<BlockKept>,
    head: Kept,
    head_sums: Sums,
    inverted: InvertedSpace,
    bottleneck: BottleneckSpace,
    gradients: [Maps<f32>; 2],
}

#[derive(Debug)]
enum BlockKept {
    Inverted(InvertedKept),
    Bottleneck(BottleneckKept),
}

/// A step that has gone there: the averaged map, and what the way back needs.
#[derive(Debug)]
pub(crate) struct Seen {
    /// \[b, d\], a variable of its own: the loss is a function of it.
    pub(crate) averaged_bd: Var,
    memory: Memory,
}

impl Block {
    fn layers(&self) -> Box<dyn Iterator<Item = &Layer> + '_> {
        match self {
            Self::Inverted(block) => Box::new(block.layers()),
            Self::Bottleneck(block) => Box::new(block.layers()),
        }
    }
}

impl BlockKept {
    fn of(block: &Block) -> Self {
        match block {
            Block::Inverted(_) => Self::Inverted(InvertedKept::default()),
            Block::Bottleneck(_) => Self::Bottleneck(BottleneckKept::default()),
        }
    }

    fn feed(&self) -> Feed<'_> {
        match self {
            Self::Inverted(kept) => kept.feed(),
            Self::Bottleneck(kept) => kept.feed(),
        }
    }
}

impl Plan {
    /// None where a layer is of a form that only the operations on tensors know.
    pub(crate) fn new(parts: Parts, path: VectorPath) -> Option<Self> {
        let layers = parts.blocks.iter().flat_map(Block::layers).chain([&parts.stem]).chain(&parts.head);
        let fits = { layers }.all(Layer::fits) && !parts.blocks.is_empty();
        fits.then_some(Self { parts, path, memory: Mutex::default() })
    }

    /// Whether the stem's activation is written as a map.
    fn lays_out(&self) -> bool {
        match (&self.parts.pool, self.parts.blocks.first()) {
            (Some(_), _) => false,
            (None, Some(Block::Inverted(block))) => block.reads_maps(),
            (None, _) => true,
        }
    }

    fn stem_feed<'a>(&self, stem: &'a Kept, seen: &'a Maps<f32>) -> Feed<'a> {
        let activation = self.parts.activation;
        let sink = Sink::Slope(stem.behind(activation));
        match self.parts.pool {
            Some(_) => Feed { source: Source::Plain(seen.all()), sink: Sink::Nothing },
            None if self.lays_out() => Feed { source: Source::Plain(seen.all()), sink },
            None => Feed { source: stem.activated(activation), sink },
        }
    }

    /// The way there.
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, 3, h, w\], f32
    pub(crate) fn forward(&self, x_bchw: &Tensor, pass: &TrainingPass) -> Result<Seen> {
        let taken = self.memory.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = taken.unwrap_or_else(|| self.new_memory());
        let averaged_bd = self.ahead(x_bchw, pass, &mut memory)?;
        Ok(Seen { averaged_bd, memory })
    }

    fn new_memory(&self) -> Memory {
        Memory {
            packed: Packed::default(),
            pictures: Maps::default(),
            stem: Kept::default(),
            pool: self.parts.pool.map(LearningPool::new),
            seen: Maps::default(),
            blocks: self.parts.blocks.iter().map(BlockKept::of).collect(),
            head: Kept::default(),
            head_sums: Sums::default(),
            inverted: InvertedSpace::default(),
            bottleneck: BottleneckSpace::default(),
            gradients: Default::default(),
        }
    }

    fn ahead(&self, x_bchw: &Tensor, pass: &TrainingPass, memory: &mut Memory) -> Result<Var> {
        let Parts { stem, activation, blocks, head, .. } = &self.parts;
        let path = self.path;
        let (batch, channels, height, width) = x_bchw.dims4()?;
        let padding = stem.padding([height, width]);
        let Memory { packed, pictures, blocks: kept_blocks, bottleneck, .. } = memory;
        with_numbers(&x_bchw.contiguous()?, |x| {
            let (rows, columns) = ([padding.top, padding.bottom], [padding.left, padding.right]);
            pictures.take_pictures(x, [batch, channels, height, width], rows, columns);
        })?;
        let ahead = &mut Ahead { path, pass, packed };
        stem.forward(ahead, &Source::Plain(pictures.all()), &mut memory.stem)?;
        let (_, size) = memory.stem.sizes();
        let activated = memory.stem.activated(*activation);
        if let Some(pool) = &mut memory.pool {
            let to = self.parts.pool.and_then(|pool| pool.output_size(size));
            let to = to.ok_or_else(|| Error::Input {
                tensor: "the map before the pooling",
                expected: "at least 1 x 1".to_owned(),
                got: format!("{} x {}", size[0], size[1]),
            })?;
            memory.seen.reshape_dense(batch, to, stem.outputs());
            pool.forward(path, &activated, memory.seen.all_mut());
        } else if self.lays_out() {
            memory.seen.reshape_dense(batch, size, stem.outputs());
            lay_out(path, &activated, memory.seen.all_mut());
        }
        for (number, block) in blocks.iter().enumerate() {
            let (before, after) = kept_blocks.split_at_mut(number);
            let feed = match before.last() {
                Some(before) => before.feed(),
                None => self.stem_feed(&memory.stem, &memory.seen),
            };
            match (block, after.first_mut()) {
                (Block::Inverted(block), Some(BlockKept::Inverted(kept))) => {
                    block.forward(ahead, &feed, kept)?;
                }
                (Block::Bottleneck(block), Some(BlockKept::Bottleneck(kept))) => {
                    block.forward(ahead, &feed, kept, bottleneck)?;
                }
                _ => return Err(Error::Internal { tensor: format!("block {number}") }),
            }
        }
        let Some(last) = kept_blocks.last().map(BlockKept::feed) else {
            return Err(Error::Internal { tensor: "blocks".to_owned() });
        };
        let (padded_bd, channels) = match head {
            Some(head) => {
                head.forward(ahead, &last.source, &mut memory.head)?;
                let (_, [height, width]) = memory.head.sizes();
                memory.head_sums = activation_sums(path, &memory.head.behind(Activation::Swish));
                let area = (height * width) as f64;
                let sums = memory.head_sums.of_pictures(0);
                (sums.iter().map(|sum| (sum / area) as f32).collect(), head.outputs())
            }
            None => {
                let Source::Plain(x) = last.source else {
                    return Err(Error::Internal { tensor: "the last map".to_owned() });
                };
                (means(path, x), x.dims()[1])
            }
        };
        let stride = padded_bd.len() / batch.max(1);
        let rows = padded_bd.chunks_exact(stride.max(1)).flat_map(|row| row[..channels].iter().copied());
        Ok(Var::from_vec(rows.collect::<Vec<f32>>(), (batch, channels), &Device::Cpu)?)
    }

    /// The way back: adds the gradients of `loss`, a function of the averaged map and the classifier.
    ///
    /// # Errors
    /// A parameter that no gradient reaches; those of the operations.
    pub(crate) fn backward(
        &self,
        seen: Seen,
        loss: &Tensor,
        parameters: &Parameters,
        gradients: &mut Gradients,
    ) -> crate::training::Result<()> {
        let Seen { averaged_bd, mut memory } = seen;
        let mut reached = gradients.begin_parts();
        // by way of the store: then a micro-batch's gradients are summed before they are added to those of others, as below
        let store = loss.backward()?;
        gradients.add_part(parameters, &store, &mut reached)?;
        let d_bd =
            store.get(&averaged_bd).ok_or_else(|| Error::Internal { tensor: "the mean".to_owned() })?;
        let d_bd = d_bd.to_vec2::<f32>()?;
        let Memory { packed, .. } = &mut memory;
        let mut packed = std::mem::take(packed);
        let mut back =
            Back { path: self.path, packed: &mut packed, gradients, parameters, reached: &mut reached };
        self.back(&mut back, &d_bd, &mut memory)?;
        memory.packed = packed;
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(reached.require_all(parameters)?)
    }

    fn back(&self, back: &mut Back<'_>, d_bd: &[Vec<f32>], memory: &mut Memory) -> Result<()> {
        let Parts { stem, activation, blocks, head, .. } = &self.parts;
        let path = self.path;
        let Memory { blocks: kept_blocks, gradients: [from, to], .. } = memory;
        let Some(last) = kept_blocks.last() else {
            return Err(Error::Internal { tensor: "blocks".to_owned() });
        };
        let feed = last.feed();
        let [batch, channels, height, width] = feed.source.dims();
        let levels = |outputs: usize| -> Vec<f32> {
            let pixel = outputs.next_multiple_of(LANES);
            let row = |row: &Vec<f32>| {
                let mut row: Vec<f32> = row.iter().map(|d| d / (height * width) as f32).collect();
                row.resize(pixel, 0.0);
                row
            };
            d_bd.iter().flat_map(row).collect()
        };
        let mut sums = match head {
            Some(head) => {
                let levels_bc = levels(head.outputs());
                let pixel = levels_bc.len() / batch.max(1);
                let totals = [1, 2].map(|kind| {
                    let mut totals = vec![0.0f64; pixel];
                    for (at, sum) in memory.head_sums.of_pictures(kind).iter().enumerate() {
                        totals[at % pixel] += f64::from(levels_bc[at]) * sum;
                    }
                    totals
                });
                let terms = head.terms(back, &memory.head.norm, [&totals[0], &totals[1]]);
                let d_head = Source::Gradient(Gradient {
                    d: None,
                    gates_bc: None,
                    levels_bc: Some(&levels_bc),
                    y: memory.head.y.all(),
                    norm: &memory.head.norm,
                    activation: Activation::Swish,
                    terms: &terms,
                });
                head.weight_gradient(back, &d_head, &feed.source);
                head.input_gradient(back, &d_head, [height, width], None, &feed.sink, from)?
            }
            None => {
                from.reshape_dense(batch, [height, width], channels);
                spread(path, &levels(channels), &feed.sink, from.all_mut())
            }
        };
        for (number, block) in blocks.iter().enumerate().rev() {
            let feed = match number.checked_sub(1) {
                Some(before) => kept_blocks[before].feed(),
                None => self.stem_feed(&memory.stem, &memory.seen),
            };
            sums = match (block, &kept_blocks[number]) {
                (Block::Inverted(block), BlockKept::Inverted(kept)) => {
                    block.backward(back, (from, sums), &feed, kept, &mut memory.inverted, to)?
                }
                (Block::Bottleneck(block), BlockKept::Bottleneck(kept)) => {
                    block.backward(back, (from, sums), &feed, kept, &mut memory.bottleneck, to)?
                }
                _ => return Err(Error::Internal { tensor: format!("block {number}") }),
            };
            std::mem::swap(from, to);
        }
        if let Some(pool) = &memory.pool {
            let (batch, size) = memory.stem.sizes();
            to.reshape_dense(batch, size, stem.outputs());
            let sink = Sink::Slope(memory.stem.behind(*activation));
            sums = pool.backward(path, from.all(), &sink, to.all_mut());
            std::mem::swap(from, to);
        }
        let totals = [0, 1].map(|kind| sums.totals(kind, None));
        let terms = stem.terms(back, &memory.stem.norm, [&totals[0], &totals[1]]);
        let d_stem = Source::Gradient(Gradient {
            d: Some(from.all()),
            gates_bc: None,
            levels_bc: None,
            y: memory.stem.y.all(),
            norm: &memory.stem.norm,
            activation: Activation::None,
            terms: &terms,
        });
        stem.weight_gradient(back, &d_stem, &Source::Plain(memory.pictures.all()));
        Ok(())
    }
}

/// Numbers of a vector, of which maps have whole ones.
const LANES: usize = 16;
