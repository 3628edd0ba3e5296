//! Products through bf16 against their formula with a derived bound, exactly where nothing is rounded, and against
//! themselves on other numbers of threads. Where the processor lacks the instructions all of this holds, too: products
//! are f32 then.

use candle_core::{DType, Device, Tensor, Var};
use pretrain_kernels::{
    Attention, Dropout, Precision, Sequences, attention, linear, linear_gelu_in, linear_in, measured_peak,
    vocabulary_cross_entropy, vocabulary_cross_entropy_in,
};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, values, var};

/// Half a unit in the last of 8 bits.
const U: f64 = 1.0 / 256.0;

/// `(2 u + u²) + γ_k (1 + u)²`: what a sum of k products may be away from the exact one, over Σ|x w|.
fn share(k: usize) -> f64 {
    let n = (k + 1) as f64 * 2f64.powi(-24);
    2.0 * U + U * U + n / (1.0 - n) * (1.0 + U) * (1.0 + U)
}

/// `a bᵀ` for a of \[rows, k\] and b of \[columns, k\], and the same of absolute values.
fn product(a: &[f64], b: &[f64], k: usize) -> [Vec<f64>; 2] {
    let [mut value, mut absolute] = [Vec::new(), Vec::new()];
    for row in 0..a.len() / k {
        for column in 0..b.len() / k {
            let terms = (0..k).map(|i| a[row * k + i] * b[column * k + i]);
            value.push(terms.clone().sum());
            absolute.push(terms.map(f64::abs).sum());
        }
    }
    [value, absolute]
}

fn transposed(a: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|column| a.iter().skip(column).step_by(columns).copied()).collect()
}

fn assert_within(what: &str, computed: &Tensor, [value, absolute]: &[Vec<f64>; 2], k: usize) {
    let computed = numbers(computed);
    assert_eq!(computed.len(), value.len(), "{what}");
    for (index, (got, (value, absolute))) in computed.iter().zip(value.iter().zip(absolute)).enumerate() {
        let (error, bound) = ((got - value).abs(), share(k) * absolute + f64::from(f32::MIN_POSITIVE));
        assert!(error <= bound, "{what}[{index}]: {got}, exact {value}, error {error:e} over {bound:e}");
    }
}

/// y, and the gradients of `Σ y d_y` to x and w.
fn linear_and_gradients(x: &Var, w: &Var, d_y: &Tensor) -> [Tensor; 3] {
    let y = linear_in(Precision::Bf16, x, w, None).unwrap();
    let gradients = (&y * d_y).unwrap().sum_all().unwrap().backward().unwrap();
    [y, gradients.get(x).unwrap().clone(), gradients.get(w).unwrap().clone()]
}

const SIZES: [[usize; 3]; 9] = [
    [1, 1, 65],
    [17, 33, 97],
    [33, 17, 400],
    [200, 2, 65],
    [193, 700, 70],
    [16, 321, 96],
    [385, 40, 66],
    [8, 3, 1000],
    [70, 64, 3],
];

#[test]
fn within_the_derived_bound_of_the_formula() {
    for [rows, inputs, outputs] in SIZES {
        let (x, w) = (var(1, &[rows, inputs], DType::F32), var(2, &[outputs, inputs], DType::F32));
        let d_y = tensor(3, &[rows, outputs], DType::F32);
        let [y, d_x, d_w] = linear_and_gradients(&x, &w, &d_y);
        let (x, w, d_y) = (numbers(&x), numbers(&w), numbers(&d_y));
        let what = |part: &str| format!("{part} of {rows} x {inputs} x {outputs}");
        assert_within(&what("y"), &y, &product(&x, &w, inputs), inputs);
        assert_within(&what("d_x"), &d_x, &product(&d_y, &transposed(&w, inputs), outputs), outputs);
        let of_w = product(&transposed(&d_y, outputs), &transposed(&x, inputs), rows);
        assert_within(&what("d_w"), &d_w, &of_w, rows);
    }
}

