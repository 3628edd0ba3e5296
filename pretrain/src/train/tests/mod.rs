//! Whole runs on a made-up corpus: ranks, accumulation, resuming, what is refused.

mod precision;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use candle_core::Device;
use pretrain_comm::{Collective, Solo, threads};
use pretrain_training::Checkpoints;
use pretrain_training::optimiser::{AdamW, Rule};

use super::*;
use crate::data::tests::corpus::Corpus;
use crate::objectives::ObjectiveSettings;
use crate::{Error, Result};

/// Says nothing; stops after a step if asked to.
#[derive(Default)]
struct Quiet {
    stop_after: Option<u64>,
    step: AtomicU64,
    losses: Mutex<Vec<[f64; 2]>>,
}

impl Watch for Quiet {
    fn started(&self, _: &Start) {}

    fn step(&self, progress: &Progress) {
        self.step.store(progress.step, Ordering::SeqCst);
        self.losses.lock().unwrap().push([progress.masked_token_loss, progress.contrastive_loss]);
    }

    fn damaged(&self, _: &pretrain_training::Error) {}

    fn evaluated(&self, _: u64, _: &Evaluation) {}

    fn must_stop(&self) -> bool {
        // asked within a step, so before it is counted
        self.stop_after.is_some_and(|stop| self.step.load(Ordering::SeqCst) + 1 >= stop)
    }
}

fn settings(corpus: &Corpus, steps: u64) -> Settings {
    let mut data = corpus.settings();
    data.held_out_limit = Some(24);
    Settings {
        seed: 11,
        model: ModelSettings {
            tokenizer: Some(corpus.path("vocab.txt")),
            sizes: Some(Sizes {
                hidden_size: 24,
                num_hidden_layers: 2,
                num_attention_heads: 2,
                intermediate_size: 32,
                max_position_embeddings: 16,
                use_img_layernorm: true,
                hidden_dropout_prob: 0.1,
                attention_probs_dropout_prob: 0.1,
            }),
            ..ModelSettings::default()
        },
        data,
        objectives: ObjectiveSettings { wrong_text: 0.25, ..ObjectiveSettings::default() },
        batch: BatchSettings { size: 12, micro: 12 },
        optimiser: OptimiserSettings {
            rule: Rule::AdamW(AdamW { epsilon: 1e-4, ..AdamW::default() }),
            weight_decay: 0.01,
            clip: Some(1.0),
            zero: false,
        },
        schedule: ScheduleSettings {
            steps,
            peak: 2e-3,
            warm_up: 2,
            warm_up_from: 0.0,
            decay: pretrain_training::Decay::Linear {},
        },
        run: RunSettings {
            log_every: 1,
            evaluate_every: 10,
            checkpoint_every: 3,
            keep: 9,
            ..RunSettings::default()
        },
    }
}

fn run_on(
    settings: &Settings,
    corpus: &Corpus,
    run: &Path,
    resume: bool,
    ranks: &dyn Collective,
    watch: &Quiet,
) -> Result<Outcome> {
    std::fs::create_dir_all(run).unwrap();
    let start = Start::open(settings, &corpus.path("texts"))?;
    let work = Workplace { run, resume, device: Device::Cpu };
    pretrain(settings, "hash", &start, &work, ranks, watch)
}

