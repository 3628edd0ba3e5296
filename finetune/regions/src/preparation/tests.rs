//! Sizes, crops, floats. Distances from PIL + torchvision are in the golden test below and in tests/peers.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    name: String,
    width: u32,
    height: u32,
    rgb: String,
}

fn golden() -> Vec<(String, Picture)> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../golden/preparation/cases.json")).unwrap();
    let picture = |case: Case| {
        let rgb = base64_simd::STANDARD.decode_to_vec(&case.rgb).unwrap();
        (case.name, Picture { width: case.width, height: case.height, rgb })
    };
    cases.into_iter().map(picture).collect()
}

#[test]
fn resized_as_by_pillow_and_torchvision() {
    let golden = golden();
    let of = |name: &str| &golden.iter().find(|(one, _)| one == name).unwrap().1;
    for (name, filter) in [("bilinear", Filter::Bilinear), ("bicubic", Filter::Bicubic)] {
        let short = super::resize(of("picture"), Resize::ShortSideOnly { short: 24 }, filter).unwrap();
        let exact = super::resize(of("picture"), Resize::Exact { width: 40, height: 130 }, filter).unwrap();
        let regions = Resize::ShortSide { short: 80, long_at_most: 120 };
        let regions = super::resize(of("picture"), regions, filter).unwrap();
        for (kind, got) in [
            ("short-24-crop-21", center_crop(&short, 21).unwrap()),
            ("short-24", short),
            ("exact-40-130", exact),
            ("regions", regions),
        ] {
            let wanted = of(&format!("{name}-{kind}"));
            assert_eq!((got.width, got.height), (wanted.width, wanted.height), "{name}-{kind}");
            let off: Vec<u8> = got.rgb.iter().zip(&wanted.rgb).map(|(a, b)| a.abs_diff(*b)).collect();
            let mean = off.iter().map(|&one| f64::from(one)).sum::<f64>() / off.len() as f64;
            let furthest = off.iter().max().unwrap();
            println!("{name}-{kind}: mean {mean:.4}, furthest {furthest}");
            assert!(*furthest <= 1 && mean < 0.01, "{name}-{kind}: mean {mean}, furthest {furthest}");
        }
    }
}

fn picture(width: u32, height: u32) -> Picture {
    let rgb = (0..width * height).flat_map(|n| [(n % 256) as u8, (n / width) as u8, 7]).collect();
    Picture { width, height, rgb }
}

#[test]
fn sizes() {
    let regions = Resize::ShortSide { short: 600, long_at_most: 1000 };
    // detectron2's ResizeShortestEdge gives these, but a width of 0 for the thin one.
    for (given, wanted) in [
        ((640, 480), (800, 600)),
        ((480, 640), (600, 800)),
        ((640, 360), (1000, 562)),
        ((500, 333), (901, 600)),
        ((1, 3000), (1, 1000)),
        ((600, 600), (600, 600)),
        ((640, 427), (899, 600)),
    ] {
        assert_eq!(regions.size(given.0, given.1).unwrap(), wanted, "{given:?}");
    }
    // torchvision's Resize(256).
    let classes = Resize::ShortSideOnly { short: 256 };
    for (given, wanted) in [
        ((640, 480), (341, 256)),
        ((427, 640), (256, 383)),
        ((300, 300), (256, 256)),
        ((50, 100), (256, 512)),
    ] {
        assert_eq!(classes.size(given.0, given.1).unwrap(), wanted, "{given:?}");
    }
    assert_eq!(Resize::Exact { width: 3, height: 4 }.size(9, 9).unwrap(), (3, 4));
}

#[test]
fn sizes_that_cannot_be() {
    for (resize, width, height) in [
        (Resize::ShortSideOnly { short: 0 }, 10, 10),
        (Resize::ShortSideOnly { short: 256 }, 1, 60_000_000),
        (Resize::ShortSide { short: 600, long_at_most: 0 }, 10, 10),
        (Resize::Exact { width: u32::MAX, height: u32::MAX }, 10, 10),
        (Resize::Exact { width: 5, height: 5 }, 0, 10),
    ] {
        assert_eq!(resize.size(width, height).unwrap_err().code(), "bad-preparation", "{resize:?}");
    }
}

