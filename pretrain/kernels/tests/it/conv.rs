//! Convolution against seven nested loops.

use candle_core::{DType, Tensor};
use pretrain_kernels::{ConvGeometry, Padding, conv2d};

use crate::draw::{numbers, tensor, var};
use crate::proof::{Exact, assert_gradients, assert_within};

/// Shapes of x and w, and how w moves.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) x: [usize; 4],
    pub(crate) w: [usize; 4],
    pub(crate) geometry: ConvGeometry,
}

fn case(
    name: &'static str,
    x: [usize; 4],
    w: [usize; 4],
    stride: [usize; 2],
    pad: [usize; 4],
    dilation: [usize; 2],
    groups: usize,
) -> Case {
    let [top, bottom, left, right] = pad;
    let padding = Padding { top, bottom, left, right };
    Case { name, x, w, geometry: ConvGeometry { stride, padding, dilation, groups } }
}

/// Small, for finite differences: each way through the code, and the corners of each.
pub(crate) fn small() -> Vec<Case> {
    let none = [0; 4];
    vec![
        case("dense 3x3", [2, 3, 7, 5], [4, 3, 3, 3], [1, 1], [1; 4], [1, 1], 1),
        case("dense 3x3, stride 2, one side odd", [2, 2, 7, 8], [3, 2, 3, 3], [2, 2], [1; 4], [1, 1], 1),
        case("dense 3x3, dilation 2", [1, 2, 9, 8], [2, 2, 3, 3], [1, 1], [2; 4], [2, 2], 1),
        case("dense 3x2, pads all different", [1, 2, 6, 7], [2, 2, 3, 2], [2, 3], [0, 1, 2, 3], [1, 1], 1),
        case("dense, padding beyond the kernel", [1, 1, 3, 3], [2, 1, 2, 2], [1, 2], [4, 3, 5, 2], [1, 1], 1),
        case("dense 7x7 over a smaller map", [1, 2, 3, 4], [2, 2, 7, 7], [2, 2], [3; 4], [1, 1], 1),
        case("1x1", [2, 5, 3, 4], [6, 5, 1, 1], [1, 1], none, [1, 1], 1),
        case("1x1 on one position", [3, 5, 1, 1], [4, 5, 1, 1], [1, 1], none, [1, 1], 1),
        case("1x1 in groups", [2, 6, 3, 3], [4, 3, 1, 1], [1, 1], none, [1, 1], 2),
        case("1x1, stride 2", [1, 3, 5, 6], [2, 3, 1, 1], [2, 2], none, [1, 1], 1),
        case("1x1, padded", [1, 2, 3, 3], [2, 2, 1, 1], [1, 1], [1, 0, 0, 1], [1, 1], 1),
        case("groups of 2 to 3", [2, 4, 5, 6], [6, 2, 3, 3], [1, 1], [1; 4], [1, 1], 2),
        case("groups of 4 to 5, stride 2", [1, 8, 5, 6], [10, 4, 3, 3], [2, 2], [1; 4], [1, 1], 2),
        case("wide groups", [1, 66, 3, 4], [2, 33, 2, 2], [1, 1], [1, 0, 1, 0], [1, 1], 2),
        case("depthwise 3x3", [2, 3, 6, 7], [3, 1, 3, 3], [1, 1], [1; 4], [1, 1], 3),
        case("depthwise 5x5, SAME at stride 2", [1, 3, 8, 9], [3, 1, 5, 5], [2, 2], [1, 2, 2, 2], [1, 1], 3),
        case("depthwise times 2", [2, 3, 5, 5], [6, 1, 3, 3], [1, 1], [1; 4], [1, 1], 3),
        case("depthwise, dilation 2, stride 3", [1, 2, 9, 8], [2, 1, 3, 3], [3, 2], [1, 0, 0, 2], [2, 3], 2),
        case(
            "depthwise, stride over the kernel",
            [1, 2, 9, 8],
            [2, 1, 2, 1],
            [4, 3],
            [0, 1, 1, 0],
            [1, 1],
            2,
        ),
    ]
}

/// Large enough for several tiles of every kind.
fn large() -> Vec<Case> {
    let none = [0; 4];
    vec![
        case("stem", [1, 3, 151, 130], [16, 3, 7, 7], [2, 2], [3; 4], [1, 1], 1),
        case("dense, many tiles", [2, 37, 40, 53], [19, 37, 3, 3], [1, 1], [1; 4], [1, 1], 1),
        case("1x1, many tiles", [2, 301, 31, 53], [307, 301, 1, 1], [1, 1], none, [1, 1], 1),
        case("narrow groups", [2, 24, 45, 61], [40, 6, 3, 3], [2, 2], [1; 4], [1, 1], 4),
        case("wide groups", [1, 80, 33, 35], [68, 40, 3, 3], [1, 1], [1; 4], [1, 1], 2),
        case("depthwise, long sums", [2, 3, 90, 95], [6, 1, 3, 3], [1, 1], [1; 4], [1, 1], 3),
        case("depthwise", [2, 11, 70, 91], [11, 1, 5, 5], [2, 2], [1, 2, 2, 2], [1, 1], 11),
    ]
}

