//! The `finetune detector` doors, driven on a detector of a few thousand weights.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::{Device, Tensor};
use finetune_regions::decoding::{Limits, Picture, decode};
use finetune_regions::detector::{Detector, DetectorSettings};
use finetune_regions::encode_png;
use serde_json::{Value, json};

const SETTINGS: &str = r#"
architecture = "resnext26_16x4d+w0.25+d0.5"

[input]
short = 64
long_at_most = 96
mean = [0.5, 0.5, 0.5]
deviation = [0.25, 0.25, 0.25]

[anchors]
sizes = [16.0, 32.0]
ratios = [1.0]

[proposals]
hidden = 16
before = 50
after = 20
overlap = 0.7

[regions]
bins = 4

[boxes]
weights = [10.0, 10.0, 5.0, 5.0]

[report]
filter = "per_class"
overlap = 0.5
score = 0.2
at_least = 3
at_most = 7

[attributes]
embedding = 4
hidden = 8
score = 0.05
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.at(name), bytes).expect("writing");
        self.at(name)
    }

    /// A detector of three classes and two attributes that has learned nothing.
    fn detector(&self) -> PathBuf {
        let settings: DetectorSettings = toml::from_str(SETTINGS).expect("settings");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (classes, attributes) = (names(&["cat", "dog", "hat"]), names(&["red", "old"]));
        let detector = Detector::untrained(settings, classes, attributes, 7).expect("a detector");
        detector.save(&self.at("model")).expect("saving");
        self.at("model")
    }

    fn picture(&self, name: &str) -> (PathBuf, Picture) {
        let rgb = (0..90u32 * 60 * 3).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let picture = Picture { width: 90, height: 60, rgb };
        (self.write(name, encode_png(&picture).expect("a picture")), picture)
    }
}

