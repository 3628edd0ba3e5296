//! AdamW over many updates against its formulas in f64, and the sum of squares.

use pretrain_kernels::{AdamWForm, AdamWSlices, AdamWStep, adamw, squared_norm};

use crate::draw::values;

const FORMS: [AdamWForm; 3] = [
    AdamWForm::Torch,
    AdamWForm::Transformers { correct_bias: true },
    AdamWForm::Transformers { correct_bias: false },
];

fn step(form: AdamWForm, number: u64) -> AdamWStep {
    let rate = 1e-3 / number as f64;
    AdamWStep {
        form,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        rate,
        weight_decay: 0.01,
        number,
        gradient_scale: 0.5,
    }
}

/// Parameter and moments after `updates`; more numbers than a chunk.
fn run(form: AdamWForm, count: usize, updates: u64) -> [Vec<f32>; 3] {
    let mut p: Vec<f32> = values(1, count).into_iter().map(|x| x as f32).collect();
    let (mut m, mut v) = (vec![0.0; count], vec![0.0; count]);
    for number in 1..=updates {
        let g: Vec<f32> = values(1 + number, count).into_iter().map(|x| x as f32).collect();
        let slices =
            AdamWSlices { parameter: &mut p, gradient: &g, first_moment: &mut m, second_moment: &mut v };
        adamw(&step(form, number), slices).unwrap();
    }
    [p, m, v]
}

/// Moments: each update rounds four times, and what is old shrinks. A parameter moves by at most `rate * 4` in an
/// update, with about ten roundings and the moments' own; it rounds twice at its own size.
#[test]
fn within_the_derived_bound_of_the_formulas() {
    let (count, updates, u) = (20_000, 10, 2f64.powi(-24));
    for form in FORMS {
        let [p, m, v] = run(form, count, updates);
        let (mut exact_p, mut exact_m, mut exact_v) = (values(1, count), vec![0.0; count], vec![0.0; count]);
        let (mut moved, mut size_m) = (vec![0.0; count], vec![0.0; count]);
        for number in 1..=updates {
            let step = step(form, number);
            let [b1, b2] = step.betas;
            let [c1, c2] = step.betas.map(|beta| 1.0 - beta.powi(number as i32));
            let decay = step.rate * step.weight_decay;
            for (i, g) in values(1 + number, count).into_iter().enumerate() {
                let g = g * f64::from(step.gradient_scale);
                exact_m[i] = b1 * exact_m[i] + (1.0 - b1) * g;
                exact_v[i] = b2 * exact_v[i] + (1.0 - b2) * g * g;
                size_m[i] = b1 * size_m[i] + (1.0 - b1) * g.abs();
                let (m, v) = (exact_m[i], exact_v[i]);
                let (size, root) = match form {
                    AdamWForm::Torch => {
                        exact_p[i] -= decay * exact_p[i];
                        (step.rate / c1, (v / c2).sqrt())
                    }
                    AdamWForm::Transformers { correct_bias: true } => (step.rate * c2.sqrt() / c1, v.sqrt()),
                    AdamWForm::Transformers { .. } => (step.rate, v.sqrt()),
                };
                exact_p[i] -= size * m / (root + step.epsilon);
                moved[i] += size * size_m[i] / (root + step.epsilon);
                if form != AdamWForm::Torch {
                    exact_p[i] -= decay * exact_p[i];
                }
            }
        }
        for i in 0..count {
            let n = 5.0 * updates as f64;
            let (got, exact) = (f64::from(m[i]), exact_m[i]);
            assert!((got - exact).abs() <= n * u * size_m[i], "{form:?}: m[{i}] is {got}, exact {exact}");
            // 1 - b2 is 0.001, rounded to f32 once more.
            let (got, exact) = (f64::from(v[i]), exact_v[i]);
            assert!((got - exact).abs() <= n * u * exact, "{form:?}: v[{i}] is {got}, exact {exact}");
            let bound = u * (4.0 * updates as f64 * (exact_p[i].abs() + moved[i]) + 3.0 * n * moved[i]);
            let (got, exact) = (f64::from(p[i]), exact_p[i]);
            assert!(
                (got - exact).abs() <= bound,
                "{form:?}: p[{i}] is {got}, exact {exact}, bound {bound:e}"
            );
        }
    }
}

/// The plain loops: separate f32 operations in the order of the formulas.
#[test]
fn the_bits_are_those_of_the_plain_loop() {
    let (count, updates) = (1_003, 5);
    for form in FORMS {
        let mut p: Vec<f32> = values(1, count).into_iter().map(|x| x as f32).collect();
        let (mut first, mut second) = (vec![0f32; count], vec![0f32; count]);
        for number in 1..=updates {
            let step = step(form, number);
            let [c1, c2] = step.betas.map(|beta| 1.0 - libm::pow(beta, number as f64));
            let (new1, new2) = ((1.0 - step.betas[0]) as f32, (1.0 - step.betas[1]) as f32);
            for (i, g) in values(1 + number, count).into_iter().enumerate() {
                let g = g as f32 * step.gradient_scale;
                let (p, m, v) = (&mut p[i], &mut first[i], &mut second[i]);
                if form == AdamWForm::Torch {
                    *p *= (1.0 - step.rate * step.weight_decay) as f32;
                }
                *m = 0.9 * *m + new1 * g;
                *v = 0.999 * *v + new2 * g * g;
                match form {
                    AdamWForm::Torch => {
                        *p -= (step.rate / c1) as f32 * *m / (v.sqrt() / c2.sqrt() as f32 + 1e-8);
                    }
                    AdamWForm::Transformers { correct_bias } => {
                        let correction = if correct_bias { c2.sqrt() / c1 } else { 1.0 };
                        *p -= (step.rate * correction) as f32 * *m / (v.sqrt() + 1e-8);
                        *p -= (step.rate * step.weight_decay) as f32 * *p;
                    }
                }
            }
        }
        assert!(run(form, count, updates) == [p, first, second], "{form:?}");
    }
}

#[test]
fn the_norm_is_a_sum_in_f64_and_threads_change_nothing() {
    let x: Vec<f32> = values(1, 100_001).into_iter().map(|x| x as f32 * 1e15).collect();
    let exact: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (squared_norm(&x).to_bits(), run(AdamWForm::Torch, 40_000, 2)))
    };
    let alone = run(1);
    assert!((f64::from_bits(alone.0) - exact).abs() <= 1e5 * f64::EPSILON * exact);
    assert!([2, 3, 8].into_iter().all(|threads| run(threads) == alone), "other bits on more threads");
    assert_eq!(squared_norm(&[]), 0.0);
    assert!(squared_norm(&[1.0, f32::NAN]).is_nan());
}

#[test]
fn misfits_are_named() {
    let attempt = |number: u64, lengths: [usize; 4]| {
        let [mut p, g, mut m, mut v] = lengths.map(|length| vec![0.0; length]);
        let slices =
            AdamWSlices { parameter: &mut p, gradient: &g, first_moment: &mut m, second_moment: &mut v };
        adamw(&AdamWStep { number, ..step(AdamWForm::Torch, 1) }, slices)
    };
    attempt(1, [0; 4]).unwrap();
    let message = attempt(1, [3, 3, 2, 3]).unwrap_err().to_string();
    assert!(message.contains("as long as the parameter, got [3, 2, 3] beside 3"), "{message}");
    let message = attempt(0, [3; 4]).unwrap_err().to_string();
    assert!(message.contains("adamw: expected updates counted from 1, got 0"), "{message}");
}
