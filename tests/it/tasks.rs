//! The tasks as a user meets them: drawn pictures, shards, a moment of training, scores, predictions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use conformance::binaries::{finetune_command, pipeline_command, run};
use pretrain_kernels::Precision;
use serde_json::Value;

fn succeed(command: &mut Command) -> String {
    let (code, out, errors) = run(command);
    assert_eq!(code, 0, "{out}{errors}");
    out
}

fn json(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// A picture with something on it: white alone would be a few hundred bytes.
fn is_png(path: &Path) {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 5_000, "{} bytes", bytes.len());
}

/// Shards of every task about drawn pictures, and a vocabulary.
struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        let corpus = made.path("corpus");
        succeed(pipeline_command(["synth", "--images", "60", "--seed", "3", "--out"]).arg(&corpus));
        for spec in [
            "vqa-train",
            "vqa-val",
            "gqa-train",
            "gqa-testdev",
            "nlvr2-train",
            "nlvr2-dev",
            "captions-train",
            "captions-val",
        ] {
            let mut build = pipeline_command(["build"]);
            build.arg(corpus.join(format!("specs/{spec}.toml")));
            build.args(["--set", "backbone=efficientnet_half", "--out"]).arg(made.path(spec));
            succeed(&mut build);
        }
        succeed(
            pipeline_command(["vocabulary"]).arg(made.path("vqa-train")).arg("--out").arg(made.path("words")),
        );
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, task: &str, held_out: &str, out: &Path) -> Command {
        let mut command = finetune_command([task, "train", "--config"]);
        command.arg(format!("finetune/configs/{task}-small.toml"));
        let train = if task.ends_with("retrieval") { "captions" } else { task };
        command.arg("--data").arg(self.path(&format!("{train}-train"))).arg("--out").arg(out);
        let sizes =
            "{ hidden_size = 32, num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 64 }";
        for set in [
            format!("model.tokenizer={}", self.path("words").display()),
            format!("model.sizes={sizes}"),
            format!("data.held_out=[{{ path = {:?} }}]", self.path(held_out)),
            "batch.micro=16".to_owned(),
            "schedule.epochs=1".to_owned(),
            "run.checkpoint_every=2".to_owned(),
        ] {
            command.arg("--set").arg(set);
        }
        if task == "vqa" {
            command.args(["--set", "task.minimum=2"]);
        }
        command
    }
}

/// Probabilities in bf16 are those in f32 but for what two layers round; on processors that have no such products they are
/// the same.
fn nearly(rounded: &Value, exact: &Value, confidence: &dyn Fn(&Value) -> &Value) {
    let all = |values: &Value| -> Vec<f64> {
        values.as_array().unwrap().iter().map(|value| confidence(value).as_f64().unwrap()).collect()
    };
    let (rounded, exact) = (all(rounded), all(exact));
    assert!(rounded.len() == exact.len() && !exact.is_empty());
    let apart = rounded.iter().zip(&exact).fold(0f64, |apart, (a, b)| apart.max((a - b).abs()));
    assert!(apart < 0.02, "{apart} apart");
    assert_eq!(apart > 0.0, Precision::Bf16.here() == Precision::Bf16, "{apart} apart");
}

