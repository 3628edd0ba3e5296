//! Files cut at every byte, and a thousand seeded mutants of every golden file: `Ok` or a typed error, never a
//! panic, a hang, or memory beyond the limits.

use std::path::Path;

use torch_files::{Limits, TorchFile, load_pickle_bytes};

use crate::golden_files;

/// Small enough that an unbounded allocation shows, large enough for every golden file.
fn tight() -> Limits {
    Limits {
        max_live_bytes: 1 << 20,
        max_expanded_bytes: 1 << 20,
        max_made_bytes: 1 << 20,
        max_ops: 100_000,
        ..Limits::default()
    }
}

/// Reads everything there is to read.
fn exercise(bytes: &[u8], archive: Option<&Path>) -> bool {
    let Some(path) = archive else { return load_pickle_bytes(bytes, &tight()).is_ok() };
    std::fs::write(path, bytes).unwrap();
    let Ok(file) = TorchFile::open_with(path, tight()) else { return false };
    for (_, tensor) in file.tensors() {
        if let Ok(read) = file.read(tensor) {
            assert_eq!(read.len() as u64, tensor.byte_len());
        }
        if let Some(range) = file.byte_range(tensor) {
            assert!(range.end <= bytes.len() as u64);
        }
    }
    true
}

/// SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// Up to four edits: a byte set, a bit flipped, a byte gone, a byte doubled, a run copied elsewhere.
fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(6) {
            0 => bytes[at] = numbers.below(256) as u8,
            1 => bytes[at] ^= 1 << numbers.below(8),
            2 if bytes.len() > 1 => drop(bytes.remove(at)),
            3 => bytes.insert(at, bytes[at]),
            4 => bytes[at] = *b"\xff\x00\x7f\x80(.R0".get(numbers.below(8)).unwrap(),
            _ => {
                let n = numbers.below(16).min(bytes.len() - at);
                let run = bytes[at..at + n].to_vec();
                let to = numbers.below(bytes.len() - n + 1);
                bytes[to..to + n].copy_from_slice(&run);
            }
        }
    }
}

#[test]
fn mutants() {
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut tried, mut read) = (0, 0, 0);
    for (seed, path) in golden_files(&["pkl", "pt"]).iter().enumerate() {
        let original = std::fs::read(path).unwrap();
        let place = folder.path().join("mutant");
        let archive = path.extension().is_some_and(|e| e == "pt").then_some(&*place);
        assert!(exercise(&original, archive), "{} does not fit the limits", path.display());
        let mut numbers = Numbers(seed as u64);
        files += 1;
        for _ in 0..1000 {
            let mut bytes = original.clone();
            mutate(&mut bytes, &mut numbers);
            tried += 1;
            read += usize::from(exercise(&bytes, archive));
        }
    }
    println!("{tried} mutants of {files} files: {read} read, {} refused", tried - read);
}

#[test]
fn cut_at_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("cut");
    let mut cuts = 0;
    for path in golden_files(&["pkl", "pt"]) {
        let original = std::fs::read(&path).unwrap();
        let archive = path.extension().is_some_and(|e| e == "pt").then_some(&*place);
        for n in 0..original.len() {
            assert!(!exercise(&original[..n], archive), "{} cut at {n} was read", path.display());
            cuts += 1;
        }
    }
    println!("{cuts} cuts, all refused");
}

/// The two tests above once more in a process that may not have more than 640 MiB of addresses.
#[cfg(target_os = "linux")]
#[test]
fn mutants_under_a_limit_on_address_space() {
    let test = std::env::current_exe().unwrap();
    let script = "ulimit -v 655360 && exec \"$0\" mutants::mutants mutants::cut_at_every_byte --exact --test-threads=1";
    let status = std::process::Command::new("sh").arg("-c").arg(script).arg(test).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert!(String::from_utf8_lossy(&status.stdout).contains("2 passed"));
}
