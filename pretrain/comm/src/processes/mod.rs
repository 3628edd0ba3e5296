//! Ranks that are processes of one machine, over Unix sockets: no MPI needed.
//!
//! Rank 0 is the hub. In each operation all others send it what they bring, it adds up in the order of the ranks, and
//! sends everybody the result; so sums have the bits that [`threads`](crate::threads) give them. The first thing that goes
//! wrong is told to all who can still be reached. What a stopped process leaves undone ends the wait of the others, and
//! nobody waits longer than its patience.

mod frames;

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use frames::{Line, of_rank};

use crate::meeting::Payload;
use crate::sums::add_in_order;
use crate::{Collective, Error, Result};

/// Opens a conversation, so that a stranger's socket is noticed.
const GREETING: u64 = 0x6f73_6361_7230_3031;
/// How much longer the others wait for rank 0, which knows better than they who is missing.
const FOR_THE_HUB: Duration = Duration::from_secs(2);
/// Bytes that a rank may bring where the operation does not say how many.
const LONGEST_GATHER: u64 = 1 << 30;
const OK: u64 = 0;

/// One process of a group.
#[derive(Debug)]
pub struct Processes {
    rank: usize,
    world: usize,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// To ranks 1, 2, ... on rank 0; to rank 0 on the others.
    streams: Vec<UnixStream>,
    /// Operations that are complete.
    number: u64,
    broken: Option<Error>,
}

impl Processes {
    /// Rank `rank` of `world` processes that meet at `socket`, a path that does not exist yet. They wait for one another at
    /// most as long as `patience`.
    ///
    /// # Errors
    /// A rank that does not come, comes twice, or is of another group; the system's.
    pub fn meet(socket: &Path, rank: usize, world: usize, patience: Duration) -> Result<Self> {
        if rank >= world {
            return Err(Error::NoSuchRank { rank, world });
        }
        let until = Instant::now() + patience;
        let streams = if rank == 0 {
            accept(socket, world, until, patience)?
        } else {
            vec![connect(socket, rank, world, until, patience)?]
        };
        let state = State { streams, number: 0, broken: None };
        Ok(Self { rank, world, patience, state: Mutex::new(state) })
    }

    /// Brings `payload` to an operation, and takes away what `combine` makes on rank 0 of what all have brought.
    fn exchange(
        &self,
        operation: &str,
        longest: u64,
        payload: Payload,
        combine: impl FnOnce(Vec<Payload>) -> Payload,
    ) -> Result<Payload> {
        let mut state = self.lock();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        let done = if self.rank == 0 {
            self.as_hub(&state, operation, longest, payload, combine)
        } else {
            self.as_spoke(&state, operation, longest, &payload)
        };
        state.number += 1;
        done.inspect_err(|error| state.broken = Some(error.clone()))
    }

    fn as_hub(
        &self,
        state: &State,
        operation: &str,
        longest: u64,
        payload: Payload,
        combine: impl FnOnce(Vec<Payload>) -> Payload,
    ) -> Result<Payload> {
        let (start, number) = (Instant::now(), state.number);
        let until = start + self.patience;
        let ranks = || state.streams.iter().zip(1..).map(|(stream, rank)| (Line { stream, until }, rank));
        let mut brought = vec![payload];
        let collected = ranks().try_for_each(|(mut line, rank)| {
            let got = of_rank(line.read_text(), rank, operation, number, start)?;
            if got != operation {
                return Err(Error::Mismatch { rank, got, expected: operation.to_owned(), number });
            }
            brought.push(of_rank(line.read_payload(longest), rank, operation, number, start)?);
            Ok(())
        });
        if let Err(error) = collected {
            // those who can still hear it are told; whether they do changes nothing here
            let until = Instant::now() + FOR_THE_HUB / 2;
            for stream in &state.streams {
                let mut line = Line { stream, until };
                drop(line.write(&1u64.to_le_bytes()).and_then(|()| line.write_error(&error)));
            }
            return Err(error);
        }
        let combined = combine(brought);
        for (mut line, rank) in ranks() {
            let sent = line.write(&OK.to_le_bytes()).and_then(|()| line.write_payload(&combined));
            of_rank(sent, rank, operation, number, start)?;
        }
        Ok(combined)
    }

    fn as_spoke(&self, state: &State, operation: &str, longest: u64, payload: &Payload) -> Result<Payload> {
        let (start, number) = (Instant::now(), state.number);
        let mut line = Line { stream: &state.streams[0], until: start + self.patience + FOR_THE_HUB };
        // rank 0 may have given up and said why before it took this
        let sent = line.write_text(operation).and_then(|()| line.write_payload(payload));
        let answer = line.read_u64();
        if let (Err(broken), Err(_)) = (sent, &answer) {
            return Err(broken.at(0, operation, number, start));
        }
        if of_rank(answer, 0, operation, number, start)? != OK {
            return Err(of_rank(line.read_error(), 0, operation, number, start)?);
        }
        of_rank(line.read_payload(longest.saturating_mul(self.world as u64 + 1)), 0, operation, number, start)
    }

