//! What the table knows of the texts of one shard, and how it lies in the file.

use std::ops::Range;

/// The texts of one shard, in stored order, ready to be written.
///
/// ```text
/// token ids     2 or 4 bytes each      a of every text, b once where texts share it
/// records       24 bytes a text
/// texts with b  4 bytes each           indices of records, ascending
/// answered      4 bytes each           the same for questions with answers
/// ```
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    pub(super) ids: Vec<u32>,
    pub(super) records: Vec<Record>,
    pub(super) with_b: Vec<u32>,
    pub(super) answered: Vec<u32>,
}

/// One text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Tells pictures apart; see [`picture_number`].
    pub(super) picture: u64,
    /// Its row in the shard.
    pub(super) row: u32,
    /// Its words among the section's ids.
    pub(super) a: Ids,
    /// Its tags or answer among the section's ids; empty where it has none.
    pub(super) b: Ids,
}

/// A part of a section's ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ids {
    pub(super) first: u32,
    pub(super) len: u16,
}

/// Bytes of a record in the file.
pub(super) const RECORD_BYTES: usize = 24;

impl Ids {
    pub(super) fn is_empty(self) -> bool {
        self.len == 0
    }

    pub(super) fn range(self) -> Range<u64> {
        u64::from(self.first)..u64::from(self.first) + u64::from(self.len)
    }
}

impl Record {
    pub(super) fn to_bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&self.picture.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.row.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.a.first.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.b.first.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.a.len.to_le_bytes());
        bytes[22..].copy_from_slice(&self.b.len.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; RECORD_BYTES]) -> Record {
        let [p0, p1, p2, p3, p4, p5, p6, p7, r0, r1, r2, r3, a0, a1, a2, a3, b0, b1, b2, b3, la, lb, ma, mb] =
            bytes;
        Record {
            picture: u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]),
            row: u32::from_le_bytes([r0, r1, r2, r3]),
            a: Ids { first: u32::from_le_bytes([a0, a1, a2, a3]), len: u16::from_le_bytes([la, lb]) },
            b: Ids { first: u32::from_le_bytes([b0, b1, b2, b3]), len: u16::from_le_bytes([ma, mb]) },
        }
    }
}

/// A number by which a picture is known again in another row: COCO's pictures are rows of captions, of VQA and of GQA.
///
/// It is the 64-bit FNV-1a hash of the image id without its source. Two pictures of unlike sources may share an id; then
/// they are not exchanged for each other, which costs nothing, whereas a picture taken for another one would be a wrong label.
pub(super) fn picture_number(image_id: &str) -> u64 {
    image_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let record = Record {
            picture: 0x0123_4567_89ab_cdef,
            row: 0x1122_3344,
            a: Ids { first: 0x5566_7788, len: 0x99aa },
            b: Ids { first: 0xbbcc_ddee, len: 0xff01 },
        };
        assert_eq!(Record::from_bytes(record.to_bytes()), record);
    }

    #[test]
    fn the_published_values_of_fnv_1a() {
        assert_eq!(picture_number(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(picture_number("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(picture_number("foobar"), 0x8594_4171_f739_67e8);
    }
}
