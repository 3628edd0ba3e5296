//! The operations at the shapes of ResNeXt-50 (32x4d) on one picture of 600 x 1000 and of EfficientNet-B0 on eight of
//! 224 x 224, in f32, and ResNeXt-50's whole trunk.
//!
//!     RAYON_NUM_THREADS=1 cargo bench -p pretrain-kernels --bench shapes [FILTER]
//!
//! Times are seconds of CPU of the whole process, not of the wall clock, so that other work on the machine counts
//! little; with `RAYON_NUM_THREADS=1` no idle thread adds to them, and rates are those of one core. An "element" of
//! criterion's throughput is one floating point operation (a multiply-add is two): Gelem/s reads GFLOP/s.
//! `benches/peer.py` times PyTorch on the same shapes in the same way.
#![expect(clippy::unwrap_used, reason = "a failed step ends the bench")]

mod cpu_time;

use candle_core::{DType, Device, Tensor, Var};
use cpu_time::CpuTime;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pretrain_kernels::{
    ConvGeometry, Padding, RoiAlign, batch_norm_inference, conv2d, max_pool2d, relu, roi_align, swish,
};

/// x, w, stride; symmetric padding of half the kernel; groups follow from the channels.
const CONVOLUTIONS: [(&str, [usize; 4], [usize; 4], usize); 12] = [
    ("resnext stem 7x7/2", [1, 3, 600, 1000], [64, 3, 7, 7], 2),
    ("resnext layer1 1x1 256-128", [1, 256, 150, 250], [128, 256, 1, 1], 1),
    ("resnext layer1 grouped 4", [1, 128, 150, 250], [128, 4, 3, 3], 1),
    ("resnext layer2 grouped 8", [1, 256, 75, 125], [256, 8, 3, 3], 1),
    ("resnext layer3 grouped 16", [1, 512, 38, 63], [512, 16, 3, 3], 1),
    ("resnext layer4 grouped 32", [1, 1024, 19, 32], [1024, 32, 3, 3], 1),
    ("resnext layer4 1x1 1024-2048", [1, 1024, 19, 32], [2048, 1024, 1, 1], 1),
    ("b0 stem 3x3/2", [8, 3, 224, 224], [32, 3, 3, 3], 2),
    ("b0 depthwise 3x3/2 at 112", [8, 96, 112, 112], [96, 1, 3, 3], 2),
    ("b0 depthwise 5x5 at 28", [8, 240, 28, 28], [240, 1, 5, 5], 1),
    ("b0 depthwise 3x3 at 7", [8, 1152, 7, 7], [1152, 1, 3, 3], 1),
    ("b0 1x1 112-672 at 14", [8, 112, 14, 14], [672, 112, 1, 1], 1),
];

