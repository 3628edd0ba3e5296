//! The integration binary: the project from outside, as its users meet it.

mod kills; // kill -9 anywhere, run again, nothing lost or doubled
