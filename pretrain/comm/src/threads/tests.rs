use std::time::{Duration, Instant};

use super::*;
use crate::Solo;

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs one thread for each rank; what they return, in the order of the ranks.
fn run<T: Send>(
    world: usize,
    patience: Duration,
    rank: impl Fn(&dyn Collective) -> T + Sync,
) -> Vec<std::thread::Result<T>> {
    std::thread::scope(|scope| {
        let rank = &rank;
        let ranks = threads(world, patience).into_iter().map(|ranks| scope.spawn(move || rank(&ranks)));
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    })
}

fn all<T: Send>(world: usize, rank: impl Fn(&dyn Collective) -> Result<T> + Sync) -> Vec<T> {
    run(world, PATIENCE, rank).into_iter().map(|result| result.unwrap().unwrap()).collect()
}

/// Values whose sum depends on the order in which they are added.
fn part(rank: usize, i: usize) -> f32 {
    [1e8, -1e8, 1.0, 3.5e-3][(rank + i) % 4] * (1.0 + i as f32 * 0.37)
}

#[test]
fn sums_are_formed_in_the_order_of_the_ranks_whoever_comes_first() {
    const N: usize = 1000;
    for world in [1, 2, 3, 5] {
        let wanted: Vec<f32> =
            (0..N).map(|i| (0..world).fold(0.0, |sum, rank| sum + part(rank, i))).collect();
        for trial in 0..6 {
            let got = all(world, |ranks| {
                // another one is last each time
                std::thread::sleep(Duration::from_millis(((ranks.rank() + trial) % world) as u64));
                let mut values: Vec<f32> = (0..N).map(|i| part(ranks.rank(), i)).collect();
                ranks.all_reduce_sum(&mut values).map(|()| values)
            });
            assert!(got.iter().all(|values| *values == wanted), "{world} ranks");
        }
    }
    // the order matters for these numbers, or the test would say nothing
    let backwards = (0..N).map(|i| (0..3).rev().fold(0.0, |sum: f32, rank| sum + part(rank, i)));
    let forwards = (0..N).map(|i| (0..3).fold(0.0, |sum: f32, rank| sum + part(rank, i)));
    assert!(backwards.zip(forwards).any(|(a, b)| a != b));
}

#[test]
fn thousands_of_operations_of_every_kind_in_a_row() {
    let ends = all(4, |ranks| {
        let mut state = 0.0;
        for round in 0..2000usize {
            let mut doubles = [ranks.rank() as f64, round as f64];
            ranks.all_reduce_sum_f64(&mut doubles)?;
            let mut single = [if ranks.rank() == round % 4 { round as f32 } else { -1.0 }];
            ranks.broadcast(&mut single, round % 4)?;
            let own: Vec<f64> = (0..ranks.rank()).map(|i| (i + round) as f64).collect();
            let gathered = ranks.gather(&own)?;
            let lengths: Vec<usize> = gathered.iter().map(Vec::len).collect();
            assert_eq!((lengths, gathered[3][2]), (vec![0, 1, 2, 3], (2 + round) as f64));
            if round % 7 == 0 {
                ranks.barrier()?;
            }
            assert_eq!((doubles, single[0]), ([6.0, 4.0 * round as f64], round as f32));
            state += doubles[1] + f64::from(single[0]);
        }
        Ok(state)
    });
    assert_eq!(ends, vec![5.0 * 1999.0 * 1000.0; 4]);
}

#[test]
fn nobody_passes_a_barrier_before_all_are_there() {
    let starts = all(3, |ranks| {
        std::thread::sleep(Duration::from_millis(40 * ranks.rank() as u64));
        let came = Instant::now();
        ranks.barrier().map(|()| (came, Instant::now()))
    });
    let last = starts.iter().map(|(came, _)| *came).max().unwrap();
    assert!(starts.iter().all(|(_, passed)| *passed >= last));
}

#[test]
fn a_rank_that_is_stuck_is_named_on_all_ranks() {
    let start = Instant::now();
    let errors = run(3, Duration::from_millis(150), |ranks| {
        ranks.barrier().unwrap();
        if ranks.rank() == 1 {
            std::thread::sleep(Duration::from_millis(600));
        }
        let first = ranks.all_reduce_sum(&mut [0.0; 5]).unwrap_err();
        // and it stays broken
        assert_eq!(ranks.barrier().unwrap_err(), first);
        first
    });
    for error in errors {
        let error = error.unwrap();
        assert!(matches!(error, Error::Late { rank: 1, number: 1, .. }), "{error}");
        assert!(error.to_string().contains("rank 1 did not come to all_reduce_sum of 5 f32"), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_rank_that_ends_early_is_named_at_once() {
    let start = Instant::now();
    let ends = run(3, PATIENCE, |ranks| {
        ranks.barrier().unwrap();
        assert!(ranks.rank() != 2, "this one dies");
        ranks.gather(&[1.0]).unwrap_err()
    });
    assert!(ends[2].is_err());
    for error in &ends[..2] {
        let error = error.as_ref().unwrap();
        assert!(matches!(error, Error::Left { rank: 2, .. }), "{error}");
        assert!(error.to_string().contains("rank 2 ended before gather"), "{error}");
    }
    assert!(start.elapsed() < PATIENCE / 2);
}

/// What a rank brought before it ended is still used.
#[test]
fn a_rank_that_is_done_does_not_harm_those_that_are_late_to_leave() {
    for _ in 0..200 {
        all(4, |ranks| ranks.barrier());
    }
}

#[test]
fn ranks_that_ask_for_different_things_are_told() {
    let errors =
        run(2, PATIENCE, |ranks| ranks.all_reduce_sum(&mut vec![0.0; 3 + ranks.rank()]).unwrap_err());
    for error in errors {
        let text = error.unwrap().to_string();
        assert!(
            text.contains(
                "rank 1 asks for all_reduce_sum of 4 f32 where rank 0 asks for all_reduce_sum of 3 f32"
            ),
            "{text}"
        );
    }
    let error = all(2, |ranks| Ok(ranks.broadcast(&mut [], 2).unwrap_err()));
    assert_eq!(error[0], Error::NoSuchRank { rank: 2, world: 2 });
}

#[test]
fn alone_everything_is_done_already() {
    let mut values = [1.0, 2.0];
    Solo.all_reduce_sum(&mut values).unwrap();
    Solo.broadcast(&mut values, 0).unwrap();
    assert_eq!(values, [1.0, 2.0]);
    assert_eq!(Solo.gather(&[3.0]).unwrap(), [[3.0]]);
    assert!(matches!(Solo.broadcast(&mut values, 1), Err(Error::NoSuchRank { rank: 1, world: 1 })));
}
