//! Real published files, if they are there: `OSCAR_REFERENCE_DATA`, or `../shared/data` beside the checkout.

use std::path::{Path, PathBuf};

use data_specs::Picture;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::{BottomupTsv, GeometryOrder, LxmertTsv, OscarTsv, position_numbers};
use super::import;
use super::synthetic::floats;

fn features() -> Option<PathBuf> {
    let root = match std::env::var_os("OSCAR_REFERENCE_DATA") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    let folder = root.join("features");
    if !folder.is_dir() {
        println!("skipped: no reference data");
        return None;
    }
    Some(folder)
}

fn json(path: &Path) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The matrix that Oscar is fed: each vector and its six position numbers.
fn oscar2054(picture: &Picture, geometry: &[[f32; 6]]) -> Vec<u8> {
    let row = picture.features.len() / picture.regions as usize;
    let rows = picture.features.chunks_exact(row).zip(geometry);
    rows.flat_map(|(vector, six)| [vector, &floats(six)].concat()).collect()
}

fn computed(picture: &Picture) -> Vec<[f32; 6]> {
    let (width, height) = (picture.width.unwrap(), picture.height.unwrap());
    picture.boxes.as_ref().unwrap().iter().map(|&corners| position_numbers(corners, width, height)).collect()
}

#[test]
fn the_ten_rows_of_lxmert() {
    let Some(folder) = features() else { return };
    let expected = json(&folder.join("airsplay_expected.json"));
    let path = folder.join("airsplay_train2014_obj36.tsv");
    let imported = import(&LxmertTsv::new(vec![path], None, None, "vg").unwrap()).unwrap();
    assert_eq!(imported.scanned.layout.width, 2048);
    assert_eq!(imported.scanned.inputs.len(), 3, "the class lists beside the file are found");
    let pictures = imported.all_good();
    assert_eq!(pictures.len(), 10);
    for (row, picture) in expected.iter().zip(&pictures) {
        assert_eq!(row["img_id"], picture.image_id.as_str());
        assert_eq!((&row["img_w"], &row["img_h"]), (&picture.width.into(), &picture.height.into()));
        assert_eq!(row["num_boxes"], picture.regions);
        let names: Vec<&str> = picture.tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(row["object_tags"], Value::from(names));
        for (region, tag) in picture.tags.iter().enumerate() {
            assert_eq!(row["objects_conf"][region].as_f64().unwrap() as f32, tag.score.unwrap());
            assert_eq!(tag.region, Some(region as i32));
        }
        for (region, attribute) in picture.attributes.iter().take(4).enumerate() {
            assert_eq!(row["attrs_conf_first4"][region].as_f64().unwrap() as f32, attribute.score.unwrap());
        }
        let boxes = picture.boxes.as_ref().unwrap();
        for (corners, read) in row["boxes"].as_array().unwrap().iter().zip(boxes) {
            let corners: Vec<f32> =
                corners.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
            assert_eq!(corners, read);
        }
        assert_eq!(row["features_sha256"], sha256(&picture.features));
        assert_eq!(row["oscar2054_sha256"], sha256(&oscar2054(picture, &computed(picture))));
    }
}

#[test]
fn the_two_rows_of_bottom_up_attention() {
    let Some(folder) = features() else { return };
    let expected = json(&folder.join("bottomup_trainval36_expected.json"));
    let format = BottomupTsv { paths: vec![folder.join("bottomup_trainval36_2rows.tsv")] };
    let pictures = import(&format).unwrap().all_good();
    assert_eq!(pictures.len(), 2);
    for (row, picture) in expected.iter().zip(&pictures) {
        assert_eq!(row["image_id"].to_string(), picture.image_id);
        assert_eq!((&row["image_w"], &row["image_h"]), (&picture.width.into(), &picture.height.into()));
        assert_eq!(row["features_sha256"], sha256(&picture.features));
        assert_eq!(row["oscar2054_sha256"], sha256(&oscar2054(picture, &computed(picture))));
        let first = picture.boxes.as_ref().unwrap()[0];
        assert!((0..4).all(|i| row["boxes_row0"][i].as_f64().unwrap() as f32 == first[i]));
    }
}

#[test]
fn the_rows_of_oscar_hold_the_same_pictures() {
    let Some(folder) = features() else { return };
    let expected = json(&folder.join("airsplay_expected.json"));
    let yaml = folder.join("oscar_tsv/train.yaml");
    let imported = import(&OscarTsv::from_yaml(&yaml, "vg", false).unwrap()).unwrap();
    assert_eq!(imported.scanned.layout.width, 2048);
    assert_eq!(imported.scanned.layout.geometry, Some(GeometryOrder::WidthHeight));
    let pictures = imported.all_good();
    assert_eq!(pictures.len(), 2);
    for (row, picture) in expected.iter().zip(&pictures) {
        assert_eq!(row["image_id"].to_string(), picture.image_id);
        assert_eq!((&row["img_w"], &row["img_h"]), (&picture.width.into(), &picture.height.into()));
        assert_eq!(row["features_sha256"], sha256(&picture.features));
        let geometry = picture.geometry.as_ref().unwrap();
        assert_eq!(row["oscar2054_sha256"], sha256(&oscar2054(picture, geometry)));
        let names: Vec<&str> = picture.tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(row["object_tags"], Value::from(names));
        for (corners, read) in row["boxes"].as_array().unwrap().iter().zip(picture.boxes.as_ref().unwrap()) {
            assert!((0..4).all(|i| (corners[i].as_f64().unwrap() as f32 - read[i]).abs() < 1e-3));
        }
    }
}
