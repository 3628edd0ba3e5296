//! A sample becomes an example.

use data_specs::{SpecialIds, Tokenizer};

use super::record::Record;
use super::regions;
use super::settings::DataSettings;
use super::table::{Among, TextId};
use super::triples::{ModelInput, Triples};
use crate::model::RegionGeometry;
use crate::objectives::{Exchange, Masking, ObjectiveSettings, PollutionDraws, Sequence, WrongTags};
use crate::{Error, Example, Result};

/// Makes examples: a pure function of (sample, step, place).
#[derive(Debug)]
pub(super) struct Maker {
    pub(super) triples: Triples,
    objectives: ObjectiveSettings,
    masking: Masking,
    n_classes: usize,
    special: SpecialIds,
    max_tokens: usize,
    /// 0 where samples have no regions.
    max_regions: usize,
    geometry: RegionGeometry,
    seed: u64,
}

impl Maker {
    pub(super) fn new(
        triples: Triples,
        settings: &DataSettings,
        objectives: &ObjectiveSettings,
        model: &ModelInput,
        tokenizer: &Tokenizer,
        seed: u64,
    ) -> Maker {
        let special = tokenizer.special();
        let vocabulary = u32::try_from(tokenizer.len()).expect("ids of tokens are u32");
        Maker {
            triples,
            objectives: *objectives,
            masking: Masking::new(objectives, special.mask, vocabulary),
            n_classes: objectives.n_classes(settings.tags),
            special,
            max_tokens: settings.max_tokens,
            max_regions: if settings.regions { settings.max_regions } else { 0 },
            geometry: model.region_geometry,
            seed,
        }
    }

    /// The example of a text at a place of a step's batch. `bytes` is scratch memory.
    ///
    /// # Errors
    /// A failed read, a damaged shard.
    pub(super) fn example(&self, id: TextId, step: u32, place: u32, bytes: &mut Vec<u8>) -> Result<Example> {
        let table = &self.triples.table;
        let record = table.record(id)?;
        let draws = PollutionDraws::new(self.seed, step, place);
        let exchange = self.objectives.exchange(draws.share(), !record.b.is_empty());
        let a = match exchange {
            Exchange::A => self.replacement(exchange, draws, id, &record)?,
            _ => table.ids(id.section, record.a)?,
        };
        let b = match exchange {
            Exchange::B => self.replacement(exchange, draws, id, &record)?,
            _ => table.ids(id.section, record.b)?,
        };
        let mut sequence = Sequence::lay_out(&a, &b, self.special, self.max_tokens);
        let mut token_labels = self.masking.hide(&mut sequence, self.seed, step, place);
        if exchange == Exchange::B && !self.objectives.mask_loss_for_unmatched {
            token_labels[sequence.b.clone()].fill(-1);
        }
        let (regions, n_regions) = self.regions(id, &record, bytes)?;
        Ok(Example {
            token_ids: sequence.token_ids,
            segment_ids: sequence.segment_ids,
            token_labels,
            contrastive_label: exchange.label(self.n_classes),
            regions,
            n_regions,
            place,
        })
    }

    /// Tokens that belong to another picture than `own`'s, or for answers to another question; candidates without the wanted
    /// part are passed over.
    fn replacement(
        &self,
        exchange: Exchange,
        draws: PollutionDraws,
        own: TextId,
        own_record: &Record,
    ) -> Result<Vec<u32>> {
        let table = &self.triples.table;
        let mode = (exchange == Exchange::B).then_some(self.objectives.textb_sample_mode);
        let among = match mode {
            None | Some(WrongTags::AnyRow) => Among::All,
            Some(WrongTags::Tags) => Among::WithB,
            Some(WrongTags::Answers) => Among::Answered,
        };
        let n = table.len(among);
        let mut n_own = 0;
        for attempt in 1..=u32::MAX {
            let (number, coin) = draws.candidate(attempt, n);
            let id = table.nth(among, number)?;
            let record = table.record(id)?;
            let takes_a = mode.is_none() || (mode == Some(WrongTags::AnyRow) && coin);
            let ids = if takes_a { record.a } else { record.b };
            if ids.is_empty() {
                continue;
            }
            let is_another = match mode {
                Some(WrongTags::Answers) => id != own,
                _ => record.picture != own_record.picture,
            };
            n_own += u32::from(!is_another);
            if is_another || self.objectives.same_picture_after_tries == Some(n_own) {
                return table.ids(id.section, ids);
            }
        }
        Err(Error::Setting {
            key: "data".to_owned(),
            problem: "is nearly all of one picture: four thousand million draws gave no other".to_owned(),
            hint: "add data, or set objectives.same_picture_after_tries".to_owned(),
        })
    }

    /// \[r, D + 6\] and r.
    fn regions(&self, id: TextId, record: &Record, bytes: &mut Vec<u8>) -> Result<(Vec<f32>, usize)> {
        let mut vectors = Vec::new();
        if self.max_regions == 0 {
            return Ok((vectors, 0));
        }
        let set = self.triples.set_of(id.section);
        let info = set.features();
        let shard = set.shard(id.section)?;
        let row = record.row as usize;
        let sample = shard.short(row);
        let picture = &sample.images[0];
        let n_regions = (picture.regions as usize).min(self.max_regions);
        bytes.resize(n_regions * info.width as usize * info.dtype.size(), 0);
        shard.fill_slot(row, 0, bytes)?;
        regions::append(picture, bytes, info, self.geometry, &mut vectors).map_err(|problem| {
            Error::Unfit {
                path: set.shard_path(id.section),
                field: format!("row {row} ({})", sample.key),
                problem: problem.to_owned(),
                hint: "remove the tables of texts (`*.texts`) of the run, and start it again".to_owned(),
            }
        })?;
        Ok((vectors, n_regions))
    }
}
