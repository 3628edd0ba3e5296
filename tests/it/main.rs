//! The integration binary: the project from outside, as its users meet it.

#![expect(clippy::unwrap_used, reason = "a failed step ends the test")]

mod architecture; // rules of the house
mod corpora; // every kind of text through the whole engine
mod doors; // the documented commands on real files
mod kills; // kill -9 anywhere, run again, nothing lost or doubled
mod mutants; // damaged inputs through the whole engine
mod outside;
mod readme;
mod same_bytes; // threads and processes never change a byte; a changed plan is refused // full disks, closed folders, rivals, signals, wrong words // its commands run as they stand there
