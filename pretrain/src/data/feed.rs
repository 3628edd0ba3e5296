//! Work done ahead, in other threads.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Result;

/// Items that several threads make, in one order.
///
/// Thread w of n makes items w, w + n, w + 2n, ... and puts them into a queue of its own, where it waits while the queue is
/// full; whoever takes items goes through the queues by turns. So the order does not depend on how fast threads are.
#[derive(Debug)]
pub struct Feed<T> {
    /// Dropped first, which ends threads that wait.
    queues: Vec<Receiver<Result<T>>>,
    threads: Vec<Option<JoinHandle<()>>>,
    /// The queue that the next item is in; none after an error or the end.
    next: Option<usize>,
    waited: Duration,
}

impl<T: Send + 'static> Feed<T> {
    /// Starts `n_threads`; `items(w)` gives the items of thread w. At most `ahead` items wait in the queues, and one more in
    /// each thread. `folder` is named if the system has no more threads.
    ///
    /// # Errors
    /// No more threads.
    pub fn start<I>(
        n_threads: usize,
        ahead: usize,
        folder: &Path,
        mut items: impl FnMut(usize) -> I,
    ) -> Result<Feed<T>>
    where
        I: Iterator<Item = Result<T>> + Send + 'static,
    {
        let mut feed =
            Feed { queues: Vec::new(), threads: Vec::new(), next: Some(0), waited: Duration::ZERO };
        for thread in 0..n_threads {
            let (sender, receiver) = sync_channel(ahead.div_ceil(n_threads));
            let items = items(thread);
            let work = move || {
                for item in items {
                    let is_last = item.is_err();
                    if sender.send(item).is_err() || is_last {
                        break; // nobody takes items any more, or an error was the last
                    }
                }
            };
            let builder = std::thread::Builder::new().name(format!("reader {thread}"));
            let handle =
                builder.spawn(work).map_err(data_specs::Error::io("start a thread that reads", folder))?;
            feed.queues.push(receiver);
            feed.threads.push(Some(handle));
        }
        Ok(feed)
    }

    /// The next item; none after the last one and after an error.
    ///
    /// # Errors
    /// Those of the items.
    ///
    /// # Panics
    /// Where the thread that makes the item did.
    pub fn take(&mut self) -> Option<Result<T>> {
        let queue = self.next?;
        let started = Instant::now();
        let received = self.queues[queue].recv();
        self.waited += started.elapsed();
        self.next = None;
        match received {
            Ok(Ok(item)) => {
                self.next = Some((queue + 1) % self.queues.len());
                Some(Ok(item))
            }
            Ok(Err(error)) => Some(Err(error)),
            // the thread is at its end: of its items, or by a panic that must not look like one
            Err(_) => {
                if let Some(Err(panic)) = self.threads[queue].take().map(JoinHandle::join) {
                    std::panic::resume_unwind(panic);
                }
                None
            }
        }
    }

    /// How long [`take`](Feed::take) has waited in all.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        self.queues.clear();
        // a panic of a thread whose items nobody wanted changes nothing any more
        self.threads.iter_mut().filter_map(Option::take).for_each(|thread| drop(thread.join()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Error;

    /// Numbers below `n`, by `n_threads` of which the first is slow.
    fn numbers(n: usize, n_threads: usize, ahead: usize, made: &Arc<AtomicUsize>) -> Feed<usize> {
        Feed::start(n_threads, ahead, Path::new("."), |thread| {
            let made = made.clone();
            (thread..n).step_by(n_threads).map(move |number| {
                std::thread::sleep(Duration::from_millis(if thread == 0 { 3 } else { 0 }));
                made.fetch_add(1, Ordering::SeqCst);
                Ok(number)
            })
        })
        .unwrap()
    }

    #[test]
    fn items_come_in_order_and_no_more_are_made_than_fit() {
        for (n_threads, ahead) in [(1, 1), (3, 3), (3, 7), (8, 2)] {
            let made = Arc::default();
            let mut feed = numbers(50, n_threads, ahead, &made);
            for number in 0..50 {
                assert_eq!(feed.take().unwrap().unwrap(), number);
                let most = number + 1 + n_threads * (ahead.div_ceil(n_threads) + 1);
                assert!(made.load(Ordering::SeqCst) <= most, "{n_threads} threads, {ahead} ahead");
            }
            assert!(feed.take().is_none() && feed.take().is_none());
            assert!(feed.waited() > Duration::from_millis(3));
        }
    }

    #[test]
    fn an_error_is_the_last_item_and_a_panic_is_one_here() {
        let failing = |at: usize, panics: bool| {
            Feed::start(2, 4, Path::new("."), |thread| {
                (thread..).step_by(2).map(move |number| match number == at {
                    true if panics => panic!("item {number}"),
                    true => Err(Error::Setting { key: "x".into(), problem: "y".into(), hint: "z".into() }),
                    false => Ok(number),
                })
            })
            .unwrap()
        };
        let mut feed = failing(5, false);
        (0..5).for_each(|number| assert_eq!(feed.take().unwrap().unwrap(), number));
        assert!(feed.take().unwrap().is_err() && feed.take().is_none());

        let mut feed = failing(3, true);
        (0..3).for_each(|number| assert_eq!(feed.take().unwrap().unwrap(), number));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| feed.take()));
        assert_eq!(panic.unwrap_err().downcast_ref::<String>().unwrap(), "item 3");
    }
}
