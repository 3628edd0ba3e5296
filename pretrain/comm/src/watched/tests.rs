use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::{Solo, threads};

fn deadline(millis: u64) -> (Deadline, Receiver<Stuck>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let on_stuck = Arc::new(move |stuck: &Stuck| tell.lock().unwrap().send(stuck.clone()).unwrap());
    (Deadline { timeout: Duration::from_millis(millis), on_stuck }, told)
}

/// A collective that waits for ever, as MPI does.
struct Endless(Mutex<Receiver<()>>);

impl Collective for Endless {
    fn rank(&self) -> usize {
        1
    }

    fn world(&self) -> usize {
        2
    }

    fn all_reduce_sum(&self, _: &mut [f32]) -> Result<()> {
        let _ = self.0.lock().unwrap().recv();
        Ok(())
    }

    fn all_reduce_sum_f64(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn broadcast(&self, _: &mut [f32], _: usize) -> Result<()> {
        Ok(())
    }

    fn gather(&self, _: &[f64]) -> Result<Vec<Vec<f64>>> {
        Ok(Vec::new())
    }

    fn barrier(&self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_wait_without_end_is_told_once_with_what_and_where() {
    let (deadline, told) = deadline(100);
    let (end, ends) = channel();
    std::thread::scope(|scope| {
        let watched = Watched::new(Endless(Mutex::new(ends)), &deadline);
        watched.at_step(17);
        // many short ones are no long one
        for _ in 0..300 {
            watched.barrier().unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(told.try_recv().is_err());
        let waiting = scope.spawn(move || watched.all_reduce_sum(&mut [0.0; 4]).unwrap());
        let stuck = told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!((stuck.rank, stuck.world, stuck.step, stuck.reason.is_none()), (1, 2, 17, true));
        assert!(stuck.waited >= deadline.timeout, "{stuck}");
        let text = stuck.to_string();
        assert!(
            text.starts_with("rank 1 of 2 is stuck in all_reduce_sum of 4 f32, 17 updates made"),
            "{text}"
        );
        std::thread::sleep(Duration::from_millis(300));
        assert!(told.try_recv().is_err(), "told twice");
        end.send(()).unwrap();
        waiting.join().unwrap();
    });
}

/// The rank that waits gets an error, but the one that is stuck would keep the process from ending.
#[test]
fn a_rank_that_does_not_come_is_told_with_its_number() {
    let (deadline, told) = deadline(150);
    std::thread::scope(|scope| {
        for ranks in threads(2, deadline.timeout) {
            let ranks = Watched::new(ranks, &deadline);
            scope.spawn(move || {
                if ranks.rank() == 1 {
                    std::thread::sleep(Duration::from_millis(600));
                } else {
                    ranks.barrier().unwrap_err();
                }
            });
        }
    });
    let stuck = told.recv().unwrap();
    assert!(matches!(stuck.reason, Some(Error::Late { rank: 1, .. })), "{stuck}");
    assert_eq!(stuck.rank, 0);
    assert!(told.try_recv().is_err());
}

#[test]
fn it_changes_nothing_else() {
    let (deadline, _told) = deadline(1000);
    let watched = Watched::new(Solo, &deadline);
    assert_eq!((watched.rank(), watched.world()), (0, 1));
    let mut values = [2.0];
    watched.all_reduce_sum(&mut values).unwrap();
    assert!(matches!(watched.broadcast(&mut values, 1), Err(Error::NoSuchRank { .. })));
    assert_eq!((values, watched.gather(&[5.0]).unwrap()), ([2.0], vec![vec![5.0]]));
}

#[test]
fn what_takes_too_long_before_there_is_a_collective_is_told() {
    let (deadline, told) = deadline(150);
    assert_eq!(deadline.guard([2, 4], "something short", || 7), 7);
    assert!(told.try_recv().is_err());
    let stuck = deadline.guard([2, 4], "the meeting", || told.recv().unwrap());
    assert_eq!((stuck.rank, stuck.world, stuck.operation.as_str()), (2, 4, "the meeting"));
    assert!(stuck.waited >= Duration::from_millis(150), "{stuck}");
}
