//! Every composed operation beside the fused one: values, and the gradients to all arguments.
//!
//! In f64 both follow one formula but for the order of sums: 1e-11 of the largest number is allowed. In f32 the fused
//! operation in f64 is the reference, and 1e-5 of the largest number is allowed: a few dozen roundings of 6e-8 each, in sums
//! of up to 400 terms.

use candle_core::{DType, Device, Tensor, Var};

use super::*;
use crate::attention::{Bias, SelfAttention, Sequence};
use crate::dropout::Dropout;
use crate::philox::philox4x32;
use crate::precision::Precision;
use crate::{Attention, AttentionMask, KeySpan, Result, Sequences};

/// Numbers in (-1, 1), a function of seed and place.
fn values(seed: u32, count: usize) -> Vec<f64> {
    let at =
        |index: u32| f64::from(philox4x32([index, 0, 0, 0], [seed, 7])[0] >> 8) / f64::from(1 << 23) - 1.0;
    (0..count as u32).map(at).collect()
}

fn tensor(seed: u32, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values(seed, shape.iter().product()), shape, &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The result, and the gradients of `Σ y r` with r drawn, at the inputs in a number type.
fn run(inputs: &[Tensor], dtype: DType, f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Vec<f64>> {
    let vars: Vec<Var> =
        inputs.iter().map(|input| Var::from_tensor(&input.to_dtype(dtype).unwrap()).unwrap()).collect();
    let y = f(&vars.iter().map(|var| var.as_tensor().clone()).collect::<Vec<_>>()).unwrap();
    let weights = tensor(99, y.dims()).to_dtype(dtype).unwrap();
    let gradients = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = |var: &Var| {
        let gradient = gradients.get(var).expect("a gradient for every argument");
        assert_eq!(gradient.dims(), var.dims());
        numbers(gradient)
    };
    std::iter::once(numbers(&y)).chain(vars.iter().map(gradient)).collect()
}

fn assert_near(what: &str, got: &[Vec<f64>], wanted: &[Vec<f64>], share: f64) {
    assert_eq!(got.len(), wanted.len());
    for (part, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert_eq!(got.len(), wanted.len(), "{what}, part {part}");
        let largest = wanted.iter().fold(1e-2, |largest: f64, value| largest.max(value.abs()));
        for (index, (got, wanted)) in got.iter().zip(wanted).enumerate() {
            let apart = (got - wanted).abs();
            assert!(apart <= share * largest, "{what}, part {part}[{index}]: {got}, fused {wanted}");
        }
    }
}

fn compare(
    what: &str,
    inputs: &[Tensor],
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
    fused: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let wanted = run(inputs, DType::F64, &fused);
    assert_near(what, &run(inputs, DType::F64, &composed), &wanted, 1e-11);
    assert_near(what, &run(inputs, DType::F32, &composed), &wanted, 1e-5);
}

#[test]
fn activations_and_softmax() {
    for shape in [&[5, 17][..], &[2, 3, 7], &[1]] {
        let x = (tensor(1, shape) * 9.0).unwrap();
        let what = format!("{shape:?}");
        compare(&what, std::slice::from_ref(&x), |t| relu(&t[0]), |t| crate::relu(&t[0]));
        compare(&what, std::slice::from_ref(&x), |t| sigmoid(&t[0]), |t| crate::sigmoid(&t[0]));
        compare(&what, std::slice::from_ref(&x), |t| tanh(&t[0]), |t| crate::tanh(&t[0]));
        compare(&what, &[x], |t| softmax(&t[0]), |t| crate::softmax(&t[0]));
    }
    // far away, at 0, and where there is no number
    let x =
        Tensor::new(&[-200f32, -0.0, 0.0, 200.0, f32::INFINITY, f32::NEG_INFINITY], &Device::Cpu).unwrap();
    let far = [x.narrow(0, 0, 4).unwrap()];
    assert_near(
        "relu",
        &run(&far, DType::F32, &|t| relu(&t[0])),
        &run(&far, DType::F32, &|t| crate::relu(&t[0])),
        0.0,
    );
    let sigmoids = run(&far, DType::F32, &|t| sigmoid(&t[0]));
    assert_near("sigmoid", &sigmoids, &run(&far, DType::F32, &|t| crate::sigmoid(&t[0])), 1e-6);
    assert_eq!(relu(&x).unwrap().to_vec1::<f32>().unwrap()[4..], [f32::INFINITY, 0.0]);
    assert!(
        relu(&Tensor::new(&[f32::NAN], &Device::Cpu).unwrap()).unwrap().to_vec1::<f32>().unwrap()[0].is_nan()
    );
}

#[test]
fn layer_norms() {
    for (shape, n) in [(&[4, 7, 33][..], 33), (&[1, 5], 5), (&[9, 400], 400), (&[16], 16)] {
        let inputs = [tensor(1, shape), tensor(2, &[n]), tensor(3, &[n])];
        compare(
            &format!("{shape:?}"),
            &inputs,
            |t| layer_norm(&t[0], &t[1], &t[2], 1e-12),
            |t| crate::layer_norm(&t[0], &t[1], &t[2], 1e-12),
        );
    }
}

#[test]
fn products() {
    for [b, i, o] in [[5, 33, 70], [1, 400, 3], [17, 8, 129]] {
        let inputs = [tensor(1, &[b, i]), tensor(2, &[o, i]), tensor(3, &[o])];
        let what = format!("{b} x {i} x {o}");
        compare(
            &what,
            &inputs,
            |t| linear(Precision::F32, &t[0], &t[1], Some(&t[2])),
            |t| crate::linear(&t[0], &t[1], Some(&t[2])),
        );
        compare(
            &what,
            &inputs[..2],
            |t| linear(Precision::F32, &t[0], &t[1], None),
            |t| crate::linear(&t[0], &t[1], None),
        );
        compare(
            &what,
            &inputs,
            |t| linear_gelu(Precision::F32, &t[0], &t[1], &t[2]),
            |t| crate::linear_gelu(&t[0], &t[1], &t[2]),
        );
    }
}

/// Factors and results are rounded to 2^-9 of themselves (2^-8 where rounding is not to nearest); sums of k terms of at
/// most 1 grow as k does, their errors as sqrt(k): 2 % of the largest number is far more than that.
#[test]
fn products_in_bf16_are_near_and_rounded() {
    let inputs = [tensor(1, &[9, 200]), tensor(2, &[70, 200]), tensor(3, &[70])];
    let wanted = run(&inputs, DType::F64, &|t| crate::linear_gelu(&t[0], &t[1], &t[2]));
    let got = run(&inputs, DType::F32, &|t| linear_gelu(Precision::Bf16, &t[0], &t[1], &t[2]));
    assert_near("bf16", &got, &wanted, 2e-2);
    let apart = got[0].iter().zip(&wanted[0]).fold(0f64, |apart, (a, b)| apart.max((a - b).abs()));
    assert!(apart > 1e-4, "nothing was rounded: {apart}");
    let exact = run(&inputs, DType::F64, &|t| linear_gelu(Precision::Bf16, &t[0], &t[1], &t[2]));
    assert_near("f64 stays f64", &exact, &wanted, 1e-11);
}

fn how(rows: Option<Vec<u32>>) -> Dropout {
    Dropout { rate: 0.3, seed: 3 << 40 | 5, stream: 4, step: 5, rows: rows.map(Into::into) }
}

/// To the bit: what is kept is the same, and so is the factor.
#[test]
fn the_same_is_dropped() {
    for (shape, rows) in [(&[4, 3, 130][..], 12), (&[7, 64], 7), (&[1, 5], 1)] {
        for numbers in [None, Some((0..rows).map(|row| 1000 - 3 * row).collect())] {
            let how = how(numbers);
            let x = tensor(1, shape);
            let run = |f: &dyn Fn(&[Tensor]) -> Result<Tensor>| run(std::slice::from_ref(&x), DType::F32, f);
            let (got, wanted) = (run(&|t| dropout(&t[0], &how)), run(&|t| crate::dropout(&t[0], &how)));
            assert_eq!(got, wanted, "{shape:?}");
        }
    }
    let (inputs, how) =
        ([tensor(1, &[6, 48]), tensor(2, &[6, 48]), tensor(3, &[48]), tensor(4, &[48])], how(None));
    compare(
        "residual",
        &inputs,
        |t| layer_norm(&(dropout(&t[0], &how)? + &t[1])?, &t[2], &t[3], 1e-12),
        |t| crate::residual_layer_norm(&t[0], &t[1], Some(&how), &t[2], &t[3], 1e-12),
    );
}

#[test]
fn embeddings() {
    let (words, places) = ([3, 0, 3, 6, 0, 1], [0, 1, 2, 3, 4, 4]);
    let inputs = [tensor(1, &[7, 5]), tensor(2, &[5, 5]), tensor(3, &[2, 5])];
    for padding in [None, Some(0), Some(2)] {
        compare(
            &format!("{padding:?}"),
            &inputs,
            |t| {
                let sum = (embedding(&t[0], &words, padding)? + embedding(&t[1], &places, None)?)?;
                Ok((sum + embedding(&t[2], &[0, 0, 1, 1, 1, 0], None)?)?)
            },
            |t| {
                let words = (&t[0], &words[..], padding);
                crate::embedding_sum(words, (&t[1], &places), (&t[2], &[0, 0, 1, 1, 1, 0]))
            },
        );
    }
    compare("one", &inputs[..1], |t| embedding(&t[0], &words, None), |t| crate::embedding(&t[0], &words));
}

#[test]
fn losses() {
    for labels in [vec![2, -1, 0, 4, -1], vec![1, 1, 0, 3, 2], vec![-1; 5]] {
        let n = labels.len();
        let labelled: Vec<(usize, usize)> = labels
            .iter()
            .enumerate()
            .filter(|(_, label)| **label >= 0)
            .map(|(row, label)| (row, *label as usize))
            .collect();
        let what = format!("{labels:?}");
        let logits = [(tensor(1, &[n, 5]) * 8.0).unwrap()];
        compare(
            &what,
            &logits,
            |t| cross_entropy(&t[0], &labelled),
            |t| Ok(crate::cross_entropy(&t[0], &labels)?.sum),
        );
        let inputs = [tensor(1, &[n, 19]), tensor(2, &[301, 19]), tensor(3, &[301])];
        compare(
            &what,
            &inputs,
            |t| vocabulary_cross_entropy(Precision::F32, &t[0], &t[1], &t[2], &labelled),
            |t| Ok(crate::vocabulary_cross_entropy(&t[0], &t[1], &t[2], &labels)?.sum),
        );
        let targets = tensor(4, &[n, 5]).abs().unwrap();
        compare(
            &what,
            &logits,
            |t| soft_cross_entropy(&t[0], &targets.to_dtype(t[0].dtype())?),
            |t| crate::soft_cross_entropy(&t[0], &targets.to_dtype(t[0].dtype())?),
        );
    }
    // nothing overflows
    let x = Tensor::new(&[[-3000f32, 500.0, 480.0]], &Device::Cpu).unwrap();
    let sum = cross_entropy(&x, &[(0, 2)]).unwrap().to_scalar::<f32>().unwrap();
    assert!((sum - 20.0).abs() < 1e-4, "{sum}");
}

fn mask(seed: u32, count: usize) -> Tensor {
    let seen = values(seed, count).into_iter().map(|x| u8::from(x > -0.3));
    Tensor::from_iter(seen, &Device::Cpu).unwrap()
}

#[test]
fn self_attention() {
    let cases: [(&[usize], usize, usize); 6] = [
        (&[5, 0, 3, 17], 2, 8),
        (&[6, 6], 3, 4),
        (&[1, 1], 3, 1),
        (&[40], 2, 16),
        (&[7, 9], 1, 5),
        (&[0, 4], 2, 3),
    ];
    for (lengths, heads, d) in cases {
        let sequences = Sequences::new(lengths);
        let tokens = sequences.tokens();
        let qkv = [(tensor(1, &[tokens, 3 * heads * d]) * 2.0).unwrap()];
        let pairs: usize = lengths.iter().map(|length| length * length).sum();
        let (keys, both) = (mask(2, tokens), mask(3, pairs));
        let rows: Vec<u32> = (0..tokens as u32).map(|token| 1000 - 3 * token).collect();
        for mask in [None, Some(AttentionMask::Keys(&keys)), Some(AttentionMask::Pairs(&both))] {
            for dropout in [None, Some(how(None)), Some(how(Some(rows.clone())))].iter() {
                let asked = Attention {
                    heads,
                    sequences: &sequences,
                    mask,
                    dropout: dropout.as_ref(),
                    precision: Precision::F32,
                };
                let additive =
                    |seen: &Tensor| numbers(seen).iter().map(|x| (1.0 - x) as f32 * -10000.0).collect();
                let mut first = 0;
                let tasks = sequences.iter().map(|tokens| {
                    let pairs = first;
                    first += tokens.len().pow(2);
                    Sequence { tokens, pairs }
                });
                let how = SelfAttention {
                    heads,
                    head: d,
                    tasks: tasks.collect(),
                    bias: mask.map(|mask| match mask {
                        AttentionMask::Keys(keys) => Bias::Keys(additive(keys)),
                        AttentionMask::Pairs(pairs) => Bias::Pairs(additive(pairs)),
                    }),
                    dropout: dropout.clone(),
                    precision: Precision::F32,
                    kept: Default::default(),
                };
                let what = format!("{lengths:?}, {asked:?}");
                compare(&what, &qkv, |t| attention(&t[0], &how), |t| crate::attention(&t[0], &asked));
            }
        }
    }
}

/// All scores are lowered alike by a mask that hides everything, also beside padding.
#[test]
fn a_row_without_keys_attends_to_its_own_sequence() {
    let qkv = tensor(1, &[7, 12]);
    let nothing = Tensor::zeros(7, DType::U8, &Device::Cpu).unwrap();
    let sequences = Sequences::new(&[5, 2]);
    let how = |bias| SelfAttention {
        heads: 2,
        head: 2,
        tasks: vec![Sequence { tokens: 0..5, pairs: 0 }, Sequence { tokens: 5..7, pairs: 25 }],
        bias,
        dropout: None,
        precision: Precision::F32,
        kept: Default::default(),
    };
    let open = numbers(&attention(&qkv, &how(None)).unwrap());
    let masked = numbers(&attention(&qkv, &how(Some(Bias::Keys(vec![-10000.0; 7])))).unwrap());
    assert!(open.iter().zip(&masked).all(|(a, b)| (a - b).abs() < 1e-9), "{masked:?}, open {open:?}");
    let mask = Some(AttentionMask::Keys(&nothing));
    let fused = crate::attention(
        &qkv,
        &Attention { heads: 2, sequences: &sequences, mask, dropout: None, precision: Precision::F32 },
    );
    assert!(numbers(&fused.unwrap()).iter().zip(&masked).all(|(a, b)| (a - b).abs() < 1e-9));
}

#[test]
fn attention_over_blocks() {
    let (heads, d) = (3, 5);
    let width = heads * d;
    let blocks = [tensor(2, &[9, 2 * width]), tensor(3, &[0, 2 * width]), tensor(4, &[4, 3 * width])];
    let span = |block, first, count| KeySpan { block, first, count };
    let keys = [
        vec![span(0, 2, 5), span(2, 1, 1)],
        vec![span(2, 3, 1)],
        vec![span(0, 0, 9), span(1, 0, 0), span(2, 0, 4)],
        vec![span(0, 8, 1), span(0, 8, 1)],
    ];
    let queries = tensor(1, &[4, 3 * width]);
    for dtype in [DType::F64, DType::F32] {
        let blocks: Vec<Tensor> = blocks.iter().map(|block| block.to_dtype(dtype).unwrap()).collect();
        let q = queries.to_dtype(dtype).unwrap();
        let got = attention_over(&q, [heads, width], &blocks, &keys).unwrap();
        let wanted = crate::attention_over(&q, heads, &blocks, &keys).unwrap();
        assert_eq!(got.dims(), [4, width]);
        let share = if dtype == DType::F64 { 1e-12 } else { 2e-6 };
        assert_near("over blocks", &[numbers(&got)], &[numbers(&wanted)], share);
    }
}

#[test]
fn rows_are_moved_there_and_back() {
    use super::rows::{Moved, NONE};
    let to = [2, NONE, 0, 4, NONE, 1];
    let moved = || Moved::new(&to, 5, &Device::Cpu).unwrap();
    let x = [tensor(1, &[5, 3])];
    let plain = |t: &[Tensor]| {
        let zeros = Tensor::zeros((1, 3), DType::F64, &Device::Cpu)?;
        let rows = Tensor::new(&[2u32, 5, 0, 4, 5, 1], &Device::Cpu)?;
        Ok(Tensor::cat(&[&t[0], &zeros], 0)?.index_select(&rows, 0)?)
    };
    assert_eq!(run(&x, DType::F64, &|t| moved().apply(&t[0])), run(&x, DType::F64, &plain));
    let there = moved().apply(&x[0]).unwrap();
    let back = numbers(&moved().inverse().apply(&there).unwrap());
    let wanted = numbers(&x[0]);
    assert_eq!((&back[..9], &back[9..12], &back[12..]), (&wanted[..9], &[0.0; 3][..], &wanted[12..]));
}
