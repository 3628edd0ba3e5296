//! Layers on maps against plain loops in f64, along every path of vectors that the processor has.

use half::bf16;
use pretrain_kernels::image::{
    Activation, Convolution, Depthwise, Excitation, Maps, MaxPool, Number, VectorPath, means,
};
use pretrain_kernels::{ConvGeometry, Padding};

use crate::draw::values;

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    values(seed, count).iter().map(|x| *x as f32).collect()
}

fn paths() -> Vec<VectorPath> {
    let all = [VectorPath::Avx512, VectorPath::Avx2, VectorPath::Portable];
    all.into_iter().filter(|path| path.is_available()).collect()
}

fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Swish => x / (1.0 + (-x).exp()),
    }
}

/// A layer, and what it is to make of drawn maps.
#[derive(Clone, Copy)]
struct Case {
    x: [usize; 4],
    /// o, i of a group, h, w
    w: [usize; 4],
    stride: [usize; 2],
    /// above, below, left, right
    pad: [usize; 4],
    groups: usize,
    activation: Activation,
}

const fn case(x: [usize; 4], w: [usize; 4], stride: usize, pad: [usize; 4], groups: usize) -> Case {
    Case { x, w, stride: [stride; 2], pad, groups, activation: Activation::Relu }
}

impl Case {
    fn padding(&self) -> Padding {
        let [top, bottom, left, right] = self.pad;
        Padding { top, bottom, left, right }
    }

    /// Sums before the activation, and sums of absolute values.
    fn sums(&self, x: &[f32], w: &[f32], bias: &[f32], [height, width]: [usize; 2]) -> Vec<[f64; 2]> {
        let ([batch, channels, rows, columns], [outputs, inputs, kernel_h, kernel_w]) = (self.x, self.w);
        let mut sums = Vec::new();
        for at in 0..batch * outputs * height * width {
            let (q, p) = (at % width, at / width % height);
            let (o, b) = (at / (width * height) % outputs, at / (width * height * outputs));
            let first = o / (outputs / self.groups) * inputs;
            let (mut sum, mut absolute) = (f64::from(bias[o]), f64::from(bias[o]).abs());
            for i in 0..inputs {
                for h in 0..kernel_h {
                    for v in 0..kernel_w {
                        let row = (p * self.stride[0] + h).wrapping_sub(self.pad[0]);
                        let column = (q * self.stride[1] + v).wrapping_sub(self.pad[2]);
                        if row < rows && column < columns {
                            let x = x[((b * channels + first + i) * rows + row) * columns + column];
                            let w = w[((o * inputs + i) * kernel_h + h) * kernel_w + v];
                            let term = f64::from(x) * f64::from(w);
                            (sum, absolute) = (sum + term, absolute + term.abs());
                        }
                    }
                }
            }
            sums.push([sum, absolute]);
        }
        sums
    }
}

/// Every sum's error is at most γ_k of its absolute terms, wherever it is rounded; a swish moves an error by at most 1.1
/// of itself and adds its own, below 1e-6 of its result.
fn assert_near(what: &str, got: &[f32], wanted: &[f64], absolute: &[f64], terms: usize, rounding: f64) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    let n = terms as f64 * 2f64.powi(-24);
    let gamma = n / (1.0 - n);
    for (at, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let bound = 1.1 * gamma * absolute[at] + (1e-6 + rounding) * wanted.abs() + 1e-30;
        let error = (f64::from(*got) - wanted).abs();
        assert!(error <= bound, "{what}[{at}]: {got}, exact {wanted}, error {error:e} over {bound:e}");
    }
}

/// Half a unit in the last place of bf16, and what f32 loses before.
const BF16: f64 = 1.0 / 250.0;

