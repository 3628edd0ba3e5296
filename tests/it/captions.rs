//! Captioning and NoCaps as a user meets them: drawn pictures, shards, a moment of training, captions, scores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::binaries::{finetune_command, pipeline_command, run};
use pretrain_kernels::Precision;
use serde_json::{Value, json};

fn succeed(command: &mut Command) -> String {
    let (code, out, errors) = run(command);
    assert_eq!(code, 0, "{out}{errors}");
    out
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

struct Made(tempfile::TempDir);

impl Made {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        let corpus = made.path("corpus");
        succeed(pipeline_command(["synth", "--images", "60", "--seed", "3", "--out"]).arg(&corpus));
        for spec in ["captions-train", "captions-val", "nocaps-val"] {
            let mut build = pipeline_command(["build"]);
            build.arg(corpus.join(format!("specs/{spec}.toml")));
            build.args(["--set", "backbone=efficientnet_half", "--out"]).arg(made.path(spec));
            succeed(&mut build);
        }
        let mut words = pipeline_command(["vocabulary"]);
        succeed(words.arg(made.path("captions-train")).arg("--out").arg(made.path("words")));
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn train(&self, out: &Path, more: &[&str]) -> Command {
        let mut command = finetune_command(["captioning", "train", "--config"]);
        command.arg("finetune/configs/captioning-small.toml");
        command.arg("--data").arg(self.path("captions-train")).arg("--out").arg(out);
        let sizes =
            "{ hidden_size = 32, num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 64 }";
        for set in [
            format!("model.tokenizer={}", self.path("words").display()),
            format!("model.sizes={sizes}"),
            format!("data.held_out=[{{ path = {:?} }}]", self.path("captions-val")),
            "batch.micro=16".to_owned(),
            "schedule.epochs=1".to_owned(),
            "task.decoding.beams=2".to_owned(),
        ] {
            command.arg("--set").arg(set);
        }
        command.args(more).arg("--json");
        command
    }

    fn on(&self, task: &str, verb: &str, data: &str) -> Command {
        let mut command = finetune_command([task, verb, "--model"]);
        command.arg(self.path("run/model")).arg("--data").arg(self.path(data)).arg("--json");
        command
    }
}

/// Train, evaluate, predict; the scores are those of `finetune score` on the predictions; rewards after that.
#[test]
fn captions_from_pictures_to_scores() {
    let made = Made::new();
    let outcome = parsed(&succeed(&mut made.train(&made.path("run"), &[])));
    assert_eq!(outcome["is_done"], true, "{outcome}");
    let results = made.path("captions.json");
    let predictions =
        parsed(&succeed(made.on("captioning", "predict", "captions-val").arg("--out").arg(&results)));
    let predictions = predictions.as_array().unwrap();
    assert!(
        predictions.len() == 2 && predictions[0]["confidence"].as_f64().unwrap() > 0.0,
        "{predictions:?}"
    );

    let evaluated = parsed(&succeed(&mut made.on("captioning", "eval", "captions-val")));
    let mut score = finetune_command(["score", "captioning", "--json", "--references"]);
    score.arg(made.path("corpus/coco/annotations/captions_val2014.json")).arg("--candidates").arg(&results);
    assert_eq!(evaluated, parsed(&succeed(&mut score)));
    assert_eq!(
        outcome["best"]["score"], evaluated["corpus"]["CIDEr"],
        "the best model is the one that is kept"
    );

    // products in bf16: the beams may end at another caption that is as likely
    let mut predict = made.on("captioning", "predict", "captions-val");
    let rounded = parsed(&succeed(predict.args(["--precision", "bf16"])));
    for (number, exact) in predictions.iter().enumerate() {
        let [rounded, exact] = [&rounded[number], exact].map(|one| one["confidence"].as_f64().unwrap());
        assert!((rounded - exact).abs() < 0.05 * exact.max(0.1), "{rounded} in bf16, {exact} in f32");
        assert_eq!(rounded != exact, Precision::Bf16.here() == Precision::Bf16);
    }

    let key = predictions[1]["key"].as_str().unwrap();
    let drawn = made.path("looked-at.png");
    let mut predict = made.on("captioning", "predict", "captions-val");
    let one = parsed(&succeed(predict.args(["--key", key, "--explain"]).arg(&drawn)));
    assert!(fs::read(&drawn).unwrap().starts_with(b"\x89PNG"));
    assert_eq!(one, json!([predictions[1]]));

    // from there on by rewards, and the same with two ranks
    let mut losses = Vec::new();
    for ranks in ["1", "2"] {
        let folder = made.path(&format!("drawn-{ranks}"));
        let model = made.path("run/model");
        let more = ["--ranks", ranks, "--set", "task.self_critical={ max_length = 12 }", "--set"];
        let more =
            [&more[..], &["batch.micro=8", "--set", "run.log_every=1", "--model", model.to_str().unwrap()]];
        succeed(&mut made.train(&folder, &more.concat()));
        let lines = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        losses.push(lines.filter_map(|line| line["loss"].as_f64()).collect::<Vec<_>>());
    }
    let same = losses[0].iter().zip(&losses[1]).all(|(a, b)| (a - b).abs() < 1e-3 * a.abs().max(0.1));
    assert!(!losses[0].is_empty() && losses[0].len() == losses[1].len() && same, "{losses:?}");

    no_captions(&made);
    domains(&made);
}

/// Shards of questions have nothing to compare with.
fn no_captions(made: &Made) {
    let spec = made.path("corpus/specs/vqa-val.toml");
    let mut build = pipeline_command(["build"]);
    build.arg(spec).args(["--set", "backbone=efficientnet_half", "--out"]).arg(made.path("vqa"));
    succeed(&mut build);
    let (code, _, errors) = run(&mut made.on("captioning", "eval", "vqa"));
    assert!(
        code == 3 && errors.contains("has no captions") && errors.contains("karpathy.toml"),
        "{code}: {errors}"
    );
}

/// Scores by domain with and without constraints, which captions then satisfy.
fn domains(made: &Made) {
    let results = made.path("nocaps.json");
    let official = made.path("corpus/nocaps/nocaps_val_captions.json");
    let read: Value = serde_json::from_str(&fs::read_to_string(&official).unwrap()).unwrap();
    let put = |name: &str, text: String| {
        fs::write(made.path(name), text).unwrap();
        made.path(name)
    };
    // one thing that a detector saw everywhere
    let words = fs::read_to_string(made.path("words/vocab.txt")).unwrap();
    let things = ["banana", "clock", "umbrella", "table", "chair", "robot", "flower", "apple"];
    let thing = things.into_iter().find(|thing| words.lines().any(|word| word == *thing)).unwrap();
    let boxes = read["images"].as_array().unwrap().iter().map(|image| {
        format!("{}\t[{{\"rect\": [1, 1, 40, 40], \"class\": \"{thing}\", \"conf\": 0.9}}]\n", image["id"])
    });
    let files = [
        ("--boxes", put("boxes.tsv", boxes.collect())),
        ("--words", put("words.tsv", format!("{thing}\t{thing}\n"))),
        ("--forms", put("forms.tsv", format!("{thing}\t{thing}\n"))),
        ("--hierarchy", put("tree.json", json!({ "LabelName": thing }).to_string())),
    ];
    for constrained in [false, true] {
        let with = |verb: &str| {
            let mut command = made.on("nocaps", verb, "nocaps-val");
            if constrained {
                files.iter().for_each(|(flag, path)| {
                    command.arg(flag).arg(path);
                });
            }
            command
        };
        let predictions = parsed(&succeed(with("predict").arg("--out").arg(&results)));
        if constrained {
            let names = |one: &Value| one["caption"].as_str().unwrap().contains(thing);
            assert!(predictions.as_array().unwrap().iter().all(names), "{thing}: {predictions}");
        }
        let evaluated = parsed(&succeed(&mut with("eval")));
        let mut score = finetune_command(["score", "nocaps", "--json", "--references"]);
        score.arg(&official).arg("--candidates").arg(&results);
        assert_eq!(evaluated, parsed(&succeed(&mut score)));
        assert!(evaluated["entire"]["corpus"]["CIDEr"].is_f64() && evaluated["in-domain"].is_object());
    }
    let (code, _, errors) = run(made.on("nocaps", "predict", "nocaps-val").arg("--boxes").arg(&files[0].1));
    assert!(code == 2 && errors.contains("--hierarchy"), "{code}: {errors}");
}
