//! A folder for each class: ImageFolder's layout.

use std::path::Path;

use super::{Found, Place, is_picture, sorted_entries};
use crate::backbone::Error;

/// Pictures of `root/CLASS/...`, class by class, in the order of their names. Names that begin with a dot are left out.
pub(super) fn scan(root: &Path) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for class in sorted_entries(root)?.into_iter().filter(|path| path.is_dir() && !is_hidden(path)) {
        let name = class.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        collect(&class, &name, &mut found)?;
    }
    Ok(found)
}

fn collect(folder: &Path, class: &str, found: &mut Vec<Found>) -> Result<(), Error> {
    for path in sorted_entries(folder)?.into_iter().filter(|path| !is_hidden(path)) {
        if path.is_dir() {
            collect(&path, class, found)?;
        } else if is_picture(&path) {
            found.push(Found { class: class.to_owned(), place: Place::File(path) });
        }
    }
    Ok(())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}
