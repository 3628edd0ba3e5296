//! Ranks over NCCL. The same four things as in `disabled.rs`.

use std::fmt::Debug;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaContext, CudaStream, DeviceRepr, DriverError, ValidAsZeroBits};
use cudarc::nccl::result::NcclError;
use cudarc::nccl::{Comm, Id, NcclType, ReduceOp};

use super::{Handover, rendezvous};
use crate::kind::Kind;
use crate::{Collective, Deadline, Error, Result};

/// One process with a GPU of its own.
///
/// What is brought lies on the host, so each operation copies it to the GPU, lets NCCL move it between GPUs, and copies it
/// back. Sums are formed in NCCL's order: all ranks get the same bits, but not those of [`threads`](crate::threads). What a
/// rank asks for is compared before numbers move. NCCL itself waits for ever for a rank that is lost;
/// [`Watched`](crate::Watched) does not.
///
/// A group ends in one of two ways: all call [`finish`](Self::finish), or a process ends without it. Dropped without `finish`, as
/// after an error, it leaves NCCL as it is: to shut it down could be to wait for the others.
///
/// No GPU has run this yet.
pub struct Nccl {
    state: Mutex<State>,
    stream: Arc<CudaStream>,
    rank: usize,
    world: usize,
}

struct State {
    comm: ManuallyDrop<Comm>,
    /// Operations that are complete.
    number: u64,
}

// SAFETY: NCCL's handle belongs to no thread: any may use it, one at a time, which the mutex around the state sees to.
unsafe impl Send for State {}

impl Nccl {
    /// Whether this build has it.
    pub const IS_BUILT: bool = true;

    /// Joins rank `place[0]` of `place[1]`, whose GPU has this number on its machine; all meet, or the deadline ends it.
    ///
    /// # Errors
    /// No such GPU; a rank that does not come to the handover; NCCL's.
    pub fn join(
        [rank, world]: [usize; 2],
        gpu: usize,
        handover: Handover<'_>,
        deadline: &Deadline,
    ) -> Result<Self> {
        if rank >= world {
            return Err(Error::NoSuchRank { rank, world });
        }
        let no_gpu = |error: DriverError| Error::Unavailable {
            what: "NCCL",
            problem: format!("GPU {gpu} cannot be used ({error:?})"),
            hint: "each rank needs a GPU of its own: `nvidia-smi` lists them, CUDA_VISIBLE_DEVICES hides some",
        };
        let stream = CudaContext::new(gpu).and_then(|context| context.new_stream()).map_err(no_gpu)?;
        let drawn =
            if rank == 0 { Some(Id::new().map_err(|error| failed("drawing an id", error))?) } else { None };
        let own = drawn.map(|id| id.internal().map(|byte| byte as u8));
        let bytes = match handover {
            Handover::Ranks(ranks) => handed_over(ranks, own)?,
            Handover::File(path) => match own {
                Some(own) => rendezvous::publish(path, &own).map(|()| own)?,
                None => rendezvous::fetch(path, deadline.timeout)?,
            },
        };
        let id = Id::uninit(bytes.map(|byte| byte as std::ffi::c_char));
        let met = deadline.guard([rank, world], "the meeting over NCCL", || {
            Comm::from_rank(stream.clone(), rank, world, id)
        });
        if let (Handover::File(path), 0) = (handover, rank) {
            // all have read it, or will never; one that stays is told at the next start
            drop(std::fs::remove_file(path));
        }
        let comm = ManuallyDrop::new(met.map_err(|error| failed("the meeting", error))?);
        Ok(Self { state: Mutex::new(State { comm, number: 0 }), stream, rank, world })
    }

