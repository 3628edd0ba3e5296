//! A made-up data set whose captions say the colour of its regions, and settings for it.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use data_specs::{
    Account, FeatureInfo, FeatureType, Manifest, Picture, SCHEMA_VERSION, Sample, ShardWriter, Tag, Text,
    TextKind,
};
use finetune_harness::{Progress, Scores, Train, Watch};

pub(super) const WIDTH: u32 = 8;
const COLOURS: [&str; 3] = ["red", "blue", "green"];

/// Remembers losses; stops after an update if asked to.
#[derive(Default)]
pub(super) struct Quiet {
    pub(super) stop_after: Option<u64>,
    pub(super) step: AtomicU64,
    pub(super) losses: Mutex<Vec<f64>>,
    pub(super) told: Mutex<Vec<String>>,
}

impl Watch for Quiet {
    fn told(&self, line: &str) {
        self.told.lock().unwrap().push(line.to_owned());
    }

    fn step(&self, progress: &Progress) {
        self.step.store(progress.step, Ordering::SeqCst);
        self.losses.lock().unwrap().push(progress.loss);
    }

    fn damaged(&self, _: &pretrain_training::Error) {}

    fn evaluated(&self, _: u64, _: &Scores, _: bool) {}

    fn must_stop(&self) -> bool {
        // asked within an update, so before it is counted
        self.stop_after.is_some_and(|stop| self.step.load(Ordering::SeqCst) + 1 >= stop)
    }
}

pub(super) struct Made {
    folder: tempfile::TempDir,
}

/// The regions of row n are of colour n modulo 3; the first number of a vector says so.
pub(super) fn row(n: u32, texts: Vec<Text>) -> Sample {
    let regions = n % 3 + 1;
    let number = |i: u32| if i % WIDTH == n % 3 { 8.0f32 } else { (i % 5) as f32 / 10.0 };
    let features: Vec<u8> = (0..regions * WIDTH).flat_map(|i| number(i).to_le_bytes()).collect();
    let name = ["box", "ball"][n as usize % 2];
    let tag = Tag { name: name.into(), score: None, region: None, rect: None, origin: "vg".into() };
    Sample {
        key: format!("test/{n}"),
        source: "test".into(),
        split: "train".into(),
        images: vec![Picture {
            image_id: n.to_string(),
            width: Some(64),
            height: Some(48),
            regions,
            boxes: Some((0..regions).map(|i| [1.0 + i as f32, 2.0, 33.0, 40.0]).collect()),
            features: features.into(),
            tags: vec![tag],
            ..Picture::default()
        }],
        texts,
        extra: Some(format!(r#"{{"domain":"{}-domain"}}"#, ["in", "near"][n as usize % 2])),
    }
}

pub(super) fn caption(n: u32, number: u32) -> Text {
    let (colour, thing) = (COLOURS[n as usize % 3], ["box", "ball"][n as usize % 2]);
    let text = if number == 0 {
        format!("A {colour} {thing}.")
    } else {
        format!("there is a {thing}, it is {colour}")
    };
    Text {
        id: (10 * n + number).to_string(),
        kind: TextKind::Caption,
        text,
        answers: Vec::new(),
        label: None,
        extra: None,
    }
}

pub(super) fn rows(n: u32) -> Vec<Sample> {
    (0..n).map(|n| row(n, vec![caption(n, 0), caption(n, 1)])).collect()
}

impl Made {
    pub(super) fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        let words = "[PAD] [UNK] [CLS] [SEP] [MASK] a red blue green box ball there is it . ,";
        std::fs::write(made.path("vocab.txt"), words.replace(' ', "\n")).unwrap();
        made.write("set", &rows(30), 3, WIDTH);
        made
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, rows: &[Sample], n_shards: usize, width: u32) {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut shards = Vec::new();
        for (number, part) in rows.chunks(rows.len().div_ceil(n_shards).max(1)).enumerate() {
            let mut writer =
                ShardWriter::create(&folder, &format!("shard-{number:05}.parquet"), "test").unwrap();
            writer.write(part).unwrap();
            shards.push(writer.commit(&|_| {}).unwrap());
        }
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION,
            version: 0,
            build_id: "0123456789abcdef".into(),
            corpus: "test".into(),
            features: FeatureInfo { dtype: FeatureType::F32, width },
            computed: None,
            shards,
            rejects: vec![],
            rows: Account::default(),
            texts: Account::default(),
            warnings: vec![],
        };
        assert!(manifest.commit(&folder, &|_| {}).unwrap());
    }

    pub(super) fn train(&self, out: &str, set: &[&str]) -> Train {
        let config = self.path("config.toml");
        let text = format!(
            r#"
[model]
tokenizer = {vocabulary:?}
sizes = {{ hidden_size = 24, num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 32, max_position_embeddings = 32, use_img_layernorm = true }}
[data]
layout = {{ max_tokens = 20, max_regions = 2, tags = true }}
held_out = [{{ path = {held_out:?} }}]
[task]
caption_tokens = 14
label_smoothing = 0.1
decoding = {{ kind = "beam", beams = 2, max_length = 12 }}
[batch]
size = 16
micro = 8
[optimiser]
rule = {{ rule = "adamw", epsilon = 1e-4 }}
weight_decay = 0.05
clip = 1.0
[schedule]
epochs = 4
peak = 5e-3
decay = {{ kind = "linear" }}
[run]
log_every = 1
checkpoint_every = 3
keep = 9
"#,
            vocabulary = self.path("vocab.txt"),
            held_out = self.path("set"),
        );
        std::fs::write(&config, text).unwrap();
        Train {
            config,
            set: set.iter().map(|set| (*set).to_owned()).collect(),
            data: Some(self.path("set")),
            model: None,
            out: self.path(out),
            resume: false,
            ranks: 1,
        }
    }

    pub(super) fn ran(&self, out: &str, set: &[&str], ranks: usize) -> Vec<f64> {
        let watch = Quiet::default();
        crate::train(&Train { ranks, ..self.train(out, set) }, &watch).unwrap();
        watch.losses.into_inner().unwrap()
    }
}
