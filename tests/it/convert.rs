//! Published weights through the commands: what users are told, and that tasks know the folders again.

use std::fs;
use std::path::{Path, PathBuf};

use conformance::binaries::{finetune_command, pretrain_command, root, run};
use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    root().join("pretrain/golden/convert").join(name)
}

fn convert(from: &Path, to: &Path, more: &[&str]) -> (i32, String, String) {
    let mut command = pretrain_command(["convert", "--from"]);
    run(command.arg(from).arg("--to").arg(to).args(more))
}

/// A folder of weights with a classifier in the place of the pre-training heads.
fn classified(folder: &Path, tensors: &[(&str, &[usize])], config: Value) {
    let first = folder.join("first");
    let (code, _, errors) = convert(&golden("plus"), &first, &[]);
    assert_eq!(code, 0, "{errors}");
    let bytes = fs::read(first.join("model.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let whole: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let (mut header, mut numbers) = (json!({}), Vec::new());
    for (name, told) in whole.iter().filter(|(name, _)| name.starts_with("bert.")) {
        let [from, to] = [0, 1].map(|end| told["data_offsets"][end].as_u64().unwrap() as usize);
        let start = numbers.len();
        numbers.extend_from_slice(&bytes[8 + length..][from..to]);
        header[name] =
            json!({ "dtype": "F32", "shape": told["shape"], "data_offsets": [start, numbers.len()] });
    }
    for (name, shape) in tensors {
        let (from, n) = (numbers.len(), shape.iter().product::<usize>());
        numbers.extend((0..n).flat_map(|i| (i as f32 * 0.1).sin().to_le_bytes()));
        header[name] = json!({ "dtype": "F32", "shape": shape, "data_offsets": [from, numbers.len()] });
    }
    let header = header.to_string().into_bytes();
    let source = folder.join("source");
    fs::create_dir_all(&source).unwrap();
    let bytes = [(header.len() as u64).to_le_bytes().as_slice(), &header, &numbers].concat();
    fs::write(source.join("model.safetensors"), bytes).unwrap();
    let text = fs::read_to_string(golden("plus").join("config.json")).unwrap();
    let mut merged: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in config.as_object().unwrap() {
        merged[key] = value.clone();
    }
    fs::write(source.join("config.json"), merged.to_string()).unwrap();
    fs::copy(golden("plus").join("vocab.txt"), source.join("vocab.txt")).unwrap();
}

#[test]
fn a_table_of_what_became_what() {
    let folder = tempfile::tempdir().unwrap();
    let (code, table, errors) = convert(&golden("captioner"), &folder.path().join("table"), &[]);
    assert_eq!(code, 0, "{errors}");
    for line in [
        "renamed   module.transform.LayerNorm.gamma -> cls.predictions.transform.LayerNorm.weight",
        "renamed   module.decoder.weight -> cls.predictions.decoder.weight",
        "renamed   module.bert.pooler.dense.bias -> bert.pooler.dense.bias",
        "filled    cls.predictions.bias with zeros, as the original has none",
        "fresh     cls.seq_relationship: not in the file; pre-training needs it",
        "config    tie_weights: false: the decoder differs from the word embeddings",
        "task      captioning",
    ] {
        assert!(table.lines().any(|told| told == line), "`{line}` is not in\n{table}");
    }
    let (code, told, _) = convert(&golden("plus"), &folder.path().join("json"), &["--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(code == 0 && told["container"] == "torch" && told["fresh"] == json!([]), "{told}");
    assert_eq!(told["unused"][0]["name"], "cls.predictions.decoder.weight");
    // a folder like any other
    let (code, found, _) = run(pretrain_command(["inspect", "--json"]).arg(folder.path().join("json")));
    let found: Value = serde_json::from_str(&found).unwrap();
    assert!(code == 0 && found["parameters"] == told["parameters"], "{found}");
    for list in ["missing", "other", "not_finite"] {
        assert_eq!(found[list], json!([]), "{list}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("made");
    let refused = |from: &Path, more: &[&str], wanted: i32, parts: &[&str]| {
        let (code, _, errors) = convert(from, &to, more);
        assert_eq!(code, wanted, "{errors}");
        assert!(parts.iter().all(|part| errors.contains(part)), "{parts:?} are not in {errors}");
        assert!(!to.exists());
    };
    let plus = golden("plus");
    refused(&plus, &["--head", "classifier"], 2, &["NAME=fresh"]);
    refused(&plus, &["--head", "decoder=fresh"], 2, &["`decoder` is no head", "cls.seq_relationship"]);
    refused(&plus, &["--task", "vqa"], 2, &["whose head the file does not have"]);
    refused(&plus.join("pytorch_model.bin"), &[], 2, &["--config is not given"]);
    refused(&plus.join("nothing"), &[], 3, &["nothing: --from is not there", "hint: "]);
    let cut = folder.path().join("cut");
    fs::create_dir(&cut).unwrap();
    for name in ["config.json", "vocab.txt"] {
        fs::copy(plus.join(name), cut.join(name)).unwrap();
    }
    let bytes = fs::read(plus.join("pytorch_model.bin")).unwrap();
    fs::write(cut.join("pytorch_model.bin"), &bytes[..bytes.len() / 2]).unwrap();
    refused(&cut, &[], 3, &["cut/pytorch_model.bin", "hint: "]);
    let config = fs::read_to_string(plus.join("config.json")).unwrap();
    fs::write(cut.join("config.json"), config.replace("\"vocab_size\"", "\"words\"")).unwrap();
    refused(&cut, &[], 3, &["cut/config.json", "vocab_size", "hint: "]);
    let (code, _, errors) = convert(&plus, folder.path(), &[]);
    assert!(code == 2 && errors.contains("name a new folder"), "{errors}");
}

/// With all that belongs to it a folder gets as far as the data, which is not there; else it says what to add.
#[test]
fn tasks_know_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let linear = |labels: usize| [vec![labels, 12], vec![labels]];
    let task = |name: &str| folder.path().join(name);
    let eval = |verb: &str, model: &Path| {
        let mut command = finetune_command([verb, "eval", "--model"]);
        run(command.arg(model).arg("--data").arg(folder.path().join("nowhere")))
    };
    let asks_for_data = |verb: &str, model: &Path| {
        let (code, _, errors) = eval(verb, model);
        assert!(code == 3 && errors.contains("nowhere"), "{verb}: {code} {errors}");
    };

    let source = task("answers");
    fs::create_dir(&source).unwrap();
    let [weight, bias] = linear(3);
    let head = [("classifier.weight", weight.as_slice()), ("classifier.bias", bias.as_slice())];
    let config = json!({ "finetuning_task": "vqa_text", "num_labels": 3, "loss_type": "bce" });
    classified(&source, &head, config);
    let (code, table, errors) = convert(&source.join("source"), &source.join("bare"), &[]);
    assert!(code == 0 && table.contains("lacks     labels.json: the 3 answers"), "{table}{errors}");
    let (code, _, errors) = eval("vqa", &source.join("bare"));
    assert!(code == 3 && errors.contains("labels.json") && errors.contains("--labels FILE"), "{errors}");
    let labels = source.join("label2ans.json");
    fs::write(&labels, r#"["yes", "no", "red"]"#).unwrap();
    for verb in ["vqa", "gqa"] {
        let more = ["--labels", labels.to_str().unwrap(), "--task", verb];
        let (code, _, errors) = convert(&source.join("source"), &source.join(verb), &more);
        assert_eq!(code, 0, "{errors}");
        asks_for_data(verb, &source.join(verb));
    }
    let (code, _, errors) = eval("gqa", &source.join("vqa"));
    assert!(code == 3 && errors.contains("pretrain convert --task gqa"), "{errors}");

    let source = task("retrieval");
    fs::create_dir(&source).unwrap();
    let [weight, bias] = linear(2);
    let head = [("classifier.weight", weight.as_slice()), ("classifier.bias", bias.as_slice())];
    classified(&source, &head, json!({ "finetuning_task": "ir", "num_labels": 2 }));
    assert_eq!(convert(&source.join("source"), &source.join("made"), &[]).0, 0);
    asks_for_data("text-retrieval", &source.join("made"));

    let source = task("pairs");
    fs::create_dir(&source).unwrap();
    let head: [(&str, &[usize]); 4] = [
        ("classifier.0.weight", &[36, 24]),
        ("classifier.0.bias", &[36]),
        ("classifier.2.weight", &[2, 36]),
        ("classifier.2.bias", &[2]),
    ];
    classified(&source, &head, json!({ "classifier": "mlp", "cls_hidden_scale": 3 }));
    assert_eq!(convert(&source.join("source"), &source.join("made"), &[]).0, 0);
    asks_for_data("nlvr2", &source.join("made"));
}