fn random(shape: &[usize]) -> Tensor {
    // Any numbers will do, but not all the same: a sine of the position.
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn convolutions(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("conv2d");
    group.sample_size(10);
    for (name, x, w, stride) in CONVOLUTIONS {
        let geometry = ConvGeometry {
            stride: [stride; 2],
            padding: Padding::symmetric(w[2] / 2),
            groups: x[1] / w[1],
            ..ConvGeometry::default()
        };
        let (x, w) = (Var::from_tensor(&random(&x)).unwrap(), Var::from_tensor(&random(&w)).unwrap());
        let (x_values, w_values) = (x.as_detached_tensor(), w.as_detached_tensor());
        let y = conv2d(&x, &w, None, &geometry).unwrap();
        let operations = 2 * y.elem_count() * w.elem_count() / w.dims()[0];
        group.throughput(Throughput::Elements(operations as u64));
        group.bench_function(BenchmarkId::new("forward", name), |bencher| {
            bencher.iter(|| conv2d(&x_values, &w_values, None, &geometry).unwrap());
        });
        // Both gradients; the sum before them is a small part.
        group.throughput(Throughput::Elements(2 * operations as u64));
        let loss = y.sum_all().unwrap();
        group.bench_function(BenchmarkId::new("backward", name), |bencher| {
            bencher.iter(|| loss.backward().unwrap());
        });
    }
    group.finish();
}

fn the_rest(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("other");
    group.sample_size(10);
    let (x, c) = (random(&[1, 256, 150, 250]), random(&[256]));
    let positive = (c.sqr().unwrap() + 1.0).unwrap();
    group.throughput(Throughput::Bytes(8 * x.elem_count() as u64));
    group.bench_function("batch norm", |b| {
        b.iter(|| batch_norm_inference(&x, &c, &positive, &c, &c, 1e-5).unwrap());
    });
    group.bench_function("relu", |b| b.iter(|| relu(&x).unwrap()));
    group.bench_function("swish", |b| b.iter(|| swish(&x).unwrap()));
    let x = random(&[1, 64, 300, 500]);
    group.throughput(Throughput::Bytes(5 * x.elem_count() as u64));
    group.bench_function("max pool 3x3/2", |b| b.iter(|| max_pool2d(&x, [3, 3], [2, 2], [1, 1]).unwrap()));
    let (x, rois) = (random(&[1, 1024, 38, 63]), regions(36));
    let how = RoiAlign { output: [14, 14], spatial_scale: 1.0 / 16.0, sampling_ratio: 2, aligned: true };
    group.throughput(Throughput::Bytes(4 * (x.elem_count() + 36 * 1024 * 196) as u64));
    group.bench_function("roi align, 36 regions", |b| b.iter(|| roi_align(&x, &rois, &how).unwrap()));
    group.finish();
}

fn regions(count: usize) -> Tensor {
    let numbers = (0..count).flat_map(|n| {
        let (x, y) = ((n * 37 % 600) as f32, (n * 53 % 300) as f32);
        [0.0, x, y, x + 120.0 + n as f32 * 7.0, y + 90.0 + n as f32 * 5.0]
    });
    Tensor::from_iter(numbers, &Device::Cpu).unwrap().reshape((count, 5)).unwrap()
}

/// ResNeXt-50's trunk: stem, four stages of bottlenecks, batch norm after every convolution.
fn trunk(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("trunk");
    group.sample_size(10);
    let x = random(&[1, 3, 600, 1000]);
    let stem = Unit::new(64, 3, 7, 2, 1);
    let mut blocks = Vec::new();
    let mut channels = 64;
    for (stage, count) in [3, 4, 6, 3].into_iter().enumerate() {
        for block in 0..count {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let (width, out) = (128 << stage, 256 << stage);
            let units = [
                Unit::new(width, channels, 1, 1, 1),
                Unit::new(width, width, 3, stride, 32),
                Unit::new(out, width, 1, 1, 1),
            ];
            blocks.push((units, (block == 0).then(|| Unit::new(out, channels, 1, stride, 1))));
            channels = out;
        }
    }
    let run = || {
        let x = relu(&stem.forward(&x)).unwrap();
        let mut x = max_pool2d(&x, [3, 3], [2, 2], [1, 1]).unwrap();
        for ([first, second, third], shortcut) in &blocks {
            let y = relu(&first.forward(&x)).unwrap();
            let y = third.forward(&relu(&second.forward(&y)).unwrap());
            let short = shortcut.as_ref().map_or_else(|| x.clone(), |shortcut| shortcut.forward(&x));
            x = relu(&(y + short).unwrap()).unwrap();
        }
        x
    };
    group.throughput(Throughput::Elements(2 * 51_300_000_000)); // multiply-adds of the trunk, counted elsewhere
    group.bench_function("resnext50_32x4d at 600x1000", |b| {
        assert_eq!(run().dims(), [1, 2048, 19, 32]);
        b.iter(run);
    });
    group.finish();
}

/// A convolution and its normalisation.
struct Unit {
    w: Tensor,
    geometry: ConvGeometry,
    ones: Tensor,
    zeros: Tensor,
}

impl Unit {
    fn new(out: usize, channels: usize, kernel: usize, stride: usize, groups: usize) -> Self {
        let geometry = ConvGeometry {
            stride: [stride; 2],
            padding: Padding::symmetric(kernel / 2),
            groups,
            ..ConvGeometry::default()
        };
        let fan_in = (channels / groups * kernel * kernel) as f64;
        let w = (random(&[out, channels / groups, kernel, kernel]) / fan_in.sqrt()).unwrap();
        let ones = Tensor::ones(out, DType::F32, &Device::Cpu).unwrap();
        Self { w, geometry, zeros: ones.zeros_like().unwrap(), ones }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let y = conv2d(x, &self.w, None, &self.geometry).unwrap();
        batch_norm_inference(&y, &self.zeros, &self.ones, &self.ones, &self.zeros, 1e-5).unwrap()
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = convolutions, the_rest, trunk
}
criterion_main!(benches);
