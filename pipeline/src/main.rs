//! `pipeline`.
fn main() {}
