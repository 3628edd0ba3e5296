//! Whole runs on a made-up data set: ranks, accumulation, resuming, model folders.

use std::path::Path;

use finetune_harness::DeviceChoice;
use finetune_harness::{Outcome, Train};
use pretrain::model::ModelFolder;
use pretrain_kernels::Precision;
use pretrain_training::Checkpoints;

use super::made::{Made, Quiet};
use crate::{Captioned, Write};

const DRAWN: [&str; 3] =
    ["task.self_critical={ samples = 3, max_length = 10 }", "task.label_smoothing=0.0", "schedule.peak=1e-3"];
const WORST: [&str; 3] =
    ["task.drop_worst_ratio=0.3", "task.drop_worst_after=3", "task.freeze_embedding=true"];

fn weights(run: &Path) -> Vec<f32> {
    let newest = Checkpoints::look_at(&run.join("checkpoints")).newest().unwrap().checkpoint.unwrap();
    let tensors = newest.tensors("model").unwrap();
    tensors.values().flat_map(|tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

fn write(made: &Made, model: &str, set: &[&str]) -> Vec<Captioned> {
    let write = Write {
        model: made.path(model),
        data: made.path("set"),
        key: None,
        set: set.iter().map(|set| (*set).to_owned()).collect(),
        constraints: None,
        captioned: true,
        at_once: 7,
        precision: Precision::F32,
        device: DeviceChoice::Cpu,
    };
    write.run().unwrap()
}

#[test]
fn ranks_are_one_batch() {
    let made = Made::new();
    for (name, set) in [("hidden", &WORST[..]), ("drawn", &DRAWN[..])] {
        let (one, two) = (made.ran(&format!("{name}-1"), set, 1), made.ran(&format!("{name}-2"), set, 2));
        // 60 captions, or 30 pictures, in batches of 16
        assert_eq!(one.len(), if name == "hidden" { 16 } else { 8 });
        for (step, (a, b)) in one.iter().zip(&two).enumerate() {
            assert!((a - b).abs() < 2e-5 * a.abs().max(0.1), "{name}, step {step}: {b}, one rank {a}");
        }
        let (a, b) = (weights(&made.path(&format!("{name}-1"))), weights(&made.path(&format!("{name}-2"))));
        let apart = a.iter().zip(&b).fold(0f32, |apart, (a, b)| apart.max((a - b).abs()));
        assert!(a.len() == b.len() && apart < 1e-4, "{name}: weights {apart} apart");
    }
    // without the worst tokens, micro-batches matter and nothing else
    let (whole, parts) =
        (made.ran("whole", &["batch.micro=16"], 1), made.ran("parts", &["batch.micro=5"], 1));
    for (a, b) in whole.iter().zip(&parts) {
        assert!((a - b).abs() < 2e-5 * a, "{b} in parts, {a} whole");
    }
}

#[test]
fn stop_and_resume_is_the_straight_run_to_the_bit() {
    let made = Made::new();
    for (name, set) in [("hidden", &WORST[..]), ("drawn", &DRAWN[..])] {
        let run = |out: &str, resume: bool, stop_after: Option<u64>| -> Outcome {
            let watch = Quiet { stop_after, ..Quiet::default() };
            crate::train(&Train { resume, ..made.train(&format!("{name}-{out}"), set) }, &watch).unwrap()
        };
        let whole = run("straight", false, None);
        assert_eq!(run("stopped", false, Some(5)).step, 5);
        let last = run("stopped", true, None);
        assert!(whole.is_done && last == whole, "{last:?}, straight {whole:?}");
        let path = |out: &str| made.path(&format!("{name}-{out}"));
        assert_eq!(weights(&path("straight")), weights(&path("stopped")));
        let model = |out: &str| std::fs::read(path(out).join("model/model.safetensors")).unwrap();
        assert!(model("straight") == model("stopped"), "another model was chosen");
    }
}

/// What hidden tokens teach is said of every picture; what is drawn afterwards does not unlearn it. Frozen embeddings stay.
#[test]
fn captions_are_learnt_and_rewards_are_earned() {
    let made = Made::new();
    let sizes = ["model.sizes.hidden_size=64", "model.sizes.num_attention_heads=4", "model.drop_out=0.0"];
    let set = ["schedule.epochs=200", "run.evaluate_every=800", "task.mask_probability=0.5"];
    let more = ["task.max_masked_tokens=6", "task.label_smoothing=0.0"];
    let losses = made.ran("hidden", &[&set[..], &more, &sizes].concat(), 1);
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last < 0.15 * first, "{first} to {last}");
    let captioned = write(&made, "hidden/model", &[]);
    assert_eq!(captioned.len(), 30);
    let right = |thing: &dyn Fn(&Captioned) -> bool| captioned.iter().filter(|one| thing(one)).count();
    let word = |one: &Captioned, words: &[&str]| {
        words.iter().all(|word| one.caption.contains(word) == one.references[0].contains(word))
    };
    let (things, colours) =
        (right(&|one| word(one, &["box", "ball"])), right(&|one| word(one, &["red", "blue", "green"])));
    assert_eq!((things, colours), (30, 30), "of 30 things and colours; loss {first} to {last}");
    for one in &captioned {
        let said = |reference: &String| reference.to_lowercase() == one.caption;
        assert!(one.references.iter().any(said) && one.confidence > 0.1, "{one:?}");
    }
    let best = crate::scoring::scores(&captioned).main;

    // one caption for all pictures is far below
    let same = captioned.iter().map(|one| Captioned { caption: captioned[0].caption.clone(), ..one.clone() });
    let majority = crate::scoring::scores(&same.collect::<Vec<_>>()).main;
    assert!(best > 2.0 * majority, "{best}, of one caption for all {majority}");

    // two ways of decoding, and more captions of a picture
    let greedy = write(&made, "hidden/model", &["decoding.kind=greedy"]);
    assert!(greedy.iter().zip(&captioned).all(|(a, b)| a.image_id == b.image_id && !a.caption.is_empty()));
    let more = write(&made, "hidden/model", &["decoding.keep=2"]);
    assert!(more.iter().zip(&captioned).all(|(a, b)| a.caption == b.caption && a.others.len() == 1));

    let from = made.path("hidden/model");
    let train = Train {
        model: Some(from.clone()),
        ..made.train(
            "drawn",
            &[&DRAWN[..2], &["schedule.peak=2e-4", "task.freeze_embedding=true"], &sizes[..]].concat(),
        )
    };
    let watch = Quiet::default();
    crate::train(&train, &watch).unwrap();
    let rewarded = crate::scoring::scores(&write(&made, "drawn/model", &[])).main;
    assert!(rewarded > 0.95 * best, "{rewarded} after rewards, {best} before");
    let words = |folder: &Path| {
        let tensors = ModelFolder::open(folder).unwrap().tensors;
        tensors["bert.embeddings.word_embeddings.weight"].to_vec2::<f32>().unwrap()
    };
    assert_eq!(words(&from), words(&made.path("drawn/model")), "frozen");
}