/// Small whole numbers are numbers of bf16, and their sums those of f32: nothing may differ.
#[test]
fn whole_numbers_are_exact() {
    let whole = |seed, shape: &[usize]| {
        let rounded = (tensor(seed, shape, DType::F32) * 9.0).unwrap().round().unwrap();
        Var::from_tensor(&rounded).unwrap()
    };
    for [rows, inputs, outputs] in SIZES {
        let (x, w) = (whole(1, &[rows, inputs]), whole(2, &[outputs, inputs]));
        let d_y = whole(3, &[rows, outputs]);
        let [y, d_x, d_w] = linear_and_gradients(&x, &w, &d_y);
        let (x, w, d_y) = (numbers(&x), numbers(&w), numbers(&d_y));
        assert_eq!(numbers(&y), product(&x, &w, inputs)[0]);
        assert_eq!(numbers(&d_x), product(&d_y, &transposed(&w, inputs), outputs)[0]);
        assert_eq!(numbers(&d_w), product(&transposed(&d_y, outputs), &transposed(&x, inputs), rows)[0]);
    }
}

#[test]
fn factors_are_rounded_to_the_nearest_even() {
    let ulp = 2f32.powi(-7);
    let x = [1.0 + 0.5 * ulp, 1.0 + 1.5 * ulp, 1.0 + 0.51 * ulp, -1.0 - 0.49 * ulp, f32::INFINITY, 3e-39];
    let rounded = [1.0, 1.0 + 2.0 * ulp, 1.0 + ulp, -1.0, f32::INFINITY, 0.0];
    let expected = match Precision::Bf16.here() {
        Precision::Bf16 => rounded,
        Precision::F32 => x,
    };
    let w = Tensor::ones((65, 1), DType::F32, &Device::Cpu).unwrap();
    for (x, expected) in x.into_iter().zip(expected) {
        let x = Tensor::new(&[[x]], &Device::Cpu).unwrap();
        let y = linear_in(Precision::Bf16, &x, &w, None).unwrap();
        assert_eq!(y.to_vec2::<f32>().unwrap(), [[expected; 65]]);
    }
    let x = Tensor::new(&[[f32::NAN], [1.0]], &Device::Cpu).unwrap();
    let y = numbers(&linear_in(Precision::Bf16, &x, &w, None).unwrap());
    assert!(y[..65].iter().all(|y| y.is_nan()) && y[65..].iter().all(|y| *y == 1.0));
}

#[test]
fn keeps_its_bits() {
    let bias = var(3, &[450], DType::F32);
    for rows in [30, 500] {
        let inputs = [var(1, &[rows, 700], DType::F32), var(2, &[450, 700], DType::F32), bias.clone()];
        assert_same_bits("linear", &inputs, true, |t| {
            linear_in(Precision::Bf16, &t[0], &t[1], Some(&t[2])).unwrap()
        });
    }
    let inputs = [var(1, &[30, 40], DType::F32), var(2, &[450, 40], DType::F32), bias];
    assert_same_bits("gelu", &inputs, true, |t| {
        linear_gelu_in(Precision::Bf16, &t[0], &t[1], &t[2]).unwrap()
    });
    let labels: Vec<i64> = (0..30).map(|row| row * 7 - 1).collect();
    assert_same_bits("vocabulary", &inputs, false, |t| {
        vocabulary_cross_entropy_in(Precision::Bf16, &t[0], &t[1], &t[2], &labels).unwrap().sum
    });
}

