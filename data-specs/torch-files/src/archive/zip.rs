//! The container of torch since 1.6: a zip archive whose entries are stored, with one pickle.

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::sync::Arc;

use zip::read::{ArchiveOffset, Config, ZipArchiveMetadata};
use zip::{CompressionMethod, ZipArchive, ZipReadOptions};

use super::positioned::PositionedFile;
use super::{Located, Opened};
use crate::error::Error;
use crate::limits::Limits;
use crate::pickle::{Source, unpickle};

/// Deflate makes at most 1,032 bytes of one.
const MAX_RATIO: u64 = 1032;

struct Entry {
    name: String,
    index: usize,
    header: u64,
    start: u64,
    stored: u64,
    size: u64,
    deflated: bool,
}

/// Checks the directory against the file, reads `data.pkl`, and finds every storage it mentions.
pub(super) fn open(file: &PositionedFile, limits: &Limits) -> Result<Opened, Error> {
    let (entries, metadata) = directory(file, limits)?;
    let by_name: HashMap<&str, &Entry> = entries.iter().map(|e| (e.name.as_str(), e)).collect();

    let mut pickles = entries.iter().filter(|e| e.name == "data.pkl" || e.name.ends_with("/data.pkl"));
    let (pickle, root) = match (pickles.next(), pickles.next()) {
        (Some(entry), None) => (entry, entry.name.trim_end_matches("data.pkl")),
        (Some(_), Some(second)) => return Err(bad(file, &second.name, "is a second data.pkl")),
        (None, _) => {
            let (file, what) = (file.name.clone(), "is a zip archive without data.pkl".into());
            return Err(Error::Format { file, what, hint: "torch.save(...) writes one" });
        }
    };
    if by_name.contains_key(format!("{root}constants.pkl").as_str()) {
        let (file, what) = (file.name.clone(), "is a TorchScript programme".into());
        return Err(Error::Format { file, what, hint: "save its state_dict() with torch.save(...)" });
    }
    if let Some(order) = by_name.get(format!("{root}byteorder").as_str())
        && contents(file, &metadata, order, 16)? != b"little"
    {
        let (file, what) = (file.name.clone(), "is not of little-endian byte order".into());
        return Err(Error::Format { file, what, hint: "re-save it on a little-endian machine" });
    }

    if pickle.size > limits.max_pickle_bytes {
        let (file, allowed) = (format!("{}!{}", file.name, pickle.name), limits.max_pickle_bytes);
        return Err(Error::Limit { file, position: 0, limit: "max_pickle_bytes", allowed });
    }
    let bytes = contents(file, &metadata, pickle, pickle.size)?;
    let mut reader = bytes.as_slice();
    let mut source = Source::new(format!("{}!{}", file.name, pickle.name), &mut reader, bytes.len() as u64);
    let object = unpickle(&mut source, limits, true)?;
    if !source.at_end() {
        return Err(bad(file, &pickle.name, "has more bytes after the pickle"));
    }

    let mut located = HashMap::with_capacity(object.storages.len());
    for storage in &object.storages {
        let name = format!("{root}data/{}", storage.key);
        let storage_fault =
            |what| Error::Storage { file: file.name.clone(), key: storage.key.to_string(), what };
        let entry = by_name.get(name.as_str());
        let entry = entry.ok_or_else(|| storage_fault(format!("entry `{name}` is missing")))?;
        if entry.size != storage.bytes {
            let what = format!("entry `{name}` has {} bytes, the pickle says {}", entry.size, storage.bytes);
            return Err(storage_fault(what));
        }
        let place = if entry.deflated {
            Located::Deflated { metadata: Arc::clone(&metadata), index: entry.index }
        } else {
            Located::Plain { start: entry.start }
        };
        located.insert(Arc::clone(&storage.key), (Arc::clone(storage), place));
    }
    Ok(Opened { root: object.root, located })
}

/// `n` bytes from byte `first` of an entry, inflated. `n` has been checked against a limit.
///
/// Checksums are not compared: torch can be told to write none, and a part of an entry has none.
pub(super) fn inflate(
    file: &PositionedFile,
    metadata: &ZipArchiveMetadata,
    index: usize,
    first: u64,
    n: u64,
) -> Result<Vec<u8>, Error> {
    let zip = |e| zip_error(file, e);
    let mut cursor = BufReader::new(file.cursor(0, file.len));
    let entry = metadata.entry(index).map_err(zip)?;
    let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
    let mut reader = entry.with_reader(&mut cursor, ZipReadOptions::new().ignore_crc32(true)).map_err(zip)?;
    let io = |e: std::io::Error| bad(file, &name, &format!("cannot be inflated: {e}"));
    std::io::copy(&mut reader.by_ref().take(first), &mut std::io::sink()).map_err(io)?;
    let mut bytes = Vec::new();
    reader.take(n).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 != n {
        return Err(bad(file, &name, "is shorter than the directory says"));
    }
    Ok(bytes)
}