/// For each task: train, evaluate, predict; the scores are those of `finetune score` on the predictions.
#[test]
fn every_task_from_pictures_to_scores() {
    let made = Made::new();
    let corpus = made.path("corpus");
    for (task, held_out) in [("vqa", "vqa-val"), ("gqa", "gqa-testdev"), ("nlvr2", "nlvr2-dev")] {
        let run_folder = made.path(&format!("run-{task}"));
        let outcome = json(&succeed(made.train(task, held_out, &run_folder).arg("--json")));
        assert_eq!(outcome["is_done"], true, "{task}: {outcome}");
        let on = |verb: &str, data: &str| {
            let mut command = finetune_command([task, verb, "--model"]);
            command.arg(run_folder.join("model")).arg("--data").arg(made.path(data)).arg("--json");
            command
        };
        let evaluated = json(&succeed(&mut on("eval", held_out)));
        let results = made.path(&format!("{task}-results"));
        let predictions = json(&succeed(on("predict", held_out).arg("--out").arg(&results)));
        let predictions = predictions.as_array().unwrap();
        assert!(predictions.len() >= 10, "{task}: {} predictions", predictions.len());

        let mut score = finetune_command(["score", task, "--json"]);
        match task {
            "vqa" => {
                let official = |part: &str| corpus.join("vqa").join(part);
                score.arg("--questions").arg(official("v2_OpenEnded_mscoco_val2014_questions.json"));
                score.arg("--annotations").arg(official("v2_mscoco_val2014_annotations.json"));
                score.arg("--results").arg(&results)
            }
            "gqa" => score
                .arg("--questions")
                .arg(corpus.join("gqa/testdev_all_questions.json"))
                .arg("--predictions")
                .arg(&results),
            _ => {
                score.arg("--data").arg(corpus.join("nlvr2/data/dev.json")).arg("--predictions").arg(&results)
            }
        };
        let scored = json(&succeed(&mut score));
        assert_eq!(evaluated, scored, "{task}");
        let main = if task == "vqa" { "overall" } else { "accuracy" };
        assert_eq!(
            outcome["best"]["score"], evaluated[main],
            "{task}: the best model is the one that is kept"
        );

        // one row
        let key = predictions[0]["key"].as_str().unwrap();
        let drawn = made.path(&format!("{task}.png"));
        let one = json(&succeed(on("predict", held_out).args(["--key", key]).arg("--explain").arg(&drawn)));
        is_png(&drawn);
        let one = one.as_array().unwrap();
        assert!(!one.is_empty() && one.iter().all(|prediction| prediction["key"] == key), "{task}: {one:?}");
        assert_eq!(one[0]["answer"], predictions[0]["answer"]);

        // shards without what the task asks for
        let other = if task == "nlvr2" { "vqa-val" } else { "nlvr2-dev" };
        let (code, _, errors) = run(&mut on("eval", other));
        let spec = format!("data-specs/corpora/{}.toml", if task == "vqa" { "vqa-v2" } else { task });
        assert!(
            code == 3 && errors.contains("texts of another kind") && errors.contains(&spec),
            "{code}: {errors}"
        );

        // two ranks: the same but for the order of additions
        let ranked = made.path(&format!("ranked-{task}"));
        succeed(made.train(task, held_out, &ranked).args(["--json", "--ranks", "2"]));
        let losses = |folder: &Path| {
            let lines = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
            let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.filter_map(|line| line["loss"].as_f64()).collect::<Vec<_>>()
        };
        let (one, two) = (losses(&run_folder), losses(&ranked));
        let same = one.iter().zip(&two).all(|(a, b)| (a - b).abs() < 1e-3 * a.abs());
        assert!(!one.is_empty() && one.len() == two.len() && same, "{task}: {one:?}, two ranks {two:?}");

        // products in bf16
        let rounded = json(&succeed(on("predict", held_out).args(["--precision", "bf16"])));
        nearly(&rounded, &Value::from(predictions.clone()), &|prediction| &prediction["confidence"]);
        let rounded = made.path(&format!("rounded-{task}"));
        succeed(made.train(task, held_out, &rounded).args(["--set", "model.precision=bf16"]));
        let rounded = losses(&rounded);
        let near = one.iter().zip(&rounded).all(|(a, b)| (a - b).abs() < 5e-3 * a.abs());
        assert!(one.len() == rounded.len() && near, "{task}: {one:?}, in bf16 {rounded:?}");
        assert_eq!(
            one != rounded,
            Precision::Bf16.here() == Precision::Bf16,
            "{task}: what is rounded is told apart"
        );

        // the same command again is refused, and so is another setting
        let (code, _, errors) = run(&mut made.train(task, held_out, &run_folder));
        assert!(code == 2 && errors.contains("--resume"), "{code}: {errors}");
        let (code, _, errors) =
            run(made.train(task, held_out, &run_folder).args(["--resume", "--set", "seed=9"]));
        assert!(code == 2 && errors.contains("seed: 88 then, 9 now"), "{code}: {errors}");
    }
    // features of another width than the model's
    let wide = made.path("wide");
    let mut build = pipeline_command(["build"]);
    build.arg(corpus.join("specs/vqa-val.toml"));
    succeed(build.args(["--set", "backbone=resnext26_16x4d", "--out"]).arg(&wide));
    let mut command = finetune_command(["vqa", "eval", "--model"]);
    command.arg(made.path("run-vqa/model")).arg("--data").arg(&wide);
    let (code, _, errors) = run(&mut command);
    assert!(
        code == 3 && errors.contains("wide; the model reads") && errors.contains("hint"),
        "{code}: {errors}"
    );
}

