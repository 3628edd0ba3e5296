//! Ranks under MPI, where the build has the feature `mpi`.

#[cfg(not(feature = "mpi"))]
mod disabled;
#[cfg(feature = "mpi")]
mod enabled;

#[cfg(not(feature = "mpi"))]
pub use disabled::Mpi;
#[cfg(feature = "mpi")]
pub use enabled::Mpi;
