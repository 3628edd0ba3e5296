//! Captions of the pictures of a data set.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use data_specs::{RowId, SpecialIds};
use pretrain::Result;
use pretrain::data::Feed;
use pretrain::model::Incremental;

use crate::captioner::Captioner;
use crate::constrained::{Automaton, ConstrainedSettings, constrained_beam_search};
use crate::decoding::{Caption, Draws, beam_search, greedy, sample};
use crate::pictures::{Picture, PictureSet};
use crate::remembering::Remembering;
use crate::sequence::Room;
use crate::settings::Decoding;

/// A captioner that writes.
pub(crate) struct Writer<'a> {
    pub(crate) captioner: &'a Captioner,
    pub(crate) incremental: Incremental,
    pub(crate) decoding: Decoding,
    pub(crate) room: Room,
    pub(crate) special: SpecialIds,
}

/// What a picture's captions must name.
pub(crate) struct Constraints {
    pub(crate) settings: ConstrainedSettings,
    /// Of every picture that is asked for, in their order.
    pub(crate) automata: Vec<Automaton>,
}

impl Writer<'_> {
    /// Captions of `rows`, best first, `at_once` pictures at a time; `write` gets the number of the first picture of each part
    /// with its captions.
    pub(crate) fn each(
        &self,
        set: &Arc<PictureSet>,
        rows: &[(usize, RowId)],
        at_once: usize,
        [n_threads, ahead]: [usize; 2],
        constraints: Option<&Constraints>,
        write: &mut dyn FnMut(usize, Vec<Caption>),
    ) -> Result<()> {
        let parts: Vec<Vec<(usize, RowId)>> = rows.chunks(at_once).map(<[_]>::to_vec).collect();
        let mut feed = Feed::start(n_threads, ahead, Path::new("."), |thread| {
            let own: VecDeque<_> = parts.iter().skip(thread).step_by(n_threads).cloned().collect();
            let set = set.clone();
            own.into_iter().map(move |part| {
                part.into_iter()
                    .map(|(number, row)| Ok((number, set.picture(row)?)))
                    .collect::<Result<Vec<_>>>()
            })
        })?;
        while let Some(part) = feed.take() {
            let part = part?;
            let pictures: Vec<&Picture> = part.iter().map(|(_, picture)| picture).collect();
            let numbers: Vec<usize> = part.iter().map(|(number, _)| *number).collect();
            let written = match constraints {
                None => self.captions(&pictures, numbers.first().copied().unwrap_or_default())?,
                Some(constraints) => self.constrained(&pictures, &numbers, constraints)?,
            };
            numbers.into_iter().zip(written).for_each(|(number, captions)| write(number, captions));
        }
        Ok(())
    }

    fn captions(&self, pictures: &[&Picture], first: usize) -> Result<Vec<Vec<Caption>>> {
        let mut model = self.model(pictures)?;
        let n = pictures.len();
        Ok(match &self.decoding {
            Decoding::Greedy(settings) => {
                greedy(&mut model, n, self.special, settings)?.into_iter().map(|one| vec![one]).collect()
            }
            Decoding::Sampling(settings) => {
                let draws = Draws { seed: 0, step: 0, first_image: first as u64 };
                sample(&mut model, n, self.special, settings, draws)?
            }
            Decoding::Beam(settings) => beam_search(&mut model, n, self.special, settings)?,
        })
    }

    fn constrained(
        &self,
        pictures: &[&Picture],
        numbers: &[usize],
        constraints: &Constraints,
    ) -> Result<Vec<Vec<Caption>>> {
        let automata: Vec<Automaton> =
            numbers.iter().map(|number| constraints.automata[*number].clone()).collect();
        let mut model = self.model(pictures)?;
        let found = constrained_beam_search(&mut model, &automata, self.special, &constraints.settings)?;
        Ok(found.into_iter().map(|found| vec![found.caption]).collect())
    }

    fn model(&self, pictures: &[&Picture]) -> Result<Remembering<'_>> {
        Remembering::new(self.captioner, &self.incremental, pictures, self.room, self.special)
    }
}