/// The activation is that of the product's numbers, and its gradient goes through the same products.
#[test]
fn gelu_of_the_product() {
    let (rows, inputs, outputs) = (33, 65, 130);
    let x = var(1, &[rows, inputs], DType::F32);
    let (w, bias) = (var(2, &[outputs, inputs], DType::F32), var(3, &[outputs], DType::F32));
    let d_y = tensor(4, &[rows, outputs], DType::F32);
    let y = linear_gelu_in(Precision::Bf16, &x, &w, &bias).unwrap();
    let z = numbers(&linear_in(Precision::Bf16, &x, &w, Some(&bias)).unwrap());
    let below = |z: f64| 0.5 * libm::erfc(-z / 2f64.sqrt());
    for (y, z) in numbers(&y).into_iter().zip(&z) {
        assert!((y - z * below(*z)).abs() <= 1e-6 * (1.0 + z.abs()), "{y} for {z}");
    }
    let gradients = (&y * &d_y).unwrap().sum_all().unwrap().backward().unwrap();
    let slope = |z: f64| below(z) + z * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let d_z: Vec<f64> = numbers(&d_y).iter().zip(&z).map(|(d_y, z)| d_y * slope(*z)).collect();
    let (x_values, w_values) = (numbers(&x), numbers(&w));
    // d_z has errors of its own, far below those of rounding: 16 units of f32 and more in the far tail
    let room =
        |[value, absolute]: [Vec<f64>; 2]| [value, absolute.into_iter().map(|x| x * 1.001 + 1e-5).collect()];
    let of_x = room(product(&d_z, &transposed(&w_values, inputs), outputs));
    assert_within("d_x", gradients.get(&x).unwrap(), &of_x, outputs);
    let of_w = room(product(&transposed(&d_z, outputs), &transposed(&x_values, inputs), rows));
    assert_within("d_w", gradients.get(&w).unwrap(), &of_w, rows);
}

/// A loss moves by at most twice the largest error of a logit of its row.
#[test]
fn losses_of_a_vocabulary() {
    for (rows, width, words) in [(9, 20, 500), (300, 33, 97)] {
        let inputs = [
            var(1, &[rows, width], DType::F32),
            var(2, &[words, width], DType::F32),
            var(3, &[words], DType::F32),
        ];
        let labels: Vec<i64> =
            values(4, rows).iter().map(|x| (x.abs() * words as f64) as i64 - i64::from(*x < -0.9)).collect();
        let [x, w, bias] = &inputs;
        let rounded = vocabulary_cross_entropy_in(Precision::Bf16, x, w, bias, &labels).unwrap();
        let plain = vocabulary_cross_entropy(x, w, bias, &labels).unwrap();
        assert_eq!(rounded.count, plain.count);
        let [_, absolute] = product(&numbers(x), &numbers(w), width);
        let error: f64 = (absolute.chunks(words).zip(&labels).filter(|(_, label)| **label >= 0))
            .map(|(row, _)| 2.0 * share(width) * row.iter().copied().fold(0.0, f64::max))
            .sum();
        let [a, b] = [numbers(&rounded.sum)[0], numbers(&plain.sum)[0]];
        assert!((a - b).abs() <= error + 1e-4 * b.abs(), "{a} for {b}, bound {error}");
        let [a, b] = [rounded, plain].map(|loss| loss.sum.backward().unwrap());
        for input in &inputs {
            let [a, b] = [&a, &b].map(|gradients| numbers(gradients.get(input).unwrap()));
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
            let apart = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied());
            assert!(apart < 0.02, "gradients {apart} apart");
        }
    }
}

#[test]
fn doubles_stay_and_nothing_is_nothing() {
    let (x, w) = (tensor(1, &[9, 30], DType::F64), tensor(2, &[80, 30], DType::F64));
    let both = [Precision::Bf16, Precision::F32].map(|p| numbers(&linear_in(p, &x, &w, None).unwrap()));
    assert_eq!(both[0], both[1]);
    let x = Var::zeros((0, 30), DType::F32, &Device::Cpu).unwrap();
    let w = var(2, &[80, 30], DType::F32);
    let [y, d_x, d_w] = linear_and_gradients(&x, &w, &tensor(3, &[0, 80], DType::F32));
    assert_eq!((y.dims(), d_x.dims()), (&[0, 80][..], &[0, 30][..]));
    assert!(numbers(&d_w).iter().all(|d| *d == 0.0));
}

