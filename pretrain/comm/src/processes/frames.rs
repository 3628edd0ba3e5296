//! What goes through a socket between two ranks: little-endian, each part preceded by its length.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::meeting::Payload;
use crate::{Error, Result};

/// The longest name of an operation, in bytes: names are made by this crate.
const LONGEST_NAME: u64 = 1 << 12;

/// One end of a socket with a moment until which it waits.
pub(super) struct Line<'a> {
    pub(super) stream: &'a UnixStream,
    pub(super) until: Instant,
}

/// Why nothing came, or nothing could be sent.
#[derive(Debug)]
pub(super) enum Broken {
    Late,
    Left,
    Other(String),
}

impl Line<'_> {
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> std::result::Result<(), Broken> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(self.left()?)).map_err(Broken::of)?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(Broken::Left),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::of(error)),
            }
        }
        Ok(())
    }

    pub(super) fn read(&mut self, mut into: &mut [u8]) -> std::result::Result<(), Broken> {
        while !into.is_empty() {
            self.stream.set_read_timeout(Some(self.left()?)).map_err(Broken::of)?;
            match self.stream.read(into) {
                Ok(0) => return Err(Broken::Left),
                Ok(n) => into = &mut into[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::of(error)),
            }
        }
        Ok(())
    }

    pub(super) fn read_u64(&mut self) -> std::result::Result<u64, Broken> {
        let mut bytes = [0; 8];
        self.read(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(super) fn write_text(&mut self, text: &str) -> std::result::Result<(), Broken> {
        self.write(&(text.len() as u64).to_le_bytes())?;
        self.write(text.as_bytes())
    }

    pub(super) fn read_text(&mut self) -> std::result::Result<String, Broken> {
        let length = self.read_u64()?;
        if length > LONGEST_NAME {
            return Err(Broken::Other(format!("it names an operation in {length} bytes")));
        }
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes)?;
        String::from_utf8(bytes).map_err(|error| Broken::Other(error.to_string()))
    }

    pub(super) fn write_payload(&mut self, payload: &Payload) -> std::result::Result<(), Broken> {
        let (kind, bytes): (u64, Vec<u8>) = match payload {
            Payload::Nothing => (0, Vec::new()),
            Payload::Singles(values) => (1, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Payload::Doubles(values) => (2, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        };
        self.write(&kind.to_le_bytes())?;
        self.write(&(bytes.len() as u64).to_le_bytes())?;
        self.write(&bytes)
    }

    /// At most `longest` bytes.
    pub(super) fn read_payload(&mut self, longest: u64) -> std::result::Result<Payload, Broken> {
        let (kind, length) = (self.read_u64()?, self.read_u64()?);
        let width = [0, 4, 8].get(kind as usize).copied();
        if length > longest || width.is_none_or(|width: u64| length.checked_rem(width).unwrap_or(length) != 0)
        {
            return Err(Broken::Other(format!("it sends {length} bytes of kind {kind}")));
        }
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes)?;
        Ok(match kind {
            1 => Payload::Singles(bytes.as_chunks().0.iter().map(|one| f32::from_le_bytes(*one)).collect()),
            2 => Payload::Doubles(bytes.as_chunks().0.iter().map(|one| f64::from_le_bytes(*one)).collect()),
            _ => Payload::Nothing,
        })
    }

    /// An error that all ranks get, so that all say the same.
    pub(super) fn write_error(&mut self, error: &Error) -> std::result::Result<(), Broken> {
        let none = String::new();
        let (kind, rank, number, waited, first, second) = match error {
            Error::Late { rank, operation, number, waited } => (0, *rank, *number, *waited, operation, &none),
            Error::Left { rank, operation, number } => (1, *rank, *number, Duration::ZERO, operation, &none),
            Error::Mismatch { rank, got, expected, number } => {
                (2, *rank, *number, Duration::ZERO, got, expected)
            }
            Error::Unreachable { rank, problem } => (3, *rank, 0, Duration::ZERO, problem, &none),
            Error::Unavailable { .. } | Error::Link { .. } | Error::NoSuchRank { .. } => {
                (3, 0, 0, Duration::ZERO, &none, &none)
            }
        };
        for number in [kind, rank as u64, number, waited.as_millis() as u64] {
            self.write(&number.to_le_bytes())?;
        }
        self.write_text(first)?;
        self.write_text(second)
    }

    pub(super) fn read_error(&mut self) -> std::result::Result<Error, Broken> {
        let [kind, rank, number, waited] =
            [self.read_u64()?, self.read_u64()?, self.read_u64()?, self.read_u64()?];
        let (rank, first, second) = (rank as usize, self.read_text()?, self.read_text()?);
        Ok(match kind {
            0 => Error::Late { rank, operation: first, number, waited: Duration::from_millis(waited) },
            1 => Error::Left { rank, operation: first, number },
            2 => Error::Mismatch { rank, got: first, expected: second, number },
            _ => Error::Unreachable { rank, problem: first },
        })
    }

    fn left(&self) -> std::result::Result<Duration, Broken> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Broken::Late) } else { Ok(left) }
    }
}

impl Broken {
    pub(super) fn of(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Late,
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => Self::Left,
            _ => Self::Other(error.to_string()),
        }
    }

    /// As the error of everybody, when it was `rank` that did not come to an operation since `start`.
    pub(super) fn at(self, rank: usize, operation: &str, number: u64, start: Instant) -> Error {
        let operation = operation.to_owned();
        match self {
            Self::Late => Error::Late { rank, operation, number, waited: start.elapsed() },
            Self::Left => Error::Left { rank, operation, number },
            Self::Other(problem) => Error::Unreachable { rank, problem },
        }
    }
}

/// A result whose error belongs to `rank`.
pub(super) fn of_rank<T>(
    result: std::result::Result<T, Broken>,
    rank: usize,
    operation: &str,
    number: u64,
    start: Instant,
) -> Result<T> {
    result.map_err(|broken| broken.at(rank, operation, number, start))
}
