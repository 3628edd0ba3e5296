//! What the loop sees of pictures.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::Result;

/// Pictures with classes, as a network reads them.
pub trait LabelledPictures: Sync {
    /// How many there are.
    fn n_pictures(&self) -> u64;

    /// Names of the classes, in the order of the classifier's outputs.
    fn classes(&self) -> &[String];

    /// The class of a picture.
    fn class_of(&self, picture: u64) -> usize;

    /// Height and width of what [`load`](Self::load) gives.
    fn side(&self) -> usize;

    /// Decodes, changes and normalises a picture.
    ///
    /// # Shapes
    /// - `x_chw`: 3 x [`side`](Self::side) x [`side`](Self::side) numbers, all of which are written
    ///
    /// # Errors
    /// What is wrong with this picture; the loop goes on without it.
    fn load(&self, picture: u64, view: View, x_chw: &mut [f32]) -> std::result::Result<(), Unreadable>;
}

/// How a picture is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Always the same.
    Evaluation,
    /// Changed by chance: a function of the run's seed, this epoch, and the picture's number.
    Training {
        /// From 0.
        epoch: u32,
    },
}

/// A picture that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// File, or file and entry.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Pictures of a micro-batch. Those that cannot be read are left out.
#[derive(Debug)]
pub struct Pixels {
    /// Numbers of the pictures that are there.
    pub pictures: Vec<u64>,
    /// Their places in what was asked for.
    pub places: Vec<usize>,
    /// Their classes.
    pub labels: Vec<usize>,
    /// Their numbers, \[b, 3, side, side\] end to end.
    pub values: Vec<f32>,
    /// Those that are not there.
    pub unreadable: Vec<(u64, Unreadable)>,
}

impl Pixels {
    /// Loads pictures in parallel. What comes out does not depend on the number of threads.
    pub fn load(source: &dyn LabelledPictures, wanted: &[(u64, View)]) -> Self {
        let size = 3 * source.side() * source.side();
        let mut values = vec![0.0; wanted.len() * size];
        let slots = values.par_chunks_exact_mut(size).zip(wanted);
        let loaded: Vec<_> =
            slots.map(|(x_chw, (picture, view))| source.load(*picture, *view, x_chw)).collect();
        let mut pixels = Self {
            pictures: Vec::new(),
            places: Vec::new(),
            labels: Vec::new(),
            values: Vec::new(),
            unreadable: Vec::new(),
        };
        for (place, ((picture, _), result)) in wanted.iter().zip(loaded).enumerate() {
            match result {
                Ok(()) => {
                    pixels.places.push(place);
                    pixels.pictures.push(*picture);
                    pixels.labels.push(source.class_of(*picture));
                }
                Err(reason) => pixels.unreadable.push((*picture, reason)),
            }
        }
        if !pixels.unreadable.is_empty() {
            for (kept, place) in pixels.places.iter().enumerate() {
                values.copy_within(place * size..(place + 1) * size, kept * size);
            }
            values.truncate(pixels.places.len() * size);
        }
        pixels.values = values;
        pixels
    }

    /// How many pictures are there.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// The pictures as a tensor, [b, 3, side, side].
    ///
    /// # Errors
    /// The tensor library's.
    pub(crate) fn tensor(self, side: usize) -> Result<Tensor> {
        let shape = (self.pictures.len(), 3, side, side);
        Ok(Tensor::from_vec(self.values, shape, &Device::Cpu)?)
    }
}
