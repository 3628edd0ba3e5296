//! Which sample comes when: a pure function of (seed, number of the sample in the run).

use data_specs::{EpochOrder, OrderOptions, ReaderState, RowId, SampleOrder};
use pretrain_training::{Generator, Stream};
use serde::{Deserialize, Serialize};

use super::table::TextId;
use super::triples::{Set, Triples};
use crate::{Error, Result};

/// How far a training has read: what a checkpoint keeps, so that the next sample is found without counting again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Samples read so far, over all sets and ranks.
    pub samples: u64,
    /// Where each set's reader stands, in the order of the settings.
    pub sets: Vec<ReaderState>,
}

/// The order of samples over all sets.
///
/// Sample g of a run is of the set into whose part of (0, 1) falls draw g of the stream [`Stream::DatasetMix`]; the parts are
/// in proportion to the weights. Within its set it is the next text of the set's own [`SampleOrder`], which permutes the texts
/// anew each epoch. So neither ranks nor batches nor threads enter.
#[derive(Debug)]
pub(super) struct Mix {
    draws: Generator,
    /// Where each set's part of (0, 1) ends.
    ends: Vec<f64>,
    orders: Vec<SampleOrder>,
    first_sections: Vec<u32>,
}

/// A sample of the run before it is looked up: its set, and its place in the set's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    set: usize,
    epoch: u64,
    position: u64,
}

/// The epochs that were looked up last, one a set.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    orders: Vec<Option<(u64, EpochOrder)>>,
}

impl Mix {
    /// The order of `triples` with the `weights` of its sets.
    pub(super) fn new(triples: &Triples, weights: &[f64], seed: u64) -> Result<Mix> {
        let mut texts = triples.table.texts();
        let order = |set: &Set| {
            let texts: Vec<u64> = texts.by_ref().take(set.n_shards()).collect();
            SampleOrder::new(&texts, seed, OrderOptions::default())
        };
        let orders = triples.sets.iter().map(order).collect::<std::result::Result<Vec<_>, _>>()?;
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let ends = weights.iter().map(|weight| {
            sum += weight;
            sum / total
        });
        Ok(Mix {
            draws: Generator::new(seed, Stream::DatasetMix, 0),
            ends: ends.collect(),
            orders,
            first_sections: triples.sets.iter().map(|set| set.first_section).collect(),
        })
    }

    /// Before the first sample.
    pub(super) fn start(&self) -> Standing {
        Standing { samples: 0, sets: self.orders.iter().map(SampleOrder::start).collect() }
    }

    /// Refuses a standing that other data sets, or another seed, made.
    pub(super) fn check(&self, standing: &Standing) -> Result<()> {
        let refuse = |problem: String| Error::Setting {
            key: "data.train".to_owned(),
            problem,
            hint: "resume with the data sets of the run, or start a new one".to_owned(),
        };
        if standing.sets.len() != self.orders.len() {
            let (then, now) = (standing.sets.len(), self.orders.len());
            return Err(refuse(format!("has {now} data sets, the checkpoint was made with {then}")));
        }
        for (order, state) in self.orders.iter().zip(&standing.sets) {
            order.check(state)?;
        }
        let read = self.orders.iter().zip(&standing.sets);
        let read = read.map(|(order, state)| {
            u128::from(state.epoch) * u128::from(order.len()) + u128::from(state.position)
        });
        let read: u128 = read.sum();
        if read != u128::from(standing.samples) {
            return Err(refuse(format!("was read {read} times, the checkpoint says {}", standing.samples)));
        }
        Ok(())
    }

    /// The next sample; `standing` moves behind it.
    pub(super) fn next(&self, standing: &mut Standing) -> Drawn {
        let drawn = self.draws.unit(standing.samples);
        let set = self.ends.partition_point(|end| *end < drawn).min(self.ends.len() - 1);
        let state = &mut standing.sets[set];
        let sample = Drawn { set, epoch: state.epoch, position: state.position };
        standing.samples += 1;
        state.position += 1;
        if state.position == self.orders[set].len() {
            (state.epoch, state.position) = (state.epoch + 1, 0);
        }
        sample
    }

    /// Which text it is.
    pub(super) fn text(&self, drawn: Drawn, epochs: &mut Epochs) -> TextId {
        epochs.orders.resize_with(self.orders.len(), || None);
        let known = &mut epochs.orders[drawn.set];
        if known.as_ref().is_none_or(|(epoch, _)| *epoch != drawn.epoch) {
            *known = Some((drawn.epoch, self.orders[drawn.set].epoch(drawn.epoch)));
        }
        let (_, order) = known.as_ref().expect("put there just now");
        let RowId { shard, row } = order.at(drawn.position).expect("positions stay inside the epoch");
        TextId { section: self.first_sections[drawn.set] + shard, text: row as u32 }
    }

    /// Samples after which every text was seen once: the sum over the sets.
    pub(super) fn n_texts(&self) -> u64 {
        self.orders.iter().map(SampleOrder::len).sum()
    }
}
