//! What is refused, and that the message says what to do.

use data_specs::{FeatureType, TextKind};

use super::corpus::*;
use crate::data::{DataSettings, ModelInput, SetSettings, TrainingData};
use crate::objectives::{ObjectiveSettings, WrongTags};

#[test]
fn settings_are_checked_before_anything_is_opened() {
    let set: SetSettings = serde_json::from_str("{\"path\": \"nowhere\"}").unwrap();
    assert_eq!(set.weight, 1.0);
    assert!(serde_json::from_str::<SetSettings>("{\"path\": \"x\", \"speed\": 1}").is_err());
    assert!(serde_json::from_str::<DataSettings>("{\"max_token\": 35}").is_err());
    let ok = DataSettings { train: vec![set.clone()], ..Default::default() };
    let with = |change: &dyn Fn(&mut DataSettings)| {
        let mut settings = ok.clone();
        change(&mut settings);
        settings
    };
    let objectives = ObjectiveSettings::default();
    ok.validate(&objectives).unwrap();
    let settings = [
        (with(&|s| s.max_tokens = 4), "data.max_tokens is 4"),
        (with(&|s| s.max_regions = 0), "data.max_regions is 0"),
        (with(&|s| s.threads = 0), "data.threads is 0"),
        (with(&|s| s.read_ahead = 0), "data.read_ahead is 0"),
        (with(&|s| s.held_out_limit = Some(0)), "data.held_out_limit is 0"),
        (with(&|s| (s.tags, s.regions) = (false, false)), "data.regions is false"),
        (with(&|s| s.train.clear()), "[[data.train]]"),
        (with(&|s| s.train[0].weight = 0.0), "data.train[0].weight is 0"),
        (with(&|s| s.train[0].kinds = Some(vec![])), "data.train[0].kinds is an empty list"),
        (
            with(&|s| s.held_out.push(SetSettings { weight: f64::NAN, ..set.clone() })),
            "data.held_out[0].weight",
        ),
    ];
    for (settings, part) in settings {
        let message = settings.validate(&objectives).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("hint: "), "{message}");
    }
    let answers = ObjectiveSettings { textb_sample_mode: WrongTags::Answers, ..objectives };
    let captions = with(&|s| s.train[0].kinds = Some(vec![TextKind::Caption]));
    let message = captions.validate(&answers).unwrap_err().to_string();
    assert!(message.contains("reads questions"), "{message}");
    let message = with(&|s| s.tags = false).validate(&answers).unwrap_err().to_string();
    assert!(message.contains("data.tags is false"), "{message}");
    let polluted = ObjectiveSettings { wrong_text: 0.7, ..objectives };
    assert!(ok.validate(&polluted).is_err());
}

#[test]
fn settings_are_sections_of_a_file() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Tree {
        data: DataSettings,
        #[serde(default)]
        objectives: ObjectiveSettings,
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    let text = "[data]\nmax_tokens = 40\n[[data.train]]\npath = \"a\"\nweight = 2\nkinds = [\"caption\"]\n\
                [[data.held_out]]\npath = \"b\"\ntags = [\"vg\"]\nsplits = [\"val\"]\n\
                [objectives]\nwrong_text = 0.25\ntextb_sample_mode = \"any_row\"\n";
    std::fs::write(&path, text).unwrap();
    let overrides = ["objectives.same_picture_after_tries=10".to_owned(), "data.verify=never".to_owned()];
    let resolved = pretrain_training::config::load::<Tree>(&path, &overrides).unwrap();
    let Tree { data, objectives } = &resolved.settings;
    data.validate(objectives).unwrap();
    let kinds = Some(vec![TextKind::Caption]);
    let train = SetSettings { path: "a".into(), weight: 2.0, splits: None, kinds, tags: None };
    let words = |word: &str| Some(vec![word.to_owned()]);
    let held_out =
        SetSettings { path: "b".into(), weight: 1.0, splits: words("val"), kinds: None, tags: words("vg") };
    let expected = DataSettings {
        max_tokens: 40,
        verify: crate::data::VerifyShards::Never,
        train: vec![train],
        held_out: vec![held_out],
        ..Default::default()
    };
    assert_eq!(*data, expected);
    assert_eq!(objectives.textb_sample_mode, WrongTags::AnyRow);
    assert_eq!((objectives.wrong_text, objectives.same_picture_after_tries), (0.25, Some(10)));
    std::fs::write(&path, &resolved.text).unwrap();
    assert_eq!(pretrain_training::config::load::<Tree>(&path, &[]).unwrap(), resolved);
}

