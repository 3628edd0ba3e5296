//! Blocks of numbers: base64 in a column, little-endian inside.

use bytes::Bytes;

use crate::reject::{Code, RejectReason};

/// The feature numbers of one picture as the source has them: `regions` rows of equal length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RegionBlock {
    pub(super) regions: u32,
    pub(super) bytes: Vec<u8>,
}

impl RegionBlock {
    /// Decodes a column of base64.
    pub(super) fn from_base64(regions: u32, column: &[u8]) -> Result<RegionBlock, RejectReason> {
        Ok(RegionBlock { regions, bytes: decode_base64(column, "features")? })
    }

    /// f32 numbers a region, if the block has regions and divides evenly among them.
    pub(super) fn columns(&self) -> Result<u32, RejectReason> {
        let row = self.regions as usize * 4;
        if row == 0 {
            return Err(RejectReason::new(Code::WrongLength, "the picture has no regions"));
        }
        if self.bytes.is_empty() || !self.bytes.len().is_multiple_of(row) {
            return Err(self.wrong_length());
        }
        // A line has fewer than 2^32 bytes, so this fits.
        Ok((self.bytes.len() / row) as u32)
    }

    /// Checks that the block is `regions x columns` finite numbers.
    pub(super) fn check(&self, columns: u32) -> Result<(), RejectReason> {
        if self.bytes.len() as u64 != u64::from(self.regions) * u64::from(columns) * 4 {
            let found = self.columns().map_err(|_| self.wrong_length())?;
            let message = format!(
                "{} regions of {found} numbers each; the data set has {columns} (or the count of regions is wrong)",
                self.regions
            );
            return Err(RejectReason::new(Code::WrongWidth, message));
        }
        match first_not_finite(&self.bytes) {
            None => Ok(()),
            Some(index) => {
                let (region, column) = (index / columns as usize, index % columns as usize);
                let message = format!("feature {column} of region {region} is not a finite number");
                Err(RejectReason::new(Code::NonFinite, message))
            }
        }
    }

    /// The checked block of `regions x width` numbers, not copied.
    pub(super) fn into_features(self, width: u32) -> Result<Bytes, RejectReason> {
        self.check(width)?;
        Ok(Bytes::from(self.bytes))
    }

    fn wrong_length(&self) -> RejectReason {
        let message = format!(
            "features have {} bytes, which {} regions of f32 numbers cannot share evenly",
            self.bytes.len(),
            self.regions
        );
        RejectReason::new(Code::WrongLength, message)
    }
}

/// The `N` columns of a line. A tab too many is found when the last column, the long one, is decoded.
pub(super) fn columns<const N: usize>(line: &[u8]) -> Result<[&[u8]; N], RejectReason> {
    let mut rest = line;
    let mut columns = [&line[..0]; N];
    for (index, column) in columns[..N - 1].iter_mut().enumerate() {
        let Some(end) = memchr::memchr(b'\t', rest) else {
            let message = format!("the line has {} columns, not {N}", index + 1);
            return Err(RejectReason::new(Code::WrongColumns, message));
        };
        (*column, rest) = (&rest[..end], &rest[end + 1..]);
    }
    columns[N - 1] = rest;
    Ok(columns)
}

/// `count` rows of `N` finite f32 numbers from a column of base64.
pub(super) fn f32_rows<const N: usize>(
    column: &[u8],
    count: u32,
    what: &str,
) -> Result<Vec<[f32; N]>, RejectReason> {
    let bytes = exactly(column, count as usize * N * 4, count, what)?;
    if let Some(index) = first_not_finite(&bytes) {
        let message = format!("number {} of {what} {} is not finite", index % N, index / N);
        return Err(RejectReason::new(Code::NonFinite, message));
    }
    let numbers = bytes.as_chunks::<4>().0;
    let row = |row: &[[u8; 4]; N]| row.map(f32::from_le_bytes);
    Ok(numbers.as_chunks::<N>().0.iter().map(row).collect())
}

/// `count` i64 numbers from a column of base64.
pub(super) fn i64s(column: &[u8], count: u32, what: &str) -> Result<Vec<i64>, RejectReason> {
    let bytes = exactly(column, count as usize * 8, count, what)?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|&number| i64::from_le_bytes(number)).collect())
}

/// A count or a size in decimal digits.
pub(super) fn number(column: &[u8], what: &str) -> Result<u32, RejectReason> {
    let text = column.trim_ascii();
    let number = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    number.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let shown = String::from_utf8_lossy(&text[..text.len().min(40)]);
        RejectReason::new(Code::BadNumber, format!("{what} is `{shown}`, not a number"))
    })
}

/// The side of a picture in pixels: a number above 0.
pub(super) fn pixels(column: &[u8], what: &str) -> Result<u32, RejectReason> {
    match number(column, what)? {
        0 => Err(RejectReason::new(Code::BadNumber, format!("{what} is 0"))),
        side => Ok(side),
    }
}

