//! From drawn pictures to a pre-trained model folder, as a user does it; and `kill -9` on the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use conformance::binaries::{pipeline_command, pretrain_command, run};
use conformance::chance::Chance;
use conformance::reference::say;
use serde_json::Value;

pub(crate) const STEPS: usize = 24;

/// Shards of captions about drawn pictures, and a vocabulary.
pub(crate) struct Made {
    folder: tempfile::TempDir,
}

pub(crate) fn succeed(command: &mut Command) -> String {
    let (code, out, errors) = run(command);
    assert_eq!(code, 0, "{out}{errors}");
    out
}

impl Made {
    pub(crate) fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        let corpus = made.path("corpus");
        succeed(pipeline_command(["synth", "--images", "60", "--seed", "3", "--out"]).arg(&corpus));
        for split in ["train", "val"] {
            let mut build = pipeline_command(["build"]);
            build.arg(corpus.join(format!("specs/captions-{split}.toml")));
            build.args(["--set", "backbone=efficientnet_half", "--out"]).arg(made.path(split));
            succeed(&mut build);
        }
        succeed(
            pipeline_command(["vocabulary"]).arg(made.path("train")).arg("--out").arg(made.path("words")),
        );
        made
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn pretrain(&self, out: &Path) -> Command {
        self.with_settings(pretrain_command(["run", "pretrain/configs/debug.toml"]), out)
    }

    /// `command` and all that is set for a run on these shards.
    pub(crate) fn with_settings(&self, mut command: Command, out: &Path) -> Command {
        let data = |split: &str| format!("[{{ path = {:?} }}]", self.path(split));
        for set in [
            format!("model.tokenizer={}", self.path("words").display()),
            format!("data.train={}", data("train")),
            format!("data.held_out={}", data("val")),
            format!("schedule.steps={STEPS}"),
            "run.checkpoint_every=1".to_owned(),
        ] {
            command.arg("--set").arg(set);
        }
        command.arg("--out").arg(out);
        command
    }
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn from_pictures_to_a_model_that_python_could_have_written() {
    let made = Made::new();
    let straight = made.path("straight");
    let outcome = json(&succeed(made.pretrain(&straight).arg("--json")));
    assert_eq!((outcome["step"].as_u64(), outcome["is_done"].as_bool()), (Some(STEPS as u64), Some(true)));
    let accuracy = outcome["evaluation"]["contrastive_accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&accuracy) && outcome["evaluation"]["samples"].as_u64() >= Some(5));

    // what came out is whole
    let inspect = |path: &Path| json(&succeed(pretrain_command(["inspect", "--json"]).arg(path)));
    let model = inspect(&straight.join("model"));
    assert_eq!(model["kind"], "model");
    for list in ["missing", "other", "not_finite"] {
        assert_eq!(model[list], Value::Array(vec![]), "{list}");
    }
    let found = inspect(&straight);
    assert_eq!((found["step"].as_u64(), found["figures"]["train"]["step"].as_u64()), (Some(24), Some(24)));
    let names: Vec<String> = fs::read_dir(straight.join("model"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"] {
        assert!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
    }

    // two ranks: the same curve but for the order of additions
    let ranked = made.path("ranked");
    let two = json(&succeed(made.pretrain(&ranked).args(["--json", "--ranks", "2"])));
    let loss = |outcome: &Value| outcome["evaluation"]["masked_token_loss"].as_f64().unwrap();
    assert!((loss(&outcome) - loss(&two)).abs() < 1e-4, "{outcome} {two}");

    // the same command again is refused, and so is another setting
    let (code, _, errors) = run(&mut made.pretrain(&straight));
    assert!(code == 2 && errors.contains("--resume"), "{code}: {errors}");
    let (code, _, errors) = run(made.pretrain(&straight).args(["--resume", "--set", "seed=9"]));
    assert!(code == 2 && errors.contains("seed: 88 then, 9 now"), "{code}: {errors}");
    // what was rounded is not continued unrounded, nor the reverse
    let bf16 = ["--resume", "--set", "model.precision=\"bf16\""];
    let (code, _, errors) = run(made.pretrain(&straight).args(bf16));
    assert!(code == 2 && errors.contains("model.precision: \"f32\" then, \"bf16\" now"), "{code}: {errors}");
    // regions of another width than the model's
    let wide = made.path("wide");
    let mut build = pipeline_command(["build"]);
    build.arg(made.path("corpus/specs/captions-val.toml"));
    succeed(build.args(["--set", "backbone=resnext26_16x4d", "--out"]).arg(&wide));
    let mut mixed = made.pretrain(&made.path("mixed"));
    let (code, _, errors) = run(mixed.arg("--set").arg(format!("data.held_out=[{{ path = {wide:?} }}]")));
    assert!(code == 3 && errors.contains("wide") && errors.contains("hint"), "{code}: {errors}");
}

#[test]
fn killed_at_any_moment_and_resumed_it_is_the_straight_run() {
    let made = Made::new();
    let straight = made.path("straight");
    let started = Instant::now();
    succeed(&mut made.pretrain(&straight));
    let step = started.elapsed() / STEPS as u32;
    let model = fs::read(straight.join("model/model.safetensors")).unwrap();

    let out = made.path("killed");
    let told = || fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
    let mut chance = Chance::new(5);
    let mut landed = Vec::new();
    let mut command = made.pretrain(&out);
    loop {
        // after one to three more steps, at any moment of the next
        let goal = told() + 1 + chance.below(3);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while told() < goal && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        sleep(step.mul_f64(chance.below(1000) as f64 / 1000.0));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            break;
        }
        let names = fs::read_dir(out.join("checkpoints")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let (whole, pending): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with("step-"));
        landed.push(pending.len());
        command = made.pretrain(&out);
        if !whole.is_empty() {
            command.arg("--resume"); // before the first checkpoint is whole there is nothing to resume from
        }
    }
    assert!(fs::read(out.join("model/model.safetensors")).unwrap() == model, "another model came out");
    let lines = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let steps = lines.lines().filter(|line| line.contains("\"train\"")).count();
    assert_eq!(steps, STEPS, "a step is told twice, or not at all");
    assert!(landed.len() >= 4, "it was done after {} kills", landed.len());
    let within = landed.iter().filter(|pending| **pending > 0).count();
    say(&format!("{} kills, {within} of them while a checkpoint was written", landed.len()));
}

/// SIGTERM ends a run after its step, with a checkpoint and exit code 143.
#[test]
fn an_interrupted_run_goes_on() {
    let made = Made::new();
    let out = made.path("run");
    let mut command = made.pretrain(&out);
    command.args(["--set", "schedule.steps=2000", "--set", "run.checkpoint_every=1000"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |text| text.lines().count()) < 3 {
        assert!(Instant::now() < deadline, "no step in a minute");
        sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(143));
    let found = json(&succeed(pretrain_command(["inspect", "--json"]).arg(&out)));
    assert!(found["step"].as_u64() >= Some(3) && found["has_model"] == true, "{found}");
}
