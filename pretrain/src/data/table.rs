//! The table of texts: token ids of every a and b, on disk, one read away.
//!
//! Replacements come from the whole data set, so any text may be asked for at any time; opening its shard for it would read
//! megabytes for fifty bytes. The file holds one [`Section`] a shard. In memory are 48 bytes a shard and nothing a text.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use data_specs::durable::PendingFile;
use serde::{Deserialize, Serialize};

use super::record::{Ids, RECORD_BYTES, Record, Section};
use crate::{Error, Result};

/// Bytes collected before they are written.
const BUFFER: usize = 1 << 20;

/// What is in the file, kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    /// Bytes of an id: 2 where the vocabulary allows it.
    pub(super) id_bytes: u8,
    pub(super) bytes: u64,
    pub(super) sections: Vec<SectionContents>,
}

/// What is in one section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SectionContents {
    offset: u64,
    ids: u32,
    pub(super) texts: u32,
    with_b: u32,
    answered: u32,
}

/// The texts among which something is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    All,
    WithB,
    Answered,
}

/// One text of the table: its section (shard) and its place in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextId {
    pub(super) section: u32,
    pub(super) text: u32,
}

/// Writes a table, section after section.
pub(super) struct TableWriter {
    file: BufWriter<PendingFile>,
    path: PathBuf,
    contents: Contents,
}

impl TableWriter {
    /// Begins the table at `path` for ids below `vocabulary`.
    pub(super) fn create(path: &Path, vocabulary: usize) -> Result<TableWriter> {
        let id_bytes = if vocabulary <= 1 << 16 { 2 } else { 4 };
        let file = BufWriter::with_capacity(BUFFER, PendingFile::create(path, "table")?);
        Ok(TableWriter {
            file,
            path: path.to_owned(),
            contents: Contents { id_bytes, ..Contents::default() },
        })
    }

    /// Adds the next shard.
    ///
    /// # Errors
    /// A failed write; a shard of 2^32 ids or more.
    pub(super) fn write(&mut self, section: &Section) -> Result<()> {
        let count = |n: usize| {
            u32::try_from(n).map_err(|_| Error::Unfit {
                path: self.path.clone(),
                field: format!("section {}", self.contents.sections.len()),
                problem: format!("has {n} ids, more than 2^32 - 1"),
                hint: "build the data set with smaller shards (`shard.rows`)".to_owned(),
            })
        };
        let contents = SectionContents {
            offset: self.contents.bytes,
            ids: count(section.ids.len())?,
            texts: count(section.records.len())?,
            with_b: count(section.with_b.len())?,
            answered: count(section.answered.len())?,
        };
        let width = usize::from(self.contents.id_bytes);
        let mut put =
            |bytes: &[u8]| self.file.write_all(bytes).map_err(data_specs::Error::io("write", &self.path));
        section.ids.iter().try_for_each(|id| put(&id.to_le_bytes()[..width]))?;
        section.records.iter().try_for_each(|record| put(&record.to_bytes()))?;
        section.with_b.iter().chain(&section.answered).try_for_each(|text| put(&text.to_le_bytes()))?;
        self.contents.bytes += contents.bytes(width as u64);
        self.contents.sections.push(contents);
        Ok(())
    }

    /// Ends the table; it is there whole or not at all.
    pub(super) fn commit(self) -> Result<Contents> {
        let file = self.file.into_inner().map_err(|error| error.into_error());
        let file = file.map_err(data_specs::Error::io("write", &self.path))?;
        file.commit(&|_| {})?;
        Ok(self.contents)
    }
}

impl SectionContents {
    fn bytes(&self, id_bytes: u64) -> u64 {
        u64::from(self.ids) * id_bytes
            + u64::from(self.texts) * RECORD_BYTES as u64
            + (u64::from(self.with_b) + u64::from(self.answered)) * 4
    }

    fn count(&self, among: Among) -> u64 {
        u64::from(match among {
            Among::All => self.texts,
            Among::WithB => self.with_b,
            Among::Answered => self.answered,
        })
    }
}

/// An open table; safe to share between threads.
#[derive(Debug)]
pub(super) struct Table {
    file: File,
    path: PathBuf,
    id_bytes: u64,
    sections: Vec<SectionContents>,
    /// For all texts, those with b, and the answered ones: how many are in the sections before each, and at the end all.
    before: [Vec<u64>; 3],
}

