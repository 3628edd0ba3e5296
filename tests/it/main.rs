//! The integration binary: the project from outside, as its users meet it.

#![expect(clippy::unwrap_used, reason = "a failed step ends the test")]

mod doors; // the documented commands on real files
mod kills; // kill -9 anywhere, run again, nothing lost or doubled
mod same_bytes; // threads and processes never change a byte; a changed plan is refused
