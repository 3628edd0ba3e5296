//! Products in bf16 at the shapes of Oscar's base model, 1360 rows: one thread's operations a second, to be compared with
//! the peak of the instruction, which is written first.
//!
//!     RAYON_NUM_THREADS=1 cargo bench -p pretrain-kernels --bench bf16 [FILTER]
//!
//! Both factors are f32 and rounded in the measured time. "gradients" are those of x and w, two products; candle's sums
//! are in there. The vocabulary's product is that of 84 rows with 30,522 words. f32 stands beside each for comparison.
#![expect(clippy::unwrap_used, reason = "a failed step ends the bench")]

mod cpu_time;

use candle_core::{Device, Tensor, Var};
use cpu_time::CpuTime;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pretrain_kernels::{Precision, linear_gelu_in, linear_in, measured_peak, vocabulary_cross_entropy_in};

const ROWS: usize = 1360;

fn random(shape: &[usize]) -> Var {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

#[expect(clippy::print_stderr, reason = "what the figures are compared with")]
fn products(criterion: &mut Criterion<CpuTime>) {
    for (precision, name) in [(Precision::Bf16, "bf16"), (Precision::F32, "f32")] {
        eprintln!("{name}: peak {:.1} Gelem/s", measured_peak(precision) / 1e9);
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20);
        for (inputs, outputs) in [(768, 768), (768, 2304), (768, 3072), (3072, 768)] {
            let [x, w, bias] = [random(&[ROWS, inputs]), random(&[outputs, inputs]), random(&[outputs])];
            let operations = (2 * ROWS * inputs * outputs) as u64;
            let [detached_x, detached_w] = [x.as_detached_tensor(), w.as_detached_tensor()];
            group.throughput(Throughput::Elements(operations));
            group.bench_function(format!("linear {inputs}-{outputs}"), |bencher| {
                bencher.iter(|| linear_in(precision, &detached_x, &detached_w, None).unwrap());
            });
            if outputs > 2304 {
                let bias = bias.as_detached_tensor();
                group.bench_function(format!("linear + gelu {inputs}-{outputs}"), |bencher| {
                    bencher.iter(|| linear_gelu_in(precision, &detached_x, &detached_w, &bias).unwrap());
                });
            }
            group.throughput(Throughput::Elements(2 * operations));
            group.bench_function(format!("linear {inputs}-{outputs}, gradients"), |bencher| {
                let loss = || linear_in(precision, &x, &w, None).unwrap().sum_all().unwrap();
                bencher.iter_batched(loss, |loss| loss.backward().unwrap(), BatchSize::PerIteration);
            });
        }
        let labels: Vec<i64> = (0..84).map(|n| n * 311).collect();
        let [x, w, bias] = [random(&[84, 768]), random(&[30_522, 768]), random(&[30_522])];
        let detached = [&x, &w, &bias].map(Var::as_detached_tensor);
        let operations = 2 * 84 * 768 * 30_522;
        group.throughput(Throughput::Elements(operations));
        group.bench_function("vocabulary", |bencher| {
            let [x, w, bias] = &detached;
            bencher.iter(|| vocabulary_cross_entropy_in(precision, x, w, bias, &labels).unwrap());
        });
        group.throughput(Throughput::Elements(2 * operations));
        group.bench_function("vocabulary, gradients", |bencher| {
            let loss = || vocabulary_cross_entropy_in(precision, &x, &w, &bias, &labels).unwrap().sum;
            bencher.iter_batched(loss, |loss| loss.backward().unwrap(), BatchSize::PerIteration);
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = products
}
criterion_main!(benches);
