//! The container of torch before 1.6: pickles one after the other, then the storages.

use std::collections::HashMap;
use std::sync::Arc;

use super::positioned::PositionedFile;
use super::{Located, Opened};
use crate::error::Error;
use crate::limits::Limits;
use crate::pickle::{Source, unpickle};
use crate::value::Value;

/// `0x1950a86a20f9469cfc6c`, least significant byte first.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// Magic number, protocol, system, object, storage keys (five pickles), then per key an int64 count of elements
/// and the elements, to the last byte of the file.
pub(super) fn open(file: &PositionedFile, limits: &Limits) -> Result<Opened, Error> {
    let mut reader = file.cursor(0, file.len);
    let mut source = Source::new(file.name.clone(), &mut reader, file.len);

    // a wrong first pickle is most often a plain pickle, or no pickle at all: say so rather than where it broke
    match unpickle(&mut source, limits, false) {
        Ok(magic) if is_magic(&magic.root) => {}
        Err(error @ Error::Io { .. }) => return Err(error),
        _ => return Err(format(file, "is neither a zip nor a legacy torch archive", OTHERWISE)),
    }
    let protocol = unpickle(&mut source, limits, false)?.root;
    if protocol.as_int() != Some(PROTOCOL) {
        return Err(format(file, "has an unknown torch serialisation protocol (1001 is known)", RESAVE));
    }
    let system = unpickle(&mut source, limits, false)?.root;
    if system.as_dict().and_then(|d| d.get("little_endian")) != Some(&Value::Bool(true)) {
        return Err(format(file, "was not written on a little-endian machine", RESAVE));
    }
    let object = unpickle(&mut source, limits, true)?;
    let keys = unpickle(&mut source, limits, false)?.root;
    let keys = keys.as_items().unwrap_or_default();

    let mut at = source.position();
    let known: HashMap<&str, _> = object.storages.iter().map(|s| (&*s.key, s)).collect();
    let mut located = HashMap::with_capacity(known.len());
    for key in keys {
        let storage = key.as_str().and_then(|key| known.get(key));
        let storage = storage.ok_or_else(|| bad(file, key.as_str(), "is stored but nothing refers to it"))?;
        let key = Some(&*storage.key);
        let count = file.read(at, 8)?;
        let count = count.first_chunk().map_or(0, |&count| u64::from_le_bytes(count));
        if count.checked_mul(storage.element) != Some(storage.bytes) {
            let what = format!("has {count} elements, but the object says {} bytes", storage.bytes);
            return Err(bad(file, key, &what));
        }
        let start = at + 8;
        let available = file.len - start;
        if storage.bytes > available {
            let (file, needed) = (file.name.clone(), storage.bytes);
            return Err(Error::Truncated { file, position: start, needed, available });
        }
        at = start + storage.bytes;
        if located.insert(Arc::clone(&storage.key), (Arc::clone(storage), Located::Plain { start })).is_some()
        {
            return Err(bad(file, key, "is stored twice"));
        }
    }
    if let Some(missing) = object.storages.iter().find(|s| !located.contains_key(&s.key)) {
        return Err(bad(file, Some(&missing.key), "is referred to but not stored"));
    }
    if at != file.len {
        return Err(format(file, "has more bytes after its last storage", RESAVE));
    }
    Ok(Opened { root: object.root, located })
}

const RESAVE: &str = "re-save it with torch.save(...) of a current version, or as safetensors";
const OTHERWISE: &str = "a plain pickle is read by load_pickle";

fn is_magic(value: &Value) -> bool {
    matches!(value, Value::BigInt(bytes) if **bytes == MAGIC)
}

fn format(file: &PositionedFile, what: &str, hint: &'static str) -> Error {
    Error::Format { file: file.name.clone(), what: what.into(), hint }
}

fn bad(file: &PositionedFile, key: Option<&str>, what: &str) -> Error {
    let key = key.unwrap_or("(not text)").to_owned();
    Error::Storage { file: file.name.clone(), key, what: what.into() }
}