/// Where the instructions are there, they are used: their results are not those of f32, and their peak is higher.
#[test]
fn the_instructions_are_used() {
    if Precision::Bf16.here() == Precision::F32 {
        return;
    }
    let (x, w) = (tensor(1, &[30, 50], DType::F32), tensor(2, &[80, 50], DType::F32));
    let rounded = numbers(&linear_in(Precision::Bf16, &x, &w, None).unwrap());
    let plain = numbers(&linear(&x, &w, None).unwrap());
    let differing = rounded.iter().zip(&plain).filter(|(a, b)| (*a - *b).abs() > 1e-5).count();
    assert!(differing > plain.len() / 2, "{differing} of {} differ", plain.len());
    assert!(measured_peak(Precision::Bf16) > 0.0);
}

/// Scores move by at most `e`, the largest error of a query's; so its probabilities by a factor of at most `exp(2 e)`, and then
/// they and the values are rounded.
#[test]
fn attention_within_the_derived_bound_of_the_formula() {
    for (lengths, heads, d) in
        [(&[5, 0, 3, 17][..], 2, 8), (&[1], 3, 1), (&[85], 2, 64), (&[49, 16], 1, 5), (&[401], 1, 7)]
    {
        let sequences = Sequences::new(lengths);
        let (tokens, width) = (sequences.tokens(), heads * d);
        let qkv = (tensor(1, &[tokens, 3 * width], DType::F32) * 1.5).unwrap();
        let how =
            Attention { heads, sequences: &sequences, mask: None, dropout: None, precision: Precision::Bf16 };
        let got = numbers(&attention(&qkv, &how).unwrap());
        let values = numbers(&qkv);
        let at = |part: usize, token: usize, i: usize| values[token * 3 * width + part * width + i];
        for sequence in sequences.iter() {
            for (query, head) in sequence.clone().flat_map(|query| (0..heads).map(move |head| (query, head)))
            {
                let columns = || head * d..(head + 1) * d;
                let (mut scores, mut error) = (Vec::new(), 0f64);
                for key in sequence.clone() {
                    let terms = columns().map(|i| at(0, query, i) * at(1, key, i) / (d as f64).sqrt());
                    scores.push(terms.clone().sum::<f64>());
                    error = error.max(share(d) * terms.map(f64::abs).sum::<f64>());
                }
                let total: f64 = scores.iter().map(|score| score.exp()).sum();
                // f32's own roundings of scores of up to a hundred, of exponentials and of their sum
                let moved = (2.0 * error + 1e-5).exp() * (1.0 + share(sequence.len())) - 1.0;
                for i in columns() {
                    let terms = scores.iter().zip(sequence.clone());
                    let terms = terms.map(|(score, key)| score.exp() / total * at(2, key, i));
                    let (exact, size) = (terms.clone().sum::<f64>(), terms.map(f64::abs).sum::<f64>());
                    let y = got[query * width + i];
                    assert!((y - exact).abs() <= moved * size + 1e-30, "{lengths:?}: {y} for {exact}");
                }
            }
        }
    }
}

#[test]
fn gradients_of_attention_are_near_those_of_f32_and_keep_their_bits() {
    let sequences = Sequences::new(&[85, 30, 0, 7]);
    let qkv = [var(1, &[sequences.tokens(), 3 * 2 * 64], DType::F32)];
    let dropout = Dropout { rate: 0.1, seed: 2, stream: 3, step: 4, rows: None };
    let attend = |precision: Precision, t: &Tensor| {
        let dropout = Some(&dropout);
        attention(t, &Attention { heads: 2, sequences: &sequences, mask: None, dropout, precision }).unwrap()
    };
    assert_same_bits("attention", &qkv, false, |t| attend(Precision::Bf16, &t[0]));
    let d_y = tensor(4, &[sequences.tokens(), 2 * 64], DType::F32);
    let [a, b] = [Precision::Bf16, Precision::F32].map(|precision| {
        let loss = (attend(precision, &qkv[0]) * &d_y).unwrap().sum_all().unwrap();
        numbers(loss.backward().unwrap().get(&qkv[0]).unwrap())
    });
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let apart = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied());
    assert!(apart < 0.01, "gradients {apart} apart");
    assert_eq!(apart > 0.0, Precision::Bf16.here() == Precision::Bf16, "the instructions are used");
}
