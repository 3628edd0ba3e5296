//! Attention against its formula, head by head and row by row.

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::{
    Attention, AttentionMask, Dropout, Precision, Sequences, attention, dropout, softmax,
};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, var};
use crate::proof::{Exact, assert_gradients, assert_within};

/// Lengths, heads, numbers a head.
const CASES: [(&[usize], usize, usize); 5] =
    [(&[5, 0, 3, 17], 2, 8), (&[1, 1], 3, 1), (&[85], 2, 64), (&[33, 16], 1, 5), (&[7], 4, 7)];

fn draw_mask(seed: u64, count: usize) -> Tensor {
    let bits = numbers(&tensor(seed, &[count], DType::F64)).into_iter().map(|x| u8::from(x > -0.3));
    Tensor::from_iter(bits, &Device::Cpu).unwrap()
}

fn pairs(lengths: &[usize]) -> usize {
    lengths.iter().map(|length| length * length).sum()
}

/// What is kept of the probabilities, times 1 / (1 - rate), by the plain operation: \[t, heads, longest\].
fn kept(how: &Dropout, tokens: usize, heads: usize, longest: usize) -> Vec<f64> {
    let rows = (0..(tokens * heads) as u32).collect::<Vec<u32>>();
    let how = Dropout { rows: Some(rows.into()), ..how.clone() };
    numbers(
        &dropout(&Tensor::ones((tokens * heads, longest), DType::F64, &Device::Cpu).unwrap(), &how).unwrap(),
    )
}

/// The formula in f64. Scores round d + 3 times (and once more by the mask's size), a probability takes twice the
/// row's largest error of a score, its exponential, its share of a sum of l and the scaling; the result is a sum of l.
fn formula(
    qkv: &[f64],
    lengths: &[usize],
    heads: usize,
    d: usize,
    bias: impl Fn(usize, usize, usize, usize) -> f64,
    kept: impl Fn(usize, usize, usize) -> f64,
) -> Exact {
    let width = heads * d;
    let tokens: usize = lengths.iter().sum();
    let (mut value, mut absolute) = (vec![0.0; tokens * width], vec![0.0; tokens * width]);
    let at = |part: usize, token: usize, head: usize, i: usize| {
        qkv[token * 3 * width + part * width + head * d + i]
    };
    let roundings = 2 * lengths.iter().max().unwrap() + 24;
    let mut start = 0;
    for (sequence, &length) in lengths.iter().enumerate() {
        for (head, query) in (0..heads).flat_map(|head| (0..length).map(move |query| (head, query))) {
            let scale = 1.0 / (d as f64).sqrt();
            let (mut scores, mut error) = (Vec::new(), 0f64);
            for key in 0..length {
                let terms = (0..d).map(|i| at(0, start + query, head, i) * at(1, start + key, head, i));
                let bias = bias(sequence, start, query, key);
                scores.push(terms.clone().sum::<f64>() * scale + bias);
                let size = terms.map(f64::abs).sum::<f64>() * scale;
                error = error.max((d + 3) as f64 * size + bias.abs());
            }
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
            let grown = 1.0 + 2.0 * error / roundings as f64;
            for i in 0..d {
                let terms = (0..length).map(|key| {
                    let p = (scores[key] - largest).exp() / sum * kept(start + query, head, key);
                    p * at(2, start + key, head, i)
                });
                let place = (start + query) * width + head * d + i;
                value[place] = terms.clone().sum();
                // A masked key's exponential may be the smallest normal number where it should be 0.
                absolute[place] = terms.map(f64::abs).sum::<f64>() * grown + length as f64 * 1e-31;
            }
        }
        start += length;
    }
    Exact { value, absolute, roundings }
}

