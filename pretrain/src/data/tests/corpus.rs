//! A made-up corpus whose tokens say where they come from: words `w<row>`, tags `t<row>`, answers `a<row>`.

use std::path::{Path, PathBuf};

use data_specs::{
    Account, Answer, FeatureInfo, FeatureType, Manifest, Picture, SCHEMA_VERSION, Sample, ShardWriter, Tag,
    Text, TextKind, Tokenizer,
};
use half::f16;
use tempfile::TempDir;

use crate::data::{DataSettings, HeldOut, ModelInput, SetSettings, TrainingData};
use crate::model::RegionGeometry;
use crate::objectives::ObjectiveSettings;
use crate::{Example, Result};

/// D of the corpus.
pub(crate) const WIDTH: u32 = 8;
/// Names of each kind in the vocabulary.
const NAMES: u32 = 1000;
const SPECIALS: u32 = 5;

pub(crate) const MODEL: ModelInput = ModelInput {
    region_numbers: WIDTH as usize + 6,
    vocab_size: (SPECIALS + 3 * NAMES) as usize,
    max_positions: 512,
    region_geometry: RegionGeometry::Wh,
};

/// A folder with data sets and the tables of their texts.
pub(crate) struct Corpus {
    pub(crate) folder: TempDir,
    pub(crate) tokenizer: Tokenizer,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Special(u32),
    Word(u32),
    Tag(u32),
    Answer(u32),
}

impl Token {
    pub(crate) fn of(id: u32) -> Token {
        match id.checked_sub(SPECIALS) {
            None => Token::Special(id),
            Some(id) => match id / NAMES {
                0 => Token::Word(id),
                1 => Token::Tag(id - NAMES),
                _ => Token::Answer(id - 2 * NAMES),
            },
        }
    }

    pub(crate) fn name(self) -> u32 {
        match self {
            Token::Special(name) | Token::Word(name) | Token::Tag(name) | Token::Answer(name) => name,
        }
    }
}

/// Words and b of an example, which are not hidden.
pub(crate) fn parts(example: &Example) -> (Vec<Token>, Vec<Token>) {
    let of = |segment: u32| {
        let tokens = example.token_ids.iter().zip(&example.segment_ids);
        let tokens = tokens.filter(|(_, of)| **of == segment).map(|(id, _)| Token::of(*id));
        tokens.filter(|token| !matches!(token, Token::Special(_))).collect()
    };
    (of(0), of(1))
}

pub(crate) fn caption(row: u32, number: u32) -> Text {
    Text {
        id: format!("{row}/{number}"),
        kind: TextKind::Caption,
        text: format!("w{row} w{number}"),
        answers: Vec::new(),
        label: None,
        extra: None,
    }
}

pub(crate) fn question(row: u32, number: u32) -> Text {
    let answers = vec![Answer { text: format!("a{row}"), score: None }];
    Text { kind: TextKind::Question, answers, ..caption(row, number) }
}

pub(crate) fn tag(name: &str, origin: &str) -> Tag {
    Tag { name: name.into(), score: None, region: None, rect: None, origin: origin.into() }
}

/// Number `i` of all numbers of a row's features: exact in half precision.
pub(crate) fn number(row: u32, i: u32) -> f32 {
    (row % 64) as f32 + (i % 32) as f32 / 32.0
}

/// A row with `row % 4 + 1` regions, two tags, and `texts`.
pub(crate) fn row(row: u32, texts: Vec<Text>, dtype: FeatureType) -> Sample {
    let regions = row % 4 + 1;
    let numbers = (0..regions * WIDTH).map(|i| number(row, i));
    let features: Vec<u8> = match dtype {
        FeatureType::F32 => numbers.flat_map(f32::to_le_bytes).collect(),
        FeatureType::F16 => numbers.flat_map(|number| f16::from_f32(number).to_le_bytes()).collect(),
    };
    Sample {
        key: format!("test/{row}"),
        source: "test".into(),
        split: if row.is_multiple_of(5) { "val" } else { "train" }.into(),
        images: vec![Picture {
            image_id: row.to_string(),
            width: Some(640),
            height: Some(427),
            regions,
            boxes: Some((0..regions).map(|i| [1.5 + i as f32, 2.25, 333.3, 400.7]).collect()),
            features: features.into(),
            tags: vec![tag(&format!("t{row}"), "vg"), tag(&format!("t{row} t{row}"), "oi")],
            ..Picture::default()
        }],
        texts,
        extra: None,
    }
}