/// y and all gradients of `Σ y d_y`, with sums of absolute values and the number of terms.
struct Reference {
    y: Exact,
    d_x: Exact,
    d_w: Exact,
    d_bias: Exact,
}

fn reference(case: &Case, x: &[f64], w: &[f64], bias: &[f64], d_y: &[f64], output: [usize; 2]) -> Reference {
    let ([batch, channels, height, width], [outputs, inputs, kernel_h, kernel_w]) = (case.x, case.w);
    let ConvGeometry { stride, padding, dilation, groups } = case.geometry;
    let sum = |count: usize, roundings: usize| Exact {
        value: vec![0.0; count],
        absolute: vec![0.0; count],
        roundings,
    };
    // A term meets its product, its sums and the bias.
    let mut result = Reference {
        y: sum(d_y.len(), inputs * kernel_h * kernel_w + 2),
        d_x: sum(x.len(), outputs / groups * kernel_h * kernel_w + 1),
        d_w: sum(w.len(), batch * output[0] * output[1] + 1),
        d_bias: sum(bias.len(), batch * output[0] * output[1]),
    };
    let add = |to: &mut Exact, at: usize, term: f64| {
        to.value[at] += term;
        to.absolute[at] += term.abs();
    };
    for (at_y, d) in d_y.iter().enumerate() {
        let (q, p) = (at_y % output[1], at_y / output[1] % output[0]);
        let o = at_y / (output[0] * output[1]) % outputs;
        let b = at_y / (output[0] * output[1] * outputs);
        add(&mut result.y, at_y, bias[o]);
        add(&mut result.d_bias, o, *d);
        for i in 0..inputs {
            let c = o / (outputs / groups) * inputs + i;
            for kh in 0..kernel_h {
                for kw in 0..kernel_w {
                    let h = (p * stride[0] + kh * dilation[0]) as isize - padding.top as isize;
                    let v = (q * stride[1] + kw * dilation[1]) as isize - padding.left as isize;
                    if h < 0 || v < 0 || h >= height as isize || v >= width as isize {
                        continue;
                    }
                    let at_x = ((b * channels + c) * height + h as usize) * width + v as usize;
                    let at_w = ((o * inputs + i) * kernel_h + kh) * kernel_w + kw;
                    add(&mut result.y, at_y, w[at_w] * x[at_x]);
                    add(&mut result.d_x, at_x, w[at_w] * d);
                    add(&mut result.d_w, at_w, x[at_x] * d);
                }
            }
        }
    }
    result
}

