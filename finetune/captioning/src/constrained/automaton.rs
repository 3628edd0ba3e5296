//! Which constraints a caption satisfies, token by token.

use std::collections::BTreeMap;

use super::Constraint;
use crate::{Error, Result};

/// Constraints of a picture at most.
pub const MAX_CONSTRAINTS: usize = 3;
/// Pieces of a constraint at most; the rest of a longer one is not asked for.
pub const MAX_PIECES: usize = 4;

/// An automaton that reads captions (Paper: 1812.08658, figures 7 to 9).
///
/// Of its states the first `2^3` are main states: bit i of their number says that constraint i is satisfied. Behind them are
/// sub-states, in which a constraint of several pieces is begun. A piece that was waited for leads on; at the end of its
/// constraint into the main state with one bit more. Any other token leads from a sub-state back to its main state, also if it
/// would begin a constraint anew, and leaves a main state where it is.
///
/// As published, a token may lead to several states: adding a constraint lets the tokens of earlier ones leave main states
/// where they are, too, so `dog` before `umbrella` both counts and does not count. That costs beams, and published captions
/// depend on it.
///
/// Only tokens of constraints have entries; a state is a few of them and one default. (As a dense tensor of states by states by
/// vocabulary it would be 31 MB a picture.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Automaton {
    states: Vec<State>,
    given: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct State {
    /// Where every other token leads.
    default: States,
    /// Where tokens of constraints lead, ascending.
    exceptions: Vec<(u32, States)>,
}

/// A set of states, one bit each. There are at most 8 + 3 * 4 * 3 = 44.
pub(super) type States = u64;

/// A state being made.
#[derive(Debug, Clone, Default)]
struct Draft {
    default: States,
    exceptions: BTreeMap<u32, States>,
}

impl Automaton {
    /// Main states, however many constraints there are; those of missing constraints are never reached.
    pub const MAIN_STATES: usize = 1 << MAX_CONSTRAINTS;

    /// The automaton of up to [`MAX_CONSTRAINTS`] constraints, which keep their order. None at all is legal.
    pub fn new(constraints: &[Constraint]) -> Result<Self> {
        if constraints.len() > MAX_CONSTRAINTS {
            return Err(Error::Constraint {
                constraint: (MAX_CONSTRAINTS + 1).to_string(),
                problem: format!("{} are given, {MAX_CONSTRAINTS} are possible", constraints.len()),
                hint: "keep those of the highest confidence",
            });
        }
        let mut drafts: Vec<Draft> =
            (0..Self::MAIN_STATES).map(|state| Draft { default: 1 << state, ..Draft::default() }).collect();
        for (number, constraint) in constraints.iter().enumerate() {
            add(&mut drafts, number, constraint)?;
        }
        let states = drafts.into_iter().map(|draft| State {
            default: draft.default,
            exceptions: draft.exceptions.into_iter().collect(),
        });
        Ok(Self { states: states.collect(), given: constraints.len() })
    }

    /// Main and sub-states.
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// How many constraints it has.
    pub fn given(&self) -> usize {
        self.given
    }

    /// The states that `token` leads to from `state`, ascending.
    ///
    /// # Panics
    /// Where there is no such state.
    pub fn next(&self, state: usize, token: u32) -> impl Iterator<Item = usize> + use<> {
        members(self.targets(state, token))
    }

    /// The tokens that lead elsewhere than the others from `state`, ascending.
    ///
    /// # Panics
    /// Where there is no such state.
    pub fn awaited(&self, state: usize) -> impl Iterator<Item = u32> {
        self.states[state].exceptions.iter().map(|(token, _)| *token)
    }

    /// The main state that a state belongs to: its constraints are satisfied.
    ///
    /// # Panics
    /// Where there is no such state.
    pub fn main_state(&self, state: usize) -> usize {
        self.states[state].default.trailing_zeros() as usize
    }

    pub(super) fn exceptions(&self, state: usize) -> &[(u32, States)] {
        &self.states[state].exceptions
    }

    pub(super) fn default(&self, state: usize) -> States {
        self.states[state].default
    }

    pub(super) fn targets(&self, state: usize, token: u32) -> States {
        let State { default, exceptions } = &self.states[state];
        exceptions
            .binary_search_by_key(&token, |(token, _)| *token)
            .map_or(*default, |found| exceptions[found].1)
    }
}

/// The states of a set, ascending.
pub(super) fn members(mut states: States) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let state = (states != 0).then(|| states.trailing_zeros() as usize)?;
        states &= states - 1;
        Some(state)
    })
}

/// Lets main states that lack a constraint wait for it.
fn add(drafts: &mut Vec<Draft>, number: usize, constraint: &Constraint) -> Result<()> {
    let pieces = constraint.pieces();
    let pieces = &pieces[..pieces.len().min(MAX_PIECES)];
    let Some((last, begin)) = pieces.split_last() else {
        return Err(Error::Constraint {
            constraint: (number + 1).to_string(),
            problem: "has no pieces".to_owned(),
            hint: "leave it out",
        });
    };
    let bit = 1 << number;
    for main in (0..Automaton::MAIN_STATES).filter(|state| state & bit == 0) {
        let mut from = main;
        for piece in begin {
            let sub = drafts.len();
            drafts.push(Draft::default());
            drafts[from].connect(from, sub, piece, main);
            from = sub;
        }
        drafts[from].connect(from, main | bit, last, main);
    }
    Ok(())
}

impl Draft {
    /// Lets the forms of a piece lead to `to`, and all other tokens to `main`; `this` is its own number.
    fn connect(&mut self, this: usize, to: usize, forms: &[u32], main: usize) {
        for form in forms {
            *self.exceptions.entry(*form).or_insert(self.default) |= 1 << to;
        }
        let (stay, back): (States, States) = (1 << this, 1 << main);
        self.default = self.default & !stay | back;
        for (token, states) in &mut self.exceptions {
            *states &= !stay & !back;
            if !forms.contains(token) {
                *states |= back;
            }
        }
    }
}
