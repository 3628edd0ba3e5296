//! Data sets made here: the same pictures, seen alike and otherwise.

use std::path::Path;

use data_specs::{
    Account, FeatureInfo, FeatureType, Manifest, Picture, SCHEMA_VERSION, Sample, ShardWriter, Tag,
};

use super::*;
use crate::Unwatched;

const OPTIONS: CheckOptions =
    CheckOptions { pictures: 100, iou: 0.5, least_matched: 0.9, least_cosine: 0.95, least_tags: 0.8 };
const WIDTH: u32 = 8;

/// Picture `id` of 640 x 480 with five regions side by side, and vectors that tell them apart.
fn picture(id: usize) -> (Picture, Vec<f32>) {
    let boxes: Vec<[f32; 4]> = (0..5)
        .map(|region| {
            let left = 120.0 * region as f32 + (id % 7) as f32;
            [left, 10.0, left + 100.0, 300.0 + (id % 11) as f32]
        })
        .collect();
    let numbers = (0..5 * WIDTH as usize).map(|at| ((at * 37 + id * 101) % 97) as f32 / 10.0 - 3.0).collect();
    let tag = |region: usize| Tag {
        name: format!("Thing {}", (region + id) % 20),
        score: Some(0.9),
        region: Some(region as i32),
        rect: None,
        origin: "vg".into(),
    };
    let picture = Picture {
        image_id: id.to_string(),
        width: Some(640),
        height: Some(480),
        regions: 5,
        boxes: Some(boxes),
        tags: (0..5).map(tag).collect(),
        ..Picture::default()
    };
    (picture, numbers)
}

fn write(folder: &Path, info: FeatureInfo, pictures: Vec<(Picture, Vec<f32>)>) {
    let mut manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version: 0,
        build_id: "made for a test".into(),
        corpus: "made".into(),
        features: info,
        computed: None,
        shards: vec![],
        rejects: vec![],
        rows: Account::default(),
        texts: Account::default(),
        warnings: vec![],
    };
    let row = |(mut picture, numbers): (Picture, Vec<f32>)| {
        let bytes = numbers.into_iter().flat_map(|x| match info.dtype {
            FeatureType::F32 => x.to_le_bytes().to_vec(),
            FeatureType::F16 => half::f16::from_f32(x).to_le_bytes().to_vec(),
        });
        picture.features = bytes.collect::<Vec<u8>>().into();
        let key = format!("made/{}", picture.image_id);
        let (source, split) = ("made".into(), "train".into());
        Sample { key, source, split, images: vec![picture], texts: vec![], extra: None }
    };
    let rows: Vec<Sample> = pictures.into_iter().map(row).collect();
    for (number, rows) in rows.chunks(9).enumerate() {
        let mut writer = ShardWriter::create(folder, &format!("shard-{number:05}.parquet"), "test").unwrap();
        writer.write(rows).unwrap();
        manifest.shards.push(writer.commit(&|_| {}).unwrap());
    }
    manifest.commit(folder, &|_| {}).unwrap();
}

fn info(width: u32) -> FeatureInfo {
    FeatureInfo { dtype: FeatureType::F32, width }
}

/// Compares 30 pictures as they are with what `change` makes of each.
fn compared(change: &dyn Fn(usize, &mut Picture, &mut Vec<f32>)) -> FeaturesCheck {
    with(info(WIDTH), change)
}

fn with(other: FeatureInfo, change: &dyn Fn(usize, &mut Picture, &mut Vec<f32>)) -> FeaturesCheck {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let changed = |id: usize| {
        let (mut picture, mut numbers) = picture(id);
        change(id, &mut picture, &mut numbers);
        (picture, numbers)
    };
    write(one.path(), info(WIDTH), (0..30).map(changed).collect());
    write(
        two.path(),
        other,
        (0..30)
            .map(picture)
            .map(|(picture, numbers)| {
                let numbers =
                    if other.width == WIDTH { numbers } else { vec![1.0; 5 * other.width as usize] };
                (picture, numbers)
            })
            .collect(),
    );
    features_check([one.path(), two.path()], OPTIONS, &Unwatched).unwrap()
}

