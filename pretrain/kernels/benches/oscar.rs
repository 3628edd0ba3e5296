//! The kernels of transformers at the shapes of Oscar's base model: 16 samples of 35 tokens and 50 regions (1360 rows of
//! 768), 12 heads of 64, 3072 inside, 30,522 words at 84 labelled rows; f32.
//!
//!     RAYON_NUM_THREADS=1 cargo bench -p pretrain-kernels --bench oscar [FILTER]
//!
//! Times are the process's seconds of CPU, as in `shapes.rs`, so run it on one thread. "backward" is candle's: all
//! gradients of one operation, with its zeros and sums. `benches/peer.py --oscar` times PyTorch on the same.
#![expect(clippy::unwrap_used, reason = "a failed step ends the bench")]

mod cpu_time;

use candle_core::{Device, Tensor, Var};
use cpu_time::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pretrain_kernels::{
    AdamWForm, AdamWSlices, AdamWStep, Attention, Dropout, Precision, Sequences, adamw, attention, dropout,
    embedding_sum, layer_norm, linear, linear_gelu, residual_layer_norm, squared_norm,
    vocabulary_cross_entropy,
};

const SAMPLES: usize = 16;
const LENGTH: usize = 85;
const ROWS: usize = SAMPLES * LENGTH;
const WIDTH: usize = 768;
const INSIDE: usize = 3072;
const HEADS: usize = 12;
const WORDS: usize = 30_522;

fn random(shape: &[usize]) -> Var {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

fn how() -> Dropout {
    Dropout { rate: 0.1, seed: 1, stream: 2, step: 3, rows: None }
}

/// Times `f` on detached inputs, and the backward of its result.
fn both(
    criterion: &mut Criterion<CpuTime>,
    name: &str,
    inputs: &[Var],
    work: Throughput,
    f: impl Fn(&[Tensor]) -> Tensor,
) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    let detached: Vec<Tensor> = inputs.iter().map(Var::as_detached_tensor).collect();
    let tracked: Vec<Tensor> = inputs.iter().map(|input| input.as_tensor().clone()).collect();
    group.throughput(work.clone());
    group.bench_function("forward", |bencher| bencher.iter(|| f(&detached)));
    group.throughput(match work {
        Throughput::Elements(count) => Throughput::Elements(2 * count),
        other => other,
    });
    group.bench_function("backward", |bencher| {
        // A fresh graph each time: what an operation keeps, its backward may use up.
        let loss = || f(&tracked).sum_all().unwrap();
        bencher.iter_batched(loss, |loss| loss.backward().unwrap(), criterion::BatchSize::PerIteration);
    });
    group.finish();
}

fn rows(criterion: &mut Criterion<CpuTime>) {
    let [x, residual] = [random(&[ROWS, WIDTH]), random(&[ROWS, WIDTH])];
    let [weight, bias] = [random(&[WIDTH]), random(&[WIDTH])];
    let bytes = |count: usize| Throughput::Bytes((count * 4 * ROWS * WIDTH) as u64);
    both(criterion, "layer norm", &[x.clone(), weight.clone(), bias.clone()], bytes(2), |t| {
        layer_norm(&t[0], &t[1], &t[2], 1e-12).unwrap()
    });
    // What is candle's in every backward here: the sum's gradient, one array of zeros and one addition.
    both(criterion, "candle's copy", std::slice::from_ref(&x), bytes(2), |t| t[0].copy().unwrap());
    let how = how();
    both(criterion, "dropout + residual + layer norm", &[x.clone(), residual, weight, bias], bytes(3), |t| {
        residual_layer_norm(&t[0], &t[1], Some(&how), &t[2], &t[3], 1e-12).unwrap()
    });
    both(criterion, "dropout", std::slice::from_ref(&x), bytes(2), |t| dropout(&t[0], &how).unwrap());
}

fn attend(criterion: &mut Criterion<CpuTime>) {
    let qkv = [random(&[ROWS, 3 * WIDTH])];
    let sequences = Sequences::equal(SAMPLES, LENGTH);
    let how = how();
    let operations = Throughput::Elements((4 * ROWS * LENGTH * WIDTH) as u64);
    for (name, dropout) in [("attention", None), ("attention with dropout", Some(&how))] {
        let attend =
            Attention { heads: HEADS, sequences: &sequences, mask: None, dropout, precision: Precision::F32 };
        both(criterion, name, &qkv, operations.clone(), |t| attention(&t[0], &attend).unwrap());
    }
    // The same batch with half of the tokens: what packing saves.
    let half: Vec<usize> = (0..SAMPLES).map(|i| 25 + 35 * (i % 2)).collect();
    let sequences = Sequences::new(&half);
    let qkv = [random(&[sequences.tokens(), 3 * WIDTH])];
    let attend = Attention {
        heads: HEADS,
        sequences: &sequences,
        mask: None,
        dropout: Some(&how),
        precision: Precision::F32,
    };
    let work = half.iter().map(|length| 4 * length * length * WIDTH).sum::<usize>() as u64;
    both(criterion, "attention, half the tokens", &qkv, Throughput::Elements(work), |t| {
        attention(&t[0], &attend).unwrap()
    });
}

