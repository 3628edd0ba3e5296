//! The index of texts: 56 bytes a record and an id's hash; the texts stay in their files.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::TextRecipe;
use super::join::{Ledger, join_reject};
use super::pictures::Pictures;
use crate::inputs::Span;
use crate::sources::Sources;
use crate::texts::{ParsedTexts, Part, TextRecord};
use crate::{Code, Error, Outcome, Reject, Unit};

/// A row in the making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Row {
    /// The picture of this number.
    Picture(u32),
    /// The pair of this number.
    Pair(u32),
}

/// One record of texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextEntry {
    row: Row,
    pub(super) texts: u32,
    section: u8,
    split: u8,
    /// Number of spans; 0 once the record is turned away.
    spans: u8,
    places: [Place; 2],
}

/// A [`Span`] in 20 bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    offset: [u32; 2],
    len: u32,
    line: u32,
    input: u16,
}

impl Place {
    fn of(span: &Span) -> Place {
        let line = u32::try_from(span.line).unwrap_or(0);
        Place {
            offset: [span.offset as u32, (span.offset >> 32) as u32],
            len: span.len,
            line,
            input: span.input,
        }
    }

    fn span(self) -> Span {
        let offset = u64::from(self.offset[0]) | u64::from(self.offset[1]) << 32;
        Span { input: self.input, offset, len: self.len, line: u64::from(self.line) }
    }
}

impl TextEntry {
    fn spans(&self) -> Vec<Span> {
        self.places[..usize::from(self.spans)].iter().map(|place| place.span()).collect()
    }

    pub(super) fn recipe(&self) -> TextRecipe {
        TextRecipe { section: self.section, texts: self.texts, spans: self.spans() }
    }
}

/// All records of texts that found their pictures, in file order.
#[derive(Default)]
pub(super) struct TextIndex {
    entries: Vec<TextEntry>,
    splits: Vec<String>,
    /// Hash of (section, record id) to the first entry that has it. A hash met again is only a
    /// suspicion: both records are read and compared.
    seen: HashMap<u64, u32>,
    doubles: Vec<(u32, u32)>,
}

impl TextIndex {
    pub(super) fn push(&mut self, section: usize, row: Row, record: &TextRecord) {
        assert!((1..=2).contains(&record.spans.len()), "a text record lies in one span or two");
        let at = self.entries.len() as u32;
        let mut hasher = DefaultHasher::new();
        (section, &record.id).hash(&mut hasher);
        let first = *self.seen.entry(hasher.finish()).or_insert(at);
        if first != at {
            self.doubles.push((first, at));
        }
        let mut places = [Place::default(); 2];
        places.iter_mut().zip(&record.spans).for_each(|(place, span)| *place = Place::of(span));
        let spans = record.spans.len() as u8;
        let split = record.split.as_deref().map_or(0, |split| self.split_number(split));
        self.entries.push(TextEntry {
            row,
            texts: record.texts,
            section: section as u8,
            split,
            spans,
            places,
        });
    }

    /// 0 means none.
    fn split_number(&mut self, split: &str) -> u8 {
        let known = self.splits.iter().position(|name| name == split);
        let at = known.unwrap_or_else(|| {
            self.splits.push(split.to_string());
            self.splits.len() - 1
        });
        u8::try_from(at + 1).unwrap_or(0)
    }

    /// The split that the entry's file gives.
    pub(super) fn split(&self, entry: &TextEntry) -> Option<&str> {
        usize::from(entry.split).checked_sub(1).map(|at| self.splits[at].as_str())
    }

    /// Decides for each repeated id whether the later record is a copy or a contradiction, and sorts
    /// the records by row.
    pub(super) fn settle_doubles(
        &mut self,
        sources: &Sources,
        read: &dyn Fn(&Span) -> Result<Vec<u8>, Error>,
        ledger: &mut Ledger,
    ) -> Result<(), Error> {
        self.seen = HashMap::new(); // no longer needed, and as large as the entries
        for (first, later) in std::mem::take(&mut self.doubles) {
            let parse = |at: u32| -> Result<Option<ParsedTexts>, Error> {
                let entry = &self.entries[at as usize];
                let part = |span: Span| Ok(Part { span, bytes: read(&span)? });
                let parts = entry.spans().into_iter().map(part).collect::<Result<Vec<_>, Error>>()?;
                Ok(sources.texts[usize::from(entry.section)].format.parse(&parts).ok())
            };
            // A record that cannot be parsed is the task's to reject, with the reason.
            let (Some(one), Some(other)) = (parse(first)?, parse(later)?) else { continue };
            let ids =
                |parsed: &ParsedTexts| parsed.texts.iter().map(|text| text.id.clone()).collect::<Vec<_>>();
            if ids(&one) != ids(&other) || one.texts.is_empty() {
                continue; // two ids with one hash
            }
            let entry = self.entries[later as usize];
            let same = one == other && entry.row == self.entries[first as usize].row;
            let (outcome, code, what) = if same {
                (Outcome::Deduplicated, Code::Duplicate, "the same text")
            } else {
                (Outcome::Rejected, Code::DuplicateId, "the same text id with other content")
            };
            let line = self.entries[first as usize].places[0].line;
            for text in &other.texts {
                let message = format!("{what} stands at line {line}");
                let reject = join_reject(Unit::Text, code, &text.id, message);
                let file = sources.texts[usize::from(entry.section)].file_name.clone();
                let line = Some(u64::from(entry.places[0].line)).filter(|&line| line > 0);
                ledger.text(Reject { outcome, file, line, ..reject })?;
            }
            self.entries[later as usize].spans = 0;
        }
        self.entries.retain(|entry| entry.spans > 0);
        self.entries.sort_by_key(|entry| entry.row); // stable: file order within a row
        Ok(())
    }

    /// Every row with its records: rows in the order of [`Pictures::rows`], records in file order.
    pub(super) fn rows<'a>(
        &'a self,
        pictures: &'a Pictures,
    ) -> impl Iterator<Item = (Row, Vec<TextEntry>)> + 'a {
        let entries = &self.entries;
        let single = pictures.rows();
        single.map(move |row| {
            let start = entries.partition_point(|entry| entry.row < row);
            let len = entries[start..].iter().take_while(|entry| entry.row == row).count();
            (row, entries[start..start + len].to_vec())
        })
    }
}
