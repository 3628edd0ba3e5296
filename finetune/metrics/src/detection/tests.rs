//! pycocotools' figures, and what is refused.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::{Error, layouts::TextFile};

const CASES: &str = include_str!("../../golden/detection/cases.json");

fn scores(truth: &Value, results: &Value) -> Result<DetectionScores, Error> {
    let file = |name: &str, value: &Value| {
        TextFile::from_bytes(Path::new(name), value.to_string().into_bytes()).expect("UTF-8")
    };
    score_files(&file("truth.json", truth), &file("results.json", results))
}

fn near(got: Option<f64>, wanted: &Value, what: &str) {
    let (got, wanted) = (got.unwrap_or(-1.0), wanted.as_f64().expect("a number"));
    assert!((got - wanted).abs() < 1e-12, "{what}: {got}, not {wanted}");
}

#[test]
fn the_figures_are_those_of_pycocotools() {
    let cases: Vec<Value> = serde_json::from_str(CASES).expect("the golden cases are JSON");
    assert_eq!(cases.len(), 7);
    for case in &cases {
        let name = case["name"].as_str().expect("a name");
        let got = scores(&case["truth"], &case["results"]).expect(name);
        let figures = [
            got.ap,
            got.ap_50,
            got.ap_75,
            got.ap_by_size.small,
            got.ap_by_size.medium,
            got.ap_by_size.large,
            got.ar_1,
            got.ar_10,
            got.ar_100,
            got.ar_by_size.small,
            got.ar_by_size.medium,
            got.ar_by_size.large,
        ];
        for (index, figure) in figures.into_iter().enumerate() {
            near(figure, &case["stats"][index], &format!("{name}, figure {index}"));
        }
        assert_eq!(got.per_class.len(), case["per_class"].as_array().expect("a list").len());
        for (class, wanted) in got.per_class.iter().zip(case["per_class"].as_array().expect("a list")) {
            near(class.ap, &wanted[0], &format!("{name}, {}", class.class));
            near(class.ap_50, &wanted[1], &format!("{name}, {} at 0.5", class.class));
        }
        near(got.pooled.ap_50, &case["pooled"][0], &format!("{name}, pooled"));
        near(got.pooled.weighted_ap_50, &case["pooled"][1], &format!("{name}, pooled and weighted"));
    }
}

#[test]
fn corners_are_measured_as_their_sides() {
    let truths = vec![TrueBox::of_corners(0, [0.0, 0.0, 40.0, 40.0])];
    let found = vec![
        FoundBox::of_corners(0, [0.0, 0.0, 40.0, 40.0], 0.9),
        FoundBox::of_corners(7, [0.0, 0.0, 40.0, 40.0], 0.9),
    ];
    let got = score(&["dog".to_owned()], &[PictureBoxes { truths, found }, PictureBoxes::default()]);
    // the precision of one right box is 1 less the epsilon that keeps it from dividing by 0
    assert!((got.ap.expect("a figure") - 1.0).abs() < 1e-12, "{got:?}");
    assert_eq!((got.ap_by_size.small, got.pooled.ap_50), (None, Some(1.0)));
    let wanted = DetectionCounts {
        pictures: 2,
        classes: 1,
        truths: 1,
        found: 1,
        pictures_without_found: 1,
        found_of_other_classes: 1,
        ..DetectionCounts::default()
    };
    assert_eq!(got.counts, wanted);
}

#[test]
fn what_is_odd_is_counted() {
    let truth = json!({
        "images": [{"id": 1}, {"id": "1"}], "categories": [{"id": 3}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": true},
            {"id": 2, "image_id": 9, "category_id": 3, "bbox": [0, 0, 5, 5], "area": 25},
            {"id": 3, "image_id": 1, "category_id": 9, "bbox": [0, 0, 5, 5], "area": 25},
        ],
    });
    let got = scores(&truth, &json!([])).expect("scores");
    let wanted = DetectionCounts {
        pictures: 1,
        classes: 1,
        truths: 1,
        crowds: 1,
        pictures_without_found: 1,
        stray_truths: 2,
        truths_without_area: 1,
        ..DetectionCounts::default()
    };
    assert_eq!((got.counts, got.ap, got.per_class[0].class.as_str()), (wanted, None, "3"));
}

#[test]
fn bad_files_are_named() {
    let truth = |annotations: Value| json!({"images": [{"id": 1}], "categories": [{"id": 3, "name": "dog"}], "annotations": annotations});
    let annotation = |id: u32, width: f64| json!({"id": id, "image_id": 1, "category_id": 3, "bbox": [0, 0, width, 5], "area": 1});
    let result = |image: u32, width: f64| json!({"image_id": image, "category_id": 3, "bbox": [0, 0, width, 5], "score": 1});
    for (truth, results, part) in [
        (truth(json!([])), json!([result(2, 1.0)]), "results.json: id 2 is not in the truth's images"),
        (
            truth(json!([])),
            json!([result(1, 1.0), result(1, -1.0)]),
            "results.json: result 2 (from 1) has a width",
        ),
        (
            truth(json!([annotation(4, 1.0), annotation(4, 1.0)])),
            json!([]),
            "truth.json: id 4 stands there more",
        ),
        (truth(json!([annotation(4, -1.0)])), json!([]), "truth.json: annotation 4 has a width or height"),
        (json!({"images": [], "categories": [], "annotations": []}), json!([]), "lists no images"),
        (json!({"images": []}), json!([]), "truth.json is not COCO instances"),
        (truth(json!([])), json!({"boxes": []}), "results.json is not a list of {image_id"),
        (truth(json!([])), json!([{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3]}]), "results.json"),
    ] {
        let message = scores(&truth, &results).expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
    }
}