fn products(criterion: &mut Criterion<CpuTime>) {
    for (name, inputs, outputs) in [
        ("linear 768-2304", WIDTH, 3 * WIDTH),
        ("linear 768-768", WIDTH, WIDTH),
        ("linear 3072-768", INSIDE, WIDTH),
    ] {
        let tensors = [random(&[ROWS, inputs]), random(&[outputs, inputs]), random(&[outputs])];
        let operations = Throughput::Elements((2 * ROWS * inputs * outputs) as u64);
        both(criterion, name, &tensors, operations, |t| linear(&t[0], &t[1], Some(&t[2])).unwrap());
    }
    let tensors = [random(&[ROWS, WIDTH]), random(&[INSIDE, WIDTH]), random(&[INSIDE])];
    let operations = Throughput::Elements((2 * ROWS * WIDTH * INSIDE) as u64);
    both(criterion, "linear + gelu 768-3072", &tensors, operations, |t| {
        linear_gelu(&t[0], &t[1], &t[2]).unwrap()
    });
    let one = [random(&[1, 1280]), random(&[1000, 1280]), random(&[1000])];
    both(criterion, "linear 1280-1000, one row", &one, Throughput::Elements(2 * 1_280_000), |t| {
        linear(&t[0], &t[1], Some(&t[2])).unwrap()
    });
}

fn words(criterion: &mut Criterion<CpuTime>) {
    let mut labels = vec![-1; ROWS];
    (0..84).for_each(|n| labels[n * 16] = (n * 311) as i64);
    let inputs = [random(&[ROWS, WIDTH]), random(&[WORDS, WIDTH]), random(&[WORDS])];
    let operations = Throughput::Elements((2 * 84 * WIDTH * WORDS) as u64);
    both(criterion, "vocabulary cross-entropy", &inputs, operations, |t| {
        vocabulary_cross_entropy(&t[0], &t[1], &t[2], &labels).unwrap().sum
    });
    let tokens = SAMPLES * 35;
    let word: Vec<u32> = (0..tokens).map(|i| (i * 7919 % WORDS) as u32).collect();
    let position: Vec<u32> = (0..tokens).map(|i| i as u32 % 35).collect();
    let segment: Vec<u32> = (0..tokens).map(|i| u32::from(i % 35 > 20)).collect();
    let tables = [random(&[WORDS, WIDTH]), random(&[512, WIDTH]), random(&[2, WIDTH])];
    let bytes = Throughput::Bytes((4 * 4 * tokens * WIDTH) as u64);
    both(criterion, "embedding sum", &tables, bytes, |t| {
        embedding_sum((&t[0], &word, None), (&t[1], &position), (&t[2], &segment)).unwrap()
    });
}

fn updates(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("update of 16 M");
    group.sample_size(10);
    let count = 16 << 20;
    let values = |scale: f32| (0..count).map(|i| (i as f32 * 0.7).sin() * scale).collect::<Vec<f32>>();
    let (mut p, g, mut m, mut v) = (values(1.0), values(0.1), vec![0.0; count], vec![0.0; count]);
    for (name, form) in [
        ("adamw, torch's", AdamWForm::Torch),
        ("adamw, published", AdamWForm::Transformers { correct_bias: true }),
    ] {
        let step = AdamWStep {
            form,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            rate: 1e-5,
            weight_decay: 0.01,
            number: 3,
            gradient_scale: 0.5,
        };
        group.throughput(Throughput::Bytes(28 * count as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let slices = AdamWSlices {
                    parameter: &mut p,
                    gradient: &g,
                    first_moment: &mut m,
                    second_moment: &mut v,
                };
                adamw(&step, slices).unwrap();
            });
        });
    }
    group.throughput(Throughput::Bytes(4 * count as u64));
    group.bench_function("squared norm", |bencher| bencher.iter(|| squared_norm(&g)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = rows, attend, products, words, updates
}
criterion_main!(benches);
