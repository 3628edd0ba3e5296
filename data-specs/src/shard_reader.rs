//! Reading one shard: its short columns at once, and each row's long values by one read of their bytes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelector,
};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::reader::Length;
use parquet::schema::types::SchemaDescriptor;

use crate::columns::from_batch;
use crate::positional::Positional;
use crate::schema::{LONG_COLUMNS, view_schema};
use crate::{Error, FeatureInfo, Picture, Sample, ShardEntry};

/// Rows decoded at a time when short columns are read.
const BATCH: usize = 1024;
/// Bytes per read while a file is hashed.
const HASH_CHUNK: usize = 1 << 20;

/// One open shard: everything but features and encoded pictures is in memory.
#[derive(Debug)]
pub struct ShardReader {
    path: PathBuf,
    file: Positional,
    rows: Vec<Sample>,
    /// Where each picture's features lie, in row and picture order.
    features: Vec<Stored>,
    /// The first picture of each row in `features`.
    first_picture: Vec<u32>,
    metadata: ArrowReaderMetadata,
}

/// The place of one PLAIN byte array: a 4-byte length at `offset`, then `len` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stored {
    offset: u64,
    len: u32,
}

impl ShardReader {
    /// Opens the shard `entry` of the data set in `folder`.
    ///
    /// With `verify`, all bytes are hashed first; without, only their number is compared.
    ///
    /// # Errors
    /// Missing or damaged files, and rows that break the contract.
    pub fn open(
        folder: &Path,
        entry: &ShardEntry,
        info: FeatureInfo,
        verify: bool,
    ) -> Result<ShardReader, Error> {
        let path = folder.join(&entry.name);
        let file = File::open(&path).and_then(Positional::new).map_err(Error::io("read", &path))?;
        let bytes = file.len();
        if bytes != entry.bytes {
            return Err(damaged(&path, format!("has {bytes} bytes, its manifest says {}", entry.bytes)));
        }
        if verify {
            let found = hash_file(&path)?;
            if found != entry.blake3 {
                return Err(damaged(
                    &path,
                    format!("has BLAKE3 {found}, its manifest says {}", entry.blake3),
                ));
            }
        }
        let options = ArrowReaderOptions::new()
            .with_skip_arrow_metadata(true)
            .with_schema(view_schema())
            .with_offset_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(Error::parquet(&path))?;
        let rows = short_columns(&file, &metadata, &path)?;
        if rows.len() as u64 != entry.rows {
            return Err(damaged(&path, format!("has {} rows, its manifest says {}", rows.len(), entry.rows)));
        }
        let mut first_picture = Vec::with_capacity(rows.len());
        let mut lengths = Vec::with_capacity(rows.len());
        for row in &rows {
            first_picture.push(lengths.len() as u32);
            lengths.extend(row.images.iter().map(|picture| block_bytes(picture, info)));
        }
        let features = locate(metadata.metadata(), LONG_COLUMNS[0], &rows, &lengths)
            .map_err(|what| damaged(&path, what))?;
        for (stored, index) in features.iter().zip(0..) {
            let mut prefix = [0; 4];
            file.read_exact_at(&mut prefix, stored.offset).map_err(Error::io("read", &path))?;
            if u32::from_le_bytes(prefix) != stored.len {
                let what =
                    format!("has features of another size than regions x {} at picture {index}", info.width);
                return Err(damaged(&path, what));
            }
        }
        Ok(ShardReader { path, file, rows, features, first_picture, metadata })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the shard has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Row `row` without its features and encoded pictures (both empty): no reading.
    pub fn short(&self, row: usize) -> &Sample {
        &self.rows[row]
    }

    /// Row `row` with its features; encoded pictures are left out. One read per picture.
    ///
    /// # Errors
    /// A failed read, or bytes that are not what the shard's index says.
    pub fn row(&self, row: usize) -> Result<Sample, Error> {
        let mut sample = self.rows[row].clone();
        for (at, picture) in sample.images.iter_mut().enumerate() {
            let mut bytes = Vec::new();
            self.read_features(row, at, &mut bytes)?;
            picture.features = Bytes::from(bytes);
        }
        Ok(sample)
    }

    /// Puts all features of one picture of a row into `into`, replacing what it holds.
    ///
    /// They are regions x D numbers, little-endian, in the data set's type.
    ///
    /// # Errors
    /// A failed read.
    pub fn read_features(&self, row: usize, picture: usize, into: &mut Vec<u8>) -> Result<(), Error> {
        into.resize(self.stored(row, picture).len as usize, 0);
        self.fill_slot(row, picture, into).map(|_| ())
    }

    /// Puts the features of one picture of a row at the front of `slot` and returns their bytes.
    ///
    /// What does not fit is left out from the end, as training limits regions; what is behind them in
    /// `slot` is not touched. So a loader fills its padded batch in place, with one read a picture and
    /// no allocation.
    ///
    /// # Errors
    /// A failed read.
    pub fn fill_slot(&self, row: usize, picture: usize, slot: &mut [u8]) -> Result<usize, Error> {
        let stored = self.stored(row, picture);
        let len = slot.len().min(stored.len as usize);
        self.file
            .read_exact_at(&mut slot[..len], stored.offset + 4)
            .map_err(Error::io("read", &self.path))?;
        Ok(len)
    }

    fn stored(&self, row: usize, picture: usize) -> Stored {
        self.features[self.first_picture[row] as usize + picture]
    }

    /// Row `row` whole, its encoded pictures too: for tools, not for training.
    ///
    /// # Errors
    /// A failed read, or bytes that are not what the shard's index says.
    pub fn whole_row(&self, row: usize) -> Result<Sample, Error> {
        let file = self.file.clone();
        let one = vec![RowSelector::skip(row), RowSelector::select(1)];
        let mut batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_row_selection(one.into())
            .build()
            .map_err(Error::parquet(&self.path))?;
        let batch = batches.next().ok_or_else(|| damaged(&self.path, format!("has no row {row}")))?;
        let batch = batch.map_err(|error| Error::parquet(&self.path)(error.into()))?;
        let samples = from_batch(&batch).map_err(|what| damaged(&self.path, what))?;
        samples.into_iter().next().ok_or_else(|| damaged(&self.path, format!("has no row {row}")))
    }

    /// All rows whole, encoded pictures too, `batch` at a time: for tools, not for training.
    pub fn whole_rows(
        &self,
        batch: usize,
    ) -> Result<impl Iterator<Item = Result<Vec<Sample>, Error>>, Error> {
        let file = self.file.clone();
        let path = self.path.clone();
        let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_batch_size(batch.max(1))
            .build()
            .map_err(Error::parquet(&path))?;
        Ok(batches.map(move |batch| {
            let batch = batch.map_err(|error| Error::parquet(&path)(error.into()))?;
            from_batch(&batch).map_err(|what| damaged(&path, what))
        }))
    }
}

/// BLAKE3 of a file in hexadecimal, in bounded memory.
pub fn hash_file(path: &Path) -> Result<String, Error> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut chunk = vec![0; HASH_CHUNK];
    loop {
        match std::io::Read::read(&mut file, &mut chunk) {
            Ok(0) => return Ok(hasher.finalize().to_hex().to_string()),
            Ok(read) => hasher.update(&chunk[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read", path)(error)),
        };
    }
}

fn damaged(path: &Path, what: String) -> Error {
    Error::Damaged {
        path: path.to_path_buf(),
        what,
        hint: "remove the shard and its receipt, and run the same `pipeline build` again",
    }
}

fn block_bytes(picture: &Picture, info: FeatureInfo) -> u64 {
    u64::from(picture.regions) * u64::from(info.width) * info.dtype.size() as u64
}

fn short_columns(
    file: &Positional,
    metadata: &ArrowReaderMetadata,
    path: &Path,
) -> Result<Vec<Sample>, Error> {
    let mask = short_mask(metadata.parquet_schema());
    let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone())
        .with_projection(mask)
        .with_batch_size(BATCH)
        .build()
        .map_err(Error::parquet(path))?;
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| Error::parquet(path)(error.into()))?;
        rows.extend(from_batch(&batch).map_err(|what| damaged(path, what))?);
    }
    Ok(rows)
}

