//! A build without NCCL. The same four things as in `enabled.rs`.

use super::Handover;
use crate::{Collective, Deadline, Error, Result};

/// One process with a GPU; of this build there is none.
#[derive(Debug)]
pub enum Nccl {}

impl Nccl {
    /// Whether this build has it.
    pub const IS_BUILT: bool = false;

    /// Says how to get it.
    ///
    /// # Errors
    /// Always.
    pub fn join(
        _place: [usize; 2],
        _gpu: usize,
        _handover: Handover<'_>,
        _deadline: &Deadline,
    ) -> Result<Self> {
        Err(Error::Unavailable {
            what: "NCCL",
            problem: "this program was built without it".to_owned(),
            hint: "build with `--features cuda,nccl` (docs/gpus.md), or use processes, MPI or threads",
        })
    }

    /// Ends the group, once all are done.
    pub fn finish(self) {
        match self {}
    }
}

impl Collective for Nccl {
    fn rank(&self) -> usize {
        match *self {}
    }

    fn world(&self) -> usize {
        match *self {}
    }

    fn all_reduce_sum(&self, _values: &mut [f32]) -> Result<()> {
        match *self {}
    }

    fn all_reduce_sum_f64(&self, _values: &mut [f64]) -> Result<()> {
        match *self {}
    }

    fn broadcast(&self, _values: &mut [f32], _root: usize) -> Result<()> {
        match *self {}
    }

    fn gather(&self, _values: &[f64]) -> Result<Vec<Vec<f64>>> {
        match *self {}
    }

    fn barrier(&self) -> Result<()> {
        match *self {}
    }
}
