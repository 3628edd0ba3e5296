//! Damaged bytes anywhere: no panic, and every line has one known end.

use std::path::Path;

use super::synthetic::{KINDS, Random, WIDTH, made};
use super::{import, *};

const MUTANTS: u64 = 1000;

#[test]
fn every_mutant_ends_in_pictures_rejects_or_an_error() {
    let set = made(4);
    for kind in &KINDS {
        let folder = tempfile::tempdir().unwrap();
        (kind.write)(folder.path(), &set);
        let originals: Vec<Vec<u8>> =
            kind.files.iter().map(|file| std::fs::read(folder.path().join(file)).unwrap()).collect();
        let (mut whole, mut refused, mut errors) = (0, 0, 0);
        for seed in 0..MUTANTS {
            let mut random = Random(seed);
            // Every second mutant is of the first file.
            let which = if seed % 2 == 0 { 0 } else { random.below(kind.files.len()) };
            let path = folder.path().join(kind.files[which]);
            std::fs::write(&path, mutate(&originals[which], &mut random)).unwrap();
            match (kind.open)(folder.path()).and_then(|format| import(format.as_ref())) {
                Ok(imported) => {
                    account(&folder.path().join(kind.files[0]), &imported);
                    if imported.refused().is_empty() { whole += 1 } else { refused += 1 }
                }
                Err(_) => errors += 1,
            }
            std::fs::write(&path, &originals[which]).unwrap();
        }
        println!("{}: {whole} unharmed, {refused} with rejects, {errors} errors", kind.name);
        assert!(refused > 0 && errors + whole > 0, "{}", kind.name);
    }
}

/// Every line of the feature file is a picture or a reject, and pictures are sound.
fn account(features: &Path, imported: &Imported) {
    let bytes = std::fs::read(features).unwrap();
    let ends = bytes.iter().filter(|&&byte| byte == b'\n').count();
    let lines = ends + usize::from(bytes.last().is_some_and(|&last| last != b'\n'));
    let mut ended: Vec<u64> = imported.rejects.iter().map(|reject| reject.line.unwrap()).collect();
    ended.extend(imported.pictures.iter().map(|(record, _)| record.spans[0].line));
    ended.sort_unstable();
    assert_eq!(ended, (1..=lines as u64).collect::<Vec<u64>>());
    let width = imported.scanned.layout.width as usize;
    for picture in imported.pictures.iter().filter_map(|(_, picture)| picture.as_ref().ok()) {
        let n = picture.regions as usize;
        assert_eq!(picture.features.len(), n * width * 4);
        assert!(picture.boxes.as_ref().is_none_or(|boxes| boxes.len() == n));
        assert!(picture.geometry.as_ref().is_none_or(|rows| rows.len() == n));
        assert!(picture.tags.iter().all(|tag| !tag.name.is_empty()));
        assert!(width != WIDTH || n < 100);
    }
}

pub(super) fn mutate(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..1 + random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let place = random.below(bytes.len());
        let strange = [b'\t', b'\n', b'\r', b'"', b'=', b'-', 0, 0xff, b'9', b'{', b'[', random.next() as u8];
        let byte = strange[random.below(strange.len())];
        match random.below(6) {
            0 | 1 => bytes[place] = byte,
            2 => bytes.insert(place, byte),
            3 => drop(bytes.remove(place)),
            4 => bytes.truncate(place),
            _ => {
                let end = (place + 1 + random.below(60)).min(bytes.len());
                let copy = bytes[place..end].to_vec();
                let at = random.below(bytes.len());
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}
