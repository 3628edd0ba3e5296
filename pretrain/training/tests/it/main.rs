//! What only whole runs can show: ranks, restarts, deaths.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod kills; // a process that dies while it writes
mod network; // a small network to train
mod parallel; // ranks, accumulation, resuming
mod split; // the optimiser's memory, shared
