//! What the tests of the whole share: made-up inputs, the binaries, and an oracle that trusts neither.

pub mod binaries;
pub mod chance;
pub mod made_up;
pub mod oracle;
pub mod own_pictures;
pub mod reference;
