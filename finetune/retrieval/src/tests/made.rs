//! A data set of made-up pictures and a network with drawn weights.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use data_specs::{
    Account, FeatureInfo, FeatureType, Manifest, Picture, SCHEMA_VERSION, Sample, ShardWriter, Tag, Text,
    TextKind, Tokenizer,
};
use finetune_harness::{Layout, Opening, Pictures, Result, SetSettings};
use pretrain::data::VerifyShards;
use pretrain::model::{ModelConfig, Tensors, initialise};

use crate::gallery::{Captions, Gallery};
use crate::matcher::Matcher;
use crate::settings::Sight;

pub(super) const WIDTH: u32 = 4;
const WORDS: usize = 24;

pub(super) struct Made {
    pub(super) folder: tempfile::TempDir,
    pub(super) config: ModelConfig,
    pub(super) layout: Layout,
}

/// Picture `number` with so many captions: 0 to 4 regions, 0 to 6 tags, captions of 1 to 9 words.
pub(super) fn sample(number: u32, n_captions: u32) -> Sample {
    let word = |i: u32| format!("w{}", (i * i * 7 + number * 5 + i) as usize % WORDS);
    let regions = number % 5;
    let text = |caption: u32| Text {
        id: format!("{number}#{caption}"),
        kind: TextKind::Caption,
        text: (0..1 + (number + 3 * caption) % 9).map(|i| word(i + caption)).collect::<Vec<_>>().join(" "),
        answers: Vec::new(),
        label: None,
        extra: None,
    };
    let tag = |i: u32| Tag { name: word(2 * i), score: None, region: None, rect: None, origin: "vg".into() };
    Sample {
        key: format!("test/{number}"),
        source: "test".into(),
        split: "train".into(),
        images: vec![Picture {
            image_id: format!("img_{number:06}"),
            width: Some(10),
            height: Some(20),
            regions,
            boxes: Some(vec![[1.0, 2.0, 6.0, 12.0]; regions as usize]),
            features: (0..regions * WIDTH)
                .flat_map(|i| ((i as f32 + number as f32) * 0.7).sin().to_le_bytes())
                .collect::<Vec<u8>>()
                .into(),
            tags: (0..number % 7).map(tag).collect(),
            ..Picture::default()
        }],
        texts: (0..n_captions).map(text).collect(),
        extra: None,
    }
}

impl Made {
    pub(super) fn new(samples: &[Sample]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), samples);
        let words: Vec<String> = (0..WORDS).map(|number| format!("w{number}")).collect();
        let words = format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n{}", words.join("\n"));
        std::fs::write(folder.path().join("vocab.txt"), words).unwrap();
        let config = serde_json::json!({
            "vocab_size": 5 + WORDS, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 16, "img_feature_dim": WIDTH + 6, "initializer_range": 0.3,
            "use_img_layernorm": 1,
        });
        Self {
            folder,
            config: serde_json::from_value(config).unwrap(),
            layout: Layout { max_tokens: 10, max_regions: 3, tags: true, tag_origins: None },
        }
    }

    pub(super) fn gallery(&self, wanted: Captions<'_>) -> Result<Gallery> {
        let path = self.folder.path().to_owned();
        Gallery::open(
            &Opening {
                role: "train",
                sets: &[SetSettings { path, splits: None }],
                verify: VerifyShards::First,
                layout: &self.layout,
                pictures: Pictures::One,
                config: &self.config,
                tokenizer: &Tokenizer::open(&self.folder.path().join("vocab.txt")).unwrap(),
                with_unknown: false,
                spec: "captions.toml",
                open_shards: 2,
            },
            wanted,
        )
    }

    pub(super) fn weights(&self) -> BTreeMap<String, Tensor> {
        initialise(&Matcher::shapes(&self.config), &self.config, 5).unwrap()
    }

    pub(super) fn matcher(&self, sight: Sight) -> Matcher {
        Matcher::new(&self.config, sight, Tensors::new(&self.weights())).unwrap()
    }
}

/// Two shards.
fn write(folder: &Path, samples: &[Sample]) {
    let shards = samples.chunks(samples.len().div_ceil(2)).enumerate().map(|(number, samples)| {
        let name = format!("shard-{number:05}.parquet");
        let mut writer = ShardWriter::create(folder, &name, "test").unwrap();
        writer.write(samples).unwrap();
        writer.commit(&|_| {}).unwrap()
    });
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version: 0,
        build_id: "0123456789abcdef".into(),
        corpus: "test".into(),
        features: FeatureInfo { dtype: FeatureType::F32, width: WIDTH },
        computed: None,
        shards: shards.collect(),
        rejects: vec![],
        rows: Account::default(),
        texts: Account::default(),
        warnings: vec![],
    };
    assert!(manifest.commit(folder, &|_| {}).unwrap());
}