const CASES: [Case; 21] = [
    case([2, 5, 3, 4], [6, 5, 1, 1], 1, [0; 4], 1),
    case([3, 40, 1, 1], [70, 40, 1, 1], 1, [0; 4], 1),
    case([2, 19, 13, 11], [112, 19, 1, 1], 1, [0; 4], 1),
    case([1, 16, 9, 7], [48, 16, 1, 1], 2, [0; 4], 1),
    case([1, 33, 29, 31], [37, 33, 1, 1], 1, [0; 4], 1),
    case([2, 3, 7, 5], [20, 3, 3, 3], 1, [1; 4], 1),
    case([1, 4, 6, 7], [17, 4, 5, 5], 2, [1, 2, 2, 1], 1),
    case([1, 2, 3, 4], [16, 2, 7, 7], 2, [3; 4], 1),
    case([1, 1, 1, 1], [1, 1, 3, 3], 1, [1; 4], 1),
    case([1, 1, 3, 3], [2, 1, 2, 2], 1, [4, 3, 5, 2], 1),
    case([2, 6, 5, 6], [6, 1, 3, 3], 1, [1; 4], 6),
    case([2, 24, 5, 6], [24, 2, 3, 3], 1, [1; 4], 12),
    case([1, 64, 9, 8], [64, 4, 3, 3], 2, [1; 4], 16),
    case([2, 40, 7, 7], [40, 8, 3, 3], 1, [1; 4], 5),
    case([1, 64, 7, 9], [64, 16, 3, 3], 2, [0, 1, 1, 0], 4),
    case([1, 96, 5, 6], [96, 32, 3, 3], 1, [1; 4], 3),
    case([2, 10, 5, 6], [14, 5, 3, 3], 1, [1; 4], 2),
    case([1, 24, 6, 5], [40, 3, 3, 3], 1, [1; 4], 8),
    // pixels with room between them
    case([2, 512, 2, 2], [512, 512, 1, 1], 1, [0; 4], 1),
    case([1, 1024, 3, 2], [1024, 4, 3, 3], 1, [1; 4], 256),
    case([1, 1024, 3, 3], [1024, 32, 3, 3], 2, [1; 4], 32),
];

/// The layer's output, and the sums that it should be of.
fn output<N: Number>(case: &Case, path: VectorPath, round: impl Fn(f32) -> f32) -> (Vec<f32>, Vec<[f64; 2]>) {
    let rounded = |seed, dims: &[usize]| -> Vec<f32> {
        numbers(seed, dims.iter().product()).into_iter().map(&round).collect()
    };
    let (x, w) = (rounded(1, &case.x), rounded(2, &case.w));
    let bias = numbers(3, case.w[0]);
    let geometry = ConvGeometry { stride: case.stride, groups: case.groups, ..ConvGeometry::default() };
    let layer = Convolution::<N>::new(&w, case.w, &bias, &geometry, case.activation);
    let size = layer.output_size([case.x[2], case.x[3]], case.padding()).unwrap();
    let (mut from, mut beside, mut to) = (Maps::<N>::default(), Maps::default(), Maps::default());
    from.take_tensor(&x, case.x);
    let dims = [case.x[0], case.w[0], size[0], size[1]];
    let shortcut = rounded(4, &dims);
    beside.take_tensor(&shortcut, dims);
    to.reshape(dims[0], size, dims[1]);
    layer.run(path, from.all(), case.padding(), None, Some(beside.all()), to.all_mut());
    let mut sums = case.sums(&x, &w, &bias, size);
    for (sum, shortcut) in sums.iter_mut().zip(&shortcut) {
        *sum = [sum[0] + f64::from(*shortcut), sum[1] + f64::from(*shortcut).abs()];
    }
    (to.all().to_tensor(), sums)
}

fn assert_output(case: &Case, what: &str, (got, sums): (Vec<f32>, Vec<[f64; 2]>), rounding: f64) {
    let wanted: Vec<f64> = sums.iter().map(|[sum, _]| activated(case.activation, *sum)).collect();
    let absolute: Vec<f64> = sums.iter().map(|[_, absolute]| *absolute).collect();
    // a term meets its product, its sums, the bias and the shortcut
    let terms = case.w[1..].iter().product::<usize>() * 16 + 3;
    assert_near(&format!("{what} {:?} {:?}", case.x, case.w), &got, &wanted, &absolute, terms, rounding);
}

#[test]
fn convolutions_are_the_loops_along_every_path() {
    for case in &CASES {
        for path in paths() {
            for activation in [Activation::None, Activation::Relu, Activation::Swish] {
                let case = Case { activation, ..*case };
                assert_output(&case, &format!("{path:?}"), output::<f32>(&case, path, |x| x), 0.0);
            }
        }
    }
}

#[test]
fn convolutions_in_bf16_are_the_loops_over_rounded_numbers() {
    let Some(path) = bf16_path() else { return };
    for case in &CASES {
        let round = |x: f32| bf16::from_f32(x).to_f32();
        assert_output(case, "bf16", output::<bf16>(case, path, round), BF16);
    }
}

/// The path on which numbers of bf16 can be computed with; without one there is nothing to test.
fn bf16_path() -> Option<VectorPath> {
    let is_there = pretrain_kernels::Precision::Bf16.here() == pretrain_kernels::Precision::Bf16;
    is_there.then_some(VectorPath::Avx512)
}