impl Table {
    /// Opens the table at `path`, which holds `contents`.
    ///
    /// # Errors
    /// A file that is not there or of another size.
    pub(super) fn open(path: &Path, contents: Contents) -> Result<Table> {
        let file = File::open(path).map_err(data_specs::Error::io("read", path))?;
        let bytes = file.metadata().map_err(data_specs::Error::io("read", path))?.len();
        if bytes != contents.bytes {
            return Err(damaged(path, format!("has {bytes} bytes where {} were written", contents.bytes)));
        }
        let before = [Among::All, Among::WithB, Among::Answered].map(|among| {
            let mut sum = 0;
            let mut before = vec![0];
            before.extend(contents.sections.iter().map(|section| {
                sum += section.count(among);
                sum
            }));
            before
        });
        let id_bytes = u64::from(contents.id_bytes);
        Ok(Table { file, path: path.to_owned(), id_bytes, sections: contents.sections, before })
    }

    /// How many texts there are.
    pub(super) fn len(&self, among: Among) -> u64 {
        self.before[among as usize].last().copied().unwrap_or_default()
    }

    /// Texts of each section.
    pub(super) fn texts(&self) -> impl Iterator<Item = u64> {
        self.sections.iter().map(|section| u64::from(section.texts))
    }

    /// Text number `n` of those below [`len`](Table::len), in stored order.
    ///
    /// # Errors
    /// A failed read.
    pub(super) fn nth(&self, among: Among, n: u64) -> Result<TextId> {
        let before = &self.before[among as usize];
        let section = before.partition_point(|&start| start <= n) - 1;
        let place = n - before[section];
        let contents = &self.sections[section];
        let lists = contents.offset + contents.bytes(self.id_bytes);
        let list = match among {
            Among::All => return Ok(TextId { section: section as u32, text: place as u32 }),
            Among::WithB => lists - 4 * (u64::from(contents.with_b) + u64::from(contents.answered)),
            Among::Answered => lists - 4 * u64::from(contents.answered),
        };
        let text = u32::from_le_bytes(self.read(list + 4 * place)?);
        if text >= contents.texts {
            return Err(damaged(
                &self.path,
                format!("names text {text} of {} in section {section}", contents.texts),
            ));
        }
        Ok(TextId { section: section as u32, text })
    }

    /// What is known of a text.
    ///
    /// # Errors
    /// A failed read.
    pub(super) fn record(&self, id: TextId) -> Result<Record> {
        let contents = &self.sections[id.section as usize];
        let first = contents.offset + u64::from(contents.ids) * self.id_bytes;
        Ok(Record::from_bytes(self.read(first + u64::from(id.text) * RECORD_BYTES as u64)?))
    }

    /// Token ids of a text's a or b.
    ///
    /// # Errors
    /// A failed read.
    pub(super) fn ids(&self, section: u32, ids: Ids) -> Result<Vec<u32>> {
        let contents = &self.sections[section as usize];
        let range = ids.range();
        if range.end > u64::from(contents.ids) {
            return Err(damaged(
                &self.path,
                format!("names ids {range:?} of {} in section {section}", contents.ids),
            ));
        }
        let mut bytes = vec![0; usize::from(ids.len) * self.id_bytes as usize];
        self.read_into(contents.offset + range.start * self.id_bytes, &mut bytes)?;
        Ok(if self.id_bytes == 2 {
            bytes.as_chunks::<2>().0.iter().map(|bytes| u32::from(u16::from_le_bytes(*bytes))).collect()
        } else {
            bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
        })
    }

    fn read<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_into(offset, &mut bytes)?;
        Ok(bytes)
    }

    fn read_into(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        Ok(self.file.read_exact_at(bytes, offset).map_err(data_specs::Error::io("read", &self.path))?)
    }
}

