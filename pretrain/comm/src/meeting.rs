//! Where ranks meet: each brings something, each leaves with what all have brought.
//!
//! One operation after the other. A rank that has taken its leave may bring its part of the next operation at once; the
//! next one cannot be complete before all have come to it, and then all have left the one before.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// What a rank brings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Payload {
    Nothing,
    Singles(Vec<f32>),
    Doubles(Vec<f64>),
}

impl Payload {
    pub(crate) fn singles(&self) -> Option<&[f32]> {
        if let Self::Singles(values) = self { Some(values) } else { None }
    }

    pub(crate) fn doubles(&self) -> Option<&[f64]> {
        if let Self::Doubles(values) = self { Some(values) } else { None }
    }
}

/// What all have brought, in the order of the ranks.
pub(crate) type Brought = Arc<Vec<Payload>>;

#[derive(Debug)]
pub(crate) struct Meeting {
    state: Mutex<State>,
    changed: Condvar,
    patience: Duration,
}

#[derive(Debug)]
struct State {
    /// Operations that are complete.
    number: u64,
    /// What has been brought to the next one.
    seats: Vec<Option<(String, Payload)>>,
    /// Of the last complete operation.
    brought: Brought,
    has_left: Vec<bool>,
    broken: Option<Error>,
}

impl Meeting {
    /// Of `world` ranks which wait for one another at most as long as `patience`.
    pub(crate) fn new(world: usize, patience: Duration) -> Self {
        let state = State {
            number: 0,
            seats: vec![None; world],
            brought: Arc::default(),
            has_left: vec![false; world],
            broken: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), patience }
    }

    /// Brings `payload` to the operation that this text tells apart from others.
    pub(crate) fn bring(&self, rank: usize, operation: String, payload: Payload) -> Result<Brought> {
        let mut state = self.lock();
        let number = state.number;
        state.check()?;
        state.seats[rank] = Some((operation, payload));
        if state.seats.iter().all(Option::is_some) {
            state.complete();
            self.changed.notify_all();
        }
        let start = Instant::now();
        while state.number == number {
            state.notice_leavers();
            state.check().inspect_err(|_| self.changed.notify_all())?;
            let waited = start.elapsed();
            let Some(left) = self.patience.checked_sub(waited).filter(|left| !left.is_zero()) else {
                state.give_up(waited);
                continue;
            };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // it is complete: what went wrong after it, on ranks that left sooner, is the next one's
        match &state.broken {
            Some(error) if !State::is_of_later(error, number) => Err(error.clone()),
            _ => Ok(state.brought.clone()),
        }
    }

    /// The rank will not come again.
    pub(crate) fn leave(&self, rank: usize) {
        self.lock().has_left[rank] = true;
        self.changed.notify_all();
    }

    /// Nothing that holds the lock leaves the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self) -> Result<()> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Whether an error is of an operation after this one.
    fn is_of_later(error: &Error, than: u64) -> bool {
        matches!(
            error,
            Error::Late { number, .. } | Error::Left { number, .. } | Error::Mismatch { number, .. } if *number > than
        )
    }

    /// All seats are taken.
    fn complete(&mut self) {
        let (mut operations, mut payloads) = (Vec::new(), Vec::new());
        for (operation, payload) in self.seats.iter_mut().filter_map(Option::take) {
            operations.push(operation);
            payloads.push(payload);
        }
        if let Some(rank) = operations.iter().position(|operation| *operation != operations[0]) {
            let [expected, got] = [0, rank].map(|rank| operations[rank].clone());
            self.broken = Some(Error::Mismatch { rank, got, expected, number: self.number });
        }
        self.brought = Arc::new(payloads);
        self.number += 1;
    }

    /// Somebody who has left without bringing anything will never come.
    fn notice_leavers(&mut self) {
        let missing = self.seats.iter().zip(&self.has_left).position(|(seat, left)| seat.is_none() && *left);
        if let (Some(rank), None) = (missing, &self.broken) {
            let operation = self.operation();
            self.broken = Some(Error::Left { rank, operation, number: self.number });
        }
    }

    fn give_up(&mut self, waited: Duration) {
        let rank = self.seats.iter().position(Option::is_none).unwrap_or_default();
        let operation = self.operation();
        self.broken = Some(Error::Late { rank, operation, number: self.number, waited });
    }

    /// What those who are here wait in.
    fn operation(&self) -> String {
        self.seats.iter().flatten().next().map(|(operation, _)| operation.clone()).unwrap_or_default()
    }
}
