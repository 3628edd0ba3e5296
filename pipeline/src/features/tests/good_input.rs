//! Every layout gives back the pictures that were written into it.

use super::super::GeometryOrder;
use super::synthetic::{ATTRIBUTES, CLASSES, KINDS, Made, WIDTH, kind, lineidx, lines, made, put};
use super::{import, *};
use crate::features::{OscarTsv, VinvlPart, VinvlTsv};

#[test]
fn every_layout_gives_back_what_was_written() {
    let set = made(7);
    for kind in &KINDS {
        let folder = tempfile::tempdir().unwrap();
        (kind.write)(folder.path(), &set);
        let format = (kind.open)(folder.path()).unwrap();
        let imported = import(format.as_ref()).unwrap();
        assert_eq!(imported.scanned.layout.width as usize, WIDTH, "{}", kind.name);
        assert_eq!(imported.scanned.warnings, Vec::<String>::new(), "{}", kind.name);
        let with_positions = !matches!(kind.name, "lxmert-tsv" | "bottomup-tsv");
        let order = with_positions.then_some(GeometryOrder::WidthHeight);
        assert_eq!(imported.scanned.layout.geometry, order, "{}", kind.name);
        for (made, picture) in set.iter().zip(imported.all_good()) {
            assert_eq!(picture.image_id, made.id);
            assert_eq!(picture.regions as usize, made.n());
            assert_eq!(&picture.features[..], made.features());
            assert_eq!(picture.geometry, with_positions.then(|| made.geometry()));
            check_size_and_boxes(kind.name, made, &picture);
            check_tags(kind.name, made, &picture);
        }
    }
}

fn check_size_and_boxes(kind: &str, made: &Made, picture: &Picture) {
    if kind == "vqa-tsv" {
        assert_eq!((picture.width, picture.height, &picture.boxes), (None, None, &None));
        return;
    }
    assert_eq!((picture.width, picture.height), (Some(made.width), Some(made.height)));
    for (written, read) in made.boxes.iter().zip(picture.boxes.as_ref().unwrap()) {
        // Boxes that are derived from positions have gone through a division.
        let bound = if picture.geometry.is_some() { 1e-4 } else { 0.0 };
        assert!(written.iter().zip(read).all(|(a, b)| (a - b).abs() <= bound), "{written:?} {read:?}");
    }
}

fn check_tags(kind: &str, made: &Made, picture: &Picture) {
    match kind {
        "lxmert-tsv" => {
            for (list, tags) in [(CLASSES, &picture.tags), (ATTRIBUTES, &picture.attributes)] {
                assert_eq!(tags.len(), made.n());
                for (region, tag) in tags.iter().enumerate() {
                    assert_eq!(tag.name, list[made.classes[region] as usize]);
                    assert_eq!((tag.score, tag.region), (Some(made.scores[region]), Some(region as i32)));
                    assert_eq!((tag.rect, tag.origin.as_str()), (None, "vg"));
                }
            }
        }
        "oscar-tsv" | "vinvl-tsv" => {
            let origin = if kind == "oscar-tsv" { "vg" } else { "vinvl" };
            assert_eq!(picture.tags.len(), made.n());
            for (index, tag) in picture.tags.iter().enumerate() {
                assert_eq!(tag.name, CLASSES[made.classes[index] as usize]);
                assert_eq!((tag.score, tag.region), (Some(made.scores[index]), None));
                assert_eq!((tag.rect, tag.origin.as_str()), (Some(made.boxes[index]), origin));
            }
        }
        _ => assert_eq!((&picture.tags, &picture.attributes), (&vec![], &vec![])),
    }
}

#[test]
fn height_before_width_is_found_and_turned() {
    let set = made(4);
    let folder = tempfile::tempdir().unwrap();
    let turned = |made: &Made| {
        let rows = made.vectors.iter().zip(made.geometry());
        let row = |(vector, [a, b, c, d, w, h]): (&Vec<f32>, [f32; 6])| {
            super::synthetic::floats(vector.iter().chain(&[a, b, c, d, h, w]))
        };
        let bytes: Vec<u8> = rows.flat_map(row).collect();
        format!("{}\t{}\t{}\n", made.id, made.n(), super::synthetic::base64(&bytes))
    };
    put(folder.path(), "features.tsv", &lines(&set, turned));
    let format = (kind("vinvl-tsv").open)(folder.path()).unwrap();
    let imported = import(format.as_ref()).unwrap();
    assert_eq!(imported.scanned.layout.geometry, Some(GeometryOrder::HeightWidth));
    assert!(imported.scanned.warnings[0].contains("neither tags nor pixel boxes"));
    for (made, picture) in set.iter().zip(imported.all_good()) {
        assert_eq!(picture.geometry, Some(made.geometry()));
        assert_eq!(&picture.features[..], made.features());
    }
}