fn exactly(column: &[u8], expected: usize, count: u32, what: &str) -> Result<Vec<u8>, RejectReason> {
    let bytes = decode_base64(column, what)?;
    if bytes.len() == expected {
        return Ok(bytes);
    }
    let message = format!("{what} have {} bytes; {count} regions need {expected}", bytes.len());
    Err(RejectReason::new(Code::WrongLength, message))
}

/// One allocation of the exact size, filled once.
pub(crate) fn decode_base64(column: &[u8], what: &str) -> Result<Vec<u8>, RejectReason> {
    base64_simd::STANDARD.decode_to_vec(column).map_err(|_| {
        // Only a failure pays for a second look.
        let strange = |&byte: &u8| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        let message = match column.iter().position(strange) {
            Some(place) if column[place] == b'\t' => {
                let message = format!("a tab inside {what}: the line has more columns than its format");
                return RejectReason::new(Code::WrongColumns, message);
            }
            Some(place) => format!("byte 0x{:02x} at place {place} of {what} is not base64", column[place]),
            None => format!("{what} are cut base64: {} characters or wrong padding", column.len()),
        };
        RejectReason::new(Code::BadBase64, message)
    })
}

/// Index of the first f32 that is NaN or infinite: all exponent bits set.
fn first_not_finite(bytes: &[u8]) -> Option<usize> {
    let bad = |word: &[u8; 4]| u32::from_le_bytes(*word) & 0x7f80_0000 == 0x7f80_0000;
    let words = bytes.as_chunks::<4>().0;
    // Whole runs without a branch, so that the compiler makes vector code of it.
    let run = words.chunks(1024).position(|run| run.iter().fold(false, |any, word| any | bad(word)))?;
    words.iter().skip(run * 1024).position(bad).map(|place| run * 1024 + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(bytes: &[u8]) -> Vec<u8> {
        base64_simd::STANDARD.encode_to_string(bytes).into_bytes()
    }

    fn floats(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    fn code<T: std::fmt::Debug>(result: Result<T, RejectReason>) -> Code {
        result.unwrap_err().code
    }

    #[test]
    fn a_block_is_the_bytes_of_its_source() {
        let bytes = floats(&[1.5, -2.0, 0.0, f32::MIN_POSITIVE, f32::MAX, -0.0]);
        let block = RegionBlock::from_base64(2, &base64(&bytes)).unwrap();
        assert_eq!(block.columns(), Ok(3));
        assert_eq!(&block.into_features(3).unwrap()[..], bytes);
    }

    #[test]
    fn lengths_and_widths_are_told_apart() {
        let block = RegionBlock { regions: 2, bytes: vec![0; 24] };
        assert_eq!(code(block.clone().into_features(4)), Code::WrongWidth);
        let block = RegionBlock { regions: 5, ..block };
        assert_eq!(code(block.clone().into_features(3)), Code::WrongLength);
        assert_eq!(code(RegionBlock { regions: 0, ..block }.into_features(3)), Code::WrongLength);
        assert!(RegionBlock { regions: 0, bytes: vec![] }.into_features(3).unwrap().is_empty());
        assert_eq!(code(f32_rows::<4>(&base64(&[0; 12]), 1, "boxes")), Code::WrongLength);
        assert_eq!(code(i64s(&base64(&[0; 12]), 1, "objects_id")), Code::WrongLength);
    }

    #[test]
    fn every_place_of_a_number_that_is_not_finite_is_found() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 1, 1023, 1024, 1025, 4095] {
                let mut numbers = vec![f32::MAX; 4096];
                numbers[place] = bad;
                assert_eq!(first_not_finite(&floats(&numbers)), Some(place));
                let refused = RegionBlock { regions: 2, bytes: floats(&numbers) }.check(2048).unwrap_err();
                assert_eq!(refused.code, Code::NonFinite);
                let named = format!("feature {} of region {}", place % 2048, place / 2048);
                assert!(refused.message.starts_with(&named), "{}", refused.message);
            }
        }
        assert_eq!(first_not_finite(&floats(&[f32::MAX; 5000])), None);
    }

    #[test]
    fn base64_is_strict() {
        assert_eq!(code(decode_base64(b"AAA", "boxes")), Code::BadBase64);
        assert_eq!(code(decode_base64(b"AA A", "boxes")), Code::BadBase64);
        assert_eq!(code(decode_base64(b"AB==", "boxes")), Code::BadBase64); // bits left over
        assert_eq!(code(decode_base64(b"AAAA\tAAAA", "boxes")), Code::WrongColumns);
        assert_eq!(decode_base64(b"", "boxes"), Ok(vec![]));
    }

    #[test]
    fn counts_are_plain_digits() {
        assert_eq!(number(b" 36 ", "num_boxes"), Ok(36));
        for bad in [&b""[..], b"-1", b"+1", b"3.0", b"99999999999", b"\xff"] {
            assert_eq!(code(number(bad, "num_boxes")), Code::BadNumber);
        }
        assert_eq!(code(pixels(b"0", "img_h")), Code::BadNumber);
    }
}
