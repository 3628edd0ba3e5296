use std::sync::Arc;
use std::time::Duration;

use crate::meeting::{Meeting, Payload};
use crate::sums::add_in_order;
use crate::{Collective, Error, Result};

/// A rank of several that are threads of this process.
///
/// Dropped, it tells the others that it will not come again; whoever waits for it gets an error at once.
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    world: usize,
    meeting: Arc<Meeting>,
}

/// `world` ranks, one for each thread. They wait for one another at most as long as `patience`.
///
/// # Panics
/// A world of 0 ranks.
pub fn threads(world: usize, patience: Duration) -> Vec<Threads> {
    assert!(world > 0, "a world has at least one rank");
    let meeting = Arc::new(Meeting::new(world, patience));
    (0..world).map(|rank| Threads { rank, world, meeting: Arc::clone(&meeting) }).collect()
}

impl Collective for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<()> {
        let operation = format!("all_reduce_sum of {} f32", values.len());
        let brought = self.meeting.bring(self.rank, operation, Payload::Singles(values.to_vec()))?;
        add_in_order(values, brought.iter().filter_map(Payload::singles));
        Ok(())
    }

    fn all_reduce_sum_f64(&self, values: &mut [f64]) -> Result<()> {
        let operation = format!("all_reduce_sum of {} f64", values.len());
        let brought = self.meeting.bring(self.rank, operation, Payload::Doubles(values.to_vec()))?;
        add_in_order(values, brought.iter().filter_map(Payload::doubles));
        Ok(())
    }

    fn broadcast(&self, values: &mut [f32], root: usize) -> Result<()> {
        if root >= self.world {
            return Err(Error::NoSuchRank { rank: root, world: self.world });
        }
        let operation = format!("broadcast of {} f32 from rank {root}", values.len());
        let payload = if self.rank == root { Payload::Singles(values.to_vec()) } else { Payload::Nothing };
        let brought = self.meeting.bring(self.rank, operation, payload)?;
        if let Payload::Singles(theirs) = &brought[root] {
            values.copy_from_slice(theirs);
        }
        Ok(())
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        let payload = Payload::Doubles(values.to_vec());
        let brought = self.meeting.bring(self.rank, "gather".to_owned(), payload)?;
        let doubles = brought.iter().map(|payload| match payload {
            Payload::Doubles(theirs) => theirs.clone(),
            Payload::Nothing | Payload::Singles(_) => Vec::new(),
        });
        Ok(doubles.collect())
    }

    fn barrier(&self) -> Result<()> {
        self.meeting.bring(self.rank, "barrier".to_owned(), Payload::Nothing).map(|_| ())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.meeting.leave(self.rank);
    }
}

#[cfg(test)]
mod tests;
