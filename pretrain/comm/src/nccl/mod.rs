//! Ranks with a GPU each over NCCL, where the build has the feature `nccl`.

use std::path::Path;

use crate::Collective;

#[cfg(not(feature = "nccl"))]
mod disabled;
#[cfg(feature = "nccl")]
mod enabled;
#[cfg(any(test, feature = "nccl"))]
mod rendezvous;

#[cfg(not(feature = "nccl"))]
pub use disabled::Nccl;
#[cfg(feature = "nccl")]
pub use enabled::Nccl;

/// How rank 0 tells the others where they meet: 128 bytes, NCCL's id.
#[derive(Clone, Copy)]
pub enum Handover<'a> {
    /// By another way to talk, which has the same ranks: processes of one machine, or MPI.
    Ranks(&'a dyn Collective),
    /// By a file that all can see and that is not there yet: rank 0 writes it whole or not at all, and takes it away when all
    /// have met.
    File(&'a Path),
}

impl std::fmt::Debug for Handover<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ranks(ranks) => f.debug_tuple("Ranks").field(&ranks.world()).finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
