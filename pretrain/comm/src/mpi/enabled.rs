//! Ranks under MPI. The same four things as in `disabled.rs`.

use std::mem::ManuallyDrop;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mpi::Threading;
use mpi::collective::Root;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::{CommunicatorCollectives, Equivalence};

use crate::kind::Kind;
use crate::sums::add_in_order;
use crate::{Collective, Error, Result};

/// One process that `mpirun`, `mpiexec` or `srun` started.
///
/// Sums have the bits that [`threads`](crate::threads) give them: each rank adds up one part of the numbers in the order of
/// the ranks (all-to-all), then all get all parts (all-gather), which moves no more data than a ring. What a rank asks for is
/// compared before numbers move. MPI itself waits for ever for a rank that is stopped; [`Watched`](crate::Watched) does not.
///
/// A group ends in one of two ways: all call [`finish`](Self::finish), or a process ends without it, which MPI's launcher
/// takes as the end of all. Dropped without `finish`, as after an error, it leaves MPI as it is: to shut it down would be to
/// wait for the others.
pub struct Mpi {
    universe: ManuallyDrop<Universe>,
    rank: usize,
    world: usize,
    /// Operations that are complete; one thread at a time.
    number: Mutex<u64>,
}

impl Mpi {
    /// Whether this build has it.
    pub const IS_BUILT: bool = true;

    /// Joins the processes that were started with this one. Once a process.
    ///
    /// # Errors
    /// MPI is in use already, or cannot be used by other threads than the first.
    pub fn join() -> Result<Self> {
        let unavailable = |problem: &str| Error::Unavailable {
            what: "MPI",
            problem: problem.to_owned(),
            hint: "start the program with mpirun, and use an MPI that was built with threads",
        };
        let (universe, threading) = mpi::initialize_with_threading(Threading::Serialized)
            .ok_or_else(|| unavailable("it was started already"))?;
        let universe = ManuallyDrop::new(universe);
        if threading < Threading::Serialized {
            return Err(unavailable("it allows no calls but those of the first thread"));
        }
        let world = universe.world();
        let [rank, size] = [world.rank(), world.size()].map(|number| number.unsigned_abs() as usize);
        Ok(Self { universe, rank, world: size, number: Mutex::new(0) })
    }

    /// Ends the group, once all are done.
    pub fn finish(self) {
        drop(ManuallyDrop::into_inner(self.universe));
    }

    /// Begins an operation: all must want the same of it.
    fn begin(&self, kind: Kind, length: usize) -> Result<(MutexGuard<'_, u64>, SimpleCommunicator)> {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        let world = self.universe.world();
        let own = [kind as u64, length as u64];
        let mut all = vec![0u64; 2 * self.world];
        world.all_gather_into(&own[..], &mut all[..]);
        let asked = |rank: usize| [all[2 * rank], all[2 * rank + 1]];
        if let Some(rank) = (1..self.world).find(|rank| asked(*rank) != asked(0)) {
            let [expected, got] = [0, rank].map(|rank| Kind::name(asked(rank)));
            return Err(Error::Mismatch { rank, got, expected, number: *number });
        }
        *number += 1;
        Ok((number, world))
    }

    fn sum<T>(&self, values: &mut [T], world: &SimpleCommunicator)
    where
        T: Equivalence + Copy + Default + std::ops::AddAssign,
    {
        // of equal length for all ranks; what is too much is 0
        let part = values.len().div_ceil(self.world);
        let mut padded = vec![T::default(); part * self.world];
        padded[..values.len()].copy_from_slice(values);
        let mut brought = vec![T::default(); part * self.world];
        world.all_to_all_into(&padded[..], &mut brought[..]);
        let mut sum = vec![T::default(); part];
        add_in_order(&mut sum, brought.chunks(part.max(1)));
        world.all_gather_into(&sum[..], &mut padded[..]);
        values.copy_from_slice(&padded[..values.len()]);
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<()> {
        let (_turn, world) = self.begin(Kind::Singles, values.len())?;
        self.sum(values, &world);
        Ok(())
    }

    fn all_reduce_sum_f64(&self, values: &mut [f64]) -> Result<()> {
        let (_turn, world) = self.begin(Kind::Doubles, values.len())?;
        self.sum(values, &world);
        Ok(())
    }

    fn broadcast(&self, values: &mut [f32], root: usize) -> Result<()> {
        if root >= self.world {
            return Err(Error::NoSuchRank { rank: root, world: self.world });
        }
        let (_turn, world) = self.begin(Kind::Broadcast, (values.len() << 24) | root)?;
        world.process_at_rank(root as i32).broadcast_into(values);
        Ok(())
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        let (_turn, world) = self.begin(Kind::Gather, 0)?;
        let mut counts = vec![0i32; self.world];
        world.all_gather_into(&(values.len() as i32), &mut counts[..]);
        let starts: Vec<i32> = counts
            .iter()
            .scan(0, |end, count| {
                *end += count;
                Some(*end - count)
            })
            .collect();
        let mut all = vec![0.0; counts.iter().map(|count| *count as usize).sum()];
        // every rank sends all that it has, so the parts are those of the counts
        let mut parts = PartitionMut::new(&mut all[..], &counts[..], &starts[..]);
        world.all_gather_varcount_into(values, &mut parts);
        let mut rest = all.as_slice();
        let parts = counts.iter().map(|count| {
            let (part, after) = rest.split_at(*count as usize);
            rest = after;
            part.to_vec()
        });
        Ok(parts.collect())
    }

    fn barrier(&self) -> Result<()> {
        let (_turn, world) = self.begin(Kind::Barrier, 0)?;
        world.barrier();
        Ok(())
    }
}

impl std::fmt::Debug for Mpi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mpi").field("rank", &self.rank).field("world", &self.world).finish_non_exhaustive()
    }
}