#[test]
fn an_index_is_written_only_if_asked_and_then_fits() {
    let set = made(5);
    let folder = tempfile::tempdir().unwrap();
    (kind("oscar-tsv").write)(folder.path(), &set);
    let yaml = folder.path().join("train.yaml");
    let index = folder.path().join("train.feature.lineidx");
    import(&OscarTsv::from_yaml(&yaml, "vg", false).unwrap()).unwrap();
    assert!(!index.exists());
    import(&OscarTsv::from_yaml(&yaml, "vg", true).unwrap()).unwrap();
    assert_eq!(std::fs::read_to_string(&index).unwrap(), lineidx(&lines(&set, Made::oscar_feature)));
    import(&OscarTsv::from_yaml(&yaml, "vg", false).unwrap()).unwrap();
    // What is only checked is no input of the plan: removing it must not stop a build.
    let imported = import(&OscarTsv::from_yaml(&yaml, "vg", false).unwrap()).unwrap();
    let named: Vec<_> = imported.scanned.inputs.iter().map(|input| input.path.file_name().unwrap()).collect();
    assert_eq!(named, ["train.yaml", "train.feature.tsv", "train.label.tsv", "train.hw.tsv"]);
}

#[test]
fn chunks_share_their_predictions_and_keep_their_source() {
    let set = made(6);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (chunk, pictures) in [("cc/0", &set[..3]), ("cc/1", &set[3..5]), ("labels", &[])] {
        std::fs::create_dir_all(path(chunk)).unwrap();
        put(&path(chunk), "features.tsv", &lines(pictures, Made::vinvl_feature));
    }
    let annotated = |made: &Made| {
        let line = made.vinvl_prediction();
        line.replace("\"image_h\"", r#""gt_objects": [{"class": "Person"}], "image_h""#)
    };
    put(&path("labels"), "predictions_gt.tsv", &lines(&set, annotated));
    let part = |dir: &str| VinvlPart {
        source: Some("googlecc".into()),
        dir: path(dir),
        labels: Some(path("labels")),
    };
    let format = VinvlTsv { parts: vec![part("cc/0"), part("cc/1")], origin: "vinvl".into() };
    let imported = import(&format).unwrap();
    assert_eq!(imported.scanned.inputs.len(), 3, "the predictions are one input");
    assert_eq!(imported.scanned.warnings.len(), 1);
    assert!(
        imported.scanned.warnings[0]
            .contains("1 lines are of pictures without features (the first is line 6")
    );
    assert!(imported.pictures.iter().all(|(record, _)| record.source.as_deref() == Some("googlecc")));
    for (made, picture) in set.iter().zip(imported.all_good()) {
        assert_eq!(picture.image_id, made.id);
        let last = picture.tags.last().unwrap();
        assert_eq!((last.name.as_str(), last.origin.as_str(), last.score), ("Person", "annotated", None));
        assert_eq!(picture.tags.len(), made.n() + 1);
    }
}

#[test]
fn a_bare_list_of_predictions_leaves_the_size_unknown() {
    let set = made(2);
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "features.tsv", &lines(&set, Made::vinvl_feature));
    put(folder.path(), "predictions.tsv", &lines(&set, Made::oscar_label));
    let format = (kind("vinvl-tsv").open)(folder.path()).unwrap();
    for picture in import(format.as_ref()).unwrap().all_good() {
        assert_eq!((picture.width, picture.height, &picture.boxes), (None, None, &None));
        assert!(!picture.tags.is_empty());
    }
}

#[test]
fn without_class_lists_there_are_no_tags_and_a_warning() {
    let set = made(2);
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "features.tsv", &lines(&set, Made::lxmert));
    let format = (kind("lxmert-tsv").open)(folder.path()).unwrap();
    let imported = import(format.as_ref()).unwrap();
    assert_eq!(imported.scanned.warnings.len(), 2);
    assert!(imported.scanned.warnings[0].contains("set `classes`"), "{:?}", imported.scanned.warnings);
    for picture in imported.all_good() {
        assert!(picture.tags.is_empty() && picture.attributes.is_empty());
    }
}
