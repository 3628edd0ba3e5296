//! Layers that learn on maps, beside the operations on tensors in f64, along every path of vectors that the processor has.

use candle_core::{DType, Device, Tensor, Var};
use pretrain_kernels::image::training::{
    Depthwise, Filter, Packed, Sink, Source, convolve, grouped_gradient, pointwise_gradient, stem_gradient,
};
use pretrain_kernels::image::{Maps, VectorPath};
use pretrain_kernels::{ConvGeometry, Padding, conv2d};

use crate::draw::values;

pub(crate) fn paths() -> Vec<VectorPath> {
    let all = [VectorPath::Avx512, VectorPath::Avx2, VectorPath::Portable];
    all.into_iter().filter(|path| path.is_available()).collect()
}

pub(crate) fn numbers(seed: u64, dims: &[usize]) -> Vec<f32> {
    values(seed, dims.iter().product()).iter().map(|x| *x as f32).collect()
}

/// In f64.
pub(crate) fn tensor(values: &[f32], dims: &[usize]) -> Tensor {
    Tensor::from_vec(values.to_vec(), dims, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
}

pub(crate) fn maps(values: &[f32], dims: [usize; 4]) -> Maps<f32> {
    let mut maps = Maps::default();
    maps.take_tensor(values, dims);
    maps
}

/// Apart by at most `bound` of what the largest exact number is.
pub(crate) fn assert_near(what: &str, got: &[f32], exact: &Tensor, bound: f64) {
    let exact: Vec<f64> = exact.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(got.len(), exact.len(), "{what}");
    let largest = exact.iter().fold(1e-30, |largest: f64, x| largest.max(x.abs()));
    for (at, (got, exact)) in got.iter().zip(&exact).enumerate() {
        let apart = (f64::from(*got) - exact).abs() / largest;
        assert!(apart <= bound, "{what}[{at}]: {got}, exact {exact}, apart {apart:e} of the largest");
    }
}

/// A sum of n terms is off by at most n 2^-24 of their absolute sum; these have at most some thousand, of which roundings of
/// either sign leave the root, and their largest result is of the size of the root of n terms.
pub(crate) const BOUND: f64 = 4e-6;

struct Case {
    x: [usize; 4],
    w: [usize; 4],
    stride: usize,
    /// above, below, left, right
    pad: [usize; 4],
    groups: usize,
}

const fn case(x: [usize; 4], w: [usize; 4], stride: usize, pad: [usize; 4], groups: usize) -> Case {
    Case { x, w, stride, pad, groups }
}

const CASES: [Case; 24] = [
    case([2, 32, 7, 6], [32, 32, 3, 3], 1, [1; 4], 1),
    case([2, 80, 6, 5], [80, 80, 3, 3], 2, [1; 4], 1),
    case([2, 5, 3, 4], [6, 5, 1, 1], 1, [0; 4], 1),
    case([3, 40, 1, 1], [70, 40, 1, 1], 1, [0; 4], 1),
    case([2, 19, 13, 11], [112, 19, 1, 1], 1, [0; 4], 1),
    case([3, 33, 29, 31], [37, 33, 1, 1], 1, [0; 4], 1),
    case([1, 300, 9, 7], [280, 300, 1, 1], 1, [0; 4], 1),
    case([2, 16, 9, 7], [48, 16, 1, 1], 2, [0; 4], 1),
    case([3, 20, 6, 8], [36, 20, 1, 1], 2, [0; 4], 1),
    case([2, 6, 5, 6], [6, 1, 3, 3], 1, [1; 4], 6),
    case([2, 40, 30, 9], [40, 1, 3, 3], 2, [0, 1, 0, 1], 40),
    case([1, 17, 7, 11], [17, 1, 5, 5], 1, [2; 4], 17),
    case([2, 33, 9, 12], [33, 1, 5, 5], 2, [2, 2, 1, 2], 33),
    case([2, 33, 8, 13], [33, 1, 5, 5], 2, [2; 4], 33),
    case([3, 16, 1, 1], [16, 1, 5, 5], 1, [2; 4], 16),
    case([1, 18, 70, 61], [18, 1, 3, 3], 1, [1; 4], 18),
    case([2, 24, 5, 6], [24, 2, 3, 3], 1, [1; 4], 12),
    case([3, 64, 9, 8], [64, 4, 3, 3], 1, [1; 4], 16),
    case([2, 64, 9, 8], [64, 4, 3, 3], 2, [1; 4], 16),
    case([2, 40, 7, 7], [40, 8, 3, 3], 1, [1; 4], 5),
    case([2, 40, 8, 7], [40, 8, 3, 3], 2, [0, 1, 1, 1], 5),
    case([2, 64, 7, 9], [64, 16, 3, 3], 2, [0, 1, 1, 1], 4),
    case([3, 96, 5, 6], [96, 32, 3, 3], 1, [1; 4], 3),
    case([1, 64, 9, 6], [64, 32, 3, 3], 2, [1; 4], 2),
];

impl Case {
    fn padding(&self) -> Padding {
        let [top, bottom, left, right] = self.pad;
        Padding { top, bottom, left, right }
    }

    /// y, d_x, d_w of the tensor operation, and d_y.
    fn exact(&self, x: &[f32], w: &[f32]) -> (Tensor, Tensor, Tensor, Vec<f32>) {
        let geometry = ConvGeometry {
            stride: [self.stride; 2],
            padding: self.padding(),
            groups: self.groups,
            ..ConvGeometry::default()
        };
        let x_bchw = Var::from_tensor(&tensor(x, &self.x)).unwrap();
        let w_oihw = Var::from_tensor(&tensor(w, &self.w)).unwrap();
        let y_bchw = conv2d(&x_bchw, &w_oihw, None, &geometry).unwrap();
        let d_y = numbers(3, y_bchw.dims());
        let sum = (&y_bchw * tensor(&d_y, y_bchw.dims())).unwrap().sum_all().unwrap();
        let store = sum.backward().unwrap();
        (y_bchw.clone(), store.get(&x_bchw).unwrap().clone(), store.get(&w_oihw).unwrap().clone(), d_y)
    }

    fn check(&self, path: VectorPath) {
        let what = format!("{path:?} {:?} {:?} stride {}", self.x, self.w, self.stride);
        let (x, w) = (numbers(1, &self.x), numbers(2, &self.w));
        let (y_bchw, d_x_bchw, d_w_oihw, d_y) = self.exact(&x, &w);
        let dims: [usize; 4] = y_bchw.dims().try_into().unwrap();
        let (from, d) = (maps(&x, self.x), maps(&d_y, dims));
        let (x, d_y) = (Source::Plain(from.all()), Source::Plain(d.all()));
        let (mut y, mut d_x) = (Maps::default(), Maps::default());
        y.reshape_dense(dims[0], [dims[2], dims[3]], dims[1]);
        d_x.reshape_dense(self.x[0], [self.x[2], self.x[3]], self.x[1]);
        // gradients are added to what is there
        let mut d_w = vec![1.0; w.len()];
        if self.w[1] == 1 && self.groups == self.x[1] {
            let mut layer = Depthwise::new(self.x[1], self.w[2], self.stride);
            layer.take(&w);
            layer.forward(path, &x, self.padding(), y.all_mut());
            layer.backward(path, &d_y, &x, self.padding(), None, &Sink::Nothing, d_x.all_mut(), &mut d_w);
        } else {
            let filter = Filter { dims: self.w, stride: self.stride, groups: self.groups };
            let mut packed = Packed::default();
            packed.take_forward(&filter, &w, self.padding());
            convolve(path, &packed, &x, None, &Sink::Nothing, y.all_mut());
            packed.take_backward(&filter, &w, self.padding());
            convolve(path, &packed, &d_y, None, &Sink::Nothing, d_x.all_mut());
            if self.w[2..] == [1, 1] {
                pointwise_gradient(path, &d_y, &x, self.stride, &mut d_w);
            } else {
                grouped_gradient(path, &filter, &d_y, &x, self.padding(), &mut d_w);
            }
        }
        d_w.iter_mut().for_each(|d_w| *d_w -= 1.0);
        assert_near(&format!("{what} y"), &y.all().to_tensor(), &y_bchw, BOUND);
        assert_near(&format!("{what} d_x"), &d_x.all().to_tensor(), &d_x_bchw, BOUND);
        assert_near(&format!("{what} d_w"), &d_w, &d_w_oihw, BOUND);
    }
}

#[test]
fn convolutions_and_their_gradients_are_the_tensors() {
    for case in &CASES {
        paths().into_iter().for_each(|path| case.check(path));
    }
}

#[test]
fn gradients_of_stems_are_the_tensors() {
    for case in [
        case([2, 3, 9, 8], [20, 3, 3, 3], 2, [1; 4], 1),
        case([1, 3, 8, 8], [32, 3, 3, 3], 2, [0, 1, 0, 1], 1),
        case([2, 3, 31, 13], [64, 3, 7, 7], 2, [3; 4], 1),
        case([3, 3, 8, 9], [16, 3, 3, 3], 1, [1; 4], 1),
    ] {
        let (x, w) = (numbers(1, &case.x), numbers(2, &case.w));
        let (y_bchw, _, d_w_oihw, d_y) = case.exact(&x, &w);
        let d = maps(&d_y, y_bchw.dims().try_into().unwrap());
        let [top, bottom, left, right] = case.pad;
        let mut pictures = Maps::default();
        pictures.take_pictures(&x, case.x, [top, bottom], [left, right]);
        for path in paths() {
            let mut d_w = vec![0.0; w.len()];
            let filter = Filter { dims: case.w, stride: case.stride, groups: 1 };
            stem_gradient(path, &filter, &Source::Plain(d.all()), pictures.all(), &mut d_w);
            assert_near(&format!("{path:?} {:?}", case.w), &d_w, &d_w_oihw, BOUND);
        }
    }
}
