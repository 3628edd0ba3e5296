//! Every kind of text through the whole engine, over features written here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64_simd::STANDARD;
use conformance::binaries::{pipeline_command, root, run};
use data_specs::{Dataset, Sample, TextKind};
use serde_json::{Value, json};

/// A feature TSV of six columns with one region of four numbers for each picture.
fn features(folder: &Path, ids: &[&str]) -> PathBuf {
    let floats = |numbers: [f32; 4]| STANDARD.encode_to_string(numbers.map(f32::to_le_bytes).concat());
    let lines = ids.iter().zip(1u8..).map(|(id, at)| {
        let numbers = floats([f32::from(at), 0.5, 0.0, 2.0]);
        format!("{id}\t640\t480\t1\t{}\t{numbers}\n", floats([1.0, 2.0, 30.0, 40.0]))
    });
    let path = folder.join("features.tsv");
    fs::write(&path, lines.collect::<String>()).unwrap();
    path
}

struct Built {
    rows: BTreeMap<String, Sample>,
    verification: Value,
    _folder: tempfile::TempDir,
}

/// Builds `spec` over bottom-up features of `ids`, with the files of `texts` set by their names.
fn build(spec: &str, ids: &[&str], texts: &[(&str, &str, String)], more: &[&str]) -> Built {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let spec = root().join("data-specs/corpora").join(spec);
    let set = format!("features={}", features(folder.path(), ids).display());
    let mut command = pipeline_command(["build"]);
    command.arg(spec).args(["--set", &set, "--set", "features.format=bottomup-tsv", "--out"]).arg(&out);
    for (key, name, content) in texts {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        command.args(["--set", &format!("{key}={}", path.display())]);
    }
    for set in more {
        command.args(["--set", set]);
    }
    let (code, _, errors) = run(&mut command);
    assert_eq!(code, 0, "{errors}");
    let (_, json, _) = run(pipeline_command(["verify", "--json"]).arg(&out));
    let dataset = Dataset::open(&out).unwrap();
    let mut rows = BTreeMap::new();
    for index in 0..dataset.manifest().shards.len() {
        let shard = dataset.shard(index).unwrap();
        for row in 0..shard.len() {
            let sample = shard.row(row).unwrap();
            assert!(sample.images.iter().all(|image| image.features.len() == 16));
            assert!(rows.insert(sample.key.clone(), sample).is_none());
        }
    }
    Built { rows, verification: serde_json::from_str(&json).unwrap(), _folder: folder }
}

fn texts(sample: &Sample) -> Vec<(&str, &str)> {
    sample.texts.iter().map(|text| (text.id.as_str(), text.text.as_str())).collect()
}

#[test]
fn nlvr2_rows_are_pairs_with_every_statement() {
    let line = |identifier: &str, sentence: &str, label: &str| {
        json!({ "identifier": identifier, "sentence": sentence, "label": label, "synset": "dog" }).to_string()
            + "\n"
    };
    let statements = [
        line("dev-1-0-0", "Two dogs.", "True"),
        line("dev-2-0-0", "No cats.", "False"),
        line("dev-1-0-1", "One dog is left.", "False"),
        line("dev-3-0-0", "Its pictures are missing.", "True"),
    ]
    .concat();
    let ids = ["dev-1-0-img0", "dev-1-0-img1", "dev-2-0-img0", "dev-2-0-img1.png", "dev-9-0-img0"];
    let built = build("nlvr2.toml", &ids, &[("statements", "dev.json", statements)], &["source=nlvr2"]);
    assert_eq!(built.rows.len(), 2);
    let pair = &built.rows["nlvr2/dev-1-0-img0|dev-1-0-img1"];
    assert_eq!(pair.images.len(), 2);
    assert_ne!(pair.images[0].features, pair.images[1].features, "left and right");
    assert_eq!(texts(pair), [("dev-1-0-0", "Two dogs."), ("dev-1-0-1", "One dog is left.")]);
    let labels: Vec<_> = pair.texts.iter().map(|text| (text.kind, text.label)).collect();
    assert_eq!(labels, [(TextKind::Statement, Some(1)), (TextKind::Statement, Some(0))]);
    assert!(built.rows.contains_key("nlvr2/dev-2-0-img0|dev-2-0-img1.png"));
    // The picture that no pair names is a row without text; the pair without features a text without one.
    let found = &built.verification;
    assert_eq!((&found["rejected_rows"], &found["rejected_texts"]), (&json!(1), &json!(1)), "{found}");
}

#[test]
fn vqa_joins_questions_with_their_ten_answers() {
    let questions = json!({ "questions": [
        { "image_id": 9, "question_id": 9001, "question": "What is it?" },
        { "image_id": 9, "question_id": 9002, "question": "Nobody answered?" },
        { "image_id": 16, "question_id": 16001, "question": "How many?" },
    ]});
    let answers = |word: &str| -> Vec<Value> {
        (1..=10).map(|at| json!({ "answer": word, "answer_confidence": "yes", "answer_id": at })).collect()
    };
    let annotations = json!({ "annotations": [
        { "image_id": 9, "question_id": 9001, "question_type": "what is", "answer_type": "other",
          "multiple_choice_answer": "dog", "answers": answers("dog") },
        { "image_id": 16, "question_id": 16001, "question_type": "how many", "answer_type": "number",
          "multiple_choice_answer": "2", "answers": answers("2") },
    ]});
    let files =
        [("questions", "q.json", questions.to_string()), ("annotations", "a.json", annotations.to_string())];
    let built = build("vqa-v2.toml", &["COCO_train2014_000000000009", "16"], &files, &[]);
    assert_eq!(built.rows.len(), 2);
    let row = &built.rows["vqa/COCO_train2014_000000000009"];
    assert_eq!(texts(row), [("9001", "What is it?")]);
    assert_eq!(row.texts[0].answers.len(), 10);
    assert!(row.texts[0].extra.as_ref().unwrap().contains("\"answer_type\":\"other\""));
    assert_eq!(built.verification["rejected_texts"], json!(1), "a question without its annotation");
}

