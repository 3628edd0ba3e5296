//! What pre-training learns from each part of a triple: four runs over one drawn corpus.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use conformance::binaries::{finetune_command, pipeline_command, pretrain_command, root};
use serde_json::Value;

use super::object;

/// Words that are to be seen in a picture and are none of its tags.
const PROBES: &str = "run.probes={ \
    colours = [\"red\", \"blue\", \"green\", \"yellow\", \"orange\", \"purple\", \"pink\", \"white\"], \
    sizes = [\"small\", \"large\", \"tiny\", \"big\", \"huge\", \"little\"], \
    relations = [\"left\", \"right\", \"above\", \"below\", \"under\", \"inside\", \"on\", \"holding\"] }";

/// The paper's settings where the preset has others, which learn faster from little.
const PAPER: [&str; 3] = [
    "model.sizes.hidden_dropout_prob=0.1",
    "model.sizes.attention_probs_dropout_prob=0.1",
    "objectives.mask_probability=0.15",
];

/// Each run, and what it does not see. Without pictures and tags there is nothing that words could be false of.
const RUNS: [(&str, &[&str]); 4] = [
    ("text", &["data.tags=false", "data.regions=false", "objectives.pollution=0"]),
    ("text + tags", &["data.regions=false"]),
    ("text + regions", &["data.tags=false"]),
    ("all", &[]),
];

/// Draws the corpus, trains a backbone on kinds and colours, builds shards with it, and pre-trains four times; what was
/// finished before is not done again.
pub(super) fn evidence() -> Result<()> {
    let folder = root().join("target/evidence/pretraining");
    std::fs::create_dir_all(&folder)?;
    let study = Study { folder };
    study.prepare()?;
    println!(
        "{:<16} {:>7} {:>7} {:>12} {:>8} {:>7} {:>10} {:>7}",
        "run", "words", "tags", "contrastive", "colours", "sizes", "relations", "seen"
    );
    let mut found = Vec::new();
    for (name, without) in RUNS {
        let figures = study.run(name, without)?;
        println!("{}", figures.line(name));
        found.push(figures);
    }
    let [_, tags, _, all] = &found[..] else { unreachable!("there are four runs") };
    ensure!(
        all.contrastive >= 0.9,
        "with all parts {:.3} of the held-out samples are in the right class",
        all.contrastive
    );
    let gain = all.seen - tags.seen;
    ensure!(gain >= 0.15, "regions add {gain:.3} to what is guessed of colours, sizes and relations");
    Ok(())
}

struct Study {
    folder: PathBuf,
}

/// What one run knows of held-out samples: shares of hidden words that are guessed, of samples in the right class.
struct Figures {
    words: f64,
    tags: f64,
    contrastive: f64,
    probes: [f64; 3],
    /// Over the words of all probes.
    seen: f64,
}

impl Study {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn is_there(&self, name: &str) -> bool {
        Path::new(&self.path(name)).exists()
    }

    fn prepare(&self) -> Result<()> {
        let (corpus, weights) = (self.path("corpus"), self.path("backbone.safetensors"));
        if !self.is_there("corpus") {
            object(&mut pipeline_command([
                "synth", "--images", "6000", "--seed", "7", "--out", &corpus, "--json",
            ]))?;
        }
        if !self.is_there("backbone.safetensors") {
            let run = self.path("backbone");
            let mut train = finetune_command(["backbone", "train", "--json", "--out", &run]);
            train.args(["--config", "finetune/configs/efficientnet-half.toml", "--set", "schedule.epochs=4"]);
            train.args(["--set", &format!("data.train={corpus}/looks/train")]);
            train.args(["--set", &format!("data.held_out={corpus}/looks/val")]);
            if self.is_there("backbone") {
                train.arg("--resume");
            }
            let scores = object(&mut train)?;
            println!("backbone: {} top-1 of colour and kind", scores["scores"]["top1"]);
            object(&mut finetune_command([
                "backbone", "export", "--json", "--run", &run, "--out", &weights,
            ]))?;
        }
        for split in ["train", "val", "test"] {
            let (spec, out) =
                (format!("{corpus}/specs/captions-{split}.toml"), self.path(&format!("shards-{split}")));
            let mut build = pipeline_command(["build", &spec, "--out", &out, "--json"]);
            // boxes in a map of the whole picture, as large as before the published detectors
            build.args(["--set", "backbone=efficientnet_half", "--set", "regions.provider=boxes"]);
            build.args(["--set", "regions.short_side=600"]);
            build.args(["--set", &format!("weights={weights}")]);
            object(&mut build)?;
        }
        if !self.is_there("words") {
            object(&mut pipeline_command([
                "vocabulary",
                &self.path("shards-train"),
                "--out",
                &self.path("words"),
                "--json",
            ]))?;
        }
        Ok(())
    }

    fn run(&self, name: &str, without: &[&str]) -> Result<Figures> {
        let (run, kept) = (self.path(&name.replace(" + ", "-")), self.folder.join(format!("{name}.json")));
        if !kept.exists() {
            let mut train = pretrain_command(["run", "pretrain/configs/small.toml", "--json", "--out", &run]);
            let data = |split: &str| format!("{{ path = {:?} }}", self.path(&format!("shards-{split}")));
            let settings = [
                format!("model.tokenizer={}", self.path("words")),
                format!("data.train=[{}]", data("train")),
                format!("data.held_out=[{}, {}]", data("val"), data("test")),
            ];
            let settings = settings
                .iter()
                .map(String::as_str)
                .chain([PROBES])
                .chain(PAPER)
                .chain(without.iter().copied());
            settings.for_each(|set| {
                train.args(["--set", set]);
            });
            if Path::new(&run).exists() {
                train.arg("--resume");
            }
            std::fs::write(&kept, object(&mut train)?.to_string())?;
        }
        let outcome: Value = serde_json::from_str(&std::fs::read_to_string(&kept)?)?;
        Figures::of(&outcome["evaluation"])
    }
}

impl Figures {
    fn of(evaluation: &Value) -> Result<Self> {
        let number = |value: &Value| value.as_f64().context("a figure is missing");
        let probes = ["colours", "sizes", "relations"];
        let (mut shares, mut guessed, mut asked) = ([0.0; 3], 0.0, 0.0);
        for (share, name) in shares.iter_mut().zip(probes) {
            *share = number(&evaluation["probes"][name])?;
            let count = number(&evaluation["probe_counts"][name])?;
            guessed += *share * count;
            asked += count;
        }
        Ok(Self {
            words: number(&evaluation["word_accuracy"])?,
            // a run without tags hides none
            tags: evaluation["tag_accuracy"].as_f64().unwrap_or(f64::NAN),
            contrastive: number(&evaluation["contrastive_accuracy"])?,
            probes: shares,
            seen: guessed / asked,
        })
    }

    fn line(&self, name: &str) -> String {
        let [colours, sizes, relations] = self.probes;
        let Self { words, tags, contrastive, seen, .. } = self;
        format!(
            "{name:<16} {words:>7.3} {tags:>7.3} {contrastive:>12.3} {colours:>8.3} {sizes:>7.3} {relations:>10.3} {seen:>7.3}"
        )
    }
}