/// Both directions: train, evaluate, predict; recall is that of `finetune score` on the scores.
#[test]
fn retrieval_from_pictures_to_recall() {
    let made = Made::new();
    for (task, key) in [("text-retrieval", "i2t"), ("image-retrieval", "t2i")] {
        let run_folder = made.path(&format!("run-{task}"));
        let mut train = made.train(task, "captions-val", &run_folder);
        let outcome = json(&succeed(train.args(["--set", "task.hard_negatives=3", "--json"])));
        assert_eq!(outcome["is_done"], true, "{task}: {outcome}");
        let candidates = outcome["best"]["figures"][format!("{key}_R@1")].as_f64().unwrap();
        assert_eq!(outcome["best"]["score"], candidates, "{task}");
        let on = |verb: &str, data: &str| {
            let mut command = finetune_command([task, verb, "--model"]);
            command.arg(run_folder.join("model")).arg("--data").arg(made.path(data)).arg("--json");
            command
        };
        let evaluated = json(&succeed(&mut on("eval", "captions-val")));
        let scores = made.path(&format!("{task}.npy"));
        let found = json(&succeed(on("predict", "captions-val").arg("--out").arg(&scores)));
        let mut score = finetune_command(["score", "retrieval", "--json", "--scores"]);
        assert_eq!(evaluated, json(&succeed(score.arg(&scores))), "{task}");

        // products in bf16
        let rounded = json(&succeed(on("predict", "captions-val").args(["--precision", "bf16"])));
        nearly(&rounded, &found, &|retrieved| &retrieved["found"][0]["confidence"]);

        // one row: the same partners
        let first = &found[0];
        let row = first["key"].as_str().unwrap();
        let drawn = made.path(&format!("{task}.png"));
        let one = json(&succeed(
            on("predict", "captions-val").args(["--key", row, "--top", "2", "--explain"]).arg(&drawn),
        ));
        is_png(&drawn);
        let n = if task == "text-retrieval" { 1 } else { 5 };
        assert_eq!(one.as_array().unwrap().len(), n, "{one}");
        assert_eq!(one[0]["found"].as_array().unwrap().len(), 2);
        let (a, b) = (&one[0]["found"][0], &first["found"][0]);
        assert_eq!((&a["key"], &a["id"]), (&b["key"], &b["id"]), "{task}");
        let (code, _, errors) = run(on("predict", "captions-val").args(["--key", "nobody"]));
        assert!(code == 3 && errors.contains("`nobody` is not there"), "{code}: {errors}");

        // two stages, and the loss of the first
        let short = json(&succeed(on("eval", "captions-val").args(["--shortlist", "10"])));
        let lost = short["counts"]["shortlist"]["lost"].as_f64().unwrap();
        assert!((0.0..1.0).contains(&lost) && short[key].is_object(), "{short}");
        let folds = json(&succeed(on("eval", "captions-val").args(["--fold", "2"])));
        let n_folds = folds["counts"]["folds"].as_u64().unwrap();
        assert!(n_folds >= 1 && folds["counts"]["images"] == 2 * n_folds, "{folds}");

        // shards without captions, and a head that says something else
        let (code, _, errors) = run(&mut on("eval", "nlvr2-dev"));
        assert!(
            code == 3 && errors.contains("texts of another kind") && errors.contains("karpathy.toml"),
            "{errors}"
        );
        let (code, _, errors) =
            run(made.train(task, "captions-val", &run_folder).args(["--resume", "--set", "seed=9"]));
        assert!(code == 2 && errors.contains("seed: 88 then, 9 now"), "{code}: {errors}");

        // two ranks: the same but for the order of additions
        let ranked = made.path(&format!("ranked-{task}"));
        let mut train = made.train(task, "captions-val", &ranked);
        succeed(train.args(["--set", "task.hard_negatives=3", "--ranks", "2", "--json"]));
        let losses = |folder: &Path| {
            let lines = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
            let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.filter_map(|line| line["loss"].as_f64()).collect::<Vec<_>>()
        };
        let (one, two) = (losses(&run_folder), losses(&ranked));
        let same = one.iter().zip(&two).all(|(a, b)| (a - b).abs() < 1e-3 * a.abs());
        assert!(!one.is_empty() && one.len() == two.len() && same, "{task}: {one:?}, two ranks {two:?}");
    }
    // another task's head
    let vqa = made.path("run-vqa");
    succeed(&mut made.train("vqa", "vqa-val", &vqa));
    let out = made.path("after-vqa");
    let mut train = made.train("text-retrieval", "captions-val", &out);
    let (code, _, errors) = run(train.arg("--model").arg(vqa.join("model")));
    assert!(
        code == 3 && errors.contains("answers `vqa`") && errors.contains("replace_head"),
        "{code}: {errors}"
    );
}

#[test]
fn a_killed_retrieval_goes_on_as_if_nothing_had_been() {
    goes_on("text-retrieval", "captions-val", &["task.hard_negatives=2", "schedule.epochs=8"]);
}

#[test]
fn a_killed_fine_tuning_goes_on_as_if_nothing_had_been() {
    goes_on("nlvr2", "nlvr2-dev", &["schedule.epochs=6"]);
}

/// Killed at many places and gone on with, a run ends with the model of the straight one.
fn goes_on(task: &str, held_out: &str, sets: &[&str]) {
    let made = Made::new();
    let straight = made.path("straight");
    let train = |out: &Path| {
        let mut command = made.train(task, held_out, out);
        for set in sets.iter().chain(&["run.log_every=1", "run.checkpoint_every=1"]) {
            command.args(["--set", set]);
        }
        command
    };
    succeed(&mut train(&straight));
    let out = made.path("killed");
    let told = || fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
    let (mut kills, mut command) = (0, train(&out));
    loop {
        let goal = told() + 1 + kills % 3;
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while told() < goal && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            break;
        }
        kills += 1;
        let has_checkpoint = fs::read_dir(out.join("checkpoints")).is_ok_and(|mut entries| {
            entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("step-"))
        });
        command = train(&out);
        if has_checkpoint {
            command.arg("--resume");
        }
    }
    assert!(kills >= 3, "it was done after {kills} kills");
    let model = |run: &Path| fs::read(run.join("model/model.safetensors")).unwrap();
    assert!(model(&straight) == model(&out), "another model came out");
}