#[test]
fn data_that_does_not_fit_is_refused() {
    let corpus = Corpus::usual();
    let captions = |n: u32| row(n, vec![caption(n, 0)], FeatureType::F32);
    corpus.write("captions", &(0..9).map(captions).collect::<Vec<_>>(), 2, FeatureType::F32);
    let write = |name: &str, change: &dyn Fn(&mut data_specs::Sample)| {
        let mut rows = rows(0..9);
        rows.iter_mut().for_each(change);
        corpus.write(name, &rows, 2, FeatureType::F32);
    };
    write("untagged", &|row| row.images[0].tags.clear());
    write("sizeless", &|row| row.images[0].width = None);
    write("boxless", &|row| row.images[0].boxes = None);
    write("pairs", &|row| row.images.push(row.images[0].clone()));
    write("blind", &|row| {
        (row.images[0].regions, row.images[0].features) = (0, Default::default());
        row.images[0].boxes = None;
    });
    write("silent", &|row| row.texts.clear());
    corpus.write("empty", &[], 1, FeatureType::F32);

    let usual = ObjectiveSettings::default();
    let answers = ObjectiveSettings { textb_sample_mode: WrongTags::Answers, ..usual };
    let set = |name: &str| corpus.set(name);
    let cases = [
        (set("nowhere"), usual, ["nowhere", ""]),
        (set("untagged"), usual, ["untagged: tags are in no row", "origins are none"]),
        (
            SetSettings { tags: Some(vec!["vq".into()]), ..set("set") },
            usual,
            ["origin `vq`", "oi (120), vg (120)"],
        ),
        (
            SetSettings { splits: Some(vec!["tain".into()]), ..set("set") },
            usual,
            ["`tain`", "train (96), val (24)"],
        ),
        (
            SetSettings { kinds: Some(vec![TextKind::Statement]), ..set("set") },
            usual,
            ["`statement`", "caption (120), question (40)"],
        ),
        (set("sizeless"), usual, ["shard-00000.parquet: row 0 (test/0)", "not the size of the picture"]),
        (set("boxless"), usual, ["row 0 (test/0)", "neither boxes nor geometry"]),
        (set("pairs"), usual, ["row 0 (test/0) has 2 pictures", "`kinds`"]),
        (set("blind"), usual, ["regions are in none of 9 rows", "data.regions = false"]),
        (set("silent"), usual, ["texts has no text to train on", "kinds none"]),
        (set("empty"), usual, ["has no text to train on", "pipeline stats"]),
        (set("captions"), answers, ["has not two answered questions", "textb_sample_mode"]),
    ];
    for (set, objectives, expected) in cases {
        let settings = DataSettings { train: vec![set], ..corpus.settings() };
        let message = corpus.open(&settings, &objectives).unwrap_err().to_string();
        assert!(expected.iter().all(|part| message.contains(part)), "{message}");
    }
    // what was refused for its tags or regions only is good without them
    for (name, tags, regions) in
        [("untagged", false, true), ("sizeless", true, false), ("blind", true, false)]
    {
        let settings = DataSettings { train: vec![set(name)], tags, regions, ..corpus.settings() };
        corpus.open(&settings, &usual).unwrap();
    }

    let models = [
        (ModelInput { region_numbers: 2054, ..MODEL }, ["features.width is 8, 14", "2054 numbers"]),
        (ModelInput { vocab_size: 3000, ..MODEL }, ["model.vocab_size is 3000", "3005 tokens"]),
        (ModelInput { max_positions: 8, ..MODEL }, ["data.max_tokens is 9", "8 positions"]),
    ];
    for (model, expected) in models {
        let folder = corpus.path("run");
        let opened = TrainingData::open(&corpus.settings(), &usual, &model, &corpus.tokenizer, 1, &folder);
        let message = opened.unwrap_err().to_string();
        assert!(expected.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn a_data_set_of_another_version_is_refused() {
    let corpus = Corpus::usual();
    let folder = corpus.path("set");
    for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&entry).unwrap();
            std::fs::write(&entry, text.replace("\"schema_version\": 1", "\"schema_version\": 2")).unwrap();
        }
    }
    let message = corpus.open(&corpus.settings(), &plain()).unwrap_err().to_string();
    assert!(message.contains("schema version 2 where this program reads 1"), "{message}");
}
