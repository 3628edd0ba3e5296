//! What a detector learns from and is scored by: drawn pictures through the engine, boxes to scores.

use std::fs;
use std::path::Path;
use std::process::Command;

use conformance::binaries::{finetune_command, pipeline_command, run};
use data_specs::Dataset;
use finetune_regions::detection_samples::{DetectionSamples, NamesSettings, SampleSettings, SampleSource};
use serde_json::{Value, json};

fn succeed(command: &mut Command) -> String {
    let (code, out, errors) = run(command);
    assert_eq!(code, 0, "{out}{errors}");
    out
}

fn source(path: &Path, copies: u32, least_of_class: u64) -> SampleSource {
    SampleSource { path: path.to_path_buf(), splits: None, origins: None, copies, least_of_class }
}

/// COCO's, GQA's, OpenImages' and Visual Genome's layouts become one source of pictures, boxes, names and attributes.
#[test]
fn drawn_pictures_of_every_layout_are_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("corpus");
    succeed(pipeline_command(["synth", "--images", "80", "--seed", "5", "--out"]).arg(&corpus));
    let specs = [
        "detection-coco-train",
        "detection-gqa-train",
        "detection-open-images-train",
        "detection-visual-genome-train",
    ];
    for spec in specs {
        let mut build = pipeline_command(["build"]);
        build.arg(corpus.join(format!("specs/{spec}.toml"))).arg("--out").arg(folder.path().join(spec));
        succeed(&mut build);
        let data = Dataset::open(&folder.path().join(spec)).unwrap();
        assert_eq!((data.manifest().features.width, &data.manifest().computed), (0, &None), "{spec}");
        succeed(pipeline_command(["verify"]).arg(folder.path().join(spec)));
    }
    let settings = SampleSettings {
        sources: vec![
            source(&folder.path().join(specs[0]), 2, 0),
            source(&folder.path().join(specs[1]), 1, 0),
            source(&folder.path().join(specs[2]), 1, 60),
        ],
        classes: NamesSettings { file: None, least_boxes: 3 },
        attributes: Some(NamesSettings { file: None, least_boxes: 3 }),
        most_attributes: 16,
        flip: 0.5,
        short_sides: vec![96, 128],
        long_side: 256,
    };
    let samples = DetectionSamples::open(&settings, 7).unwrap();
    let counts = samples.counts();
    assert!(samples.classes().len() >= 8 && samples.attributes().len() >= 4, "{:?}", samples.classes());
    assert!(samples.len() > counts.pictures && counts.boxes_by_class.iter().all(|&count| count >= 3));
    for n in [0, 1, samples.len() - 1, samples.len(), 3 * samples.len() + 5] {
        let found = samples.sample(n).unwrap();
        let short = found.picture.width.min(found.picture.height);
        assert!((short == 96 || short == 128) && !found.boxes.is_empty(), "{short}");
        let (width, height) = (found.picture.width as f32, found.picture.height as f32);
        let inside = |[x1, y1, x2, y2]: [f32; 4]| {
            0.0 <= x1 && x1 < x2 && x2 <= width && 0.0 <= y1 && y1 < y2 && y2 <= height
        };
        assert!(found.boxes.iter().all(|&rect| inside(rect)));
    }
    // Visual Genome's layout has the objects of GQA's scene graphs of the same pictures
    let of = |spec: &str| {
        let alone =
            SampleSettings { sources: vec![source(&folder.path().join(spec), 1, 0)], ..settings.clone() };
        DetectionSamples::open(&alone, 7).unwrap()
    };
    let (graphs, objects) = (of(specs[1]), of(specs[3]));
    assert_eq!(graphs.classes().list(), objects.classes().list());
    assert_eq!(graphs.counts().boxes_by_class, objects.counts().boxes_by_class);

    // vectors are what this data set has none of
    let mut check = pipeline_command(["features-check", "--json"]);
    let path = folder.path().join(specs[0]);
    let (code, out, _) = run(check.arg(&path).arg(&path));
    let found: Value = serde_json::from_str(&out).unwrap();
    assert!(code == 1 && found["reasons"][0].as_str().unwrap().contains("has no vectors"), "{found}");
    assert_eq!(
        (found["matched_shares"][1].as_f64(), found["tags"]["jaccard"].as_f64()),
        (Some(1.0), Some(1.0))
    );
}

/// The official file of drawn boxes scores itself, and less when boxes are lost.
#[test]
fn boxes_are_scored_in_cocos_layout() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("corpus");
    succeed(pipeline_command(["synth", "--images", "60", "--seed", "5", "--out"]).arg(&corpus));
    let truth = corpus.join("coco/annotations/instances_train2014.json");
    let read: Value = serde_json::from_slice(&fs::read(&truth).unwrap()).unwrap();
    let annotations = read["annotations"].as_array().unwrap();
    let result = |annotation: &Value| json!({"image_id": annotation["image_id"], "category_id": annotation["category_id"], "bbox": annotation["bbox"], "score": 0.5});
    let results = folder.path().join("results.json");
    let scored = |kept: Vec<Value>| -> Value {
        fs::write(&results, Value::Array(kept).to_string()).unwrap();
        let mut score = finetune_command(["score", "detection", "--json", "--truth"]);
        serde_json::from_str(&succeed(score.arg(&truth).arg("--predictions").arg(&results))).unwrap()
    };
    let all = scored(annotations.iter().map(result).collect());
    assert!((all["AP"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{all}");
    assert_eq!(all["pooled"]["AP50"].as_f64(), Some(1.0));
    assert_eq!(all["counts"]["truths"], annotations.len());
    let half = scored(annotations.iter().step_by(2).map(result).collect());
    assert!(half["AP"].as_f64().unwrap() < 0.9, "{half}");
    fs::write(&results, r#"[{"image_id": 99999999, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]"#)
        .unwrap();
    let mut score = finetune_command(["score", "detection", "--truth"]);
    let (code, _, errors) = run(score.arg(&truth).arg("--predictions").arg(&results));
    assert!(code == 3 && errors.contains("99999999"), "{code}: {errors}");
}

/// One network's vectors are alike, another's are not, and the reason is told.
#[test]
fn features_are_compared_with_those_a_model_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("corpus");
    succeed(pipeline_command(["synth", "--images", "60", "--seed", "5", "--out"]).arg(&corpus));
    let build = |name: &str, sets: &[&str]| {
        let mut build = pipeline_command(["build"]);
        build.arg(corpus.join("specs/captions-train.toml"));
        for set in ["backbone=efficientnet_half"].iter().chain(sets) {
            build.args(["--set", set]);
        }
        let out = folder.path().join(name);
        succeed(build.arg("--out").arg(&out));
        out
    };
    let ours = build("ours", &["features.dtype=f16"]);
    let theirs = build("theirs", &[]);
    let other = build("other", &["regions.random_weights=4"]);
    let check = |one: &Path, two: &Path| {
        let (code, out, errors) = run(pipeline_command(["features-check"]).arg(one).arg(two));
        assert!(errors.is_empty(), "{errors}");
        (code, out)
    };
    let (code, out) = check(&ours, &theirs);
    assert!(code == 0 && out.contains("ALIKE") && out.contains("cosine of vectors"), "{out}");
    let (code, out) = check(&ours, &other);
    assert!(code == 1 && out.contains("DIFFERENT") && out.contains("45 CIDEr"), "{out}");
}