#[test]
fn the_same_in_another_order_and_spelling_is_alike() {
    let found = compared(&|id, picture, numbers| {
        picture.image_id = format!("COCO_val2014_{id:012}");
        // regions from behind, boxes of a picture of half the size
        let rows: Vec<Vec<f32>> = numbers.chunks(WIDTH as usize).rev().map(<[f32]>::to_vec).collect();
        *numbers = rows.concat();
        let boxes = picture.boxes.as_mut().unwrap();
        boxes.reverse();
        boxes.iter_mut().for_each(|rect| *rect = rect.map(|x| x / 2.0));
        (picture.width, picture.height) = (Some(320), Some(240));
        picture.tags.iter_mut().for_each(|tag| tag.name = tag.name.to_uppercase());
    });
    assert!(found.alike, "{found}");
    assert_eq!((found.common, found.compared, found.matched), (30, 30, 150));
    assert_eq!(found.matched_shares, [1.0, 1.0]);
    let cosine = found.cosine.as_ref().unwrap();
    assert!(cosine.median > 0.999 && (cosine.length_ratio - 1.0).abs() < 1e-6, "{cosine:?}");
    assert_eq!(cosine.histogram.count, 150);
    assert_eq!(found.tags.unwrap().jaccard, 1.0);
    let shown = found.to_string();
    assert!(shown.contains("ALIKE") && shown.contains("100.0 % of the first's"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

#[test]
fn what_differs_is_the_reason() {
    type Change = dyn Fn(usize, &mut Picture, &mut Vec<f32>);
    let cases: [(&Change, &str); 6] = [
        (&|_, _, numbers| numbers.rotate_left(3), "vectors of the same regions differ: median cosine"),
        (&|_, _, numbers| numbers.iter_mut().for_each(|x| *x *= 3.0), "are 3.00 times as long"),
        (
            &|_, picture, _| {
                let boxes = picture.boxes.as_mut().unwrap();
                boxes.iter_mut().take(2).for_each(|rect| *rect = rect.map(|x| x * 0.3));
            },
            "60.0 % of the second set's regions are in the first",
        ),
        (&|_, picture, _| picture.tags.truncate(2), "tags overlap by 0.400"),
        (&|_, picture, _| picture.boxes = None, "regions cannot be compared"),
        (&|_, _, numbers| numbers.fill(0.0), "neither zero nor NaN"),
    ];
    for (change, reason) in cases {
        let found = compared(change);
        let told = found.reasons.join("; ");
        assert!(!found.alike && found.reasons.len() == 1 && told.contains(reason), "{reason}: {told}");
    }
    let wider = with(info(10), &|_, _, _| {});
    assert!(wider.cosine.is_none() && wider.reasons.len() == 1, "{wider}");
    assert!(wider.reasons[0].contains("8 numbers wide") && wider.reasons[0].contains("and 10 in"), "{wider}");
    let none = with(info(0), &|_, _, _| {});
    assert!(none.reasons[0].contains("has no vectors"), "{none}");
}

#[test]
fn halves_are_read_and_geometry_stands_for_boxes() {
    let halves = FeatureInfo { dtype: FeatureType::F16, width: WIDTH };
    let found = with(halves, &|_, picture, _| {
        let boxes = picture.boxes.take().unwrap();
        let share = |[x1, y1, x2, y2]: [f32; 4]| [x1 / 640.0, y1 / 480.0, x2 / 640.0, y2 / 480.0, 0.0, 0.0];
        picture.geometry = Some(boxes.into_iter().map(share).collect());
    });
    assert!(found.alike && found.matched == 150, "{found}");
}

#[test]
fn a_pair_takes_the_largest_overlap_and_every_region_once() {
    let seen = |boxes: Vec<[f32; 4]>| {
        let regions = boxes.len() as u32;
        let (width, height) = (Some(100), Some(100));
        Seen::new(&Picture { regions, width, height, boxes: Some(boxes), ..Picture::default() }, vec![], 0)
    };
    let one = seen(vec![[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 8.0]]);
    let other = seen(vec![[0.0, 0.0, 10.0, 9.0], [0.0, 0.0, 10.0, 8.0], [50.0, 50.0, 60.0, 60.0]]);
    let pairs = one.matched(&other, 0.5).unwrap();
    let numbers: Vec<(usize, usize)> = pairs.iter().map(|pair| (pair.one, pair.other)).collect();
    assert_eq!(numbers, [(1, 1), (0, 0)]);
    assert!((pairs[1].iou - 0.9).abs() < 1e-6);
    assert!(one.matched(&other, 0.95).unwrap().len() == 1);
}

#[test]
fn sets_of_other_pictures_are_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(one.path(), info(WIDTH), (0..3).map(picture).collect());
    write(two.path(), info(WIDTH), (5..8).map(picture).collect());
    let message = features_check([one.path(), two.path()], OPTIONS, &Unwatched).unwrap_err().to_string();
    assert!(message.contains("has no picture of"), "{message}");
}