    /// Ends the group, once all are done.
    pub fn finish(self) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        drop(ManuallyDrop::into_inner(state.comm));
    }

    /// Begins an operation: all must want the same of it.
    fn begin(&self, kind: Kind, length: usize) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.all_gathered(&state, &[kind as u64, length as u64])?;
        let asked = |rank: usize| [all[2 * rank], all[2 * rank + 1]];
        if let Some(rank) = (1..self.world).find(|rank| asked(*rank) != asked(0)) {
            let [expected, got] = [0, rank].map(|rank| Kind::name(asked(rank)));
            return Err(Error::Mismatch { rank, got, expected, number: state.number });
        }
        state.number += 1;
        Ok(state)
    }

    /// As many numbers of each rank, in the order of the ranks.
    fn all_gathered<T>(&self, state: &State, own: &[T]) -> Result<Vec<T>>
    where
        T: NcclType + DeviceRepr + ValidAsZeroBits,
    {
        const OPERATION: &str = "all_gather";
        let brought = self.stream.clone_htod(own).map_err(|error| failed(OPERATION, error))?;
        let mut all =
            self.stream.alloc_zeros::<T>(own.len() * self.world).map_err(|error| failed(OPERATION, error))?;
        state.comm.all_gather(&brought, &mut all).map_err(|error| failed(OPERATION, error))?;
        self.stream.clone_dtoh(&all).map_err(|error| failed(OPERATION, error))
    }

    /// Copies `values` to the GPU, calls `act`, and copies back what is there then.
    fn on_gpu<T: DeviceRepr>(
        &self,
        operation: &str,
        values: &mut [T],
        act: impl FnOnce(&mut cudarc::driver::CudaSlice<T>) -> std::result::Result<(), NcclError>,
    ) -> Result<()> {
        // there is no memory of no bytes
        if values.is_empty() {
            return Ok(());
        }
        let mut there = self.stream.clone_htod(values).map_err(|error| failed(operation, error))?;
        act(&mut there).map_err(|error| failed(operation, error))?;
        self.stream.memcpy_dtoh(&there, values).map_err(|error| failed(operation, error))?;
        self.stream.synchronize().map_err(|error| failed(operation, error))
    }
}

/// Rank 0's bytes, by ranks that can talk already.
fn handed_over(ranks: &dyn Collective, own: Option<[u8; 128]>) -> Result<[u8; 128]> {
    // bytes as numbers: an f64 holds each exactly
    let own: Vec<f64> = own.iter().flatten().map(|byte| f64::from(*byte)).collect();
    let said = ranks.gather(&own)?.swap_remove(0);
    let bytes: Vec<u8> = said.into_iter().map(|byte| byte as u8).collect();
    bytes.try_into().map_err(|_| failed("the handover", "rank 0 said something else than an id"))
}

fn failed(operation: &str, error: impl Debug) -> Error {
    Error::Link { operation: operation.to_owned(), problem: format!("{error:?}") }
}

impl Collective for Nccl {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<()> {
        let state = self.begin(Kind::Singles, values.len())?;
        self.on_gpu("all_reduce_sum of f32", values, |there| {
            state.comm.all_reduce_in_place(there, &ReduceOp::Sum).map(drop)
        })
    }

    fn all_reduce_sum_f64(&self, values: &mut [f64]) -> Result<()> {
        let state = self.begin(Kind::Doubles, values.len())?;
        self.on_gpu("all_reduce_sum of f64", values, |there| {
            state.comm.all_reduce_in_place(there, &ReduceOp::Sum).map(drop)
        })
    }

    fn broadcast(&self, values: &mut [f32], root: usize) -> Result<()> {
        if root >= self.world {
            return Err(Error::NoSuchRank { rank: root, world: self.world });
        }
        let state = self.begin(Kind::Broadcast, (values.len() << 24) | root)?;
        self.on_gpu("broadcast", values, |there| state.comm.broadcast_in_place(there, root as i32).map(drop))
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        let state = self.begin(Kind::Gather, 0)?;
        let counts = self.all_gathered(&state, &[values.len() as u64])?;
        let longest = counts.iter().max().map_or(0, |count| *count as usize);
        if longest == 0 {
            return Ok(vec![Vec::new(); self.world]);
        }
        let mut padded = values.to_vec();
        padded.resize(longest, 0.0);
        let all = self.all_gathered(&state, &padded)?;
        Ok(all.chunks(longest).zip(counts).map(|(part, count)| part[..count as usize].to_vec()).collect())
    }

    fn barrier(&self) -> Result<()> {
        // all have said that they want it, so all are here
        self.begin(Kind::Barrier, 0).map(drop)
    }
}

impl Debug for Nccl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nccl").field("rank", &self.rank).field("world", &self.world).finish_non_exhaustive()
    }
}
