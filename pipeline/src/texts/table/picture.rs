//! Which picture a cell of a table means.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::pictures::is_picture_name;
use crate::{Code, RejectReason};

/// The picture's id in `cell`, which may be a path or a URL.
///
/// A URL (anything with `://`) stands for the last part of its path, without query and fragment; a path, which
/// ends as picture files do, for its last part: picture sources know their files by name, whatever folder they
/// are in. The ending of a picture file is dropped. Everything else is an id as it stands, so the `coco/9` of a
/// corpus of several data sets stays whole.
///
/// `http://host/a/winter-fly.jpg?w=80` is `winter-fly`, `val/0001.jpg` is `0001`, `v1.2` is `v1.2`.
pub(super) fn id_in(cell: &str) -> &str {
    let path = match cell.split_once("://") {
        Some((_, address)) => {
            let path = address.split(['?', '#']).next().unwrap_or_default();
            // A host alone names no file.
            path.split_once('/').map_or("", |(_, path)| path)
        }
        None => cell,
    };
    if !is_url(cell) && !is_picture_name(path) {
        return cell;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.rsplit_once('.') {
        Some((stem, _)) if is_picture_name(name) => stem,
        _ => name,
    }
}

/// The addresses met so far, to tell pictures apart whose files have one name: 24 bytes each.
///
/// Only hashes are kept. Two equal ones of different pictures are as likely as one in a million for three
/// million addresses, and would turn one text away, not give it to another picture.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Hash of the picture's id to the hash of its address, and the line of that.
    seen: HashMap<u64, (u64, u64)>,
}

impl Addresses {
    /// Turns `cell` away if it is an address that gives the id of another address, of which there is only one
    /// picture then: many servers call theirs `image.jpg`.
    pub(super) fn check(&mut self, id: &str, cell: &str, line: u64) -> Result<(), RejectReason> {
        if !is_url(cell) {
            return Ok(());
        }
        let (address, first) = *self.seen.entry(hash(id)).or_insert((hash(cell), line));
        if address == hash(cell) {
            return Ok(());
        }
        let message = format!("picture `{id}` has another address on line {first} than here: `{cell}`");
        Err(RejectReason::new(Code::DuplicateId, message))
    }
}

fn is_url(cell: &str) -> bool {
    cell.contains("://")
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_an_id_a_path_or_a_url() {
        for (cell, id) in [
            ("391895", "391895"),
            ("coco/391895", "coco/391895"),
            ("v1.2", "v1.2"),
            ("0001.jpg", "0001"),
            ("val/b/0001.x.JPEG", "0001.x"),
            ("http://l7.alamy.com/zooms/the-new-star-ferry.jpg", "the-new-star-ferry"),
            ("https://h.org/a/b.png?w=80/c.jpg#d", "b"),
            ("https://h.org/a/photo", "photo"),
            ("https://h.org/a.b/photo.php?id=7", "photo.php"),
            ("https://h.org/", ""),
            ("https://h.jpg", ""),
            ("https://h.org/a/?x=b.jpg", ""),
            ("s3://bucket/pictures/1.webp", "1"),
            (".jpg", ""),
        ] {
            assert_eq!(id_in(cell), id, "{cell}");
        }
    }

    #[test]
    fn addresses_that_give_one_id_are_told() {
        let mut addresses = Addresses::default();
        let mut check =
            |cell: &str, line| addresses.check(id_in(cell), cell, line).map_err(|told| told.message);
        assert_eq!(check("http://a/1.jpg", 1), Ok(()));
        assert_eq!(check("http://a/1.jpg", 2), Ok(()), "a second caption of the same picture");
        assert_eq!(check("1.jpg", 3), Ok(()), "a file name is what it is");
        assert_eq!(check("http://a/2.jpg", 4), Ok(()));
        let told = "picture `1` has another address on line 1 than here: `http://b/1.jpg`";
        assert_eq!(check("http://b/1.jpg", 5), Err(told.to_string()));
    }
}
