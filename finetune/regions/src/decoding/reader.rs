//! Bytes in memory, as zune-jpeg asks for them.
//!
//! Its own cursor copies as many bytes as are left, which is a call of `memcpy` for every four bytes of a picture.
//! Here a read of four bytes is one move.

use zune_jpeg::zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};

/// A position in a stream. Only seeking moves it behind the end.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

impl ZByteReaderTrait for Reader<'_> {
    #[inline(always)]
    fn read_byte_no_error(&mut self) -> u8 {
        match self.bytes.get(self.at) {
            Some(&byte) => {
                self.at += 1;
                byte
            }
            None => 0,
        }
    }

    #[inline(always)]
    fn read_exact_bytes(&mut self, buf: &mut [u8]) -> Result<(), ZByteIoError> {
        self.peek_exact_bytes(buf)?;
        self.at += buf.len();
        Ok(())
    }

    #[inline]
    fn read_bytes(&mut self, buf: &mut [u8]) -> Result<usize, ZByteIoError> {
        let count = self.peek_bytes(buf)?;
        self.at += count;
        Ok(count)
    }

    #[inline]
    fn peek_bytes(&mut self, buf: &mut [u8]) -> Result<usize, ZByteIoError> {
        let rest = self.rest();
        let count = buf.len().min(rest.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    #[inline(always)]
    fn peek_exact_bytes(&mut self, buf: &mut [u8]) -> Result<(), ZByteIoError> {
        match self.rest().get(..buf.len()) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(ZByteIoError::NotEnoughBytes(self.rest().len(), buf.len())),
        }
    }

    fn z_seek(&mut self, from: ZSeekFrom) -> Result<u64, ZByteIoError> {
        let place = match from {
            ZSeekFrom::Start(place) => usize::try_from(place).ok(),
            ZSeekFrom::End(offset) => moved(self.bytes.len(), offset),
            ZSeekFrom::Current(offset) => moved(self.at, offset),
        };
        self.at = place.ok_or(ZByteIoError::SeekError("a place outside of memory"))?;
        Ok(self.at as u64)
    }

    #[inline(always)]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        Ok(self.at >= self.bytes.len())
    }

    #[inline(always)]
    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        Ok(self.at as u64)
    }

    fn read_remaining(&mut self, sink: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        let rest = self.rest();
        sink.extend_from_slice(rest);
        self.at += rest.len();
        Ok(rest.len())
    }
}

fn moved(from: usize, offset: i64) -> Option<usize> {
    from.checked_add_signed(isize::try_from(offset).ok()?)
}

#[cfg(test)]
mod tests {
    use zune_jpeg::zune_core::bytestream::ZCursor;

    use super::*;

    /// Every step leaves both readers with the same result at the same place.
    #[test]
    fn reads_as_the_decoders_own_cursor() {
        let bytes: Vec<u8> = (1..=23).collect();
        let (mut ours, mut theirs) = (Reader::new(&bytes), ZCursor::new(&bytes));
        let mut state = 1_u32;
        for step in 0..4000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let length = (state >> 8) as usize % 6;
            let place = i64::from(state >> 12) % 32;
            let (mut our, mut their) = ([0; 6], [0; 6]);
            let (our, their) = (&mut our[..length], &mut their[..length]);
            // What an error leaves in the buffer is nobody's business.
            let done = |read: Result<(), ZByteIoError>, buf: &[u8]| read.is_ok().then(|| buf.to_vec());
            let to = || match state >> 24 & 3 {
                0 => ZSeekFrom::Start(place as u64),
                1 => ZSeekFrom::Current(place - 16),
                _ => ZSeekFrom::End(place - 28),
            };
            let same = match state >> 28 {
                0..=3 => ours.read_byte_no_error() == theirs.read_byte_no_error(),
                4..=7 => done(ours.read_exact_bytes(our), our) == done(theirs.read_exact_bytes(their), their),
                8 | 9 => ours.read_bytes(our).ok() == theirs.read_bytes(their).ok() && our == their,
                10 => ours.peek_bytes(our).ok() == theirs.peek_bytes(their).ok() && our == their,
                11 => done(ours.peek_exact_bytes(our), our) == done(theirs.peek_exact_bytes(their), their),
                12..=14 => ours.z_seek(to()).ok() == theirs.z_seek(to()).ok(),
                _ => {
                    let (mut our, mut their) = (Vec::new(), Vec::new());
                    let counts = (ours.read_remaining(&mut our), theirs.read_remaining(&mut their));
                    counts.0.ok() == counts.1.ok() && our == their
                }
            };
            assert!(same, "step {step}");
            assert_eq!(ours.z_position().ok(), theirs.z_position().ok(), "step {step}");
            assert_eq!(ours.is_eof().ok(), theirs.is_eof().ok(), "step {step}");
        }
    }
}
