//! What ranks of a data-parallel run say to one another, over flat slices.
//!
//! Every rank calls the same operations in the same order. Sums are formed in the order of the ranks, so that a result
//! depends on the numbers only, never on who came first. A rank that does not come is an error on all others that names
//! it and the operation: a run ends, it does not hang.
//!
//! Ranks are [`threads`] of one process, [`Processes`] of one machine over Unix sockets, or processes under [`Mpi`] (feature
//! `mpi`). All of them form a sum in the same order, so it has the same bits. Processes with a GPU each can meet over
//! [`Nccl`] (feature `nccl`), which has an order of its own. [`Watched`] is for waits that end in no other way.
//!
//! ```
//! use std::time::Duration;
//! use pretrain_comm::{Collective, threads};
//!
//! let sums: Vec<f32> = std::thread::scope(|scope| {
//!     let ranks = threads(2, Duration::from_secs(60)).into_iter().map(|ranks| {
//!         scope.spawn(move || {
//!             let mut values = [1.0 + ranks.rank() as f32];
//!             ranks.all_reduce_sum(&mut values).map(|()| values[0])
//!         })
//!     });
//!     let ranks: Vec<_> = ranks.collect();
//!     ranks.into_iter().map(|rank| rank.join().expect("no panic").expect("all came")).collect()
//! });
//! assert_eq!(sums, [3.0, 3.0]);
//! ```

mod collective;
mod error;
#[cfg(any(feature = "mpi", feature = "nccl"))]
mod kind;
mod launch;
mod meeting;
mod mpi;
mod nccl;
mod processes;
mod solo;
mod sums;
mod threads;
mod watched;

pub use collective::Collective;
pub use error::{Error, Result};
pub use launch::{Attempt, Launch};
pub use mpi::Mpi;
pub use nccl::{Handover, Nccl};
pub use processes::Processes;
pub use solo::Solo;
pub use threads::{Threads, threads};
pub use watched::{Deadline, Stuck, Watched};