fn damaged(path: &Path, problem: String) -> Error {
    Error::Unfit {
        path: path.to_owned(),
        field: "the table of texts".to_owned(),
        problem,
        hint: "remove the file; it is made again from the shards".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text number `n` of a made-up table: `n % 7` words, and for some `n % 5` of b, which is an answer for some.
    fn section(first: u32, n_texts: u32) -> Section {
        let mut section = Section::default();
        for text in 0..n_texts {
            let n = first + text;
            let mut put = |len: u32, base: u32| {
                let ids = Ids { first: section.ids.len() as u32, len: len as u16 };
                section.ids.extend((0..len).map(|i| (base + n + i) % 60_000));
                ids
            };
            let (a, b) = (put(1 + n % 7, 0), put(n % 5, 30_000));
            if !b.is_empty() {
                section.with_b.push(text);
            }
            if !b.is_empty() && n.is_multiple_of(3) {
                section.answered.push(text);
            }
            section.records.push(Record { picture: u64::from(n / 2), row: text, a, b });
        }
        section
    }

    /// What a table holds in memory beside its constant part.
    fn memory(table: &Table) -> usize {
        table.sections.len() * size_of::<SectionContents>()
            + table.before.iter().map(|n| n.len() * 8).sum::<usize>()
    }

    #[test]
    fn every_text_is_found_again_with_nothing_of_it_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        for (vocabulary, id_bytes) in [(65_536, 2), (65_537, 4)] {
            let path = folder.path().join(format!("{vocabulary}.texts"));
            let mut writer = TableWriter::create(&path, vocabulary).unwrap();
            assert!(!path.exists());
            for (first, n) in [(0, 0), (0, 100_000), (100_000, 1), (100_001, 0), (100_001, 49_999), (0, 0)] {
                writer.write(&section(first, n)).unwrap();
            }
            let contents = writer.commit().unwrap();
            let kept: Contents = serde_json::from_str(&serde_json::to_string(&contents).unwrap()).unwrap();
            assert_eq!(kept, contents);
            assert_eq!(contents.id_bytes, id_bytes);
            let table = Table::open(&path, contents).unwrap();
            assert_eq!(table.len(Among::All), 150_000);
            assert_eq!(table.texts().collect::<Vec<_>>(), [0, 100_000, 1, 0, 49_999, 0]);
            assert!(memory(&table) <= 6 * 48 + 3 * 8, "{} bytes", memory(&table));

            let number = |id: TextId| match id.section {
                1 => id.text,
                2 => 100_000,
                _ => 100_001 + id.text,
            };
            let check = |n: u32, id: TextId| {
                assert_eq!(number(id), n);
                let record = table.record(id).unwrap();
                assert_eq!((record.picture, record.row), (u64::from(n / 2), id.text));
                let of = |len: u32, base: u32| (0..len).map(|i| (base + n + i) % 60_000).collect::<Vec<_>>();
                assert_eq!(table.ids(id.section, record.a).unwrap(), of(1 + n % 7, 0));
                assert_eq!(table.ids(id.section, record.b).unwrap(), of(n % 5, 30_000));
            };
            let all: Vec<u32> = (0..150_000).collect();
            let with_b: Vec<u32> = all.iter().copied().filter(|n| n % 5 != 0).collect();
            let answered: Vec<u32> = with_b.iter().copied().filter(|n| n % 3 == 0).collect();
            for (among, texts) in [(Among::All, all), (Among::WithB, with_b), (Among::Answered, answered)] {
                assert_eq!(table.len(among), texts.len() as u64);
                for at in (0..texts.len()).step_by(97).chain([texts.len() - 1]) {
                    check(texts[at], table.nth(among, at as u64).unwrap());
                }
            }
            for n in [99_999, 100_000, 100_001] {
                check(n, table.nth(Among::All, u64::from(n)).unwrap());
            }
        }
    }

    #[test]
    fn a_table_that_does_not_agree_with_itself_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts");
        let mut writer = TableWriter::create(&path, 100).unwrap();
        let mut wrong = section(1, 3);
        wrong.with_b[0] = 3;
        wrong.records[1].a.first = 1000;
        writer.write(&wrong).unwrap();
        let contents = writer.commit().unwrap();
        let table = Table::open(&path, contents.clone()).unwrap();
        let message = table.nth(Among::WithB, 0).unwrap_err().to_string();
        assert!(message.contains("names text 3 of 3") && message.contains("made again"), "{message}");
        let record = table.record(TextId { section: 0, text: 1 }).unwrap();
        assert!(table.ids(0, record.a).unwrap_err().to_string().contains("names ids 1000"));
        let shorter = Contents { bytes: contents.bytes - 1, ..contents };
        assert!(Table::open(&path, shorter).unwrap_err().to_string().contains("bytes"));
    }
}