#[test]
fn pictures_bring_their_own_zeros() {
    for (x, w, stride, pad) in [
        ([2, 3, 9, 8], [20, 3, 3, 3], 2, [1; 4]),
        ([1, 3, 8, 8], [8, 3, 3, 3], 2, [0, 1, 0, 1]),
        ([1, 3, 11, 13], [64, 3, 7, 7], 2, [3; 4]),
        ([1, 3, 1, 1], [32, 3, 3, 3], 2, [1; 4]),
    ] {
        let case = Case { activation: Activation::Swish, ..case(x, w, stride, pad, 1) };
        let (pictures, weights) = (numbers(1, x.iter().product()), numbers(2, w.iter().product()));
        let bias = numbers(3, w[0]);
        let layer = Convolution::<f32>::over_whole_pixels(&weights, w, &bias, [stride; 2], case.activation);
        let [top, bottom, left, right] = pad;
        let (mut from, mut to) = (Maps::default(), Maps::default());
        from.take_pictures(&pictures, x, [top, bottom], [left, right]);
        let [_, _, height, width] = from.all().dims();
        let size = layer.output_size([height, width], Padding::default()).unwrap();
        to.reshape(x[0], size, w[0]);
        for path in paths() {
            layer.run(path, from.all(), Padding::default(), None, None, to.all_mut());
            let sums = case.sums(&pictures, &weights, &bias, size);
            assert_output(&case, &format!("{path:?}"), (to.all().to_tensor(), sums), 0.0);
        }
    }
}

#[test]
fn factors_scale_the_channels_that_a_projection_reads() {
    let case = Case { activation: Activation::None, ..case([3, 21, 5, 6], [24, 21, 1, 1], 1, [0; 4], 1) };
    let (x, w, bias) = (numbers(1, 3 * 21 * 30), numbers(2, 24 * 21), numbers(3, 24));
    let factors = numbers(5, 3 * 21);
    let mut padded = vec![0.0; 3 * 32];
    let mut scaled = x.clone();
    for (at, x) in scaled.iter_mut().enumerate() {
        *x *= factors[at / 30];
    }
    factors.iter().enumerate().for_each(|(at, factor)| padded[at / 21 * 32 + at % 21] = *factor);
    let layer = Convolution::<f32>::new(&w, case.w, &bias, &ConvGeometry::default(), case.activation);
    let (mut from, mut to) = (Maps::default(), Maps::default());
    from.take_tensor(&x, case.x);
    to.reshape(3, [5, 6], 24);
    for path in paths() {
        layer.run(path, from.all(), Padding::default(), Some(&padded), None, to.all_mut());
        let sums = case.sums(&scaled, &w, &bias, [5, 6]);
        assert_output(&case, &format!("{path:?}"), (to.all().to_tensor(), sums), 0.0);
    }
}

#[test]
fn depthwise_convolutions_and_their_means_are_the_loops() {
    for (x, kernel, stride, pad) in [
        ([2, 3, 6, 7], [3, 3], 1, [1; 4]),
        ([1, 32, 17, 19], [3, 3], 2, [1; 4]),
        ([1, 20, 8, 9], [5, 5], 2, [1, 2, 2, 2]),
        ([2, 17, 7, 7], [5, 5], 1, [2; 4]),
        ([1, 1, 1, 1], [5, 5], 1, [2; 4]),
        ([1, 4, 2, 3], [7, 7], 1, [3; 4]),
        ([1, 18, 9, 21], [3, 3], 2, [0, 1, 0, 1]),
        ([1, 18, 30, 6], [3, 2], 1, [0, 1, 1, 0]),
        ([1, 16, 31, 40], [3, 3], 1, [1; 4]),
        ([1, 16, 5, 33], [5, 5], 2, [2; 4]),
        ([2, 1024, 4, 3], [3, 3], 1, [1; 4]),
        ([1, 16, 7, 7], [1, 1], 3, [0; 4]),
    ] {
        let channels = x[1];
        let w = [channels, 1, kernel[0], kernel[1]];
        let case = Case { activation: Activation::Swish, ..case(x, w, stride, pad, channels) };
        let (maps, weights) = (numbers(1, x.iter().product()), numbers(2, w.iter().product()));
        let bias = numbers(3, channels);
        let layer =
            Depthwise::new(&weights, [channels, kernel[0], kernel[1]], &bias, [stride; 2], case.activation);
        let size = layer.output_size([x[2], x[3]], case.padding()).unwrap();
        let (mut from, mut to) = (Maps::<f32>::default(), Maps::default());
        from.take_tensor(&maps, x);
        to.reshape(x[0], size, channels);
        for path in paths() {
            let means = layer.run(path, from.all(), case.padding(), to.all_mut());
            let sums = case.sums(&maps, &weights, &bias, size);
            let got = to.all().to_tensor();
            assert_output(&case, &format!("{path:?}"), (got.clone(), sums), 0.0);
            let (area, pixel) = (size[0] * size[1], channels.next_multiple_of(16));
            for (plane, y) in got.chunks_exact(area).enumerate() {
                let mean = means[plane / channels * pixel + plane % channels];
                let exact = y.iter().map(|y| f64::from(*y)).sum::<f64>() / area as f64;
                let absolute = y.iter().map(|y| f64::from(y.abs())).sum::<f64>() / area as f64;
                assert!((f64::from(mean) - exact).abs() <= 1e-7 * area as f64 * absolute + 1e-30, "{path:?}");
            }
        }
    }
}

