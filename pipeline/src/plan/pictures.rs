//! The pictures that have features: found by id, doubles settled, exclusions marked.

use std::collections::HashMap;
use std::path::Path;

use super::Ids;
use super::index::Row;
use super::join::{Ledger, join_reject, name_of};
use crate::features::{FeatureLayout, Found, PictureRecord};
use crate::inputs::{Input, Span, scan_file};
use crate::sources::Sources;
use crate::{Code, Error, Outcome, Reject, Unit};

/// All pictures of a plan, in the order of their files.
pub(super) struct Pictures {
    ids: Ids,
    records: Vec<PictureRecord>,
    state: Vec<State>,
    by_id: HashMap<Box<str>, u32>,
    /// (first, later) of the same id.
    doubles: Vec<(u32, u32)>,
    pairs: Vec<[u32; 2]>,
    pair_numbers: HashMap<[u32; 2], u32>,
    /// Why pictures are excluded, where it is not by a list of ids.
    likenesses: HashMap<u32, String>,
}

/// What is known of one picture besides its record.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    excluded: bool,
    /// The same id came before; accounted for.
    double: bool,
    in_pair: bool,
}

impl Pictures {
    pub(super) fn new(ids: Ids) -> Pictures {
        Pictures {
            ids,
            records: Vec::new(),
            state: Vec::new(),
            by_id: HashMap::new(),
            doubles: Vec::new(),
            pairs: Vec::new(),
            pair_numbers: HashMap::new(),
            likenesses: HashMap::new(),
        }
    }

    pub(super) fn push(&mut self, record: PictureRecord) {
        let at = self.records.len() as u32;
        let id = match &record.source {
            Some(source) => self.ids.normal(&format!("{source}/{}", record.id)).into_owned(),
            None => self.ids.normal(&record.id).into_owned(),
        };
        let first = *self.by_id.entry(id.into_boxed_str()).or_insert(at);
        if first != at {
            self.doubles.push((first, at));
        }
        self.state.push(State { double: first != at, ..State::default() });
        self.records.push(record);
    }

    /// The row that a text for `images` belongs to, or the first id without features.
    pub(super) fn find<'a>(&mut self, images: &'a [String]) -> Result<Row, &'a str> {
        let find = |id: &'a String| self.by_id.get(&*self.ids.normal(id)).copied().ok_or(id.as_str());
        match images {
            [left, right] => {
                let pair = [find(left)?, find(right)?];
                let number = *self.pair_numbers.entry(pair).or_insert_with(|| {
                    self.pairs.push(pair);
                    self.pairs.len() as u32 - 1
                });
                pair.iter().for_each(|&at| self.state[at as usize].in_pair = true);
                Ok(Row::Pair(number))
            }
            [one] => find(one).map(Row::Picture),
            _ => Err("(none)"),
        }
    }

    /// Marks the pictures named in the list at `path`, one id a line.
    pub(super) fn exclude(&mut self, path: &Path) -> Result<Input, Error> {
        let mut text = Vec::new();
        let stamp = scan_file(path, |chunk| {
            text.extend_from_slice(chunk);
            Ok(())
        })?;
        let text = String::from_utf8(text).map_err(|error| Error::Input {
            path: path.to_path_buf(),
            line: None,
            what: error.to_string(),
            hint: "an exclusion list is UTF-8 text with one picture id a line".into(),
        })?;
        for id in text.lines().map(str::trim).filter(|id| !id.is_empty()) {
            if let Some(&at) = self.by_id.get(&*self.ids.normal(id)) {
                self.state[at as usize].excluded = true;
            }
        }
        Ok(Input { path: path.to_path_buf(), stamp })
    }

    /// Decides for each repeated id whether the later picture is a copy or a contradiction.
    pub(super) fn settle_doubles(
        &mut self,
        sources: &Sources,
        layout: &FeatureLayout,
        read: &dyn Fn(&Span) -> Result<Vec<u8>, Error>,
        ledger: &mut Ledger,
        inputs: &[Input],
    ) -> Result<(), Error> {
        for (first, later) in std::mem::take(&mut self.doubles) {
            let parts =
                |record: &PictureRecord| -> Result<Vec<_>, Error> { record.spans.iter().map(read).collect() };
            let (kept, again) = (&self.records[first as usize], &self.records[later as usize]);
            let place = |record: &PictureRecord| {
                let span = record.spans[0];
                (name_of(&inputs[usize::from(span.input)].path), span.line)
            };
            let (file, line) = place(again);
            let (first_file, first_line) = place(kept);
            let (kept_parts, again_parts) = (parts(kept)?, parts(again)?);
            let one = Found { record: kept, parts: &kept_parts };
            let other = Found { record: again, parts: &again_parts };
            let (outcome, code, what) = if sources.features.are_equal(layout, one, other) {
                (Outcome::Deduplicated, Code::Duplicate, "the same picture with the same content")
            } else {
                (Outcome::Rejected, Code::DuplicateId, "the same id with other content")
            };
            let message = format!("{what} stands at {first_file}:{first_line}");
            let key = again.id.clone();
            let reject =
                Reject { outcome, file, line: Some(line), ..join_reject(Unit::Row, code, &key, message) };
            ledger.row(reject)?;
        }
        Ok(())
    }

    pub(super) fn record(&self, at: u32) -> &PictureRecord {
        &self.records[at as usize]
    }

    /// Marks a picture that looks like one of those to leave out.
    pub(super) fn exclude_likeness(&mut self, id: &str, why: String) {
        if let Some(&at) = self.by_id.get(&*self.ids.normal(id)) {
            self.state[at as usize].excluded = true;
            self.likenesses.insert(at, why);
        }
    }

    /// Why a picture is left out, if it is.
    pub(super) fn exclusion(&self, at: u32) -> Option<(Code, String)> {
        if !self.state[at as usize].excluded {
            return None;
        }
        Some(match self.likenesses.get(&at) {
            Some(why) => (Code::NearDuplicate, why.clone()),
            None => {
                let message = format!("picture `{}` is on an exclusion list", self.record(at).id);
                (Code::Excluded, message)
            }
        })
    }

    /// The pictures of a row: one, or left and right.
    pub(super) fn members(&self, row: Row) -> Vec<u32> {
        match row {
            Row::Picture(at) => vec![at],
            Row::Pair(number) => self.pairs[number as usize].to_vec(),
        }
    }

    /// `<source>/<id>`, or `<source>/<left>|<right>`.
    pub(super) fn key(&self, row: Row, source: &str) -> String {
        let members = self.members(row);
        let source = self.record(members[0]).source.as_deref().unwrap_or(source);
        let ids: Vec<&str> = members.iter().map(|&at| self.record(at).id.as_str()).collect();
        format!("{source}/{}", ids.join("|"))
    }

    /// Every row there may be: pictures in file order, then pairs as they were first named.
    ///
    /// A picture that is only half of a pair is no row of its own.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let alone = self.state.iter().zip(0..).filter(|(state, _)| !state.double && !state.in_pair);
        let pairs = (0..self.pairs.len() as u32).map(Row::Pair);
        alone.map(|(_, at)| Row::Picture(at)).chain(pairs)
    }
}
