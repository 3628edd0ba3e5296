use std::time::Duration;

/// Why ranks could not do something together. All of them get the same one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A rank did not come in time: stuck, or dead without a word.
    #[error(
        "rank {rank} did not come to {operation} (number {number}) within {waited:?}: it is stuck or lost; resume from \
         the last checkpoint, or allow more time"
    )]
    Late {
        /// The first rank that is missing.
        rank: usize,
        /// What the others wait in.
        operation: String,
        /// Operations before it.
        number: u64,
        /// How long they waited.
        waited: Duration,
    },
    /// A rank ended, by an error of its own or a panic.
    #[error("rank {rank} ended before {operation} (number {number}); what it says itself is the reason")]
    Left {
        /// The rank.
        rank: usize,
        /// What it did not come to.
        operation: String,
        /// Operations before it.
        number: u64,
    },
    /// Ranks ask for different things: a fault of the program.
    #[error(
        "rank {rank} asks for {got} where rank 0 asks for {expected} (number {number}); please report this"
    )]
    Mismatch {
        /// The first rank that differs.
        rank: usize,
        /// What it asks for.
        got: String,
        /// What rank 0 asks for.
        expected: String,
        /// Operations before it.
        number: u64,
    },
    /// Ranks that are processes do not find one another, or not any more.
    #[error(
        "rank {rank} cannot be reached: {problem}; start all ranks with the same command, on one machine"
    )]
    Unreachable {
        /// The rank.
        rank: usize,
        /// What the system says, or what is wrong with what it said.
        problem: String,
    },
    /// What moves numbers between ranks failed.
    #[error("NCCL failed in {operation}: {problem}; a rank may be lost: resume from the last checkpoint")]
    Link {
        /// What was under way.
        operation: String,
        /// What the library says.
        problem: String,
    },
    /// A way to meet that this build or machine does not have.
    #[error("{what} is not there: {problem}\n  hint: {hint}")]
    Unavailable {
        /// The way.
        what: &'static str,
        /// What is missing.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// A rank that does not exist.
    #[error("there is no rank {rank} in a world of {world}")]
    NoSuchRank {
        /// What was asked for.
        rank: usize,
        /// How many there are.
        world: usize,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