#[test]
fn pooling_takes_the_largest_and_the_mean() {
    for (x, kernel, stride, padding) in [
        ([2, 5, 7, 8], 3, 2, 1),
        ([1, 17, 1, 1], 3, 2, 1),
        ([1, 16, 6, 5], 2, 2, 0),
        ([2, 512, 3, 4], 3, 2, 1),
    ] {
        let maps = numbers(1, x.iter().product());
        let pool = MaxPool { kernel, stride, padding };
        let size = pool.output_size([x[2], x[3]]).unwrap();
        let (mut from, mut to) = (Maps::<f32>::default(), Maps::default());
        from.take_tensor(&maps, x);
        to.reshape(x[0], size, x[1]);
        for path in paths() {
            pool.run(path, from.all(), to.all_mut());
            for (at, got) in to.all().to_tensor().iter().enumerate() {
                let (q, p, plane) = (at % size[1], at / size[1] % size[0], at / (size[0] * size[1]));
                let inside = |h: usize, w: usize| {
                    let (h, w) =
                        ((p * stride + h).wrapping_sub(padding), (q * stride + w).wrapping_sub(padding));
                    (h < x[2] && w < x[3]).then(|| maps[(plane * x[2] + h) * x[3] + w])
                };
                let window = (0..kernel * kernel).filter_map(|at| inside(at / kernel, at % kernel));
                assert_eq!(*got, window.fold(f32::NEG_INFINITY, f32::max), "{path:?}");
            }
            let pixel = x[1].next_multiple_of(16);
            let got = means(path, from.all());
            for (plane, x_hw) in maps.chunks_exact(x[2] * x[3]).enumerate() {
                let exact = x_hw.iter().map(|x| f64::from(*x)).sum::<f64>() / (x[2] * x[3]) as f64;
                assert!((f64::from(got[plane / x[1] * pixel + plane % x[1]]) - exact).abs() < 1e-6);
            }
        }
    }
    // NaN wins wherever it stands in the window
    let pool = MaxPool { kernel: 2, stride: 2, padding: 0 };
    for place in 0..4 {
        let mut maps = vec![1.0; 4];
        maps[place] = f32::NAN;
        let (mut from, mut to) = (Maps::<f32>::default(), Maps::default());
        from.take_tensor(&maps, [1, 1, 2, 2]);
        to.reshape(1, [1, 1], 1);
        for path in paths() {
            pool.run(path, from.all(), to.all_mut());
            assert!(to.all().to_tensor()[0].is_nan(), "{path:?}");
        }
    }
}

#[test]
fn excitation_is_two_products() {
    let (channels, squeezed) = (37, 5);
    let (w1, b1) = (numbers(1, squeezed * channels), numbers(2, squeezed));
    let (w2, b2) = (numbers(3, channels * squeezed), numbers(4, channels));
    let layer = Excitation::new(&w1, &b1, &w2, &b2);
    let pixel = channels.next_multiple_of(16);
    let mut padded = vec![0.0; 2 * pixel];
    let means = numbers(5, 2 * channels);
    means.iter().enumerate().for_each(|(at, mean)| padded[at / channels * pixel + at % channels] = *mean);
    for path in paths() {
        let factors = layer.factors(path, &padded);
        for b in 0..2 {
            let dot = |w: &[f32], x: &[f64]| w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
            let x: Vec<f64> = means[b * channels..][..channels].iter().map(|x| f64::from(*x)).collect();
            let z: Vec<f64> = (0..squeezed)
                .map(|s| f64::from(b1[s]) + dot(&w1[s * channels..][..channels], &x))
                .map(|z| activated(Activation::Swish, z))
                .collect();
            for c in 0..channels {
                let sum = f64::from(b2[c]) + dot(&w2[c * squeezed..][..squeezed], &z);
                let wanted = 1.0 / (1.0 + (-sum).exp());
                let got = f64::from(factors[b * pixel + c]);
                assert!((got - wanted).abs() < 2e-6, "{path:?}: {got}, exact {wanted}");
            }
        }
    }
}

