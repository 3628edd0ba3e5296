//! A watchdog for collectives that cannot end a wait by themselves, and for waits that end while a rank stays stuck.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Collective, Error, Result};

/// How long an operation may take, and who is told when one takes longer.
#[derive(Clone)]
pub struct Deadline {
    /// The longest that one operation may take. Ranks wait in operations for one another, so it must be longer than what one
    /// rank does alone: the checkpoint, and the difference between the fastest and the slowest rank's step.
    pub timeout: Duration,
    /// Told once, from another thread than the one that is stuck. It should end the process without unwinding: what is stuck
    /// would not let it.
    pub on_stuck: Arc<dyn Fn(&Stuck) + Send + Sync>,
}

/// An operation that takes too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Who waits.
    pub rank: usize,
    /// Of how many.
    pub world: usize,
    /// Updates made before, if any.
    pub step: u64,
    /// What it waits in.
    pub operation: String,
    /// For how long.
    pub waited: Duration,
    /// What is known of the reason.
    pub reason: Option<Error>,
}

/// A collective under a watchdog.
pub struct Watched<C> {
    inner: C,
    shared: Arc<Shared>,
    timeout: Duration,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    is_over: Condvar,
    who: [usize; 2],
    on_stuck: Arc<dyn Fn(&Stuck) + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// What is under way, and since when.
    operation: Option<(String, Instant)>,
    step: u64,
    is_over: bool,
    was_told: bool,
}

impl Deadline {
    /// Calls `act`, which knows no patience of its own, and has the deadline's `on_stuck` told when it takes too long: for what
    /// rank `who[0]` of `who[1]` does before there is a collective to be watched.
    pub fn guard<T>(&self, who: [usize; 2], operation: &str, act: impl FnOnce() -> T) -> T {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                operation: Some((operation.to_owned(), Instant::now())),
                ..State::default()
            }),
            is_over: Condvar::new(),
            who,
            on_stuck: Arc::clone(&self.on_stuck),
        });
        let (watching, timeout) = (Arc::clone(&shared), self.timeout);
        let thread = std::thread::spawn(move || watching.watch(timeout));
        let result = act();
        shared.lock().is_over = true;
        shared.is_over.notify_all();
        // a watchdog that panicked has nothing more to say
        drop(thread.join());
        result
    }
}

impl<C: Collective> Watched<C> {
    /// Watches `inner` until it is dropped.
    pub fn new(inner: C, deadline: &Deadline) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            is_over: Condvar::new(),
            who: [inner.rank(), inner.world()],
            on_stuck: Arc::clone(&deadline.on_stuck),
        });
        let (watching, timeout) = (Arc::clone(&shared), deadline.timeout);
        // a collective with a patience of its own knows more of the reason, so it speaks first
        let limit = timeout + Duration::from_secs(3).min(timeout);
        let thread = std::thread::spawn(move || watching.watch(limit));
        Self { inner, shared, timeout, thread: Some(thread) }
    }

    /// `step` updates are made.
    pub fn at_step(&self, step: u64) {
        self.shared.lock().step = step;
    }

    /// One operation, between two looks at the clock.
    fn timed<T>(&self, operation: String, act: impl FnOnce(&C) -> Result<T>) -> Result<T> {
        self.shared.lock().operation = Some((operation, Instant::now()));
        let result = act(&self.inner);
        let mut state = self.shared.lock();
        let ended = state.operation.take();
        if let (Err(error @ Error::Late { .. }), Some((operation, since))) = (&result, ended) {
            // it has ended for this rank, but the one that it waited for may never end
            self.shared.tell(state, operation, since.elapsed().max(self.timeout), Some(error.clone()));
        }
        result
    }
}

impl Shared {
    fn watch(&self, limit: Duration) {
        let every = (limit / 20).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let mut state = self.lock();
        while !state.is_over {
            if let Some((operation, since)) =
                state.operation.clone().filter(|(_, since)| since.elapsed() > limit)
            {
                return self.tell(state, operation, since.elapsed(), None);
            }
            state = self.is_over.wait_timeout(state, every).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn tell(
        &self,
        mut state: MutexGuard<'_, State>,
        operation: String,
        waited: Duration,
        reason: Option<Error>,
    ) {
        if !std::mem::replace(&mut state.was_told, true) {
            let ([rank, world], step) = (self.who, state.step);
            drop(state);
            (self.on_stuck)(&Stuck { rank, world, step, operation, waited, reason });
        }
    }

    /// Nothing that holds the lock leaves the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Collective> Collective for Watched<C> {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn world(&self) -> usize {
        self.inner.world()
    }

    fn all_reduce_sum(&self, values: &mut [f32]) -> Result<()> {
        self.timed(format!("all_reduce_sum of {} f32", values.len()), |inner| inner.all_reduce_sum(values))
    }

    fn all_reduce_sum_f64(&self, values: &mut [f64]) -> Result<()> {
        let operation = format!("all_reduce_sum of {} f64", values.len());
        self.timed(operation, |inner| inner.all_reduce_sum_f64(values))
    }

    fn broadcast(&self, values: &mut [f32], root: usize) -> Result<()> {
        let operation = format!("broadcast of {} f32 from rank {root}", values.len());
        self.timed(operation, |inner| inner.broadcast(values, root))
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        self.timed("gather".to_owned(), |inner| inner.gather(values))
    }

    fn barrier(&self) -> Result<()> {
        self.timed("barrier".to_owned(), Collective::barrier)
    }
}

impl<C> Drop for Watched<C> {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.is_over.notify_all();
        if let Some(thread) = self.thread.take() {
            // a watchdog that panicked has nothing more to say
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deadline").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl<C: std::fmt::Debug> std::fmt::Debug for Watched<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rank, world, step, operation, waited, reason } = self;
        write!(
            f,
            "rank {rank} of {world} is stuck in {operation}, {step} updates made, for {:.1} s",
            waited.as_secs_f64()
        )?;
        reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

#[cfg(test)]
mod tests;
