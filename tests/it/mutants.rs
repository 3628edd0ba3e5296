//! Damaged inputs through the whole engine: an error with a name, or every row and text accounted for.

use std::fs;
use std::path::{Path, PathBuf};

use conformance::chance::Chance;
use conformance::made_up::MadeUp;
use conformance::oracle;
use conformance::reference::say;
use data_specs::CorpusSpec;
use pipeline::{BuildOptions, Unwatched};

const MUTANTS: usize = 1000;

/// Flips, cuts, doubles or exchanges some bytes.
fn mutate(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + chance.below(3) {
        let at = chance.below(bytes.len());
        let end = (at + 1 + chance.below(40)).min(bytes.len());
        match chance.below(5) {
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = *chance.pick(b"\t\n\"{}[],:0-\\\xff "),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.truncate(at.max(1)),
        }
        if bytes.is_empty() {
            bytes.push(b' ');
        }
    }
    bytes
}

/// In memory where there is such a place: a thousand builds need no disk to be right.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn run(kind: &str, damaged: &dyn Fn(&Path) -> PathBuf) {
    let folder = scratch();
    let files =
        MadeUp { pictures: 6, regions: 3, width: 8, captions: 2, seed: 9 }.write(folder.path()).unwrap();
    let path = damaged(folder.path());
    let good = fs::read(&path).unwrap();
    let spec = conformance::binaries::root().join("data-specs/corpora/lxmert-tsv.toml");
    let set = [
        format!("features={}", files.features.display()),
        format!("captions={}", files.captions.display()),
        "rejects.max_ratio=1".to_string(),
    ];
    let spec = CorpusSpec::load(&spec, &set).unwrap();
    let mut chance = Chance::new(11);
    let (mut built, mut refused, mut rejected) = (0, 0, 0);
    for _ in 0..MUTANTS {
        fs::write(&path, mutate(&good, &mut chance)).unwrap();
        let out = folder.path().join("out");
        match pipeline::build(&spec, &out, BuildOptions { threads: Some(1) }, &Unwatched) {
            Err(error) => {
                assert!(
                    !error.to_string().is_empty() && !matches!(error, pipeline::Error::Accounting { .. }),
                    "{error}"
                );
                refused += 1;
            }
            Ok(report) => {
                let found = pipeline::verify(&out).unwrap();
                assert!(found.ok, "{:?}", found.problems);
                let rows = oracle::found(&out).unwrap();
                assert_eq!(rows.len() as u64, report.rows.written);
                let texts = rows.values().map(|row| row.texts.len() as u64).sum::<u64>();
                assert_eq!(texts, report.texts.written);
                if kind == "features" {
                    // Each line that is not empty is a row with one end.
                    let bytes = fs::read(&path).unwrap();
                    let lines =
                        bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count() as u64;
                    assert_eq!(report.rows.read, lines, "a line was skipped in silence");
                }
                rejected += found.rejected;
                built += 1;
            }
        }
        let _ = fs::remove_dir_all(&out);
    }
    say(&format!(
        "{MUTANTS} mutants of {kind}: {built} built with {rejected} rejects, {refused} refused, 0 panics"
    ));
    assert!(built > 0 && rejected > 0);
}

#[test]
fn of_features() {
    run("features", &|folder| folder.join("features.tsv"));
}

#[test]
fn of_captions() {
    run("captions", &|folder| folder.join("captions.json"));
}

#[test]
fn of_class_lists() {
    run("classes", &|folder| folder.join("objects_vocab.txt"));
}
