//! Layers on maps at the shapes of ResNeXt-50 (32x4d), ResNeXt-101 (32x8d) and EfficientNet-B0 at 224 x 224: one thread's operations a second, to be
//! compared with the peak of the instruction, which is written first.
//!
//!     RAYON_NUM_THREADS=1 cargo bench -p pretrain-kernels --bench image [FILTER]
//!
//! Pictures are as many as a stage looks at at once. An "element" is one floating point operation (a multiply-add is two);
//! activations, bias and factors are in the time and not in the count.
#![expect(clippy::unwrap_used, reason = "a clock that fails ends the bench")]

mod cpu_time;

use cpu_time::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use pretrain_kernels::image::{Activation, Convolution, Depthwise, Maps, Number, VectorPath};
use pretrain_kernels::{ConvGeometry, Padding, Precision, measured_peak};

/// Name, pictures, side, input channels, output channels, kernel, groups, activation.
type Shape = (&'static str, usize, usize, usize, usize, usize, usize, Activation);

const CONVOLUTIONS: [Shape; 13] = [
    ("1x1 256-128 at 56", 2, 56, 256, 128, 1, 1, Activation::Relu),
    ("1x1 1024-512 at 14", 8, 14, 1024, 512, 1, 1, Activation::Relu),
    ("1x1 1024-2048 at 7", 8, 7, 1024, 2048, 1, 1, Activation::Relu),
    ("3x3 groups of 4 at 56", 2, 56, 128, 128, 3, 32, Activation::Relu),
    ("3x3 groups of 8 at 28", 8, 28, 256, 256, 3, 32, Activation::Relu),
    ("3x3 groups of 16 at 14", 8, 14, 512, 512, 3, 32, Activation::Relu),
    ("3x3 groups of 32 at 7", 8, 7, 1024, 1024, 3, 32, Activation::Relu),
    ("1x1 1024-1024 at 14, alone", 1, 14, 1024, 1024, 1, 1, Activation::Relu),
    ("1x1 2048-2048 at 7", 4, 7, 2048, 2048, 1, 1, Activation::Relu),
    ("3x3 groups of 32 at 14", 2, 14, 1024, 1024, 3, 32, Activation::Relu),
    ("3x3 groups of 64 at 7", 4, 7, 2048, 2048, 3, 32, Activation::Relu),
    ("1x1 16-96 at 112, swish", 1, 112, 16, 96, 1, 1, Activation::Swish),
    ("1x1 112-672 at 14, swish", 8, 14, 112, 672, 1, 1, Activation::Swish),
];

/// Name, pictures, side, channels, kernel, stride.
const DEPTHWISE: [(&str, usize, usize, usize, usize, usize); 5] = [
    ("depthwise 3x3/2 at 112", 1, 112, 96, 3, 2),
    ("depthwise 3x3 at 112", 1, 112, 32, 3, 1),
    ("depthwise 5x5 at 28", 2, 28, 240, 5, 1),
    ("depthwise 5x5 at 14", 8, 14, 672, 5, 1),
    ("depthwise 3x3 at 7", 8, 7, 1152, 3, 1),
];

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.7).sin()).collect()
}

fn maps<N: Number>(batch: usize, side: usize, channels: usize) -> Maps<N> {
    let mut maps = Maps::default();
    maps.take_tensor(&numbers(batch * channels * side * side), [batch, channels, side, side]);
    maps
}

#[expect(clippy::print_stderr, reason = "what the figures are compared with")]
fn layers<N: Number>(criterion: &mut Criterion<CpuTime>, name: &str, precision: Precision) {
    eprintln!("{name}: peak {:.1} Gelem/s", measured_peak(precision) / 1e9);
    let (path, mut group) = (VectorPath::here(), criterion.benchmark_group(name));
    group.sample_size(20);
    for (name, batch, side, inputs, outputs, kernel, groups, activation) in CONVOLUTIONS {
        let dims = [outputs, inputs / groups, kernel, kernel];
        let weights = numbers(dims.iter().product());
        let geometry = ConvGeometry { groups, ..ConvGeometry::default() };
        let layer = Convolution::<N>::new(&weights, dims, &numbers(outputs), &geometry, activation);
        let (x, mut y) = (maps::<N>(batch, side, inputs), maps::<N>(batch, side, outputs));
        let padding = Padding::symmetric(kernel / 2);
        group.throughput(Throughput::Elements((2 * batch * side * side * weights.len()) as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| layer.run(path, x.all(), padding, None, None, y.all_mut()));
        });
    }
    for (name, batch, side, channels, kernel, stride) in DEPTHWISE {
        let weights = numbers(channels * kernel * kernel);
        let dims = [channels, kernel, kernel];
        let layer = Depthwise::new(&weights, dims, &numbers(channels), [stride; 2], Activation::Swish);
        let to = side.div_ceil(stride);
        let (x, mut y) = (maps::<N>(batch, side, channels), maps::<N>(batch, to, channels));
        let padding = Padding::symmetric(kernel / 2);
        group.throughput(Throughput::Elements((2 * batch * to * to * weights.len()) as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| layer.run(path, x.all(), padding, y.all_mut()));
        });
    }
    group.finish();
}

fn f32_and_bf16(criterion: &mut Criterion<CpuTime>) {
    layers::<f32>(criterion, "f32", Precision::F32);
    if Precision::Bf16.here() == Precision::Bf16 {
        layers::<bf16>(criterion, "bf16", Precision::Bf16);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = f32_and_bf16
}
criterion_main!(benches);