#[test]
fn within_the_derived_bound_of_the_formula() {
    for (lengths, heads, d) in CASES {
        let sequences = Sequences::new(lengths);
        let tokens = sequences.tokens();
        let qkv = (tensor(1, &[tokens, 3 * heads * d], DType::F32) * 2.0).unwrap();
        let (keys, both) = (draw_mask(2, tokens), draw_mask(3, pairs(lengths)));
        let (key_values, both_values) = (numbers(&keys), numbers(&both));
        let first: Vec<usize> = (0..lengths.len()).map(|s| pairs(&lengths[..s])).collect();
        let longest = *lengths.iter().max().unwrap();
        let how = Dropout { rate: 0.2, seed: 3, stream: 4, step: 5, rows: None };
        let mask = kept(&how, tokens, heads, longest);
        let plain = |_: usize, _: usize, _: usize| 1.0;
        let base =
            Attention { heads, sequences: &sequences, mask: None, dropout: None, precision: Precision::F32 };
        let values = numbers(&qkv);
        let what = format!("{lengths:?}, {heads} x {d}");

        let exact = formula(&values, lengths, heads, d, |_, _, _, _| 0.0, plain);
        assert_within(&what, &attention(&qkv, &base).unwrap(), &exact);
        let of_keys = |_, start: usize, _, key: usize| (1.0 - key_values[start + key]) * -10000.0;
        let with_keys = Attention { mask: Some(AttentionMask::Keys(&keys)), ..base };
        let exact = formula(&values, lengths, heads, d, of_keys, plain);
        assert_within(&format!("{what}, keys"), &attention(&qkv, &with_keys).unwrap(), &exact);
        let of_pairs = |sequence: usize, _, query: usize, key: usize| {
            (1.0 - both_values[first[sequence] + query * lengths[sequence] + key]) * -10000.0
        };
        let with_pairs = Attention { mask: Some(AttentionMask::Pairs(&both)), dropout: Some(&how), ..base };
        let exact = formula(&values, lengths, heads, d, of_pairs, |token, head, key| {
            mask[(token * heads + head) * longest + key]
        });
        assert_within(&format!("{what}, pairs"), &attention(&qkv, &with_pairs).unwrap(), &exact);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (lengths, heads, d) in [(&[3, 0, 2][..], 2, 3), (&[1], 1, 2), (&[6], 1, 4)] {
        let sequences = Sequences::new(lengths);
        let qkv = [var(1, &[sequences.tokens(), 3 * heads * d], DType::F64)];
        let (keys, both) = (draw_mask(2, sequences.tokens()), draw_mask(4, pairs(lengths)));
        let how = Dropout { rate: 0.3, seed: 3, stream: 4, step: 5, rows: None };
        for mask in [None, Some(AttentionMask::Keys(&keys)), Some(AttentionMask::Pairs(&both))] {
            for dropout in [None, Some(&how)] {
                let attend =
                    Attention { heads, sequences: &sequences, mask, dropout, precision: Precision::F32 };
                let what = format!("{lengths:?}, {attend:?}");
                assert_gradients(&what, &qkv, |t| attention(&(&t[0] * 2.0).unwrap(), &attend).unwrap());
            }
        }
    }
}

/// A sequence among others, alone, and padded: to the bit where nothing is added to its sums, within 1e-6 padded.
#[test]
fn packing_changes_nothing() {
    let (heads, d, lengths) = (3, 16, [20, 7, 0, 31]);
    let width = 3 * heads * d;
    let packed = Sequences::new(&lengths);
    let qkv = tensor(1, &[packed.tokens(), width], DType::F32);
    let rows: Vec<u32> = (0..packed.tokens() as u32).map(|token| 1000 - 3 * token).collect();
    let how = |rows: &[u32]| Dropout { rate: 0.2, seed: 3, stream: 4, step: 5, rows: Some(rows.into()) };
    let run = |qkv: &Tensor, sequences: &Sequences, mask: Option<&Tensor>, rows: &[u32]| {
        let mask = mask.map(AttentionMask::Keys);
        attention(
            qkv,
            &Attention { heads, sequences, mask, dropout: Some(&how(rows)), precision: Precision::F32 },
        )
        .unwrap()
    };
    let all = run(&qkv, &packed, None, &rows);
    let (mut padded, mut mask, mut padded_rows) = (Vec::new(), Vec::new(), Vec::new());
    for tokens in packed.iter() {
        let (start, length) = (tokens.start, tokens.len());
        let own = qkv.narrow(0, start, length).unwrap();
        let alone = run(&own, &Sequences::new(&[length]), None, &rows[tokens.clone()]);
        assert_eq!(numbers(&alone), numbers(&all.narrow(0, start, length).unwrap()));
        padded.push(own.pad_with_zeros(0, 0, 31 - length).unwrap());
        mask.extend((0..31).map(|token| f32::from(u8::from(token < length))));
        padded_rows.extend((0..31).map(|i| rows.get(start + i).copied().unwrap_or(0)));
    }
    let mask = Tensor::new(&mask[..], &Device::Cpu).unwrap().reshape((4, 31)).unwrap();
    let y = run(&Tensor::cat(&padded, 0).unwrap(), &Sequences::equal(4, 31), Some(&mask), &padded_rows);
    for (sequence, tokens) in packed.iter().enumerate() {
        let one = numbers(&y.narrow(0, sequence * 31, tokens.len()).unwrap());
        let other = numbers(&all.narrow(0, tokens.start, tokens.len()).unwrap());
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6), "sequence {sequence}");
    }
}

