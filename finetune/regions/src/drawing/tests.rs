use super::*;
use crate::decoding::{Limits, decode};

fn grey(width: u32, height: u32) -> Picture {
    Picture { width, height, rgb: vec![90; (3 * width * height) as usize] }
}

fn drawn(picture: &Picture, regions: &[Drawn<'_>]) -> Picture {
    decode(&draw_regions(picture, regions).unwrap(), &Limits::default()).unwrap()
}

/// Where the picture is not grey any more: x0, y0, x1, y1, the last two exclusive.
fn touched(picture: &Picture) -> Option<[usize; 4]> {
    let width = picture.width as usize;
    let changed: Vec<(usize, usize)> = picture
        .rgb
        .chunks(3)
        .enumerate()
        .filter(|(_, pixel)| *pixel != [90; 3])
        .map(|(n, _)| (n % width, n / width))
        .collect();
    Some([
        changed.iter().map(|at| at.0).min()?,
        changed.iter().map(|at| at.1).min()?,
        changed.iter().map(|at| at.0).max()? + 1,
        changed.iter().map(|at| at.1).max()? + 1,
    ])
}

#[test]
fn a_box_where_it_belongs() {
    let got = drawn(&grey(640, 480), &[Drawn { rect_xyxy: [100.0, 200.0, 300.0, 350.0], label: "" }]);
    assert_eq!((got.width, got.height), (640, 480));
    // The dark lines reach less than a pixel out.
    let [x0, y0, x1, y1] = touched(&got).unwrap();
    assert!(x0.abs_diff(100) <= 1 && y0.abs_diff(200) <= 1 && x1.abs_diff(300) <= 1 && y1.abs_diff(350) <= 1);
    let inside = &got.rgb[3 * (270 * 640 + 200)..][..3];
    assert_eq!(inside, [90; 3], "a box is not filled");
}

#[test]
fn a_label_stands_on_its_box() {
    let got = drawn(&grey(640, 480), &[Drawn { rect_xyxy: [100.0, 200.0, 300.0, 350.0], label: "dog 0.93" }]);
    let [_, y0, _, y1] = touched(&got).unwrap();
    assert!((175..190).contains(&y0) && y1.abs_diff(350) <= 1, "{y0} {y1}");
    // At the upper edge it goes inside.
    let got = drawn(&grey(640, 480), &[Drawn { rect_xyxy: [100.0, 0.0, 300.0, 350.0], label: "dog 0.93" }]);
    assert_eq!(touched(&got).unwrap()[1], 0);
}

#[test]
fn nothing_outside_and_no_nonsense() {
    for rect_xyxy in [
        [700.0, 10.0, 800.0, 20.0],
        [-50.0, 10.0, -1.0, 20.0],
        [f32::NAN, 10.0, 30.0, 20.0],
        [10.0, 10.0, f32::INFINITY, 20.0],
        [30.0, 10.0, 20.0, 20.0],
    ] {
        assert_eq!(
            touched(&drawn(&grey(640, 480), &[Drawn { rect_xyxy, label: "dog" }])),
            None,
            "{rect_xyxy:?}"
        );
    }
    let over = Drawn { rect_xyxy: [-1e9, -5.0, 1e9, 600.0], label: "everything" };
    assert_eq!(touched(&drawn(&grey(640, 480), &[over])), Some([0, 0, 640, 480]));
    let point = Drawn { rect_xyxy: [40.0, 50.0, 40.0, 50.0], label: "" };
    assert!(touched(&drawn(&grey(640, 480), &[point])).is_some(), "a point can be seen");
}

#[test]
fn small_pictures_grow() {
    let regions = [Drawn { rect_xyxy: [8.0, 8.0, 24.0, 16.0], label: "bird" }];
    let got = drawn(&grey(32, 24), &regions);
    assert_eq!((got.width, got.height), (640, 480));
    let [x0, _, x1, y1] = touched(&got).unwrap();
    assert!(x0.abs_diff(160) <= 1 && x1.abs_diff(480) <= 1 && y1.abs_diff(320) <= 1);
    for (width, height) in [(1, 1), (1, 3000), (3000, 1), (2, 500)] {
        draw_regions(&grey(width, height), &[Drawn { rect_xyxy: [0.0, 0.0, 1.0, 1.0], label: "thin" }])
            .unwrap();
    }
    assert!(draw_regions(&Picture { width: 3, height: 3, rgb: vec![] }, &[]).is_err());
}

#[test]
fn the_same_bytes_every_time() {
    let labels: Vec<String> = (0..30).map(|n| format!("thing {n} 0.{n}")).collect();
    let region = |(n, label)| {
        let (x, y) = ((n * 31 % 500) as f32, (n * 17 % 400) as f32);
        Drawn { rect_xyxy: [x, y, x + 80.0, y + 50.0], label }
    };
    let regions: Vec<Drawn<'_>> = labels.iter().map(String::as_str).enumerate().map(region).collect();
    let first = draw_regions(&grey(640, 480), &regions).unwrap();
    assert!(first == draw_regions(&grey(640, 480), &regions).unwrap());
}