fn on_threads(settings: &Settings, corpus: &Corpus, run: &Path, world: usize) -> Vec<[f64; 2]> {
    let losses = std::thread::scope(|scope| {
        let ranks: Vec<_> = threads(world, Duration::from_secs(60))
            .into_iter()
            .map(|ranks| {
                scope.spawn(move || {
                    let watch = Quiet::default();
                    run_on(settings, corpus, run, false, &ranks, &watch).unwrap();
                    watch.losses.into_inner().unwrap()
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(losses.iter().all(|of_rank| *of_rank == losses[0]), "ranks see different losses");
    losses.into_iter().next().unwrap()
}

fn weights(run: &Path) -> Vec<f32> {
    let newest = Checkpoints::look_at(&run.join("checkpoints")).newest().unwrap().checkpoint.unwrap();
    let tensors = newest.tensors("model").unwrap();
    tensors.values().flat_map(|tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0f32, |apart, (a, b)| apart.max((a - b).abs()))
}

#[test]
fn ranks_and_accumulation_are_one_batch() {
    let corpus = Corpus::usual();
    let one = settings(&corpus, 20);
    let folder = |name: &str| corpus.path(name);
    let whole = on_threads(&one, &corpus, &folder("whole"), 1);
    for (name, micro, world) in [("accumulated", 5, 1), ("two", 6, 2), ("three", 4, 3), ("uneven", 5, 2)] {
        let cut = Settings { batch: BatchSettings { size: 12, micro }, ..one.clone() };
        let losses = on_threads(&cut, &corpus, &folder(name), world);
        for (step, (a, b)) in whole.iter().zip(&losses).enumerate() {
            let largest = (a[0] - b[0]).abs().max((a[1] - b[1]).abs());
            assert!(largest < 1e-5 * a[0], "{name}, step {step}: {b:?}, one rank {a:?}");
        }
        let apart = apart(&weights(&folder("whole")), &weights(&folder(name)));
        assert!(apart < 1e-5, "{name}: weights {apart} apart");
    }
    let mean = |steps: &[[f64; 2]]| steps.iter().map(|losses| losses[0]).sum::<f64>() / steps.len() as f64;
    assert!(mean(&whole[15..]) < mean(&whole[..5]) - 0.05, "nothing is learnt: {whole:?}");
}

#[test]
fn stop_and_resume_is_the_straight_run_to_the_bit() {
    let corpus = Corpus::usual();
    for recompute in [false, true] {
        let mut settings = settings(&corpus, 11);
        settings.model.recompute = recompute;
        let (straight, stopped) = (corpus.path("straight"), corpus.path("stopped"));
        let run = |folder: &Path, resume, watch: &Quiet| {
            run_on(&settings, &corpus, folder, resume, &Solo, watch).unwrap()
        };
        let whole = run(&straight, false, &Quiet::default());
        let first = run(&stopped, false, &Quiet { stop_after: Some(4), ..Quiet::default() });
        assert_eq!((first.step, first.is_done), (4, false));
        let second = run(&stopped, true, &Quiet { stop_after: Some(8), ..Quiet::default() });
        assert_eq!(second.step, 8);
        let last = run(&stopped, true, &Quiet::default());
        assert!(whole.is_done && last == whole, "{last:?}, straight {whole:?}");
        assert_eq!(weights(&straight), weights(&stopped));
        // what is told is the same, too, but for times
        let told = |run: &Path| {
            let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
            let line = |line: &str| {
                let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
                for timed in ["samples_per_second", "data_wait_share", "limit_share"] {
                    line.as_object_mut().unwrap().remove(timed);
                }
                line
            };
            text.lines().map(line).collect::<Vec<_>>()
        };
        assert_eq!(told(&straight), told(&stopped));
        std::fs::remove_dir_all(&straight).unwrap();
        std::fs::remove_dir_all(&stopped).unwrap();
    }
}

/// The exported folder is the checkpoint's network, and a run can start from it.
#[test]
fn a_run_starts_from_an_exported_model() {
    let corpus = Corpus::usual();
    let (first, second) = (corpus.path("first"), corpus.path("second"));
    run_on(&settings(&corpus, 3), &corpus, &first, false, &Solo, &Quiet::default()).unwrap();
    let model = crate::model::ModelFolder::open(&first.join("model")).unwrap();
    let exported: Vec<f32> = model
        .tensors
        .values()
        .flat_map(|tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        .collect();
    assert_eq!(exported, weights(&first));

    let mut settings = settings(&corpus, 2);
    settings.model = ModelSettings { from: Some(first.join("model")), ..ModelSettings::default() };
    settings.objectives.wrong_text = 0.0; // two classes: the contrastive head is drawn
    let start = Start::open(&settings, &corpus.path("texts")).unwrap();
    assert_eq!(start.drawn, ["cls.seq_relationship.bias", "cls.seq_relationship.weight"]);
    assert_eq!(start.config.num_contrast_classes, 2);
    let work = Workplace { run: &second, resume: false, device: Device::Cpu };
    pretrain(&settings, "hash", &start, &work, &Solo, &Quiet::default()).unwrap();

    settings.model.sizes =
        Some(Sizes { num_hidden_layers: 3, ..super::tests::settings(&corpus, 1).model.sizes.unwrap() });
    let message = Start::open(&settings, &corpus.path("texts")).unwrap_err().to_string();
    assert!(message.contains("model.sizes.num_hidden_layers is 3, that of model.from is 2"), "{message}");
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_updated() {
    let corpus = Corpus::usual();
    let folder = corpus.path("run");
    let good = settings(&corpus, 4);
    let end = |settings: &Settings, resume| {
        run_on(settings, &corpus, &folder, resume, &Solo, &Quiet::default()).unwrap_err()
    };
    assert!(matches!(end(&good, true), Error::Training(pretrain_training::Error::NoCheckpoint { .. })));
    std::fs::remove_dir_all(&folder).unwrap();

    // a rate that makes numbers overflow
    let mut wild = good.clone();
    wild.schedule.peak = 1e30;
    wild.optimiser.clip = None;
    wild.run.checkpoint_every = 1;
    let message = end(&wild, false).to_string();
    assert!(message.contains("is not finite at step"), "{message}");
    let newest = Checkpoints::look_at(&folder.join("checkpoints")).newest().unwrap();
    let step = newest.checkpoint.unwrap().state().step;
    assert!(message.contains(&format!("at step {step}")), "{message}, but the checkpoint is of {step}");
    assert!(matches!(end(&good, false), Error::Training(pretrain_training::Error::RunExists { .. })));

    for (part, change) in [
        ("batch.micro is 13", &(|s: &mut Settings| s.batch.micro = 13) as &dyn Fn(&mut Settings)),
        ("schedule.steps is 0", &|s| s.schedule.steps = 0),
        ("schedule.warm_up is 9", &|s| s.schedule.warm_up = 9),
        ("model.tokenizer is not set", &|s| s.model.tokenizer = None),
        ("model is without any network", &|s| s.model.sizes = None),
        ("optimiser.clip is -1", &|s| s.optimiser.clip = Some(-1.0)),
        ("run.keep is 0", &|s| s.run.keep = 0),
        ("objectives.wrong_text is 0.7", &|s| s.objectives.wrong_text = 0.7),
    ] {
        let mut settings = good.clone();
        change(&mut settings);
        let message = settings.validate().unwrap_err().to_string();
        assert!(message.starts_with(part) && message.contains("hint"), "{message} does not say: {part}");
    }
    let mut probing = good.clone();
    probing.run.probes = [("words".to_owned(), vec!["w1 w2".to_owned()])].into();
    std::fs::remove_dir_all(&folder).unwrap();
    let message = end(&probing, false).to_string();
    assert!(message.contains("run.probes.words has `w1 w2`, which is 2 tokens"), "{message}");
}

#[test]
fn presets_are_whole() {
    for (name, text) in crate::PRESETS {
        let mut settings: Settings = toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(settings.data.train.is_empty(), "{name} names data");
        settings.data.train.push(crate::data::SetSettings {
            path: "shards".into(),
            weight: 1.0,
            splits: None,
            kinds: None,
            tags: None,
        });
        settings.model.tokenizer = Some("vocabulary".into());
        settings.validate().unwrap_or_else(|error| panic!("{name}: {error}"));
        let comments: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let heads = [
            &format!("# pretrain run pretrain/configs/{name}.toml") as &str,
            "# Hardware: ",
            "# Wall time: ",
            "# Expected score: ",
        ];
        let is_whole = heads.iter().all(|head| comments.iter().any(|line| line.starts_with(head)));
        assert!(is_whole, "{name} does not begin with command, hardware, wall time and score");
        assert_eq!(crate::preset_sizes(name).unwrap(), settings.model.sizes.unwrap());
    }
    let message = crate::preset_sizes("medium").unwrap_err().to_string();
    assert!(message.contains("`medium`") && message.contains("plus-base"), "{message}");
}