#[test]
fn within_the_derived_bound_of_the_loops() {
    for case in small().iter().chain(&large()) {
        let (x, w) = (var(1, &case.x, DType::F32), var(2, &case.w, DType::F32));
        let bias = var(3, &case.w[..1], DType::F32);
        let y = conv2d(&x, &w, Some(&bias), &case.geometry).unwrap();
        let d_y = tensor(4, y.dims(), DType::F32);
        let gradients = (&y * &d_y).unwrap().sum_all().unwrap().backward().unwrap();
        let output = [y.dims()[2], y.dims()[3]];
        let exact = reference(case, &numbers(&x), &numbers(&w), &numbers(&bias), &numbers(&d_y), output);
        assert_within(&format!("{}: y", case.name), &y, &exact.y);
        assert_within(&format!("{}: d_x", case.name), gradients.get(&x).unwrap(), &exact.d_x);
        assert_within(&format!("{}: d_w", case.name), gradients.get(&w).unwrap(), &exact.d_w);
        assert_within(&format!("{}: d_bias", case.name), gradients.get(&bias).unwrap(), &exact.d_bias);
        // Without the bias the same sums, and the same gradients.
        let plain = conv2d(&x, &w, None, &case.geometry).unwrap();
        let biased = plain.broadcast_add(&bias.reshape((1, (), 1, 1)).unwrap()).unwrap();
        assert_eq!(numbers(&biased), numbers(&y), "{}", case.name);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for case in small() {
        let x = var(1, &case.x, DType::F64);
        let w = var(2, &case.w, DType::F64);
        let bias = var(3, &case.w[..1], DType::F64);
        assert_gradients(case.name, &[x.clone(), w.clone(), bias], |t| {
            conv2d(&t[0], &t[1], Some(&t[2]), &case.geometry).unwrap()
        });
        assert_gradients(case.name, &[x, w], |t| conv2d(&t[0], &t[1], None, &case.geometry).unwrap());
    }
}

#[test]
fn views_count_as_what_they_show() {
    let geometry = ConvGeometry { padding: Padding::symmetric(1), ..ConvGeometry::default() };
    let wide = var(1, &[3, 8, 5, 6], DType::F64);
    let weight = var(2, &[3, 3, 4, 6], DType::F64);
    let f = |t: &[Tensor]| {
        // An offset in the batch and the channels, and a weight whose axes are exchanged.
        let x = t[0].narrow(0, 1, 2).unwrap().narrow(1, 2, 4).unwrap().transpose(2, 3).unwrap();
        let w = t[1].permute((3, 2, 0, 1)).unwrap();
        conv2d(&x, &w, None, &geometry).unwrap()
    };
    let copy = |tensor: &Tensor| Tensor::from_vec(numbers(tensor), tensor.dims(), tensor.device()).unwrap();
    let x = copy(&wide.narrow(0, 1, 2).unwrap().narrow(1, 2, 4).unwrap().transpose(2, 3).unwrap());
    let w = copy(&weight.permute((3, 2, 0, 1)).unwrap());
    let y = conv2d(&x, &w, None, &geometry).unwrap();
    assert_eq!(numbers(&f(&[wide.as_tensor().clone(), weight.as_tensor().clone()])), numbers(&y));
    assert_gradients("views", &[wide, weight], f);
}

#[test]
fn an_empty_batch_has_an_empty_result() {
    for case in small() {
        let mut shape = case.x;
        shape[0] = 0;
        let (x, w) = (var(1, &shape, DType::F32), var(2, &case.w, DType::F32));
        let bias = var(3, &case.w[..1], DType::F32);
        let y = conv2d(&x, &w, Some(&bias), &case.geometry).unwrap();
        assert_eq!((y.dims()[0], y.dims()[1]), (0, case.w[0]));
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&x).unwrap().dims(), shape);
        for parameter in [&w, &bias] {
            assert!(numbers(gradients.get(parameter).unwrap()).iter().all(|d| *d == 0.0));
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let conv = |x: &[usize], w: &[usize], bias: Option<usize>, geometry: ConvGeometry| {
        let bias = bias.map(|length| tensor(3, &[length], DType::F32));
        conv2d(&tensor(1, x, DType::F32), &tensor(2, w, DType::F32), bias.as_ref(), &geometry)
            .unwrap_err()
            .to_string()
    };
    let plain = ConvGeometry::default();
    let groups = |groups| ConvGeometry { groups, ..plain };
    let (x, w) = ([1, 4, 3, 3], [6, 4, 3, 3]);
    for (message, part) in [
        (conv(&[4, 3, 3], &w, None, plain), "x has shape [4, 3, 3], expected [b, i, h, w]"),
        (conv(&x, &[6, 4, 3], None, plain), "w has shape [6, 4, 3], expected [o, i, h, w]"),
        (conv(&x, &w, Some(5), plain), "bias has shape [5], expected [6]"),
        (conv(&x, &w, None, groups(2)), "as many input channels as weight axis 1 times groups"),
        (conv(&x, &[6, 1, 3, 3], None, groups(4)), "output channels that the groups divide"),
        (conv(&x, &w, None, groups(0)), "at least 1"),
        (conv(&x, &w, None, ConvGeometry { stride: [1, 0], ..plain }), "at least 1"),
        (conv(&x, &[6, 4, 4, 3], None, plain), "map 3 x 3, kernel 4 x 3"),
        (conv(&x, &w, None, ConvGeometry { dilation: [1, usize::MAX], ..plain }), "at least as large"),
        (conv(&x, &[0, 4, 3, 3], None, plain), "axis of length 0"),
        (conv(&[1, 4, 0, 3], &w, None, plain), "a map of at least 1 x 1"),
    ] {
        assert!(message.starts_with("conv2d: ") && message.contains(part), "{message}");
    }
    let mixed = conv2d(&tensor(1, &x, DType::F32), &tensor(2, &w, DType::F64), None, &plain);
    assert!(mixed.unwrap_err().to_string().contains("w is F64, expected the type of the first tensor"));
    let whole = tensor(1, &x, DType::F32).to_dtype(DType::I64).unwrap();
    let whole = conv2d(&whole, &tensor(2, &w, DType::F32), None, &plain);
    assert!(whole.unwrap_err().to_string().contains("x is I64, expected f32 or f64"));
}