fn contents(
    file: &PositionedFile,
    metadata: &ZipArchiveMetadata,
    entry: &Entry,
    max: u64,
) -> Result<Vec<u8>, Error> {
    let n = entry.size.min(max);
    if entry.deflated { inflate(file, metadata, entry.index, 0, n) } else { file.read(entry.start, n) }
}

/// All entries, none overlapping, doubled, encrypted or of a false size.
fn directory(file: &PositionedFile, limits: &Limits) -> Result<(Vec<Entry>, Arc<ZipArchiveMetadata>), Error> {
    let end = end_record(file, limits)?;
    // Local headers are far apart: a small buffer, or each would cost a page of storage.
    let reader = BufReader::with_capacity(512, file.cursor(0, file.len));
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, reader).map_err(|e| zip_error(file, e))?;
    if archive.central_directory_start() != end.directory || archive.has_duplicate_names() {
        return Err(bad(file, "(directory)", "two entries have one name, or there are two directories"));
    }
    archive.validate_header_consistency().map_err(|e| zip_error(file, e))?;

    let mut entries = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|e| zip_error(file, e))?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let deflated = match entry.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => return Err(bad(file, &name, &format!("is compressed by {other}; torch.save stores"))),
        };
        if entry.encrypted() {
            return Err(bad(file, &name, "is encrypted"));
        }
        let (stored, size) = (entry.compressed_size(), entry.size());
        let possible = if deflated { stored.saturating_mul(MAX_RATIO) } else { stored };
        if size > possible || (!deflated && size != stored) {
            return Err(bad(file, &name, &format!("is said to hold {size} bytes in {stored}")));
        }
        let header = entry.header_start();
        let start = entry.data_start().unwrap_or(u64::MAX);
        if start.checked_add(stored).is_none_or(|past| past > end.directory) {
            return Err(bad(file, &name, "reaches into the directory or past the end of the file"));
        }
        entries.push(Entry { name, index, header, start, stored, size, deflated });
    }
    entries.sort_unstable_by_key(|e| e.header);
    for pair in entries.windows(2) {
        if pair[0].start + pair[0].stored > pair[1].header {
            return Err(bad(file, &pair[1].name, &format!("overlaps `{}`", pair[0].name)));
        }
    }
    Ok((entries, archive.metadata()))
}

struct EndRecord {
    directory: u64,
}

/// The end of central directory, read by ourselves first: the number of entries has to be bounded before the
/// zip crate makes a table of them, and a torch archive ends exactly there, without a comment.
fn end_record(file: &PositionedFile, limits: &Limits) -> Result<EndRecord, Error> {
    const END: u64 = 22;
    const LOCATOR: u64 = 20;
    const END64: u64 = 56;
    let broken = |what: &str| bad(file, "(directory)", what);
    let tail_len = file.len.min(END + LOCATOR + END64);
    let tail = file.read(file.len - tail_len, tail_len)?;
    let at =
        |back: u64| tail_len.checked_sub(back).and_then(|at| tail.get(at as usize..)).unwrap_or_default();
    let field = |record: &[u8], from: usize, n: usize| {
        let bytes = record.get(from..from + n).unwrap_or_default();
        bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte))
    };

    let end = at(END);
    if !end.starts_with(b"PK\x05\x06") || field(end, 20, 2) != 0 {
        return Err(broken("does not end the file: cut short, or followed by other bytes"));
    }
    let (mut count, mut size, mut start) = (field(end, 10, 2), field(end, 12, 4), field(end, 16, 4));
    let mut record = file.len - END;
    let locator = at(END + LOCATOR);
    if locator.starts_with(b"PK\x06\x07") {
        let end64 = at(END + LOCATOR + END64);
        record = file.len - END - LOCATOR - tail_len.min(END64);
        if !end64.starts_with(b"PK\x06\x06") || field(locator, 8, 8) != record {
            return Err(broken("has a 64-bit end record in an unknown place"));
        }
        (count, size, start) = (field(end64, 32, 8), field(end64, 40, 8), field(end64, 48, 8));
    }
    if count > limits.max_entries {
        let (file, position) = (file.name.clone(), record);
        return Err(Error::Limit { file, position, limit: "max_entries", allowed: limits.max_entries });
    }
    // 46 bytes is an entry without a name; torch's take about 80, and none needs a thousand
    let plausible = count * 46 <= size && size <= count.saturating_mul(1024);
    if !plausible || start.checked_add(size) != Some(record) {
        return Err(broken(&format!("is said to be {size} bytes for {count} entries from byte {start}")));
    }
    Ok(EndRecord { directory: start })
}

fn zip_error(file: &PositionedFile, error: zip::result::ZipError) -> Error {
    match error {
        zip::result::ZipError::Io(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
            file.io("read", source)
        }
        other => bad(file, "(directory)", &other.to_string()),
    }
}

fn bad(file: &PositionedFile, entry: &str, what: &str) -> Error {
    Error::Entry { file: file.name.clone(), entry: entry.to_owned(), what: what.to_owned() }
}