#[test]
fn a_row_without_keys_stays_finite() {
    let sequences = Sequences::equal(2, 5);
    let qkv = var(1, &[10, 12], DType::F32);
    let nothing = Tensor::zeros((2, 5), DType::I64, &Device::Cpu).unwrap();
    let how = Attention {
        heads: 2,
        sequences: &sequences,
        mask: Some(AttentionMask::Keys(&nothing)),
        dropout: None,
        precision: Precision::F32,
    };
    let y = attention(&qkv, &how).unwrap();
    let open = attention(&qkv, &Attention { mask: None, ..how }).unwrap();
    // All scores are lowered alike, and rounded to 2^-10 there.
    for (masked, open) in numbers(&y).into_iter().zip(numbers(&open)) {
        assert!((masked - open).abs() < 4e-3, "{masked} for {open}");
    }
    let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert!(numbers(gradients.get(&qkv).unwrap()).iter().all(|d| d.is_finite()));
}

#[test]
fn keeps_its_bits() {
    let lengths = [40, 85, 3, 64];
    let sequences = Sequences::new(&lengths);
    let keys = draw_mask(2, sequences.tokens());
    let how = Dropout { rate: 0.1, seed: 1, stream: 2, step: 3, rows: None };
    let attend = Attention {
        heads: 4,
        sequences: &sequences,
        mask: Some(AttentionMask::Keys(&keys)),
        dropout: Some(&how),
        precision: Precision::F32,
    };
    let inputs = [var(1, &[sequences.tokens(), 3 * 4 * 24], DType::F32)];
    assert_same_bits("attention", &inputs, false, |t| attention(&t[0], &attend).unwrap());
    assert_same_bits("softmax", &[var(1, &[70, 300], DType::F32)], true, |t| softmax(&t[0]).unwrap());
}

/// The exponential rounds four times and its argument once, by |x - max|; the sum of n and the scaling follow.
#[test]
fn softmax_is_within_the_derived_bound() {
    for shape in [[7, 1], [3, 16], [5, 85], [2, 1000]] {
        let x = (tensor(1, &shape, DType::F32) * 20.0).unwrap();
        let (mut value, mut absolute) = (Vec::new(), Vec::new());
        let roundings = shape[1] + 10;
        for row in numbers(&x).chunks(shape[1]) {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
            for x in row {
                let y = (x - largest).exp() / sum;
                value.push(y);
                absolute.push(y * (1.0 + 2.0 * 40.0 / roundings as f64));
            }
        }
        assert_within("softmax", &softmax(&x).unwrap(), &Exact { value, absolute, roundings });
    }
    assert_gradients("softmax", &[var(1, &[3, 2, 19], DType::F64)], |t| {
        softmax(&t[0].transpose(0, 1).unwrap()).unwrap()
    });
    let lost = Tensor::new(&[1f32, f32::NAN, 2.0], &Device::Cpu).unwrap();
    assert!(numbers(&softmax(&lost).unwrap()).iter().all(|y| y.is_nan()));
    let message = softmax(&tensor(1, &[2, 0], DType::F32)).unwrap_err().to_string();
    assert!(message.contains("x has shape [2, 0], expected [..., n], n not 0"), "{message}");
}

#[test]
fn empty_batches_pass_and_misfits_are_named() {
    let none = var(1, &[0, 12], DType::F32);
    let sequences = Sequences::new(&[]);
    let how =
        Attention { heads: 2, sequences: &sequences, mask: None, dropout: None, precision: Precision::F32 };
    let y = attention(&none, &how).unwrap();
    assert_eq!(y.dims(), [0, 4]);
    assert_eq!(y.sum_all().unwrap().backward().unwrap().get(&none).unwrap().dims(), [0, 12]);

    let sequences = Sequences::new(&[2, 3]);
    let how = Attention { sequences: &sequences, ..how };
    let message = |qkv: &[usize], how: &Attention<'_>| {
        attention(&tensor(1, qkv, DType::F32), how).unwrap_err().to_string()
    };
    let text = message(&[5, 14], &how);
    assert!(text.contains("qkv has shape [5, 14], expected [5, a multiple of 3 x 2 heads]"), "{text}");
    let text = message(&[6, 12], &how);
    assert!(text.contains("qkv has shape [6, 12], expected [5, "), "{text}");
    let mask = tensor(1, &[25], DType::F32);
    let text = message(&[5, 12], &Attention { mask: Some(AttentionMask::Pairs(&mask)), ..how });
    assert!(text.contains("one number for every query and key of a sequence, 13 in all"), "{text}");
    let text = message(&[5, 12], &Attention { mask: Some(AttentionMask::Keys(&mask)), ..how });
    assert!(text.contains("one number for every token, 5 in all"), "{text}");
    let rows = Dropout { rate: 0.1, seed: 1, stream: 2, step: 3, rows: Some([1, 2, 3, 4, u32::MAX].into()) };
    let text = message(&[5, 12], &Attention { dropout: Some(&rows), ..how });
    assert!(text.contains("row numbers (times heads) below 2^32"), "{text}");
}
