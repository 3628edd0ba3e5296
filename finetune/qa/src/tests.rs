//! Whole runs on a made-up data set: ranks, accumulation, resuming, what is refused.

mod made;

use std::path::Path;

use data_specs::{Answer, Sample, TextKind};
use finetune_harness::DeviceChoice;
use finetune_harness::Train;
use finetune_harness::classification::{Eval, Predict};
use finetune_harness::{Error, Outcome, Result};
use made::{Made, Quiet, WIDTH, rows};
use pretrain_kernels::Precision;
use pretrain_training::Checkpoints;

use crate::{Gqa, Vqa};

fn weights(run: &Path) -> Vec<f32> {
    let newest = Checkpoints::look_at(&run.join("checkpoints")).newest().unwrap().checkpoint.unwrap();
    let tensors = newest.tensors("model").unwrap();
    tensors.values().flat_map(|tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

fn end(train: &Train) -> Error {
    train.run::<Vqa>(&Quiet::default()).unwrap_err()
}

#[test]
fn ranks_and_accumulation_are_one_batch() {
    let made = Made::new();
    let whole = made.ran("whole", &[], 1);
    // 60 questions in batches of 16: the last of an epoch has 12, so a third rank of micro-batches of 6 has nothing
    assert_eq!(whole.len(), 24);
    for (name, micro, ranks) in [("accumulated", 5, 1), ("two", 8, 2), ("three", 6, 3)] {
        let losses = made.ran(name, &[&format!("batch.micro={micro}")], ranks);
        for (step, (a, b)) in whole.iter().zip(&losses).enumerate() {
            assert!((a - b).abs() < 2e-5 * a, "{name}, step {step}: {b}, one rank {a}");
        }
        let (a, b) = (weights(&made.path("whole")), weights(&made.path(name)));
        let apart = a.iter().zip(&b).fold(0f32, |apart, (a, b)| apart.max((a - b).abs()));
        assert!(a.len() == b.len() && apart < 1e-4, "{name}: weights {apart} apart");
    }
}

#[test]
fn stop_and_resume_is_the_straight_run_to_the_bit() {
    let made = Made::new();
    let run = |out: &str, resume: bool, stop_after: Option<u64>| -> Outcome {
        let watch = Quiet { stop_after, ..Quiet::default() };
        Train { resume, ..made.train(out, &[]) }.run::<Vqa>(&watch).unwrap()
    };
    let whole = run("straight", false, None);
    let first = run("stopped", false, Some(6));
    assert_eq!((first.step, first.is_done), (6, false));
    assert_eq!(run("stopped", true, Some(13)).step, 13);
    let last = run("stopped", true, None);
    assert!(whole.is_done && last == whole, "{last:?}, straight {whole:?}");
    assert_eq!(weights(&made.path("straight")), weights(&made.path("stopped")));
    let model = |run: &str| std::fs::read(made.path(run).join("model/model.safetensors")).unwrap();
    assert!(model("straight") == model("stopped"), "another model was chosen");
    let told = |run: &str| {
        let text = std::fs::read_to_string(made.path(run).join("metrics.jsonl")).unwrap();
        let line = |line: &str| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            for timed in ["samples_per_second", "data_wait_share"] {
                line.as_object_mut().unwrap().remove(timed);
            }
            line
        };
        text.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(told("straight"), told("stopped"));
    // update k takes the rate of step k + 1: the last one of 24 takes none
    let rates: Vec<f64> = told("straight").iter().filter_map(|line| line["rate"].as_f64()).collect();
    assert_eq!(rates.len(), 24);
    for (step, rate) in rates.iter().enumerate() {
        let wanted = 5e-3 * (1.0 - (step + 1) as f64 / 24.0);
        assert!((rate - wanted).abs() < 1e-12, "update {step} takes {rate}, not {wanted}");
    }
    assert!(matches!(
        end(&made.train("straight", &[])),
        Error::Training(pretrain_training::Error::RunExists { .. })
    ));
}

/// The best model answers; a folder is trained on with its own answers; another head is refused and can be replaced.
#[test]
fn a_model_folder_is_asked_and_trained_on() {
    let made = Made::new();
    let outcome = made
        .train("run", &["schedule.epochs=40", "schedule.peak=2e-2"])
        .run::<Vqa>(&Quiet::default())
        .unwrap();
    let model = made.path("run").join("model");
    let scores = Eval {
        model: model.clone(),
        data: made.path("set"),
        micro: 7,
        precision: Precision::F32,
        device: DeviceChoice::Cpu,
    }
    .run::<Vqa>()
    .unwrap();
    let best = outcome.best.unwrap();
    assert!((scores.main - best.score).abs() < 1e-9, "{} by itself, {} in training", scores.main, best.score);
    assert!(scores.main > 90.0, "{scores:?}");
    let labels: Vec<String> =
        serde_json::from_str(&std::fs::read_to_string(model.join("labels.json")).unwrap()).unwrap();
    assert_eq!(labels, ["blue", "green", "red"], "as often, so by name; mauve is no majority answer");
    let config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(model.join("config.json")).unwrap()).unwrap();
    for (key, value) in [
        ("num_labels", serde_json::json!(3)),
        ("classifier", "linear".into()),
        ("cls_hidden_scale", 2.into()),
        ("loss_type", "bce".into()),
        ("finetuning_task", "vqa".into()),
        ("num_choice", 1.into()),
    ] {
        assert_eq!(config[key], value, "{key}");
    }

    let out = Some(made.path("results.json"));
    let mut predict = Predict {
        model: model.clone(),
        data: made.path("set"),
        key: None,
        out,
        micro: 9,
        precision: Precision::F32,
        device: DeviceChoice::Cpu,
    };
    let all = predict.run::<Vqa>().unwrap();
    assert_eq!((all.len(), all[4].key.as_str(), all[4].id.as_str()), (60, "test/2", "20"));
    assert!(all.iter().all(|one| (0.0..=1.0).contains(&one.confidence)));
    let results: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(made.path("results.json")).unwrap()).unwrap();
    assert_eq!(results[4], serde_json::json!({ "question_id": 20, "answer": all[4].answer }));
    predict.key = Some("test/2".to_owned());
    assert_eq!(predict.run::<Vqa>().unwrap().len(), 2);
    predict.key = Some("test/99".to_owned());
    assert!(predict.run::<Vqa>().unwrap_err().to_string().contains("`test/99` is not there"));

    // on with the same answers: nothing is drawn
    let next = |set: &[&str]| Train { model: Some(model.clone()), ..made.train("next", set) };
    let watch = Quiet::default();
    next(&["schedule.epochs=1"]).run::<Vqa>(&watch).unwrap();
    assert!(!watch.told.into_inner().unwrap().iter().any(|line| line.contains("drawn")));
    std::fs::remove_dir_all(made.path("next")).unwrap();
    // other answers, another form
    std::fs::write(made.path("other.json"), r#"["blue", "red", "green"]"#).unwrap();
    let other = format!("task.vocabulary={}", made.path("other.json").display());
    let message = end(&next(&[&other])).to_string();
    assert!(message.contains("labels do not fit the task's: number 1 is `green`, there `red`"), "{message}");
    let mlp = r#"task.head={ classifier = "mlp", loss_type = "ce" }"#;
    let message = end(&next(&[mlp])).to_string();
    assert!(message.contains("the head is another one") && message.contains("replace_head"), "{message}");
    let watch = Quiet::default();
    next(&[mlp, &other, "model.replace_head=true", "schedule.epochs=1"]).run::<Vqa>(&watch).unwrap();
    let told = watch.told.into_inner().unwrap();
    assert!(
        told.iter().any(|line| line.contains("drawn") && line.contains("classifier.0.weight")),
        "{told:?}"
    );
    // another task does not take the folder's answers, nor its head
    let message = next(&[]).run::<Gqa>(&Quiet::default()).unwrap_err().to_string();
    assert!(message.contains("the head answers `vqa`, not `gqa`"), "{message}");
    let message = Eval {
        model,
        data: made.path("set"),
        micro: 4,
        precision: Precision::F32,
        device: DeviceChoice::Cpu,
    }
    .run::<Gqa>()
    .unwrap_err()
    .to_string();
    assert!(message.contains("task is `vqa`, not `gqa`"), "{message}");
}

#[test]
fn what_cannot_be_is_refused_with_a_remedy() {
    let made = Made::new();
    let strip = |change: &dyn Fn(&mut Sample)| {
        let mut rows = rows(30);
        rows.iter_mut().for_each(change);
        rows
    };
    made.write(
        "unanswered",
        &strip(&|row| row.texts.iter_mut().for_each(|text| text.answers.clear())),
        1,
        WIDTH,
    );
    made.write(
        "captions",
        &strip(&|row| row.texts.iter_mut().for_each(|t| t.kind = TextKind::Caption)),
        1,
        WIDTH,
    );
    made.write("pairs", &strip(&|row| row.images.push(row.images[0].clone())), 1, WIDTH);
    made.write("boxless", &strip(&|row| row.images[0].width = None), 1, WIDTH);
    let on = |data: &str, set: &[&str]| Train { data: Some(made.path(data)), ..made.train("run", set) };
    for (train, part) in [
        (on("unanswered", &[]), "answers give 0 labels"),
        (on("captions", &[]), "answers give 0 labels"),
        (on("pairs", &[]), "has 2 pictures where the task reads 1"),
        (on("boxless", &[]), "has boxes in pixels, but not the size of the picture"),
        (on("set", &["task.minimum=100"]), "lower task.minimum"),
        (on("set", &["task.maximum=1"]), "unknown field `maximum`"),
        (on("set", &["data.layout.max_tokens=4"]), "data.layout.max_tokens is 4"),
        (on("set", &["model.drop_out=1"]), "model.drop_out is 1"),
        (on("set", &["schedule.epochs=0"]), "schedule.epochs is 0"),
        (on("set", &["batch.micro=17"]), "batch.micro is 17"),
        (Train { ranks: 2, ..on("set", &[]) }, "--ranks is 2"),
        (Train { data: None, ..on("set", &[]) }, "data.train is empty"),
        (on("nowhere", &[]), "nowhere"),
    ] {
        let message = end(&train).to_string();
        assert!(message.contains(part), "{message} does not say: {part}");
        if made.path("run").exists() {
            std::fs::remove_dir_all(made.path("run")).unwrap();
        }
    }
    // held out: questions without annotation cannot be scored, and the error says who has them
    let held_out = format!("data.held_out=[{{ path = {:?} }}]", made.path("unanswered"));
    let message = end(&on("set", &[&held_out])).to_string();
    assert!(message.contains("question 0 has no answers") && message.contains("vqa-v2.toml"), "{message}");
}

/// A question that no label answers teaches nothing, but it is asked, and counted as wrong.
#[test]
fn answers_outside_of_the_vocabulary_are_counted() -> Result<()> {
    let made = Made::new();
    let mut some = rows(30);
    some[3].texts[0].answers = vec![Answer { text: "teal".into(), score: None }; 10];
    made.write("some", &some, 1, WIDTH);
    let watch = Quiet::default();
    let train = Train { data: Some(made.path("some")), ..made.train("run", &["schedule.epochs=1"]) };
    train.run::<Vqa>(&watch)?;
    let told = watch.told.into_inner().unwrap();
    assert!(
        told.iter().any(|line| line == "to learn from: 59 texts; left out: 1 texts without a known answer"),
        "{told:?}"
    );
    let scores = Eval {
        model: made.path("run/model"),
        data: made.path("some"),
        micro: 8,
        precision: Precision::F32,
        device: DeviceChoice::Cpu,
    }
    .run::<Vqa>()?;
    assert_eq!(scores.all["counts"]["questions"], 60);
    assert_eq!(scores.figures["questions_without_target"], 1.0);
    let share = scores.all["per_question"]["30"].as_f64();
    assert_eq!(share, Some(0.0));
    Ok(())
}

#[test]
fn presets_are_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut n = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let refused = match name.split('-').next() {
            Some("vqa") => toml::from_str::<finetune_harness::Settings<Vqa>>(&text).err(),
            Some("gqa") => toml::from_str::<finetune_harness::Settings<Gqa>>(&text).err(),
            _ => continue,
        };
        assert!(refused.is_none(), "{name}: {refused:?}");
        for head in ["Hardware: ", "Wall time: ", "Expected score: "] {
            assert!(text.contains(&format!("\n# {head}")), "{name} does not say {head}");
        }
        assert!(
            text.contains(&format!("train --config finetune/configs/{name}.toml")),
            "{name}: its command"
        );
        n += 1;
    }
    assert!(n >= 5, "{n} presets");
}
