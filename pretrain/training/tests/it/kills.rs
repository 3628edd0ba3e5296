//! Processes that die, or run out of room, while they write checkpoints.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use candle_core::{Device, Tensor};
use pretrain_training::{Checkpoints, State};

/// Numbers of one tensor: a checkpoint takes a few milliseconds, most of them in writing.
const N: usize = 400_000;

fn open(folder: &Path) -> Checkpoints {
    Checkpoints::open(folder, NonZeroUsize::new(2).unwrap()).unwrap()
}

fn tensors(step: u64) -> BTreeMap<String, Tensor> {
    let tensor = Tensor::full(step as f32, N, &Device::Cpu).unwrap();
    [("w".to_owned(), tensor)].into()
}

fn commit(checkpoints: &Checkpoints, step: u64) -> pretrain_training::Result<()> {
    let state = State { step, seed: 0, settings: "s".into(), progress: serde_json::Value::Null };
    let files = [("model", tensors(step)), ("optimiser", tensors(step))];
    checkpoints.commit(&state, &files.into(), &|_| {}).map(|_| ())
}

/// Step and health of the newest checkpoint.
fn newest(folder: &Path) -> Option<u64> {
    let checkpoint = open(folder).newest().unwrap().checkpoint?;
    let step = checkpoint.state().step;
    let w = checkpoint.tensors("optimiser").unwrap()["w"].to_vec1::<f32>().unwrap();
    assert!(w.len() == N && w.iter().all(|x| *x == step as f32));
    Some(step)
}

/// Not a test of its own but a process: `writer` starts this binary with this name alone, and the tests below kill it.
#[test]
#[ignore = "writes until it is killed; started by the tests below"]
fn write_for_ever() {
    let Some(folder) = std::env::var_os("CHECKPOINT_FOLDER") else { return };
    let checkpoints = open(Path::new(&folder));
    let first = checkpoints.newest().unwrap().checkpoint.map_or(0, |checkpoint| checkpoint.state().step);
    for step in first + 1.. {
        if let Err(error) = commit(&checkpoints, step) {
            std::fs::write(Path::new(&folder).join("error"), error.to_string()).unwrap();
            return;
        }
    }
}

fn writer(folder: &Path, shell: &str) -> Command {
    let mut command = Command::new("sh");
    let tests = std::env::current_exe().unwrap();
    command
        .args([
            "-c",
            &format!("{shell} exec \"$0\" --ignored --exact kills::write_for_ever"),
            tests.to_str().unwrap(),
        ])
        .env("CHECKPOINT_FOLDER", folder)
        .stdout(Stdio::null());
    command
}

#[test]
fn killed_at_any_moment_the_newest_checkpoint_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let (mut last, mut grown) = (0, 0);
    for round in 0..25u64 {
        let mut child = writer(folder.path(), "").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + round * 13 % 90));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let step = newest(folder.path()).unwrap_or(0);
        assert!(step >= last, "step {step} after {last}");
        grown += u32::from(step > last);
        last = step;
    }
    println!("{last} checkpoints in 25 lives, {grown} of which got further");
    assert!(grown >= 5, "the process was always killed before it wrote");
}

/// A limit on the size of files is what a full disk is, but for one file: half of it is written, then writing fails.
#[test]
fn without_room_the_older_checkpoint_stays() {
    let folder = tempfile::tempdir().unwrap();
    commit(&open(folder.path()), 41).unwrap();
    // blocks of 512 bytes; the signal that comes with the failure is ignored, so that the failure is seen
    let mut child = writer(folder.path(), "trap '' XFSZ; ulimit -f 1500;").spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let error = std::fs::read_to_string(folder.path().join("error")).unwrap();
    assert!(
        error.contains("step-000000042 was not written") && error.contains("model.safetensors"),
        "{error}"
    );
    assert_eq!(newest(folder.path()), Some(41));
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "the checkpoint, the error, and nothing half written");
    commit(&open(folder.path()), 42).unwrap();
    assert_eq!(newest(folder.path()), Some(42));
}