#[test]
fn crops_from_the_middle() {
    let got = center_crop(&picture(9, 6), 4).unwrap();
    // (9 - 4) / 2 = 2.5 goes to 2, (6 - 4) / 2 = 1.
    assert_eq!(got.rgb[..3], [9 + 2, 1, 7]);
    assert_eq!((got.width, got.height, got.rgb.len()), (4, 4, 48));
    // (11 - 4) / 2 = 3.5 goes to 4.
    assert_eq!(center_crop(&picture(11, 4), 4).unwrap().rgb[..3], [4, 0, 7]);
    assert!(center_crop(&picture(9, 6), 7).is_err());
    assert!(center_crop(&picture(9, 6), 0).is_err());
}

#[test]
fn floats_are_planes() {
    let picture = Picture { width: 2, height: 1, rgb: vec![0, 51, 255, 255, 102, 0] };
    let x_chw = Normalisation::SYMMETRIC.apply(&picture).unwrap();
    let wanted = [-1.0, 1.0, -0.6, -0.2, 1.0, -1.0];
    assert!(x_chw.iter().zip(wanted).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{x_chw:?}");
    // torch: (torch.tensor(124 / 255.) - 0.485) / 0.229
    let grey = Picture { width: 1, height: 1, rgb: vec![124; 3] };
    let x_chw = Normalisation::IMAGENET.apply(&grey).unwrap();
    assert_eq!(x_chw[0], (124.0_f32 / 255.0 - 0.485) / 0.229);
}

#[test]
fn crop_shares() {
    let of = |side, share| Preparation::classification(side, share, Filter::Bicubic, Normalisation::IMAGENET);
    for (side, share, short) in
        [(224, 0.875, 256), (240, 0.882, 272), (300, 0.904, 331), (380, 0.922, 412), (288, 1.0, 288)]
    {
        let wanted = Resize::ShortSideOnly { short };
        assert_eq!(of(side, share).unwrap().resize, wanted, "{side} {share}");
    }
    for (side, share) in [(224, 0.0), (224, 1.1), (224, f64::NAN), (0, 0.875), (60_000, 0.5)] {
        assert!(of(side, share).is_err(), "{side} {share}");
    }
}

#[test]
fn a_flat_picture_stays_flat() {
    let flat = Picture { width: 301, height: 200, rgb: [10, 200, 90].repeat(301 * 200) };
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        for resize in
            [Resize::ShortSide { short: 600, long_at_most: 1000 }, Resize::ShortSideOnly { short: 31 }]
        {
            let got = super::resize(&flat, resize, filter).unwrap();
            assert!(got.rgb.chunks(3).all(|pixel| pixel == [10, 200, 90]), "{resize:?} {filter:?}");
        }
    }
}

#[test]
fn a_window_shows_what_the_whole_has() {
    let golden = golden();
    let picture = &golden[0].1;
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        for (short, side) in [(24, 21), (24, 24), (40, 7), (61, 50), (150, 33), (5, 1)] {
            let resize = Resize::ShortSideOnly { short };
            let preparation =
                Preparation { resize, filter, crop: Some(side), normalisation: Normalisation::IMAGENET };
            let got = preparation.prepare(picture).unwrap();
            let in_steps = center_crop(&super::resize(picture, resize, filter).unwrap(), side).unwrap();
            let wanted = Normalisation::IMAGENET.apply(&in_steps).unwrap();
            assert_eq!((got.width, got.height), (side, side));
            // The window's place is a sum of other floats, so that here and there a level rounds the other way.
            let off: Vec<f32> = got.x_chw.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).collect();
            let level = 1.0 / 255.0 / 0.224;
            assert!(off.iter().all(|&one| one < 1.01 * level), "{filter:?} {short} {side}");
            let differ = off.iter().filter(|&&one| one > 0.0).count();
            assert!(differ * 100 <= off.len(), "{filter:?} {short} {side}: {differ} of {}", off.len());
        }
    }
}

#[test]
fn the_whole_way() {
    let preparation =
        Preparation::classification(8, 0.875, Filter::Bilinear, Normalisation::IMAGENET).unwrap();
    let got = preparation.prepare(&picture(20, 30)).unwrap();
    assert_eq!((got.width, got.height, got.x_chw.len()), (8, 8, 192));
    assert!(preparation.prepare(&Picture { width: 20, height: 30, rgb: vec![0; 5] }).is_err());
}