    /// Nothing that holds the lock leaves the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On rank 0: everybody else, in the order of the ranks.
fn accept(socket: &Path, world: usize, until: Instant, patience: Duration) -> Result<Vec<UnixStream>> {
    let failed = |error: std::io::Error| {
        let problem = format!("{}: {error}", socket.display());
        Error::Unreachable { rank: 0, problem }
    };
    let listener = UnixListener::bind(socket).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let mut streams: Vec<Option<UnixStream>> = (1..world).map(|_| None).collect();
    while let Some(missing) = streams.iter().position(Option::is_none) {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(failed)?;
                let mut line = Line { stream: &stream, until };
                let said = [line.read_u64(), line.read_u64(), line.read_u64()];
                let [Ok(GREETING), Ok(rank), Ok(theirs)] = said else { continue };
                let seat = (rank as usize).checked_sub(1).and_then(|seat| streams.get_mut(seat));
                match seat.filter(|seat| theirs == world as u64 && seat.is_none()) {
                    Some(seat) => *seat = Some(stream),
                    None => {
                        let problem = format!("it says to be rank {rank} of {theirs}, in a world of {world}");
                        return Err(Error::Unreachable { rank: rank as usize, problem });
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if Instant::now() >= until {
                    return Err(not_met(missing + 1, patience));
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(streams.into_iter().flatten().collect())
}

/// On all others: rank 0, as soon as it is there.
fn connect(
    socket: &Path,
    rank: usize,
    world: usize,
    until: Instant,
    patience: Duration,
) -> Result<UnixStream> {
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            let mut line = Line { stream: &stream, until };
            for number in [GREETING, rank as u64, world as u64] {
                line.write(&number.to_le_bytes()).map_err(|_| not_met(0, patience))?;
            }
            return Ok(stream);
        }
        if Instant::now() >= until {
            return Err(not_met(0, patience));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn not_met(rank: usize, waited: Duration) -> Error {
    Error::Late { rank, operation: "the start".to_owned(), number: 0, waited }
}

impl Collective for Processes {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<()> {
        let operation = format!("all_reduce_sum of {} f32", values.len());
        let (longest, payload) = (4 * values.len() as u64, Payload::Singles(values.to_vec()));
        let mut sum = vec![0.0; values.len()];
        let combined = self.exchange(&operation, longest, payload, |brought| {
            add_in_order(&mut sum, brought.iter().filter_map(Payload::singles));
            Payload::Singles(sum)
        })?;
        values.copy_from_slice(self.of_length(combined.singles(), values.len())?);
        Ok(())
    }

    fn all_reduce_sum_f64(&self, values: &mut [f64]) -> Result<()> {
        let operation = format!("all_reduce_sum of {} f64", values.len());
        let (longest, payload) = (8 * values.len() as u64, Payload::Doubles(values.to_vec()));
        let mut sum = vec![0.0; values.len()];
        let combined = self.exchange(&operation, longest, payload, |brought| {
            add_in_order(&mut sum, brought.iter().filter_map(Payload::doubles));
            Payload::Doubles(sum)
        })?;
        values.copy_from_slice(self.of_length(combined.doubles(), values.len())?);
        Ok(())
    }

    fn broadcast(&self, values: &mut [f32], root: usize) -> Result<()> {
        if root >= self.world {
            return Err(Error::NoSuchRank { rank: root, world: self.world });
        }
        let operation = format!("broadcast of {} f32 from rank {root}", values.len());
        let payload = if self.rank == root { Payload::Singles(values.to_vec()) } else { Payload::Nothing };
        let combined = self.exchange(&operation, 4 * values.len() as u64, payload, |mut brought| {
            brought.swap_remove(root)
        })?;
        values.copy_from_slice(self.of_length(combined.singles(), values.len())?);
        Ok(())
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        let payload = Payload::Doubles(values.to_vec());
        // first how much each rank brings, then all of it
        let combined = self.exchange("gather", LONGEST_GATHER, payload, |brought| {
            let parts: Vec<&[f64]> = brought.iter().filter_map(Payload::doubles).collect();
            let lengths = parts.iter().map(|part| part.len() as f64);
            Payload::Doubles(lengths.chain(parts.iter().copied().flatten().copied()).collect())
        })?;
        let all = combined.doubles().unwrap_or_default();
        let (lengths, mut rest) = all.split_at_checked(self.world).unwrap_or_default();
        let parts = lengths.iter().map(|length| {
            let (part, after) = rest.split_at_checked(*length as usize)?;
            rest = after;
            Some(part.to_vec())
        });
        let parts = parts.collect::<Option<Vec<_>>>().filter(|parts| parts.len() == self.world);
        parts.ok_or_else(wrong_answer)
    }

    fn barrier(&self) -> Result<()> {
        self.exchange("barrier", 0, Payload::Nothing, |_| Payload::Nothing).map(|_| ())
    }
}

impl Processes {
    fn of_length<'a, T>(&self, values: Option<&'a [T]>, length: usize) -> Result<&'a [T]> {
        values.filter(|values| values.len() == length).ok_or_else(wrong_answer)
    }
}

fn wrong_answer() -> Error {
    Error::Unreachable { rank: 0, problem: "its answer is none to what was asked".to_owned() }
}

#[cfg(test)]
mod tests;
