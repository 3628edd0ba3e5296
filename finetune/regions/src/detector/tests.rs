//! A detector from outside: folders, hostile pictures, company.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::reference::{names, settings, weights};
use super::{BoxRule, Convention, Detector, DetectorSettings, Filter};
use crate::decoding::Picture;

fn detector() -> Detector {
    Detector::new(settings(), names(), weights()).unwrap()
}

fn picture(width: u32, height: u32) -> Picture {
    let rgb = (0..width * height * 3).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    Picture { width, height, rgb }
}

fn written(name: &str, weights: &BTreeMap<String, Tensor>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    safetensors::serialize_to_file(weights, None, &path).unwrap();
    (folder, path)
}

#[test]
fn the_same_alone_and_in_company_and_on_one_thread() {
    let detector = detector();
    let pictures = [picture(60, 90), picture(300, 40), picture(60, 90), picture(128, 96)];
    let together = detector.detect_batch(&pictures);
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (picture, found) in pictures.iter().zip(together) {
        let found = found.unwrap();
        assert!(!found.boxes.is_empty());
        assert_eq!(detector.detect(picture).unwrap(), found);
        assert_eq!(one_thread.install(|| detector.detect(picture).unwrap()), found);
        assert_eq!(found.vectors.len(), found.boxes.len() * detector.feature_width());
        assert!(found.scores.is_sorted_by(|a, b| a >= b));
    }
}

#[test]
fn boxes_are_in_pixels_of_the_picture() {
    for (report, convention) in
        [(BoxRule::Regressed, Convention::Plain), (BoxRule::Proposals, Convention::Legacy)]
    {
        for filter in [Filter::PerClass, Filter::BestSurviving, Filter::ClassAgnostic] {
            let mut settings = DetectorSettings { convention, ..settings() };
            settings.boxes.report = report;
            settings.report.filter = filter;
            settings.report.at_least = 3;
            let detector = Detector::new(settings, names(), weights()).unwrap();
            for (width, height) in [(1000, 20), (3, 200), (500, 400)] {
                let found = detector.detect(&picture(width, height)).unwrap();
                assert!(found.boxes.len() >= 3, "{filter:?} {width} x {height}: {}", found.boxes.len());
                let (width, height) = (width as f32 * 1.0001, height as f32 * 1.0001);
                for [x1, y1, x2, y2] in found.boxes {
                    assert!(0.0 <= x1 && x1 <= x2 && x2 <= width && 0.0 <= y1 && y1 <= y2 && y2 <= height);
                }
            }
        }
    }
}

/// A picture of one pixel is seen at full size; a strip becomes a strip.
#[test]
fn odd_pictures_are_answered_and_broken_ones_refused() {
    for convention in [Convention::Plain, Convention::Legacy] {
        let detector =
            Detector::new(DetectorSettings { convention, ..settings() }, names(), weights()).unwrap();
        for (width, height) in [(1, 1), (20_000, 1), (1, 20_000), (2, 3)] {
            let found = detector.detect(&picture(width, height)).unwrap();
            assert!(found.boxes.as_flattened().iter().all(|corner| corner.is_finite()), "{width} x {height}");
        }
        let broken = Picture { width: 5, height: 5, rgb: vec![0; 74] };
        assert!(detector.detect(&broken).unwrap_err().to_string().contains("needs 75 bytes"));
        let none = Picture { width: 0, height: 5, rgb: Vec::new() };
        assert_eq!(detector.detect(&none).unwrap_err().code(), "bad-buffer");
    }
}

#[test]
fn numbers_that_are_not_finite_are_said() {
    let mut weights = weights();
    let name = "roi_heads.box.predictor.cls_score.bias";
    weights.insert(name.to_owned(), Tensor::new(&[f32::NAN; 6], &Device::Cpu).unwrap());
    let detector = Detector::new(settings(), names(), weights).unwrap();
    assert!(detector.detect(&picture(50, 50)).unwrap_err().to_string().contains("not finite"));
}

