//! TensorBoard's event files.
//!
//! A file is a sequence of records: length (u64), masked CRC-32C of the length, the bytes, masked CRC-32C of the bytes,
//! all little-endian. Each record is a protocol buffer `Event`; of its fields these are used:
//!
//! ```text
//! Event      1 wall_time double   2 step int64   3 file_version string   5 summary Summary   7 session_log SessionLog
//! Summary    1 value Value, repeated             SessionLog 1 status: 1 = START
//! Value      1 tag string         2 simple_value float
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Result;

#[derive(Debug)]
pub(super) struct Events {
    file: File,
    path: PathBuf,
}

impl Events {
    /// A new file in `folder`. TensorBoard forgets what other files say of steps after `step`.
    pub(super) fn create(folder: &Path, step: u64) -> Result<Self> {
        let now = since_1970();
        let mut nth = 0;
        let (file, path) = loop {
            // TensorBoard reads the files of a folder in the order of their names
            let path = folder.join(format!("events.out.tfevents.{:010}.{nth:03}", now as u64));
            match OpenOptions::new().create_new(true).append(true).open(&path) {
                Ok(file) => break (file, path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => nth += 1,
                Err(error) => return Err(data_specs::Error::io("create", &path)(error).into()),
            }
        };
        let mut events = Self { file, path };
        let mut version = Vec::new();
        double(&mut version, 1, now);
        bytes(&mut version, 3, b"brain.Event:2");
        events.append(&version)?;
        // There may be older files even at step 0: of a run that died before its first checkpoint.
        const START: u64 = 1;
        let (mut restart, mut session) = (Vec::new(), Vec::new());
        double(&mut restart, 1, now);
        // the first step that will be written again
        varint_field(&mut restart, 2, step + 1);
        varint_field(&mut session, 1, START);
        bytes(&mut restart, 7, &session);
        events.append(&restart)?;
        Ok(events)
    }

    pub(super) fn scalars(&mut self, step: u64, scalars: impl Iterator<Item = (String, f64)>) -> Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut entry = Vec::new();
            bytes(&mut entry, 1, tag.as_bytes());
            entry.push(2 << 3 | FOUR_BYTES);
            entry.extend((value as f32).to_le_bytes());
            bytes(&mut summary, 1, &entry);
        }
        let mut event = Vec::new();
        double(&mut event, 1, since_1970());
        varint_field(&mut event, 2, step);
        bytes(&mut event, 5, &summary);
        self.append(&event)
    }

    fn append(&mut self, event: &[u8]) -> Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let record =
            [&length, &masked_crc(&length).to_le_bytes()[..], event, &masked_crc(event).to_le_bytes()]
                .concat();
        Ok(self.file.write_all(&record).map_err(data_specs::Error::io("append to", &self.path))?)
    }
}

fn since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Wire types of protocol buffers.
const VARINT: u8 = 0;
const EIGHT_BYTES: u8 = 1;
const WITH_LENGTH: u8 = 2;
const FOUR_BYTES: u8 = 5;

fn double(into: &mut Vec<u8>, field: u8, value: f64) {
    into.push(field << 3 | EIGHT_BYTES);
    into.extend(value.to_le_bytes());
}

fn varint_field(into: &mut Vec<u8>, field: u8, value: u64) {
    into.push(field << 3 | VARINT);
    varint(into, value);
}

fn bytes(into: &mut Vec<u8>, field: u8, content: &[u8]) {
    into.push(field << 3 | WITH_LENGTH);
    varint(into, content.len() as u64);
    into.extend(content);
}

/// Seven bits a byte, the lowest first; all but the last have the top bit.
fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// TensorFlow's mask: checksums of bytes that hold checksums are troublesome.
fn masked_crc(content: &[u8]) -> u32 {
    crc32c::crc32c(content).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4, and the mask of it.
    #[test]
    fn known_checksums() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(b"123456789"), 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn numbers_of_every_length() {
        for (value, wanted) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![0x80, 1]),
            (300, vec![0xac, 2]),
            (u64::MAX, {
                let mut all = vec![0xff; 9];
                all.push(1);
                all
            }),
        ] {
            let mut got = Vec::new();
            varint(&mut got, value);
            assert_eq!(got, wanted);
        }
    }
}
