//! The optimiser's memory shared among the ranks (Paper: 1910.02054, stage 1: "optimizer state partitioning").

use std::ops::Range;

use pretrain_comm::Collective;

use super::{Optimiser, Rule};
use crate::{Group, Parameter, Parameters, Result};

/// Numbers of a bucket. A rank's part begins and ends with one.
const BUCKET: usize = 1 << 14;
/// Numbers that go from one rank to the others at once: 4 MiB of f32.
const PIECE: usize = 1 << 20;

impl Optimiser {
    /// An optimiser of which each rank remembers only its part: with AdamW `8 n / world` bytes instead of `8 n` for n numbers.
    ///
    /// The flat vector of all parameters is cut at whole buckets into one part a rank. After the gradients are added up, a rank
    /// [`step`](Self::step)s its part and [`share`](Self::share)s it. Every number is updated from the same numbers by the same
    /// operations as without, so the result is the same to the bit.
    pub fn split(
        rule: Rule,
        parameters: &Parameters,
        group: impl Fn(&Parameter) -> Group,
        ranks: &dyn Collective,
    ) -> Self {
        let own = part(parameters.n_values(), ranks.rank(), ranks.world());
        Self { is_split: ranks.world() > 1, ..Self::over(own, rule, parameters, group) }
    }

    /// Gives every rank what the others have updated. All ranks call it after [`step`](Self::step); where nothing is split it
    /// does nothing.
    ///
    /// # Errors
    /// A rank that does not come.
    pub fn share(&self, parameters: &Parameters, ranks: &dyn Collective) -> Result<()> {
        if !self.is_split {
            return Ok(());
        }
        let mut buffer = Vec::new();
        for root in 0..ranks.world() {
            for piece in pieces(part(parameters.n_values(), root, ranks.world())) {
                buffer.resize(piece.len(), 0.0);
                let inside = |at: Range<usize>| at.start - piece.start..at.end - piece.start;
                if root == ranks.rank() {
                    parameters
                        .change_range(piece.clone(), |own, at| buffer[inside(at)].copy_from_slice(own))?;
                }
                ranks.broadcast(&mut buffer, root)?;
                if root != ranks.rank() {
                    parameters
                        .change_range(piece.clone(), |own, at| own.copy_from_slice(&buffer[inside(at)]))?;
                }
            }
        }
        parameters.publish()
    }

    /// Numbers that this rank remembers.
    pub fn n_remembered(&self) -> usize {
        self.states.iter().map(Vec::len).sum()
    }

    /// All states, whole, on rank 0.
    pub(super) fn collect_states(
        &self,
        n_values: usize,
        ranks: &dyn Collective,
    ) -> Result<Option<[Vec<f32>; 2]>> {
        let is_first = ranks.rank() == 0;
        let mut whole = [Vec::new(), Vec::new()];
        let mut buffer = Vec::new();
        for (state, whole) in self.states.iter().zip(&mut whole).take(self.rule.state_names().len()) {
            for root in 0..ranks.world() {
                for piece in pieces(part(n_values, root, ranks.world())) {
                    buffer.resize(piece.len(), 0.0);
                    if root == ranks.rank() {
                        let (start, end) = (piece.start - self.own.start, piece.end - self.own.start);
                        buffer.copy_from_slice(&state[start..end]);
                    }
                    ranks.broadcast(&mut buffer, root)?;
                    if is_first {
                        whole.extend_from_slice(&buffer);
                    }
                }
            }
        }
        Ok(is_first.then_some(whole))
    }
}

/// What a rank updates of `n_values` numbers.
fn part(n_values: usize, rank: usize, world: usize) -> Range<usize> {
    let n_buckets = n_values.div_ceil(BUCKET);
    let border = |rank: usize| (n_buckets * rank / world * BUCKET).min(n_values);
    border(rank)..border(rank + 1)
}

fn pieces(of: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = of.end;
    of.step_by(PIECE).map(move |start| start..(start + PIECE).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_buckets_that_make_up_everything() {
        for n_values in [0, 1, BUCKET, BUCKET + 1, 7 * BUCKET - 3, 5 * PIECE + 17] {
            for world in [1, 2, 3, 8] {
                let parts: Vec<_> = (0..world).map(|rank| part(n_values, rank, world)).collect();
                assert_eq!((parts[0].start, parts[world - 1].end), (0, n_values));
                assert!(parts.windows(2).all(|two| two[0].end == two[1].start && two[1].start % BUCKET == 0));
                let longest = parts.iter().map(Range::len).max().unwrap();
                assert!(longest <= n_values.div_ceil(world) + BUCKET, "{n_values} over {world}: {longest}");
                let all: usize = parts.into_iter().flat_map(pieces).map(|piece| piece.len()).sum();
                assert_eq!(all, n_values);
            }
        }
    }
}