/// Activations stay finite and exact where exponentials do not.
#[test]
fn swish_of_large_numbers() {
    let x: Vec<f32> = vec![-200.0, -90.0, -20.0, -1e-3, 0.0, 1e-3, 20.0, 90.0, 200.0];
    let layer =
        Convolution::<f32>::new(&[1.0], [1, 1, 1, 1], &[0.0], &ConvGeometry::default(), Activation::Swish);
    let (mut from, mut to) = (Maps::default(), Maps::default());
    from.take_tensor(&x, [1, 1, 3, 3]);
    to.reshape(1, [3, 3], 1);
    for path in paths() {
        layer.run(path, from.all(), Padding::default(), None, None, to.all_mut());
        for (got, x) in to.all().to_tensor().iter().zip(&x) {
            let wanted = activated(Activation::Swish, f64::from(*x));
            assert!((f64::from(*got) - wanted).abs() <= 1e-6 * wanted.abs() + 1e-30, "{path:?}: {x}: {got}");
        }
    }
}

#[test]
fn neither_threads_nor_other_pictures_change_a_bit() {
    fn bits<N: Number>(path: VectorPath, threads: usize, pictures: std::ops::Range<usize>) -> Vec<u32> {
        let (shape, picture) = ([pictures.len(), 48, 15, 17], 48 * 15 * 17);
        let x = numbers(1, 3 * picture);
        let x = &x[pictures.start * picture..pictures.end * picture];
        let grouped = ConvGeometry { groups: 12, ..ConvGeometry::default() };
        let wide = Convolution::<N>::new(
            &numbers(2, 80 * 48),
            [80, 48, 1, 1],
            &numbers(3, 80),
            &ConvGeometry::default(),
            Activation::Swish,
        );
        let narrow = Convolution::<N>::new(
            &numbers(4, 48 * 36),
            [48, 4, 3, 3],
            &numbers(5, 48),
            &grouped,
            Activation::Relu,
        );
        let depthwise =
            Depthwise::new(&numbers(6, 48 * 9), [48, 3, 3], &numbers(7, 48), [1, 1], Activation::Swish);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut maps = [(); 4].map(|()| Maps::<N>::default());
            let [from, grouped, deep, to] = &mut maps;
            from.take_tensor(x, shape);
            grouped.reshape(shape[0], [15, 17], 48);
            deep.reshape(shape[0], [15, 17], 48);
            to.reshape(shape[0], [15, 17], 80);
            narrow.run(path, from.all(), Padding::symmetric(1), None, None, grouped.all_mut());
            let means = depthwise.run(path, grouped.all(), Padding::symmetric(1), deep.all_mut());
            wide.run(path, deep.all(), Padding::default(), Some(&means), None, to.all_mut());
            to.all().to_tensor().iter().chain(&means).map(|x| x.to_bits()).collect()
        })
    }
    fn check<N: Number>(path: VectorPath) {
        let together = bits::<N>(path, 1, 0..3);
        assert_eq!(together, bits::<N>(path, 2, 0..3), "{path:?}");
        assert_eq!(together, bits::<N>(path, 3, 0..3), "{path:?}");
        let (area, pixel) = (80 * 15 * 17, 48);
        for i in 0..3 {
            let alone = bits::<N>(path, 2, i..i + 1);
            assert_eq!(alone[..area], together[i * area..(i + 1) * area], "{path:?}");
            assert_eq!(alone[area..], together[3 * area + i * pixel..][..pixel], "{path:?}");
        }
    }
    paths().into_iter().for_each(check::<f32>);
    bf16_path().into_iter().for_each(check::<bf16>);
}

#[test]
fn an_empty_batch_has_an_empty_result() {
    let layer = Convolution::<f32>::new(
        &[1.0; 6],
        [2, 3, 1, 1],
        &[0.0; 2],
        &ConvGeometry::default(),
        Activation::None,
    );
    let (mut from, mut to) = (Maps::default(), Maps::default());
    from.take_tensor(&[], [0, 3, 4, 5]);
    to.reshape(0, [4, 5], 2);
    layer.run(VectorPath::here(), from.all(), Padding::default(), None, None, to.all_mut());
    assert!(to.all().to_tensor().is_empty());
    assert_eq!(means(VectorPath::here(), from.all()), [] as [f32; 0]);
    assert_eq!(layer.output_size([4, 5], Padding::default()), Some([4, 5]));
}
