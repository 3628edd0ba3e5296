use crate::Result;

/// The ranks of one run, seen from one of them.
///
/// After an error the group is broken: every later operation of every rank fails with the same error.
pub trait Collective: Send + Sync {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn world(&self) -> usize;

    /// Replaces `values` by their sums over the ranks, added up in the order of the ranks (over NCCL in an order of its own);
    /// all ranks get the same bits.
    ///
    /// # Errors
    /// A rank that does not come, comes with another length, or asks for something else.
    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<()>;

    /// [`all_reduce_sum`](Self::all_reduce_sum) in f64: counts, losses, statistics.
    ///
    /// # Errors
    /// As there.
    fn all_reduce_sum_f64(&self, values: &mut [f64]) -> Result<()>;

    /// Replaces `values` by those of the rank `root`.
    ///
    /// # Errors
    /// As for sums; or there is no such rank.
    fn broadcast(&self, values: &mut [f32], root: usize) -> Result<()>;

    /// A few numbers of every rank, in the order of the ranks; each may bring another amount.
    ///
    /// # Errors
    /// A rank that does not come or asks for something else.
    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>>;

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// A rank that does not come or asks for something else.
    fn barrier(&self) -> Result<()>;
}

impl<C: Collective + ?Sized> Collective for &C {
    fn rank(&self) -> usize {
        (**self).rank()
    }

    fn world(&self) -> usize {
        (**self).world()
    }

    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<()> {
        (**self).all_reduce_sum(values)
    }

    fn all_reduce_sum_f64(&self, values: &mut [f64]) -> Result<()> {
        (**self).all_reduce_sum_f64(values)
    }

    fn broadcast(&self, values: &mut [f32], root: usize) -> Result<()> {
        (**self).broadcast(values, root)
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        (**self).gather(values)
    }

    fn barrier(&self) -> Result<()> {
        (**self).barrier()
    }
}
