//! How a forward pass is made: with or without dropout.

use std::sync::Arc;

use pretrain_kernels::Dropout;
use pretrain_training::Stream;

/// A pass over a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Nothing is dropped.
    Evaluation,
    /// Dropout, whose draws are a function of seed, step, place in the network, sample and token.
    Training {
        /// Of everything that is drawn.
        seed: u64,
        /// The training step.
        step: u64,
    },
}

/// Where in a network numbers are dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Words,
    Regions,
    /// The probabilities of a layer.
    Attention(usize),
    /// What a layer's attention adds.
    AttentionOutput(usize),
    /// What a layer's inner part adds.
    Output(usize),
    /// What a head reads.
    Head,
}

/// No network has places of layers up to here.
const LAYERS_END: usize = 1 << 20;

impl Place {
    /// Places of one network never share a stream: the low byte is the purpose, the rest the place.
    fn stream(self) -> u32 {
        let number = match self {
            Self::Words => 0,
            Self::Regions => 1,
            Self::Attention(layer) => 2 + 3 * layer,
            Self::AttentionOutput(layer) => 3 + 3 * layer,
            Self::Output(layer) => 4 + 3 * layer,
            Self::Head => LAYERS_END,
        };
        Stream::Dropout as u32 | (number as u32 + 1) << 8
    }
}

impl Pass {
    /// The draws for what a head reads of every sample, whose places in the batch are `places`; none without dropout.
    pub fn of_head(self, rate: f64, places: &Arc<[u32]>) -> Option<Dropout> {
        self.dropout(Place::Head, rate, places)
    }

    /// The draws for one place, or none.
    pub(crate) fn dropout(self, place: Place, rate: f64, rows: &Arc<[u32]>) -> Option<Dropout> {
        match self {
            Self::Training { seed, step } if rate > 0.0 => Some(Dropout {
                rate,
                seed,
                stream: place.stream(),
                step: step as u32,
                rows: Some(Arc::clone(rows)),
            }),
            _ => None,
        }
    }
}
