//! For tests: a thousand mutants of the files of a format.

use std::path::PathBuf;

use super::BoxFormat;
use super::table::tests::lines;
use crate::Error;
use crate::pictures::trial::mutant;

/// A thousand mutants of each of `files`, the others as they are: each ends in boxes and warnings, or in
/// a typed error.
pub(super) fn mutants(files: &[(&str, &str)], format: impl Fn(&[PathBuf]) -> Box<dyn BoxFormat>) {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.path().join(name)).collect();
    for (path, (_, content)) in paths.iter().zip(files) {
        std::fs::write(path, content).unwrap();
    }
    let good = lines(format(&paths).as_ref()).unwrap();
    let mut random = 7u64;
    for (path, (name, content)) in paths.iter().zip(files) {
        let (mut unharmed, mut harmed, mut refused) = (0, 0, 0);
        for _ in 0..1000 {
            std::fs::write(path, mutant(content.as_bytes(), &mut random)).unwrap();
            match lines(format(&paths).as_ref()) {
                Ok(found) if found == good => unharmed += 1,
                Ok(found) => {
                    harmed += 1;
                    let boxes = found.0.iter().flat_map(|picture| &picture.boxes);
                    boxes.for_each(|found| {
                        assert!(!found.class.is_empty() && found.rect.iter().all(|x| x.is_finite()));
                    });
                }
                Err(Error::Input { .. }) => refused += 1,
                Err(error) => panic!("{error} for a mutant of {name}"),
            }
        }
        println!("{name}: {unharmed} unharmed, {harmed} with other boxes or warnings, {refused} refused");
        assert!(harmed > 0 && refused > 0, "{name}: {unharmed}, {harmed}, {refused}");
        std::fs::write(path, content).unwrap();
    }
}