#[test]
fn a_folder_is_the_detector() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/detector");
    let detector = detector();
    detector.save(&path).unwrap();
    let opened = Detector::open(&path).unwrap();
    assert_eq!(opened.settings(), detector.settings());
    assert_eq!(
        (opened.class_names(), opened.attribute_names()),
        (detector.class_names(), detector.attribute_names())
    );
    assert_eq!(opened.fingerprint().unwrap(), detector.fingerprint().unwrap());
    let picture = picture(90, 70);
    assert_eq!(opened.detect(&picture).unwrap(), detector.detect(&picture).unwrap());
    // only what was asked for is there
    let parent: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(parent.len(), 1);
    assert!(detector.save(&path).unwrap_err().to_string().contains("is there already"));

    let mut other = detector.settings().clone();
    other.report.score = 0.3;
    let other = Detector::new(other, names(), weights()).unwrap();
    assert_ne!(other.fingerprint().unwrap(), detector.fingerprint().unwrap());

    let refused = |what: &str, change: &dyn Fn(&Path), part: &str| {
        let copy = tempfile::tempdir().unwrap();
        for file in ["detector.toml", "classes.txt", "attributes.txt", "model.safetensors"] {
            std::fs::copy(path.join(file), copy.path().join(file)).unwrap();
        }
        change(copy.path());
        let message = Detector::open(copy.path()).unwrap_err().to_string();
        assert!(message.contains(part), "{what}: {message}");
    };
    let write = |name: &'static str, text: &'static str| {
        move |folder: &Path| std::fs::write(folder.join(name), text).unwrap()
    };
    refused(
        "classes",
        &write("classes.txt", "a\nb\n"),
        "is for 5 classes and background, the list of names has 2",
    );
    refused(
        "attributes",
        &write("attributes.txt", "a\n"),
        "is for 4 attributes and none, the list of names has 1",
    );
    refused("an empty line", &write("classes.txt", "a\n\nb\n"), "line 2 is empty");
    refused("no settings", &write("detector.toml", "speed = 3\n"), "speed");
    refused(
        "cut short",
        &|folder| std::fs::write(folder.join("model.safetensors"), b"12345678{").unwrap(),
        "model.safetensors",
    );
}

/// What maskrcnn-benchmark's files have beside the weights: a prefix, anchors, the shared last stage a second time.
#[test]
fn released_files_are_read_strictly() {
    let legacy = DetectorSettings { convention: Convention::Legacy, ..settings() };
    let cell = legacy.anchors.of_a_cell(Convention::Legacy);
    let cell = Tensor::from_slice(cell.as_flattened(), (cell.len(), 4), &Device::Cpu).unwrap();
    let released = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut all = weights();
        let head = "roi_heads.box.feature_extractor.";
        let shared: Vec<(String, Tensor)> = all
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(head)?.to_owned(), tensor.clone())))
            .collect();
        all.extend(
            shared.into_iter().map(|(name, tensor)| (format!("attribute.feature_extractor.{name}"), tensor)),
        );
        all.insert("rpn.anchor_generator.cell_anchors.0".to_owned(), cell.clone());
        change(&mut all);
        let prefixed = all.into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor)).collect();
        let (_folder, path) = written("released.safetensors", &prefixed);
        Detector::import(legacy.clone(), names(), &path)
    };
    let imported = released(&|_| {}).unwrap();
    let own = Detector::new(legacy.clone(), names(), weights()).unwrap();
    assert_eq!(imported.detect(&picture(80, 80)).unwrap(), own.detect(&picture(80, 80)).unwrap());

    let refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>), part: &str| {
        let message = released(change).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    refused(&|all| drop(all.remove("rpn.head.conv.bias")), "1 missing: rpn.head.conv.bias");
    let one = cell.clone();
    let extra = |name: &'static str| {
        move |all: &mut BTreeMap<String, Tensor>| drop(all.insert(name.to_owned(), one.clone()))
    };
    refused(&extra("relation.predictor.weight"), "1 without a place: relation.predictor.weight");
    let doubled = |name: &'static str| {
        move |all: &mut BTreeMap<String, Tensor>| {
            let twice = (&all[name] * 2.0).unwrap();
            all.insert(name.to_owned(), twice);
        }
    };
    refused(
        &doubled("attribute.feature_extractor.head.layer4.0.bn1.weight"),
        "is not the last stage of the boxes",
    );
    refused(&doubled("rpn.anchor_generator.cell_anchors.0"), "other anchors than the settings");
    refused(
        &|all| drop(all.insert("rpn.head.conv.bias".to_owned(), Tensor::new(&[1f32], &Device::Cpu).unwrap())),
        "1 of another shape: rpn.head.conv.bias is [1], not [128]",
    );
}

#[test]
fn settings_that_cannot_be_meant_are_named() {
    let message = |change: &dyn Fn(&mut DetectorSettings)| {
        let mut settings = settings();
        change(&mut settings);
        settings.validate().unwrap_err().to_string()
    };
    type Change<'a> = &'a dyn Fn(&mut DetectorSettings);
    let cases: [(Change<'_>, &str); 6] = [
        (&|s| s.architecture = "resnext9".to_owned(), "resnext9"),
        (&|s| s.architecture = "resnext29_8x64d".to_owned(), "no map of stride 16"),
        (&|s| s.anchors.ratios.clear(), "anchors has sizes"),
        (&|s| s.regions.bins = 0, "detector.regions.bins is 0"),
        (&|s| s.input.white = 2.0, "detector.input.white is 2"),
        (&|s| s.report.at_least = 99, "detector.report.at_most is 24"),
    ];
    for (change, part) in cases {
        let message = message(change);
        assert!(message.contains(part), "{message}");
    }
}
