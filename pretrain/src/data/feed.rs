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
pub(super) struct Feed<T> {
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
    pub(super) fn start<I>(
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
    /// # Panics
    /// Where the thread that makes the item did.
    pub(super) fn take(&mut self) -> Option<Result<T>> {
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
    pub(super) fn waited(&self) -> Duration {
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
