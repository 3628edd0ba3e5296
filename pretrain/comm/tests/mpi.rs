//! Ranks under MPI against ranks as threads. Built with the feature `mpi` only, and without a harness: `mpirun` starts it, and
//! every process is one rank.
//!
//! ```text
//! mpirun -n 2 TEST sums      every sum has the bits of threads
//! mpirun -n 2 TEST wait      rank 1 says its process id, both meet until rank 0 waits for 3 s: then it ends with 75
//! ```

#![expect(clippy::exit, reason = "it is a program: what is stuck cannot be waited for")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use pretrain_comm::{Collective, Deadline, Mpi, Watched, threads};

fn part(rank: usize, i: usize) -> f32 {
    [1e8, -1e8, 1.0, 3.5e-3][(rank + i) % 4] * (1.0 + i as f32 * 0.37)
}

/// One of everything, in buckets of all sizes; bits of what came out.
fn converse(ranks: &dyn Collective) -> Vec<u64> {
    let mut bits = Vec::new();
    for length in [0, 1, 2, 3, 1000, (1 << 20) + 5] {
        let mut singles: Vec<f32> = (0..length).map(|i| part(ranks.rank(), i)).collect();
        ranks.all_reduce_sum(&mut singles).unwrap();
        bits.extend(singles.iter().map(|value| u64::from(value.to_bits())));
        let mut doubles: Vec<f64> = (0..length).map(|i| f64::from(part(ranks.rank(), i)) / 3.0).collect();
        ranks.all_reduce_sum_f64(&mut doubles).unwrap();
        bits.extend(doubles.iter().map(|value| value.to_bits()));
        let root = length % ranks.world();
        let mut told = vec![ranks.rank() as f32; length];
        ranks.broadcast(&mut told, root).unwrap();
        assert!(told.iter().all(|value| *value == root as f32));
        let gathered = ranks.gather(&vec![0.5; ranks.rank() + length % 7]).unwrap();
        bits.extend(gathered.iter().map(|part| part.len() as u64));
        ranks.barrier().unwrap();
    }
    bits
}

fn sums(ranks: &Mpi) {
    let world = ranks.world();
    assert!(world > 1, "start this with mpirun -n 2");
    let of_threads: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let ranks: Vec<_> = threads(world, Duration::from_secs(60))
            .into_iter()
            .map(|ranks| scope.spawn(move || converse(&ranks)))
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    assert!(converse(ranks) == of_threads[ranks.rank()], "MPI is not threads");
    // what differs is told before numbers move
    let error = ranks.all_reduce_sum(&mut vec![0.0; 3 + ranks.rank()]).unwrap_err().to_string();
    assert!(error.contains("rank 1 asks for all_reduce_sum of 4 f32 where rank 0 asks for"), "{error}");
}

fn wait(ranks: &Mpi) {
    let on_stuck = |stuck: &pretrain_comm::Stuck| {
        std::io::stderr().write_all(format!("{stuck}\n").as_bytes()).unwrap();
        std::process::exit(75);
    };
    let deadline = Deadline { timeout: Duration::from_secs(3), on_stuck: Arc::new(on_stuck) };
    let watched = Watched::new(ranks, &deadline);
    if ranks.rank() == 1 {
        std::io::stdout().write_all(format!("{}\n", std::process::id()).as_bytes()).unwrap();
    }
    for _ in 0..3000 {
        watched.all_reduce_sum(&mut [1.0; 100]).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn main() {
    let task = std::env::args().nth(1).unwrap_or_default();
    // `cargo test` starts it without mpirun, and with its own words
    if !["sums", "wait"].contains(&task.as_str()) {
        return;
    }
    let ranks = Mpi::join().unwrap();
    if task == "sums" {
        sums(&ranks)
    } else {
        wait(&ranks)
    }
    ranks.finish();
}
