//! What a build tells the outside while it works, and what the outside may tell it.

use data_specs::durable::CommitPhase;

use crate::inputs::Span;

/// Someone who watches a build: a progress bar, a test that kills it at a given moment, a signal.
///
/// The library itself prints nothing and knows no signals.
pub trait Watch: Sync {
    /// `bytes` more of the inputs are scanned.
    fn scanned(&self, _bytes: u64) {}

    /// The plan stands: tasks in all and tasks that an earlier run finished.
    fn planned(&self, _tasks: usize, _done: usize, _rows: u64) {}

    /// `rows` more rows have reached their end, `rejected` of them in the rejects.
    fn rows(&self, _rows: u64, _rejected: u64) {}

    /// The build is at `phase`.
    fn phase(&self, _phase: Phase) {}

    /// An error to meet instead of reading `span`: how tests make a disk fail.
    fn read_fault(&self, _span: &Span) -> Option<std::io::Error> {
        None
    }

    /// The signal that asks the build to stop, if there was one.
    fn interrupted(&self) -> Option<i32> {
        None
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// A moment of a build. Whatever dies at whichever of them, the same command goes on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Inputs are being scanned.
    Plan,
    /// The plan is written, not yet in place.
    PlanWritten,
    /// A shard's temporary file is open and some rows are in it.
    ShardRows,
    /// All bytes of a shard are written, none is known to be on the disk.
    ShardWritten,
    /// A shard is on the disk under its temporary name.
    ShardSynced,
    /// A shard has its name, its receipt is missing.
    ShardRenamed,
    /// A receipt is written under its temporary name.
    ReceiptWritten,
    /// A receipt has its name.
    ReceiptRenamed,
    /// All tasks have receipts, there is no manifest.
    ManifestMissing,
    /// The manifest is written under its temporary name.
    ManifestWritten,
    /// The manifest has its name.
    ManifestRenamed,
}

impl Phase {
    /// Every phase, in the order in which a build passes them.
    pub const ALL: [Phase; 11] = [
        Phase::Plan,
        Phase::PlanWritten,
        Phase::ShardRows,
        Phase::ShardWritten,
        Phase::ShardSynced,
        Phase::ShardRenamed,
        Phase::ReceiptWritten,
        Phase::ReceiptRenamed,
        Phase::ManifestMissing,
        Phase::ManifestWritten,
        Phase::ManifestRenamed,
    ];

    /// The name by which a failpoint is set.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Plan => "plan",
            Phase::PlanWritten => "plan-written",
            Phase::ShardRows => "shard-rows",
            Phase::ShardWritten => "shard-written",
            Phase::ShardSynced => "shard-synced",
            Phase::ShardRenamed => "shard-renamed",
            Phase::ReceiptWritten => "receipt-written",
            Phase::ReceiptRenamed => "receipt-renamed",
            Phase::ManifestMissing => "manifest-missing",
            Phase::ManifestWritten => "manifest-written",
            Phase::ManifestRenamed => "manifest-renamed",
        }
    }

    pub(crate) fn of_shard(commit: CommitPhase) -> Option<Phase> {
        match commit {
            CommitPhase::Written => Some(Phase::ShardWritten),
            CommitPhase::Synced => Some(Phase::ShardSynced),
            CommitPhase::Renamed => Some(Phase::ShardRenamed),
            CommitPhase::Durable => None,
        }
    }

    pub(crate) fn of_receipt(commit: CommitPhase) -> Option<Phase> {
        match commit {
            CommitPhase::Written => Some(Phase::ReceiptWritten),
            CommitPhase::Renamed => Some(Phase::ReceiptRenamed),
            CommitPhase::Synced | CommitPhase::Durable => None,
        }
    }

    pub(crate) fn of_manifest(commit: CommitPhase) -> Option<Phase> {
        match commit {
            CommitPhase::Written => Some(Phase::ManifestWritten),
            CommitPhase::Renamed => Some(Phase::ManifestRenamed),
            CommitPhase::Synced | CommitPhase::Durable => None,
        }
    }
}