/// Rows of one caption and, for every third row, of a question.
pub(crate) fn rows(which: std::ops::Range<u32>) -> Vec<Sample> {
    let texts = |n: u32| {
        let mut texts = vec![caption(n, n % 3)];
        texts.extend(n.is_multiple_of(3).then(|| question(n, 7)));
        texts
    };
    which.map(|n| row(n, texts(n), FeatureType::F32)).collect()
}

impl Corpus {
    pub(crate) fn new() -> Corpus {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("vocab.txt");
        let names =
            ["w", "t", "a"].into_iter().flat_map(|kind| (0..NAMES).map(move |name| format!("{kind}{name}")));
        let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
        let tokens: Vec<String> = specials.into_iter().chain(names).collect();
        std::fs::write(&list, tokens.join("\n")).unwrap();
        let tokenizer = Tokenizer::open(&list).unwrap();
        Corpus { folder, tokenizer }
    }

    /// With a data set `set` of 120 rows in five shards: 120 captions and 40 questions.
    pub(crate) fn usual() -> Corpus {
        let corpus = Corpus::new();
        corpus.write("set", &rows(0..120), 5, FeatureType::F32);
        corpus
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a data set of `n_shards` equal shards.
    pub(crate) fn write(&self, name: &str, rows: &[Sample], n_shards: usize, dtype: FeatureType) {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        let features = FeatureInfo { dtype, width: WIDTH };
        write_set(&folder, rows, n_shards, features);
    }

    pub(crate) fn set(&self, name: &str) -> SetSettings {
        SetSettings { path: self.path(name), weight: 1.0, splits: None, kinds: None, tags: None }
    }

    /// Settings for `set`, with few tokens and regions.
    pub(crate) fn settings(&self) -> DataSettings {
        let set = self.set("set");
        DataSettings {
            max_tokens: 9,
            max_regions: 3,
            train: vec![set.clone()],
            held_out: vec![set],
            ..Default::default()
        }
    }

    pub(crate) fn open(
        &self,
        settings: &DataSettings,
        objectives: &ObjectiveSettings,
    ) -> Result<TrainingData> {
        TrainingData::open(settings, objectives, &MODEL, &self.tokenizer, 11, &self.path("run"))
    }

    pub(crate) fn held_out(&self, settings: &DataSettings, objectives: &ObjectiveSettings) -> HeldOut {
        let folder = self.path("run");
        HeldOut::open(settings, objectives, &MODEL, &self.tokenizer, 11, &folder).unwrap().unwrap()
    }

    /// One pass over the held-out sets.
    pub(crate) fn pass(&self, settings: &DataSettings, objectives: &ObjectiveSettings) -> Vec<Example> {
        self.held_out(settings, objectives).batches(16, 0, 1).unwrap().flat_map(Result::unwrap).collect()
    }
}

/// Nothing hidden, nothing exchanged.
pub(crate) fn plain() -> ObjectiveSettings {
    ObjectiveSettings { mask_probability: 0.0, pollution: 0.0, ..Default::default() }
}

/// Nothing hidden.
pub(crate) fn exchanging() -> ObjectiveSettings {
    ObjectiveSettings { pollution: 0.5, ..plain() }
}

pub(crate) fn write_set(folder: &Path, rows: &[Sample], n_shards: usize, features: FeatureInfo) {
    let mut shards = Vec::new();
    for (number, part) in rows.chunks(rows.len().div_ceil(n_shards).max(1)).enumerate() {
        let mut writer = ShardWriter::create(folder, &format!("shard-{number:05}.parquet"), "test").unwrap();
        writer.write(part).unwrap();
        shards.push(writer.commit(&|_| {}).unwrap());
    }
    let version = u32::try_from(std::fs::read_dir(folder).unwrap().count()).unwrap();
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version,
        build_id: "0123456789abcdef".into(),
        corpus: "test".into(),
        features,
        computed: None,
        shards,
        rejects: vec![],
        rows: Account::default(),
        texts: Account::default(),
        warnings: vec![],
    };
    assert!(manifest.commit(folder, &|_| {}).unwrap());
}
