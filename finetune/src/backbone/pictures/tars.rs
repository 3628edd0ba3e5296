//! webdataset's layout: tars with a picture and a `.cls` for each sample.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use super::{Found, Place, is_picture, sorted_entries};
use crate::backbone::Error;

/// Longest `.cls` that is read; they hold one number.
const LONGEST_CLASS: u64 = 64;

/// What a key has.
#[derive(Default)]
struct Sample {
    class: Option<String>,
    picture: Option<(String, u64, u64)>,
}

/// Samples, and the tars that they lie in.
pub(super) struct Scanned {
    pub(super) found: Vec<Found>,
    pub(super) tars: Vec<(PathBuf, File)>,
}

/// Samples of a tar, or of all tars of a folder in the order of their names. Nothing is unpacked.
pub(super) fn scan(path: &Path) -> Result<Scanned, Error> {
    let is_tar = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "tar");
    let paths = if path.is_dir() {
        sorted_entries(path)?.into_iter().filter(is_tar).collect()
    } else {
        vec![path.to_owned()]
    };
    let (mut found, mut tars) = (Vec::new(), Vec::new());
    for (tar, path) in paths.into_iter().enumerate() {
        let read = |source| Error::Read { path: path.clone(), source };
        let mut file = File::open(&path).map_err(read)?;
        for (key, sample) in samples(&mut file).map_err(read)? {
            match sample {
                Sample { class: Some(class), picture: Some((name, offset, length)) } => {
                    found.push(Found { class, place: Place::Span { tar, name, offset, length } });
                }
                Sample { class: None, picture: Some((name, ..)) } => {
                    let problem = format!("{name} has no {key}.cls beside it; every picture needs its class");
                    return Err(Error::Inputs { path, problem });
                }
                Sample { picture: None, .. } => {}
            }
        }
        tars.push((path, file));
    }
    Ok(Scanned { found, tars })
}

/// By key: all of a name before the first dot of its last part.
fn samples(file: &mut File) -> std::io::Result<BTreeMap<String, Sample>> {
    let mut samples: BTreeMap<String, Sample> = BTreeMap::new();
    file.rewind()?;
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path()?.to_string_lossy().into_owned();
        let start = name.rfind('/').map_or(0, |at| at + 1);
        let Some(dot) = name[start..].find('.').filter(|dot| *dot > 0) else { continue };
        let (key, field) = (name[..start + dot].to_owned(), &name[start + dot + 1..]);
        if field == "cls" {
            let mut text = String::new();
            entry.by_ref().take(LONGEST_CLASS).read_to_string(&mut text)?;
            samples.entry(key).or_default().class = Some(text.trim().to_owned());
        } else if !field.contains('.') && is_picture(Path::new(&name)) {
            let place = (name.clone(), entry.raw_file_position(), entry.size());
            samples.entry(key).or_default().picture = Some(place);
        }
    }
    Ok(samples)
}
