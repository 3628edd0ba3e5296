//! What only whole runs can show: ranks, restarts, deaths.

mod kills; // a process that dies while it writes
mod network; // a small network to train
mod parallel; // ranks, accumulation, resuming
