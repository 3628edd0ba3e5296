use crate::{Collective, Error, Result};

/// One rank alone: everything is done already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Solo;

impl Collective for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn world(&self) -> usize {
        1
    }

    fn all_reduce_sum(&self, _values: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn all_reduce_sum_f64(&self, _values: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn broadcast(&self, _values: &mut [f32], root: usize) -> Result<()> {
        if root == 0 { Ok(()) } else { Err(Error::NoSuchRank { rank: root, world: 1 }) }
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        Ok(vec![values.to_vec()])
    }

    fn barrier(&self) -> Result<()> {
        Ok(())
    }
}