#[test]
fn gqa_keeps_every_official_field() {
    let questions = json!({
        "001": { "imageId": "77", "question": "Is it red?", "answer": "yes", "isBalanced": true,
                 "groups": { "global": null, "local": "x" }, "entailed": ["002"], "equivalent": [],
                 "semantic": [{ "operation": "select" }], "types": { "structural": "verify" } },
        "002": { "imageId": "77", "question": "What colour?", "answer": "red", "isBalanced": false },
    });
    let built = build("gqa.toml", &["77"], &[("questions", "gqa.json", questions.to_string())], &[]);
    let row = &built.rows["gqa/77"];
    assert_eq!(texts(row), [("001", "Is it red?"), ("002", "What colour?")]);
    let extra: Value = serde_json::from_str(row.texts[0].extra.as_ref().unwrap()).unwrap();
    assert_eq!((&extra["isBalanced"], &extra["entailed"]), (&json!(true), &json!(["002"])));
    assert_eq!(row.texts[1].answers[0].text, "red");
}

#[test]
fn nocaps_rows_know_their_domain_and_may_have_no_captions() {
    let captions = json!({
        "images": [{ "id": 1, "open_images_id": "aa", "domain": "out-domain" }, { "id": 2, "domain": "in-domain" }],
        "annotations": [{ "image_id": 1, "id": 10, "caption": "A salmon." }],
    });
    let built =
        build("nocaps.toml", &["1", "2", "3"], &[("captions", "val.json", captions.to_string())], &[]);
    assert_eq!(built.rows.len(), 3);
    assert!(built.rows["nocaps/1"].extra.as_ref().unwrap().contains("out-domain"));
    assert!(built.rows["nocaps/2"].texts.is_empty() && built.rows["nocaps/2"].extra.is_some());
    assert!(built.rows["nocaps/3"].extra.is_none());
}

#[test]
fn karpathy_gives_splits_and_a_spec_may_take_some() {
    let picture = |id: u32, split: &str| {
        let sentence =
            |at: u32| json!({ "sentid": id * 10 + at, "raw": format!("Sentence {at}."), "tokens": [] });
        json!({ "cocoid": id, "imgid": id, "filename": format!("COCO_val2014_{id:012}.jpg"), "split": split,
                "sentids": [], "sentences": [sentence(0), sentence(1)] })
    };
    let file =
        json!({ "images": [picture(1, "train"), picture(2, "restval"), picture(3, "test")] }).to_string();
    let captions = [("captions", "dataset_coco.json", file)];
    let built = build("karpathy.toml", &["1", "2", "3"], &captions, &[]);
    let splits: Vec<_> = built.rows.values().map(|row| row.split.as_str()).collect();
    assert_eq!(splits, ["train", "restval", "test"]);
    assert_eq!(texts(&built.rows["coco/2"]), [("20", "Sentence 0."), ("21", "Sentence 1.")]);

    let taken = build("karpathy.toml", &["1", "2", "3"], &captions, &["splits=[\"train\", \"restval\"]"]);
    assert_eq!(taken.rows.len(), 2);
    assert_eq!(taken.verification["text_account"]["filtered"], json!(2));
}

#[test]
fn oscars_own_lists_build_and_doubled_ids_are_told_apart() {
    let captions = json!([
        { "image_id": "9", "id": 0, "caption": "A dog." },
        { "image_id": "9", "id": 1, "caption": "Another." },
        { "image_id": "9", "id": 0, "caption": "A dog." },
        { "image_id": "9", "id": 1, "caption": "Other words." },
        { "image_id": "9", "id": 2, "caption": "  " },
    ]);
    let set = ["texts.captions.format=oscar-captions"];
    let built = build("bottomup-tsv.toml", &["9"], &[("captions", "c.json", captions.to_string())], &set);
    assert_eq!(texts(&built.rows["coco/9"]), [("0", "A dog."), ("1", "Another.")]);
    let account = &built.verification["text_account"];
    assert_eq!(
        (&account["read"], &account["deduplicated"], &account["rejected"]),
        (&json!(5), &json!(1), &json!(2))
    );
}

#[test]
fn half_precision_is_the_nearest_half() {
    let built = {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let set = format!("features={}", features(folder.path(), &["9"]).display());
        let spec = "data-specs/corpora/bottomup-tsv.toml";
        let mut command =
            pipeline_command(["build", spec, "--set", &set, "--set", "features.dtype=f16", "--out"]);
        let (code, _, errors) = run(command.arg(&out));
        assert_eq!(code, 0, "{errors}");
        Dataset::open(&out).unwrap().shard(0).unwrap().row(0).unwrap()
    };
    // 1.0, 0.5, 0.0 and 2.0 as IEEE halves.
    assert_eq!(built.images[0].features[..], [0x00, 0x3c, 0x00, 0x38, 0x00, 0x00, 0x00, 0x40]);
}
