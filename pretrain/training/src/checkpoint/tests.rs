use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::Device;
use serde_json::json;

use super::*;

fn tensors(value: f32) -> BTreeMap<String, Tensor> {
    let values: Vec<f32> = (0..3000).map(|i| value + i as f32).collect();
    [("w".to_owned(), Tensor::new(values, &Device::Cpu).unwrap())].into()
}

fn commit(checkpoints: &Checkpoints, step: u64, on_phase: &dyn Fn(CommitPhase)) -> Result<PathBuf> {
    let state =
        State { step, seed: 7, settings: "abc".into(), progress: json!({ "best": step as f64 / 3.0 }) };
    let files = [("model", tensors(step as f32)), ("optimiser", tensors(-(step as f32)))];
    checkpoints.commit(&state, &files.into(), on_phase)
}

fn keep(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

fn newest(checkpoints: &Checkpoints) -> (u64, usize) {
    let Newest { checkpoint, damaged } = checkpoints.newest().unwrap();
    let checkpoint = checkpoint.unwrap();
    let step = checkpoint.state().step;
    assert_eq!(checkpoint.state().progress, json!({ "best": step as f64 / 3.0 }));
    let w = checkpoint.tensors("model").unwrap()["w"].to_vec1::<f32>().unwrap();
    assert_eq!((w[0], w[2999]), (step as f32, step as f32 + 2999.0));
    assert_eq!(checkpoint.tensors("optimiser").unwrap()["w"].to_vec1::<f32>().unwrap()[0], -(step as f32));
    (step, damaged.len())
}

#[test]
fn the_newest_are_kept_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(&folder.path().join("checkpoints"), keep(2)).unwrap();
    assert!(checkpoints.newest().unwrap().checkpoint.is_none());
    for step in [5, 10, 1_000_000_000_000, 20] {
        commit(&checkpoints, step, &|_| {}).unwrap();
    }
    assert_eq!(newest(&checkpoints), (1_000_000_000_000, 0));
    let steps: Vec<u64> = checkpoints.steps().unwrap().into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, [20, 1_000_000_000_000]);
    assert_eq!(names(&checkpoints.folder).unwrap().len(), 2);
}

#[test]
fn every_damage_of_the_newest_is_seen_and_the_one_before_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), keep(5)).unwrap();
    commit(&checkpoints, 1, &|_| {}).unwrap();
    for name in ["model.safetensors", "optimiser.safetensors", STATE] {
        for damage in ["cut", "flip", "gone"] {
            let path = commit(&checkpoints, 2, &|_| {}).unwrap().join(name);
            assert_eq!(newest(&checkpoints), (2, 0));
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                "cut" => bytes.truncate(bytes.len() - 1),
                // a digit of the state's step or a number of a tensor
                _ => {
                    let at = if name == STATE {
                        bytes.windows(8).position(|part| part == b"\"step\": ").unwrap() + 8
                    } else {
                        bytes.len() - 5
                    };
                    bytes[at] ^= 1;
                }
            }
            fs::write(&path, bytes).unwrap();
            if damage == "gone" {
                fs::remove_file(&path).unwrap();
            }
            assert_eq!(newest(&checkpoints), (1, 1), "{name} {damage}");
            let error = checkpoints.newest().unwrap().damaged.remove(0).to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}

/// A panic instead of a death: nothing after it is run, as with `kill -9`. `tests/it/kills.rs` does it for real.
#[test]
fn dying_at_any_phase_leaves_a_good_checkpoint() {
    for phase in [CommitPhase::Written, CommitPhase::Synced, CommitPhase::Renamed, CommitPhase::Durable] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path(), keep(1)).unwrap();
        commit(&checkpoints, 1, &|_| {}).unwrap();
        let died = Cell::new(false);
        let die = |now: CommitPhase| {
            if now == phase {
                died.set(true);
                panic!("dead");
            }
        };
        assert!(catch_unwind(AssertUnwindSafe(|| commit(&checkpoints, 2, &die))).is_err() && died.get());
        let again = Checkpoints::open(folder.path(), keep(1)).unwrap();
        let expected = if matches!(phase, CommitPhase::Written | CommitPhase::Synced) { 1 } else { 2 };
        assert_eq!(newest(&again), (expected, 0), "{phase:?}");
        assert!(names(folder.path()).unwrap().iter().all(|name| !is_pending(name)));
        commit(&again, 2, &|_| {}).unwrap();
        assert_eq!(newest(&again), (2, 0));
        assert_eq!(names(folder.path()).unwrap().len(), 1);
    }
}

/// The folder cannot be written to: what a full disk does, without one. `tests/it/kills.rs` fills a real limit.
#[test]
fn what_cannot_be_written_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), keep(1)).unwrap();
    commit(&checkpoints, 1, &|_| {}).unwrap();
    // a file stands where the temporary folder has to be
    fs::write(folder.path().join(".step-000000002.tmp"), "").unwrap();
    let error = commit(&checkpoints, 2, &|_| {}).unwrap_err();
    assert!(matches!(error, Error::NotWritten { .. }), "{error}");
    assert!(error.to_string().contains("the checkpoints before it are good"), "{error}");
    assert_eq!(newest(&checkpoints), (1, 0));
}