fn finetune(arguments: &[&dyn AsRef<Path>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finetune"));
    command.arg("detector").args(arguments.iter().map(|argument| argument.as_ref()));
    command.output().expect("the command runs")
}

fn object(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn fails(output: &Output, code: i32, part: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(message.contains(part), "{message}");
    assert!(output.stdout.is_empty());
}

#[test]
fn predict_says_what_detect_finds_and_draws_it() {
    let folder = Folder::new();
    let model = folder.detector();
    let (image, picture) = folder.picture("one.png");
    let out = folder.at("seen");
    let said =
        object(&finetune(&[&"predict", &"--model", &model, &"--image", &image, &"--out", &out, &"--json"]));
    let found = Detector::open(&model).expect("it is there").detect(&picture).expect("a picture");
    assert!(found.boxes.len() >= 3);
    let one = &said["images"][0];
    assert_eq!((&one["width"], &one["height"]), (&json!(90), &json!(60)));
    let regions = one["regions"].as_array().expect("regions");
    assert_eq!(regions.len(), found.boxes.len());
    for (i, region) in regions.iter().enumerate() {
        assert_eq!(region["name"], ["cat", "dog", "hat"][found.classes[i]]);
        let numbers = |value: &Value| -> Vec<f32> {
            let numbers = value.as_array().expect("a list").iter();
            numbers.map(|number| number.as_f64().expect("a number") as f32).collect()
        };
        assert_eq!(region["score"].as_f64().expect("a number") as f32, found.scores[i]);
        assert_eq!(numbers(&region["rect"]), found.boxes[i]);
        assert_eq!(region["attributes"].as_array().expect("a list").len(), found.attributes[i].len());
    }
    let written: Value =
        serde_json::from_slice(&std::fs::read(out.join("one.json")).expect("JSON")).expect("JSON");
    assert_eq!(&written, one);
    let drawn = std::fs::read(out.join("one.png")).expect("a PNG");
    let drawn = decode(&drawn, &Limits::default()).expect("a PNG");
    assert!(drawn.width >= 640, "small pictures come out enlarged");

    let table = finetune(&[&"predict", &"--model", &model, &"--image", &image]);
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(text.contains(&format!("one.png: {} regions", regions.len())), "{text}");
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let folder = Folder::new();
    let model = folder.detector();
    let (image, _) = folder.picture("one.png");
    let cut = folder.write("cut.png", &std::fs::read(&image).expect("a picture")[..200]);
    fails(
        &finetune(&[&"predict", &"--model", &model, &"--image", &cut]),
        3,
        "cut.png: PNG picture is truncated",
    );
    let text = folder.write("text.txt", "not a picture at all");
    fails(&finetune(&[&"predict", &"--model", &model, &"--image", &text]), 3, "not a JPEG, PNG");
    fails(&finetune(&[&"predict", &"--model", &folder.at("none"), &"--image", &image]), 3, "detector.toml");
    std::fs::create_dir(folder.at("two")).expect("a folder");
    std::fs::copy(&image, folder.at("two/one.png")).expect("a copy");
    let twice: [&dyn AsRef<Path>; 8] = [
        &"predict",
        &"--model",
        &model,
        &"--image",
        &image,
        &folder.at("two/one.png"),
        &"--out",
        &folder.at("seen"),
    ];
    fails(&finetune(&twice), 2, "two pictures are called one");
}

#[test]
fn forward_writes_every_stage() {
    let folder = Folder::new();
    let model = folder.detector();
    let values: Vec<f32> = (0..3 * 48 * 80).map(|i| (i as f32 * 0.37).sin()).collect();
    let x = Tensor::from_vec(values, (1, 3, 48, 80), &Device::Cpu).expect("as many numbers as places");
    let inputs = folder.at("x.safetensors");
    safetensors::serialize_to_file([("x", &x)], None, &inputs).expect("writing");
    let out = folder.at("y.safetensors");
    let base: [&dyn AsRef<Path>; 8] =
        [&"forward", &"--model", &model, &"--inputs", &inputs, &"--out", &out, &"--json"];
    let said = object(&finetune(&[&base[..], &[&"--repeats", &"2"]].concat()));
    assert_eq!(said["seconds"].as_array().expect("seconds").len(), 2);
    // 3 x 5 cells of 2 anchors
    assert_eq!(
        (&said["shapes"]["objectness"], &said["shapes"]["anchor_steps"]),
        (&json!([30]), &json!([30, 4]))
    );
    let n = said["shapes"]["proposals"][0].as_u64().expect("a count");
    assert!((1..=20).contains(&n), "{n}");
    assert_eq!(said["shapes"]["vectors"], json!([n, 256]));
    assert_eq!((&said["shapes"]["scores"], &said["shapes"]["box_steps"]), (&json!([n, 4]), &json!([n, 16])));
    assert_eq!(
        (&said["shapes"]["map"], &said["shapes"]["attributes"]),
        (&json!([1, 128, 3, 5]), &json!([n, 3]))
    );
    let written = candle_core::safetensors::load(&out, &Device::Cpu).expect("a file of tensors");
    assert_eq!(written.len(), 8);

    let other = folder.at("other.safetensors");
    safetensors::serialize_to_file([("pixels", &x)], None, &other).expect("writing");
    let wrong: [&dyn AsRef<Path>; 7] = [&"forward", &"--model", &model, &"--inputs", &other, &"--out", &out];
    fails(&finetune(&wrong), 3, "holds no tensor x");
}

#[test]
fn summary_counts_and_convert_is_strict() {
    let folder = Folder::new();
    let model = folder.detector();
    let released = object(&finetune(&[&"summary", &"--json"]));
    assert_eq!(released["parameters"]["total"], 148_037_055);
    let own = object(&finetune(&[&"summary", &"--model", &model, &"--json"]));
    assert_eq!((&own["classes"], &own["attributes"]), (&json!(3), &json!(2)));
    assert_eq!(own["selection"]["filter"], "per_class");
    assert_eq!(own["fingerprint"].as_str().expect("a hash").len(), 64);
    let other = object(&finetune(&[&"summary", &"--classes", &"80", &"--json"]));
    assert!(other["parameters"]["total"].as_u64() < released["parameters"]["total"].as_u64());

    // VinVL's settings and these weights do not go together
    let (classes, attributes) = (model.join("classes.txt"), model.join("attributes.txt"));
    let weights = model.join("model.safetensors");
    let to = folder.at("converted");
    let base: [&dyn AsRef<Path>; 7] = [&"convert", &"--from", &weights, &"--classes", &classes, &"--to", &to];
    fails(&finetune(&base), 2, "give their names with --attributes");
    let named: Vec<&dyn AsRef<Path>> = [&base[..], &[&"--attributes", &attributes]].concat();
    fails(&finetune(&named), 3, "does not hold a detector on resnext152_32x8d");
    let few = folder.write("few.txt", "cat\ndog\n");
    let wrong: [&dyn AsRef<Path>; 9] =
        [&"convert", &"--from", &weights, &"--classes", &few, &"--to", &to, &"--attributes", &attributes];
    fails(&finetune(&wrong), 3, "is for 3 classes and background, the list of names has 2");

    // with settings of their own they do
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/detector-small.toml"));
    let mut tree: toml::Table = text.expect("a preset").parse().expect("a preset");
    let detector: toml::Table = SETTINGS.parse().expect("settings");
    let training = tree.get_mut("training").and_then(toml::Value::as_table_mut).expect("a section");
    training.insert("detector".to_owned(), toml::Value::Table(detector));
    let config = folder.write("own.toml", tree.to_string());
    let done = object(&finetune(&[&named[..], &[&"--config", &config, &"--json"]].concat()));
    assert_eq!(done["fingerprint"], own["fingerprint"]);
    fails(&finetune(&[&named[..], &[&"--config", &config]].concat()), 3, "is there already");
}
