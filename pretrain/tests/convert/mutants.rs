//! A thousand mutants of every kind of file, and of the config: an error with a name, or a folder that opens.

use std::fs;
use std::process::Command;

use pretrain::Conversion;
use pretrain::model::ModelFolder;

use super::{convert, golden, scratch};

const MUTANTS: usize = 1000;

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

/// Up to three edits; half of them in the part that says what the rest means.
fn mutate(original: &[u8], meaning: &std::ops::Range<usize>, numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = match numbers.below(2) {
            0 => meaning.start + numbers.below(meaning.len()),
            _ => numbers.below(bytes.len()),
        };
        let at = at.min(bytes.len() - 1);
        match numbers.below(6) {
            0 => bytes[at] = numbers.below(256) as u8,
            1 => bytes[at] ^= 1 << numbers.below(8),
            2 => bytes[at] = *b"\xff\x00\x7f\x80(.R09\"".get(numbers.below(10)).unwrap(),
            3 => bytes.insert(at, bytes[at]),
            4 if bytes.len() > 1 => drop(bytes.remove(at)),
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

#[test]
fn of_every_file() {
    let folder = scratch();
    let good = folder.path().join("good");
    convert(&golden("captioner"), &good).unwrap();
    let mut told = Vec::new();
    for (seed, (what, from, file)) in [
        ("zip", golden("plus"), "pytorch_model.bin"),
        ("legacy", golden("captioner"), "pytorch_model.bin"),
        ("safetensors", good.clone(), "model.safetensors"),
        ("config", good.clone(), "config.json"),
    ]
    .into_iter()
    .enumerate()
    {
        let source = folder.path().join(what);
        fs::create_dir_all(&source).unwrap();
        let weights = if what == "config" { "model.safetensors" } else { file };
        for name in ["config.json", "vocab.txt", weights] {
            fs::copy(from.join(name), source.join(name)).unwrap();
        }
        let original = fs::read(from.join(file)).unwrap();
        // legacy archives and safetensors begin with names and shapes, a zip archive ends with its directory
        let third = original.len() / 3;
        let meaning = if what == "zip" { 2 * third..original.len() } else { 0..third };
        let mut numbers = Numbers(seed as u64);
        let (mut made, mut refused) = (0, 0);
        for _ in 0..MUTANTS {
            fs::write(source.join(file), mutate(&original, &meaning, &mut numbers)).unwrap();
            let to = folder.path().join("made");
            let conversion = Conversion { from: source.clone(), to: to.clone(), ..Conversion::default() };
            match conversion.run() {
                Ok(_) => {
                    let opened = ModelFolder::open_untied(&to).unwrap();
                    let is_finite = |tensor: &candle_core::Tensor| {
                        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                        values.iter().all(|value| value.is_finite())
                    };
                    assert!(opened.tensors.values().all(is_finite));
                    fs::remove_dir_all(&to).unwrap();
                    made += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty() && !to.exists(), "{error}");
                    refused += 1;
                }
            }
        }
        assert!(made > 0 && refused > 100, "{what}: {made} made, {refused} refused");
        told.push(format!("{what} {made} made, {refused} refused"));
    }
    println!("{MUTANTS} mutants each: {}", told.join("; "));
}

/// Once more in a process that may not have more than 1 GiB of addresses.
#[cfg(target_os = "linux")]
#[test]
fn under_a_limit_on_address_space() {
    let test = std::env::current_exe().unwrap();
    let script = "ulimit -v 1048576 && exec \"$0\" mutants::of_every_file --exact --test-threads=1";
    let output = Command::new("sh").arg("-c").arg(script).arg(test).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
