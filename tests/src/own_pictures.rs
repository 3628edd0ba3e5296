//! From pictures and captions, without any annotation of them, to a caption of a picture that nothing was learnt from: a detector,
//! shards that it looked for, pre-training, fine-tuning, one question.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::binaries::{finetune_command, pipeline_command, pretrain_command, root, run};

/// A drawn corpus, and where what is made of it goes.
pub struct Way<'a> {
    /// For all that is made.
    pub folder: &'a Path,
    /// What `pipeline synth` drew.
    pub corpus: &'a str,
    /// What `finetune backbone export` wrote of `efficientnet_half`.
    pub weights: &'a str,
    /// What is done with a command before it is run.
    pub tell: fn(&str),
}

/// What looks at the pictures.
#[derive(Debug, Clone, Copy)]
pub enum Eyes<'a> {
    /// The detector of this folder: nobody has marked anything in the pictures.
    Detector(&'a Path),
    /// The backbone, at boxes that people drew and named.
    Annotated,
}

/// How much is learnt.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Updates of pre-training.
    pub pretraining: u64,
    /// Epochs of fine-tuning.
    pub epochs: u64,
}

impl Way<'_> {
    /// Trains a small detector on boxes of the training pictures; its folder, and its mAP@0.5 on the held-out ones.
    ///
    /// # Errors
    /// A command that fails, with what it printed.
    pub fn train_detector(&self, updates: u64) -> Result<(PathBuf, f64)> {
        for split in ["train", "val"] {
            let spec = format!("{}/specs/detection-coco-{split}.toml", self.corpus);
            self.pipeline(&["build", &spec, "--out", &self.path(&format!("boxes-{split}"))])?;
        }
        let (data, run) = (self.path("boxes-train"), self.path("detector-run"));
        let updates = format!("training.schedule.updates={updates}");
        let config = "finetune/configs/detector-small.toml";
        let train = ["detector", "train", "--config", config, "--data", &data, "--backbone", self.weights];
        self.finetune(&[&train[..], &["--set", &updates, "--ranks", "2", "--out", &run]].concat())?;
        let detector = format!("{run}/detector");
        let held_out = self.path("boxes-val");
        let found = self.finetune(&["detector", "eval", "--model", &detector, "--data", &held_out])?;
        Ok((detector.into(), found["AP50"].as_f64().context("no AP50")?))
    }

    /// Builds shards of pictures and captions, pre-trains on those to learn from, fine-tunes a captioner, and asks it about the
    /// test pictures; its folder, and its CIDEr. `name` begins the names of all folders.
    ///
    /// # Errors
    /// A command that fails, with what it printed.
    pub fn learn_captions(&self, name: &str, eyes: Eyes<'_>, effort: Effort) -> Result<(PathBuf, f64)> {
        let named = |part: &str| self.path(&format!("{name}-{part}"));
        for split in ["train", "val", "test"] {
            self.build_captions(split, eyes, &named(split))?;
        }
        let (train, held_out, test) = (named("train"), named("val"), named("test"));
        let (words, pretrained, run) = (named("words"), named("pretrained"), named("captioner"));
        self.pipeline(&["vocabulary", &train, "--out", &words])?;
        let tokenizer = format!("model.tokenizer={words}");
        let data = format!("data.train=[{{ path = {train:?} }}]");
        let steps = format!("schedule.steps={}", effort.pretraining);
        let ranks = ["--set", "batch.micro=32", "--ranks", "2"];
        let settings = ["--set", &tokenizer, "--set", &data, "--set", &steps];
        let pretrain = ["run", "pretrain/configs/small.toml"];
        self.pretrain(&[&pretrain[..], &settings, &ranks, &["--out", &pretrained]].concat())?;
        let model = format!("{pretrained}/model");
        let held_out = format!("data.held_out=[{{ path = {held_out:?} }}]");
        let epochs = format!("schedule.epochs={}", effort.epochs);
        let config = "finetune/configs/captioning-small.toml";
        let command = ["captioning", "train", "--config", config, "--data", &train, "--model", &model];
        let settings = ["--set", &held_out, "--set", &epochs, "--set", "batch.micro=16", "--ranks", "2"];
        self.finetune(&[&command[..], &settings, &["--out", &run]].concat())?;
        let captioner = format!("{run}/model");
        let found = self.finetune(&["captioning", "eval", "--model", &captioner, "--data", &test])?;
        let cider = found["corpus"]["CIDEr"].as_f64().context("no CIDEr")?;
        Ok((captioner.into(), cider))
    }

    /// The first of the test pictures, from which nothing is learnt.
    ///
    /// # Errors
    /// A folder that cannot be read, or is empty.
    pub fn test_picture(&self) -> Result<PathBuf> {
        let entries = std::fs::read_dir(Path::new(self.corpus).join("coco/test2014"))?;
        let pictures = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        pictures.into_iter().min().context("no test pictures")
    }

    /// A caption of a picture's file, and the names of what the detector saw.
    ///
    /// # Errors
    /// A command that fails, with what it printed.
    pub fn ask(&self, captioner: &Path, detector: &Path, picture: &Path) -> Result<(String, Vec<String>)> {
        let [captioner, detector, picture] =
            [captioner, detector, picture].map(|path| path.display().to_string());
        let ask =
            ["captioning", "predict", "--model", &captioner, "--detector", &detector, "--image", &picture];
        let found = self.finetune(&ask)?;
        let caption = found["caption"].as_str().context("no caption")?.to_owned();
        let tags = found["tags"].as_array().context("no tags")?;
        let names = tags.iter().filter_map(|tag| tag[0].as_str()).map(str::to_owned);
        Ok((caption, names.collect()))
    }

    fn build_captions(&self, split: &str, eyes: Eyes<'_>, out: &str) -> Result<()> {
        let Self { corpus, weights, .. } = self;
        match eyes {
            Eyes::Detector(folder) => {
                let images = format!("images={corpus}/coco/{split}2014");
                let captions = format!("captions={corpus}/coco/annotations/captions_{split}2014.json");
                let detector = format!("regions.detector={}", folder.display());
                let set = ["--set", &images, "--set", &captions, "--set", &detector];
                let spec = ["build", "data-specs/corpora/coco-captions.toml"];
                self.pipeline(&[&spec[..], &set, &["--out", out]].concat())?;
            }
            Eyes::Annotated => {
                let spec = format!("{corpus}/specs/captions-{split}.toml");
                let weights = format!("weights={weights}");
                let set = ["--set", "backbone=efficientnet_half", "--set", &weights];
                self.pipeline(&[&["build", &spec][..], &set, &["--out", out]].concat())?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn pipeline(&self, arguments: &[&str]) -> Result<Value> {
        self.json("pipeline", arguments, pipeline_command(arguments))
    }

    fn pretrain(&self, arguments: &[&str]) -> Result<Value> {
        self.json("pretrain", arguments, pretrain_command(arguments))
    }

    fn finetune(&self, arguments: &[&str]) -> Result<Value> {
        self.json("finetune", arguments, finetune_command(arguments))
    }

    /// Tells and runs a command; the JSON that it prints last.
    fn json(&self, binary: &str, arguments: &[&str], mut command: Command) -> Result<Value> {
        (self.tell)(&format!("{binary} {}", typed(arguments)));
        let (code, out, errors) = run(command.arg("--json").current_dir(root()));
        ensure!(code == 0, "it ended with {code}: {errors}");
        Ok(serde_json::from_str(out.lines().last().unwrap_or("null"))?)
    }
}

/// A command as one types it: what a shell would take apart is quoted.
pub fn typed(arguments: &[&str]) -> String {
    let is_plain = |word: &str| !word.contains([' ', '"', '[', '{']);
    let words =
        arguments.iter().map(|word| if is_plain(word) { (*word).to_owned() } else { format!("'{word}'") });
    words.collect::<Vec<_>>().join(" ")
}
