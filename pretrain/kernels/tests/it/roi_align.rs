//! RoIAlign against its definition in f64.

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::image::{Maps, Number, VectorPath, cut_out};
use pretrain_kernels::{RoiAlign, roi_align};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, var};
use crate::proof::assert_gradients;

const ROIS: [[f64; 5]; 7] = [
    [0.0, 3.3, 5.1, 60.7, 40.2],
    [1.0, 0.3, 0.2, 100.9, 70.8],
    [0.0, 40.2, 30.1, 41.7, 30.4],
    [1.0, -50.3, -20.2, 30.6, 25.1],
    [0.0, 500.1, 500.2, 600.3, 600.4],
    [1.0, 20.3, 20.2, 20.3, 20.2],
    [1.0, 70.4, 50.3, 90.2, 190.1],
];

fn ways() -> Vec<RoiAlign> {
    [(true, 2), (true, 0), (false, 2), (false, 0), (true, 1)]
        .map(|(aligned, sampling_ratio)| RoiAlign {
            output: [3, 4],
            spatial_scale: 0.125,
            sampling_ratio,
            aligned,
        })
        .to_vec()
}

fn rois(dtype: DType) -> Tensor {
    Tensor::from_slice(ROIS.as_flattened(), (ROIS.len(), 5), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// One element, sample by sample, and the samples of a bin.
fn bin(
    x: &[f64],
    [channels, height, width]: [usize; 3],
    roi: &[f64],
    how: &RoiAlign,
    at: [usize; 3],
) -> (f64, f64) {
    let [c, p, q] = at;
    let plane = &x[(roi[0] as usize * channels + c) * height * width..][..height * width];
    let offset = if how.aligned { 0.5 } else { 0.0 };
    let axis = |from: f64, to: f64, bins: usize, bin: usize| -> Vec<f64> {
        let start = from * how.spatial_scale - offset;
        let mut side = (to - from) * how.spatial_scale;
        if !how.aligned {
            side = side.max(1.0);
        }
        let length = side / bins as f64;
        let count = if how.sampling_ratio > 0 { how.sampling_ratio } else { length.ceil() as usize };
        (0..count).map(|i| start + length * (bin as f64 + (i as f64 + 0.5) / count as f64)).collect()
    };
    let (ys, xs) = (axis(roi[2], roi[4], how.output[0], p), axis(roi[1], roi[3], how.output[1], q));
    let mut sum = 0.0;
    for (y, x) in ys.iter().flat_map(|y| xs.iter().map(move |x| (*y, *x))) {
        if y < -1.0 || x < -1.0 || y > height as f64 || x > width as f64 {
            continue;
        }
        let (y, x) = (y.clamp(0.0, height as f64 - 1.0), x.clamp(0.0, width as f64 - 1.0));
        let tent = |at: f64, element: usize| (1.0 - (at - element as f64).abs()).max(0.0);
        for h in 0..height {
            for w in 0..width {
                sum += tent(y, h) * tent(x, w) * plane[h * width + w];
            }
        }
    }
    let count = (ys.len() * xs.len()) as f64;
    (sum / count.max(1.0), count)
}

/// A coordinate is formed by seven operations on numbers of at most `|box| scale + 1`; where it moves by δ, the four
/// weights move by at most 2δ in each axis, and x is at most 1. Then 4 products and sums a sample round.
#[test]
fn within_the_derived_bound_of_the_definition() {
    let (shape, rois) = ([2, 3, 9, 13], rois(DType::F32));
    let x = tensor(1, &shape, DType::F32);
    let (x_values, roi_values) = (numbers(&x), numbers(&rois));
    for how in ways() {
        let y = roi_align(&x, &rois, &how).unwrap();
        assert_eq!(y.dims(), [ROIS.len(), 3, 3, 4]);
        let y = numbers(&y);
        let mut index = 0;
        for roi in roi_values.chunks(5) {
            let largest = roi[1..].iter().fold(0f64, |largest, number| largest.max(number.abs()));
            for (c, p, q) in (0..3).flat_map(|c| (0..3).flat_map(move |p| (0..4).map(move |q| (c, p, q)))) {
                let (exact, count) = bin(&x_values, [3, 9, 13], roi, &how, [c, p, q]);
                let unit = 2f64.powi(-24);
                let bound =
                    4.0 * 7.0 * unit * (largest * how.spatial_scale + 1.0) + (4.0 * count + 8.0) * unit;
                let error = (y[index] - exact).abs();
                assert!(error <= bound, "{how:?} {roi:?} [{c}, {p}, {q}]: {} and {exact}", y[index]);
                index += 1;
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let rois = rois(DType::F64);
    for how in ways() {
        let x = var(1, &[2, 2, 6, 7], DType::F64);
        assert_gradients(&format!("{how:?}"), &[x], |t| roi_align(&t[0], &rois, &how).unwrap());
    }
    assert_gradients("view", &[var(1, &[7, 6, 3, 2], DType::F64)], |t| {
        let x = t[0].permute((3, 2, 1, 0)).unwrap().narrow(1, 1, 2).unwrap();
        roi_align(&x, &rois.narrow(0, 0, 4).unwrap(), &ways()[0]).unwrap()
    });
}

#[test]
fn keeps_its_bits() {
    let rois = rois(DType::F32);
    for how in ways() {
        let x = var(1, &[2, 24, 19, 23], DType::F32);
        assert_same_bits(&format!("{how:?}"), &[x], false, |t| roi_align(&t[0], &rois, &how).unwrap());
    }
}

/// A region's result does not depend on the other regions and samples.
#[test]
fn a_region_alone_has_the_same_bits() {
    let (x, rois) = (tensor(1, &[2, 5, 9, 13], DType::F32), rois(DType::F32));
    for how in ways() {
        let all = roi_align(&x, &rois, &how).unwrap();
        for (n, roi) in ROIS.iter().enumerate() {
            let x = x.narrow(0, roi[0] as usize, 1).unwrap();
            let alone = Tensor::new(&[[0.0, roi[1], roi[2], roi[3], roi[4]]], &Device::Cpu).unwrap();
            let alone = roi_align(&x, &alone.to_dtype(DType::F32).unwrap(), &how).unwrap();
            assert_eq!(numbers(&alone), numbers(&all.narrow(0, n, 1).unwrap()));
        }
    }
}

/// A sample exactly on the map's side, or exactly 1 before it, still counts as the nearest element; beyond it is zero.
#[test]
fn the_margins_belong_to_the_map() {
    let ones = Tensor::ones((1, 1, 4, 4), DType::F64, &Device::Cpu).unwrap();
    let how = RoiAlign { output: [1, 1], spatial_scale: 1.0, sampling_ratio: 1, aligned: false };
    for (from, to, expected) in [(3.0, 5.0, 1.0), (3.1, 5.1, 0.0), (-2.0, 0.0, 1.0), (-2.1, -0.1, 0.0)] {
        for roi in [[0.0, 1.0, from, 2.0, to], [0.0, from, 1.0, to, 2.0]] {
            let y = roi_align(&ones, &Tensor::new(&[roi], &Device::Cpu).unwrap(), &how).unwrap();
            assert_eq!(numbers(&y), [expected], "{roi:?}");
        }
    }
}

#[test]
fn no_regions_pass_and_misfits_are_named() {
    let x = var(1, &[2, 3, 4, 4], DType::F32);
    let how = ways()[0];
    let y = roi_align(&x, &tensor(1, &[0, 5], DType::F32), &how).unwrap();
    assert_eq!(y.dims(), [0, 3, 3, 4]);
    let gradient = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(numbers(gradient.get(&x).unwrap()), [0.0; 96]);
    let with = |roi: [f32; 5], how: RoiAlign| {
        roi_align(&x, &Tensor::new(&[[0.0, 1.0, 1.0, 2.0, 2.0], roi], &Device::Cpu).unwrap(), &how)
    };
    let adaptive = RoiAlign { sampling_ratio: 0, ..how };
    for (result, part) in [
        (
            with([2.0, 0.0, 0.0, 1.0, 1.0], how),
            "region 1: expected the index of a sample of the batch, got 2 of 2",
        ),
        (with([-1.0, 0.0, 0.0, 1.0, 1.0], how), "got -1 of 2"),
        (with([0.5, 0.0, 0.0, 1.0, 1.0], how), "got 0.5 of 2"),
        (with([0.0, 0.0, f32::NAN, 1.0, 1.0], how), "finite numbers"),
        (with([0.0, 0.0, 0.0, 3e38, 1.0], adaptive), "clipped to its picture"),
        (
            with([0.0, 0.0, 0.0, 3e38, 1.0], RoiAlign { sampling_ratio: usize::MAX, ..how }),
            "clipped to its picture",
        ),
        (with([0.0, 0.0, 0.0, 1.0, 1.0], RoiAlign { output: [0, 1], ..how }), "at least one bin"),
        (with([0.0, 0.0, 0.0, 1.0, 1.0], RoiAlign { spatial_scale: f64::NAN, ..how }), "a positive scale"),
        (roi_align(&x, &tensor(1, &[2, 4], DType::F32), &how), "[n, 5]: batch index, x1, y1, x2, y2"),
        (roi_align(&x, &tensor(1, &[2, 5], DType::F64), &how), "rois is F64"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with("roi_align: ") && message.contains(part), "{message}");
    }
    // Far outside is legal where the number of samples is not the box's.
    assert_eq!(numbers(&with([0.0, 1e30, 1e30, 2e30, 2e30], how).unwrap())[36..], [0.0; 36]);
}

/// Cut out of the maps of a trained network: the sums of the operation on tensors in another order. Of at most 40 samples a
/// bin and |x| <= 1 each of the two is within γ of 4 · 40 + 8 roundings of the same sum.
#[test]
fn out_of_maps_the_same_along_every_path() {
    fn cut<N: Number>(path: VectorPath, x: &Tensor, boxes: &[[f32; 4]], how: &RoiAlign) -> Vec<f32> {
        let (mut from, mut to) = (Maps::<N>::default(), Maps::<N>::default());
        let x_values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        from.take_tensor(&x_values, x.dims4().map(|(b, c, h, w)| [b, c, h, w]).unwrap());
        cut_out(path, from.all(), boxes, how, &mut to).unwrap();
        assert_eq!(to.all().dims(), [boxes.len(), x.dims()[1], how.output[0], how.output[1]]);
        to.all().to_tensor()
    }
    let boxes: Vec<[f32; 4]> = ROIS.iter().map(|roi| [1, 2, 3, 4].map(|corner| roi[corner] as f32)).collect();
    let rois: Vec<f32> = boxes.iter().flat_map(|rect| [&[0.0], &rect[..]].concat()).collect();
    let rois = Tensor::from_vec(rois, (boxes.len(), 5), &Device::Cpu).unwrap();
    let bound = 2.0 * 168.0 * 2f64.powi(-24);
    for channels in [3, 16, 37, 512] {
        let x = tensor(2, &[1, channels, 9, 13], DType::F32);
        for how in ways() {
            let wanted = numbers(&roi_align(&x, &rois, &how).unwrap());
            for path in [VectorPath::Avx512, VectorPath::Avx2, VectorPath::Portable] {
                if !path.is_available() {
                    continue;
                }
                let got = cut::<f32>(path, &x, &boxes, &how);
                for (got, wanted) in got.iter().zip(&wanted) {
                    assert!((f64::from(*got) - wanted).abs() <= bound, "{path:?} {how:?}: {got}, {wanted}");
                }
                let alone: Vec<f32> =
                    boxes.iter().flat_map(|rect| cut::<f32>(path, &x, &[*rect], &how)).collect();
                assert!(alone == got, "{path:?} {how:?}: a region depends on its neighbours");
            }
        }
    }
    let two = tensor(1, &[2, 3, 4, 4], DType::F32);
    let (mut from, mut to) = (Maps::<f32>::default(), Maps::<f32>::default());
    from.take_tensor(&two.flatten_all().unwrap().to_vec1().unwrap(), [2, 3, 4, 4]);
    assert!(cut_out(VectorPath::here(), from.all(), &boxes, &ways()[0], &mut to).is_err());
    let bad = [[0.0, f32::NAN, 1.0, 1.0]];
    assert!(cut_out(VectorPath::here(), from.images(0..1), &bad, &ways()[0], &mut to).is_err());
}