fn short_mask(schema: &SchemaDescriptor) -> ProjectionMask {
    let short = (0..schema.num_columns())
        .filter(|&leaf| !LONG_COLUMNS.contains(&schema.column(leaf).path().string().as_str()));
    ProjectionMask::leaves(schema, short.collect::<Vec<_>>())
}

/// Finds where each value of a long column lies, from the offset index and the known lengths.
///
/// An uncompressed page ends with its values, PLAIN: a 4-byte length and the bytes of each. So the
/// first value starts at (end of page) - (sum of lengths + 4 each), whatever precedes it in the page.
fn locate(
    metadata: &Arc<ParquetMetaData>,
    column: &str,
    rows: &[Sample],
    lengths: &[u64],
) -> Result<Vec<Stored>, String> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let offset_index = metadata.offset_index().ok_or("has no page index")?;
    let mut stored = Vec::with_capacity(lengths.len());
    let mut row = 0;
    for (group, pages) in metadata.row_groups().iter().zip(offset_index) {
        let leaf = group.columns().iter().position(|chunk| chunk.column_path().string() == column);
        let leaf = leaf.ok_or_else(|| format!("has no column `{column}`"))?;
        let chunk = group.column(leaf);
        let plain = chunk.encodings().all(|encoding| matches!(encoding, Encoding::PLAIN | Encoding::RLE));
        if chunk.compression() != Compression::UNCOMPRESSED || !plain {
            return Err(format!(
                "stores `{column}` compressed or encoded; the contract says PLAIN, uncompressed"
            ));
        }
        let first_row = row;
        let pages = pages[leaf].page_locations();
        for (at, page) in pages.iter().enumerate() {
            let end_row = pages.get(at + 1).map_or(group.num_rows(), |next| next.first_row_index);
            let end_row = first_row + usize::try_from(end_row).map_err(|_| "has a negative row index")?;
            let first = stored.len();
            while row < end_row && row < rows.len() {
                for _ in &rows[row].images {
                    let len = *lengths.get(stored.len()).ok_or("has more pictures than lengths")?;
                    let len = u32::try_from(len).map_err(|_| "has a feature block over 4 GiB")?;
                    stored.push(Stored { offset: 0, len });
                }
                row += 1;
            }
            let values: u64 = stored[first..].iter().map(|value| 4 + u64::from(value.len)).sum();
            let end = u64::try_from(page.offset + i64::from(page.compressed_page_size));
            let end = end.map_err(|_| "has a negative page offset")?;
            let mut offset = end.checked_sub(values).filter(|&start| start >= page.offset as u64);
            for value in &mut stored[first..] {
                value.offset = offset.ok_or("has feature blocks of another size than regions x width")?;
                offset = Some(value.offset + 4 + u64::from(value.len));
            }
        }
        let expected = first_row + usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
        if row != expected {
            return Err(format!(
                "has a row group of {} rows but pages for {}",
                group.num_rows(),
                row - first_row
            ));
        }
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, EncodedImage, FeatureType, ShardWriter, Tag, Text, TextKind};

    const INFO: FeatureInfo = FeatureInfo { dtype: FeatureType::F32, width: 512 };

    /// Row `n` of a made-up corpus: every fourth a pair, every fifth without texts, some without boxes.
    fn sample(n: u32) -> Sample {
        let picture = |side: u32| {
            let regions = (n * 7 + side * 3) % 40;
            let number = |i: u32| (n * 1000 + side * 100 + i) as f32 / 7.0;
            let block = (0..regions * INFO.width).flat_map(|i| number(i).to_le_bytes()).collect::<Vec<u8>>();
            Picture {
                image_id: format!("{n}-{side}"),
                width: (!n.is_multiple_of(3)).then_some(640),
                height: (!n.is_multiple_of(3)).then_some(480 + n),
                image: n.is_multiple_of(6).then(|| EncodedImage {
                    bytes: Some(Bytes::from(vec![n as u8; 100])),
                    path: n.is_multiple_of(4).then(|| format!("{n}.jpg")),
                }),
                regions,
                boxes: n.is_multiple_of(2).then(|| (0..regions).map(|i| [0.0, 1.0, i as f32, 2.5]).collect()),
                features: Bytes::from(block),
                geometry: (n % 2 == 1).then(|| (0..regions).map(|i| [i as f32; 6]).collect()),
                tags: (0..n % 4)
                    .map(|i| Tag {
                        name: format!("tag {i}"),
                        score: (i != 1).then_some(0.25 * i as f32),
                        region: (i % 2 == 0).then_some(i as i32),
                        rect: (i % 2 == 1).then_some([1.0, 2.0, 3.0, 4.0]),
                        origin: "vg".into(),
                    })
                    .collect(),
                attributes: Vec::new(),
            }
        };
        Sample {
            key: format!("test/{n}"),
            source: "test".into(),
            split: "train".into(),
            images: (0..if n % 4 == 3 { 2 } else { 1 }).map(picture).collect(),
            texts: (0..n % 5)
                .map(|i| Text {
                    id: format!("{n}/{i}"),
                    kind: [TextKind::Caption, TextKind::Question, TextKind::Statement, TextKind::Label]
                        [i as usize],
                    text: format!("a text, number {i} \u{1F600}"),
                    answers: (0..i)
                        .map(|a| Answer { text: format!("a{a}"), score: (a > 0).then_some(0.3) })
                        .collect(),
                    label: (i == 2).then_some(1),
                    extra: (i == 1).then(|| "{\"a\":1}".to_string()),
                })
                .collect(),
            extra: n.is_multiple_of(7).then(|| "{\"domain\":\"near\"}".to_string()),
        }
    }

    fn write(folder: &Path, samples: &[Sample]) -> ShardEntry {
        let mut writer = ShardWriter::create(folder, "shard-00000.parquet", "test").unwrap();
        for part in samples.chunks(3) {
            writer.write(part).unwrap();
        }
        writer.commit(&|_| {}).unwrap()
    }

    #[test]
    fn rows_come_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let samples: Vec<Sample> = (0..300).map(sample).collect();
        let entry = write(folder.path(), &samples);
        assert_eq!(entry.rows, 300);
        assert_eq!(entry.texts, samples.iter().map(|sample| sample.texts.len() as u64).sum::<u64>());
        assert_eq!(hash_file(&folder.path().join(&entry.name)).unwrap(), entry.blake3);

        let reader = ShardReader::open(folder.path(), &entry, INFO, true).unwrap();
        let whole: Vec<Sample> = reader.whole_rows(64).unwrap().flat_map(|batch| batch.unwrap()).collect();
        assert_eq!(whole, samples);
        for at in [299, 0, 3, 150, 151, 7] {
            assert_eq!(reader.whole_row(at).unwrap(), samples[at]);
            let mut expected = samples[at].clone();
            expected
                .images
                .iter_mut()
                .for_each(|picture| picture.image = reader.short(at).images[0].image.clone());
            let mut row = reader.row(at).unwrap();
            row.images.iter_mut().zip(&samples[at].images).for_each(|(read, written)| {
                assert_eq!(read.features, written.features);
                read.image = None;
            });
            expected.images.iter_mut().for_each(|picture| picture.image = None);
            assert_eq!(row, expected);
        }
        assert!(reader.features.len() > 300);
        assert!(reader.whole_row(300).is_err());

        // Threads read rows of one reader at once, as ranks do.
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (reader, samples) = (&reader, &samples);
                scope.spawn(move || {
                    for at in (0..300).map(|n| (n * 7 + thread * 75) % 300) {
                        assert_eq!(reader.whole_row(at).unwrap(), samples[at]);
                    }
                });
            }
        });

        // A slot takes what fits; a buffer of any size becomes the whole block.
        let block = &samples[9].images[0].features;
        let mut slot = vec![7; block.len() + 4];
        assert_eq!(reader.fill_slot(9, 0, &mut slot).unwrap(), block.len());
        assert!(slot[..block.len()] == block[..] && slot[block.len()..] == [7; 4]);
        assert_eq!(reader.fill_slot(9, 0, &mut slot[..100]).unwrap(), 100);
        for mut buffer in [Vec::new(), vec![1; 3], vec![1; block.len() * 2]] {
            reader.read_features(9, 0, &mut buffer).unwrap();
            assert_eq!(buffer, block[..]);
        }
    }

    #[test]
    fn equal_rows_give_equal_bytes_however_they_are_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let samples: Vec<Sample> = (0..50).map(sample).collect();
        let first = write(folder.path(), &samples);
        let second = write(folder.path(), &samples);
        assert_eq!(first, second);
    }

    #[test]
    fn an_empty_shard_is_a_shard() {
        let folder = tempfile::tempdir().unwrap();
        let entry = write(folder.path(), &[]);
        let reader = ShardReader::open(folder.path(), &entry, INFO, true).unwrap();
        assert!(reader.is_empty());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found_on_opening() {
        let folder = tempfile::tempdir().unwrap();
        let entry = write(folder.path(), &(0..20).map(sample).collect::<Vec<_>>());
        let path = folder.path().join(&entry.name);
        let good = std::fs::read(&path).unwrap();
        for step in 0..200 {
            let mut bad = good.clone();
            let at = step * 7919 % bad.len();
            bad[at] ^= 1 << (step % 8);
            std::fs::write(&path, &bad).unwrap();
            let error = ShardReader::open(folder.path(), &entry, INFO, true).unwrap_err();
            assert!(matches!(&error, Error::Damaged { what, .. } if what.contains("BLAKE3")), "{error}");
            std::fs::write(&path, &good[..at]).unwrap();
            assert!(ShardReader::open(folder.path(), &entry, INFO, false).is_err());
        }
    }

    #[test]
    fn a_block_of_another_size_than_regions_by_width_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut samples: Vec<Sample> = (0..20).map(sample).collect();
        samples[4].images[0].features = Bytes::from_static(&[0; 12]);
        let entry = write(folder.path(), &samples);
        // The values of the page then start before the page or where no length stands.
        let opened = ShardReader::open(folder.path(), &entry, INFO, true);
        let shifted =
            opened.and_then(|reader| (0..20).map(|row| reader.row(row)).collect::<Result<Vec<_>, _>>());
        assert!(shifted.is_err());
    }
}
