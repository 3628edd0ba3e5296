use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::threads;

const PATIENCE: Duration = Duration::from_secs(60);

/// Sockets do not care whether their ends are in one process.
fn run<T: Send>(
    world: usize,
    patience: Duration,
    rank: impl Fn(Processes) -> T + Sync,
) -> Vec<std::thread::Result<T>> {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("meet");
    std::thread::scope(|scope| {
        let (rank, socket) = (&rank, &socket);
        // rank 0 is the last to come
        let ranks = (0..world).rev().map(|number| {
            scope.spawn(move || rank(Processes::meet(socket, number, world, patience).unwrap()))
        });
        let mut ends: Vec<_> = ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join()).collect();
        ends.reverse();
        ends
    })
}

fn part(rank: usize, i: usize) -> f32 {
    [1e8, -1e8, 1.0, 3.5e-3][(rank + i) % 4] * (1.0 + i as f32 * 0.37)
}

/// One of everything, as often as said.
fn converse(ranks: &dyn Collective, rounds: usize) -> (Vec<u32>, Vec<u64>, Vec<f32>, Vec<Vec<f64>>) {
    let mut singles: Vec<f32> = (0..1000).map(|i| part(ranks.rank(), i)).collect();
    let mut doubles: Vec<f64> = (0..7).map(|i| f64::from(part(ranks.rank(), i)) / 3.0).collect();
    let mut told = vec![ranks.rank() as f32; 3];
    let mut gathered = Vec::new();
    for round in 0..rounds {
        singles.iter_mut().for_each(|value| *value *= 0.1);
        ranks.all_reduce_sum(&mut singles).unwrap();
        ranks.all_reduce_sum(&mut []).unwrap();
        ranks.all_reduce_sum_f64(&mut doubles).unwrap();
        ranks.broadcast(&mut told, round % ranks.world()).unwrap();
        told.iter_mut().for_each(|value| *value += ranks.rank() as f32);
        gathered = ranks.gather(&vec![round as f64; ranks.rank()]).unwrap();
        ranks.barrier().unwrap();
    }
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    (bits(&singles), doubles.iter().map(|value| value.to_bits()).collect(), told, gathered)
}

#[test]
fn sums_have_the_bits_of_threads() {
    for world in [1, 2, 3] {
        let of_threads: Vec<_> = std::thread::scope(|scope| {
            let ranks = threads(world, PATIENCE).into_iter();
            let ranks: Vec<_> = ranks.map(|ranks| scope.spawn(move || converse(&ranks, 300))).collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        let of_processes = run(world, PATIENCE, |ranks| converse(&ranks, 300));
        let of_processes: Vec<_> = of_processes.into_iter().map(std::result::Result::unwrap).collect();
        assert_eq!(of_threads, of_processes);
        assert_eq!(of_processes[0].0, of_processes[world - 1].0);
        let lengths: Vec<usize> = of_processes[0].3.iter().map(Vec::len).collect();
        assert_eq!(lengths, (0..world).collect::<Vec<_>>());
    }
}

#[test]
fn large_buckets_pass() {
    let sums = run(3, PATIENCE, |ranks| {
        let mut values = vec![1.0 + ranks.rank() as f32; (1 << 20) + 3];
        ranks.all_reduce_sum(&mut values).map(|()| values)
    });
    assert!(sums.into_iter().all(|sum| sum.unwrap().unwrap().iter().all(|value| *value == 6.0)));
}

#[test]
fn a_rank_that_is_stuck_is_named_on_all_that_wait() {
    for stuck in [0, 1, 2] {
        let start = Instant::now();
        let errors = run(3, Duration::from_millis(200), |ranks| {
            ranks.barrier().unwrap();
            if ranks.rank() == stuck {
                std::thread::sleep(Duration::from_secs(3));
                return None;
            }
            let first = ranks.all_reduce_sum(&mut [0.0; 5]).unwrap_err();
            assert_eq!(ranks.barrier().unwrap_err(), first, "it stays broken");
            Some(first)
        });
        for error in errors.into_iter().filter_map(std::result::Result::unwrap) {
            assert!(matches!(error, Error::Late { rank, number: 1, .. } if rank == stuck), "{error}");
            assert!(error.to_string().contains("all_reduce_sum of 5 f32"), "{error}");
        }
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_rank_that_ends_early_is_named_at_once() {
    for gone in [0, 2] {
        let start = Instant::now();
        let errors = run(3, PATIENCE, |ranks| {
            ranks.barrier().unwrap();
            if ranks.rank() == gone {
                return None;
            }
            Some(ranks.gather(&[1.0]).unwrap_err())
        });
        for error in errors.into_iter().filter_map(std::result::Result::unwrap) {
            assert!(matches!(error, Error::Left { rank, .. } if rank == gone), "{error}");
        }
        assert!(start.elapsed() < PATIENCE / 2);
    }
}

/// What a rank brought before it ended is still used.
#[test]
fn whoever_is_done_does_not_harm_those_that_are_late_to_leave() {
    for _ in 0..50 {
        run(3, PATIENCE, |ranks| ranks.barrier()).into_iter().for_each(|end| end.unwrap().unwrap());
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
}

#[test]
fn strangers_and_those_who_never_come_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let patience = Duration::from_millis(150);
    let alone = Processes::meet(&folder.path().join("a"), 0, 2, patience).unwrap_err();
    assert!(matches!(alone, Error::Late { rank: 1, .. }), "{alone}");
    let nobody = Processes::meet(&folder.path().join("b"), 1, 2, patience).unwrap_err();
    assert!(matches!(nobody, Error::Late { rank: 0, .. }), "{nobody}");
    assert!(matches!(
        Processes::meet(&folder.path().join("c"), 2, 2, patience),
        Err(Error::NoSuchRank { rank: 2, world: 2 })
    ));

    // a socket that says nothing of ours is passed over, and another world is refused
    let socket = folder.path().join("d");
    let strangers = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let hub = scope.spawn(|| Processes::meet(&socket, 0, 2, Duration::from_secs(20)));
        scope.spawn(|| {
            let stranger = loop {
                if let Ok(stream) = UnixStream::connect(&socket) {
                    break stream;
                }
            };
            let mut line = Line { stream: &stranger, until: Instant::now() + Duration::from_secs(5) };
            line.write(&[7; 24]).unwrap();
            strangers.fetch_add(1, Ordering::SeqCst);
        });
        while strangers.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _other = Processes::meet(&socket, 1, 3, Duration::from_secs(20)).unwrap();
        let error = hub.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("it says to be rank 1 of 3, in a world of 2"), "{error}");
    });
}
