//! The reference cases that lie beside the checkout, where they are.

use std::path::PathBuf;

/// The folder of reference cases: `OSCAR_REFERENCE_DATA`, or `../shared/data` beside the checkout.
///
/// Says `skipped: no reference data` where there is none.
pub fn reference_data() -> Option<PathBuf> {
    let named = std::env::var_os("OSCAR_REFERENCE_DATA").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| crate::binaries::root().join("../shared/data"));
    if folder.is_dir() {
        return Some(folder);
    }
    say("skipped: no reference data");
    None
}

/// Prints one line of a test's figures.
#[expect(clippy::print_stdout, reason = "figures of a test are for its reader")]
pub fn say(line: &str) {
    println!("{line}");
}
