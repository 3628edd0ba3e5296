use serde_json::Value;

use super::rand_augment::CHANGES;
use super::*;

fn picture(width: u32, height: u32) -> Picture {
    let rgb = (0..width * height).flat_map(|i| {
        [(i % width * 255 / width) as u8, (i / width * 255 / height) as u8, (i * 7 % 256) as u8]
    });
    Picture { width, height, rgb: rgb.collect() }
}

fn occasion(picture: u64, epoch: u32) -> Occasion {
    Occasion { seed: 3, epoch, picture }
}

fn applied(augmentation: &Augmentation, source: &Picture, side: usize, occasion: Occasion) -> Vec<f32> {
    let mut x_chw = vec![f32::NAN; 3 * side * side];
    augmentation.apply(source, Filter::Bilinear, &Normalisation::SYMMETRIC, occasion, &mut x_chw).unwrap();
    x_chw
}

/// Pillow's values: `golden/augmentation/generate.py`.
#[test]
fn changes_are_pillows() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/augmentation/changes.json")).unwrap();
    let bytes = |list: &Value| -> Vec<u8> {
        list.as_array().unwrap().iter().map(|value| value.as_u64().unwrap() as u8).collect()
    };
    let side = |i: usize| golden["size"][i].as_u64().unwrap() as u32;
    let source = Picture { width: side(0), height: side(1), rgb: bytes(&golden["rgb"]) };
    let mut seen = 0;
    for case in golden["cases"].as_array().unwrap() {
        let name = case["change"].as_str().unwrap();
        let change = CHANGES.into_iter().find(|change| format!("{change:?}") == name).unwrap();
        let (strength, negative) = (case["strength"].as_f64().unwrap(), case["negative"].as_bool().unwrap());
        let got = change.apply(source.clone(), strength, negative);
        assert_eq!(got.rgb, bytes(&case["rgb"]), "{name} {strength}");
        seen += usize::from(got != source);
    }
    // the picture has all contrast already, and at full strength nothing is solarized
    assert_eq!(seen, 27);
}

#[test]
fn a_picture_depends_on_its_occasion_alone() {
    let source = picture(50, 40);
    let augmentation = Augmentation {
        colour_jitter: [0.4; 3],
        lighting: 0.1,
        rand_augment: Some(RandAugment { layers: 2, magnitude: 9.0, deviation: 0.5 }),
        erasing: 0.5,
        ..Augmentation::default()
    };
    let first = applied(&augmentation, &source, 24, occasion(5, 2));
    assert!(first.iter().all(|value| value.is_finite()));
    assert_eq!(applied(&augmentation, &source, 24, occasion(5, 2)), first);
    for other in [occasion(6, 2), occasion(5, 3), Occasion { seed: 4, ..occasion(5, 2) }] {
        assert_ne!(applied(&augmentation, &source, 24, other), first);
    }
}

/// With everything off, and the whole picture as the only crop, it is what evaluation sees.
#[test]
fn nothing_is_the_resized_picture() {
    let source = picture(40, 40);
    let nothing =
        Augmentation { crop_area: [1.0; 2], crop_aspect: [1.0; 2], flip: 0.0, ..Augmentation::default() };
    let exact = Resize::Exact { width: 16, height: 16 };
    let plain = Normalisation::SYMMETRIC.apply(&resize(&source, exact, Filter::Bilinear).unwrap()).unwrap();
    assert_eq!(applied(&nothing, &source, 16, occasion(1, 0)), plain);
    let mirrored = applied(&Augmentation { flip: 1.0, ..nothing }, &source, 16, occasion(1, 0));
    for (row, plain) in mirrored.chunks(16).zip(plain.chunks(16)) {
        assert!(row.iter().rev().eq(plain));
    }
}

#[test]
fn crops_have_the_areas_and_proportions_that_were_asked_for() {
    let source = Picture { width: 200, height: 100, rgb: vec![0; 60_000] };
    let (mut least, mut most, mut lefts) = (1f64, 0f64, std::collections::BTreeSet::new());
    for picture in 0..2000 {
        let mut draws = Draws::new(occasion(picture, 0));
        let [left, top, width, height] =
            geometry::crop_window(&source, [0.2, 0.6], [0.75, 4.0 / 3.0], &mut draws);
        assert!(left + width <= 200 && top + height <= 100);
        let (area, aspect) = (f64::from(width * height) / 20_000.0, f64::from(width) / f64::from(height));
        assert!((0.19..=0.61).contains(&area) && (0.73..=1.36).contains(&aspect), "{area} {aspect}");
        (least, most) = (least.min(area), most.max(area));
        lefts.insert(left);
    }
    assert!(least < 0.22 && most > 0.5 && lefts.len() > 100, "{least} {most} {}", lefts.len());
    // nothing fits: the largest middle part
    let thin = Picture { width: 1000, height: 10, rgb: vec![0; 30_000] };
    let mut draws = Draws::new(occasion(0, 0));
    let [left, top, width, height] = geometry::crop_window(&thin, [0.9, 1.0], [0.75, 1.25], &mut draws);
    assert_eq!((top, height, width, left), (0, 10, 13, 493));
}

#[test]
fn erasing_takes_a_rectangle_of_a_published_size() {
    let nothing = Augmentation {
        crop_area: [1.0; 2],
        crop_aspect: [1.0; 2],
        flip: 0.0,
        erasing: 1.0,
        ..Augmentation::default()
    };
    let source = Picture { width: 32, height: 32, rgb: vec![255; 32 * 32 * 3] };
    for picture in 0..50 {
        let x_chw = applied(&nothing, &source, 32, occasion(picture, 0));
        let gone = |c: usize| -> Vec<usize> { (0..1024).filter(|i| x_chw[c * 1024 + i] != 1.0).collect() };
        let area = gone(0).len() as f64 / 1024.0;
        assert!((0.015..0.36).contains(&area), "{area}");
        assert_eq!(gone(0), gone(2));
        let (rows, columns): (Vec<_>, Vec<_>) = gone(1).iter().map(|i| (i / 32, i % 32)).unzip();
        let extent = |of: &[usize]| of.iter().max().unwrap() - of.iter().min().unwrap() + 1;
        assert_eq!(extent(&rows) * extent(&columns), gone(1).len(), "not a rectangle");
    }
}

#[test]
fn settings_that_cannot_be_meant_are_named() {
    let default = Augmentation::default();
    default.validate().unwrap();
    let wrong = [
        (Augmentation { crop_area: [0.5, 0.2], ..default }, "crop_area"),
        (Augmentation { crop_aspect: [0.0, 1.0], ..default }, "crop_aspect"),
        (Augmentation { flip: 1.5, ..default }, "flip"),
        (Augmentation { colour_jitter: [0.4, 1.1, 0.0], ..default }, "colour_jitter"),
        (
            Augmentation {
                rand_augment: Some(RandAugment { layers: 2, magnitude: 11.0, deviation: 0.0 }),
                ..default
            },
            "rand_augment",
        ),
    ];
    for (augmentation, key) in wrong {
        let message = augmentation.validate().unwrap_err().to_string();
        assert!(message.contains(&format!("augmentation.{key}")), "{message}");
    }
}
