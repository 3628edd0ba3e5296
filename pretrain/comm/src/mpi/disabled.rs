//! A build without MPI. The same four things as in `enabled.rs`.

use crate::{Collective, Error, Result};

/// One process that `mpirun` started; of this build there is none.
#[derive(Debug)]
pub enum Mpi {}

impl Mpi {
    /// Whether this build has it.
    pub const IS_BUILT: bool = false;

    /// Says how to get it.
    ///
    /// # Errors
    /// Always.
    pub fn join() -> Result<Self> {
        Err(Error::Unavailable {
            what: "MPI",
            problem: "this program was built without it".to_owned(),
            hint: "build with `--features mpi` (libopenmpi-dev and libclang-dev), or use processes or threads",
        })
    }

    /// Ends the group, once all are done.
    pub fn finish(self) {
        match self {}
    }
}

impl Collective for Mpi {
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
