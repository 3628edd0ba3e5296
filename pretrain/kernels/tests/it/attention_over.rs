use candle_core::{DType, Tensor, Var};
use pretrain_kernels::{Attention, KeySpan, Precision, Sequences, attention, attention_over};

use crate::draw::tensor;

fn drawn(seed: u64, rows: usize, columns: usize, dtype: DType) -> Tensor {
    tensor(seed, &[rows, columns], dtype)
}

fn span(block: usize, first: usize, count: usize) -> KeySpan {
    KeySpan { block, first, count }
}

/// As the formula says it, in f64.
fn reference(q: &[Vec<f64>], heads: usize, blocks: &[Vec<Vec<f64>>], keys: &[Vec<KeySpan>]) -> Vec<f64> {
    let width = blocks[0][0].len() / 2;
    let d = width / heads;
    let mut y = Vec::new();
    for (q, spans) in q.iter().zip(keys) {
        let rows: Vec<&[f64]> = spans
            .iter()
            .flat_map(|span| &blocks[span.block][span.first..span.first + span.count])
            .map(|row| &row[row.len() - 2 * width..])
            .collect();
        for head in 0..heads {
            let part = head * d..(head + 1) * d;
            let score = |row: &&[f64]| {
                let dot: f64 = q[part.clone()].iter().zip(&row[part.clone()]).map(|(q, k)| q * k).sum();
                (dot / (d as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = rows.iter().map(score).collect();
            let sum: f64 = weights.iter().sum();
            for column in part.clone() {
                y.push(rows.iter().zip(&weights).map(|(row, w)| row[width + column] * w).sum::<f64>() / sum);
            }
        }
    }
    y
}

/// Shared spans, own ones, one row, a block with queries in it: as the formula.
#[test]
fn queries_over_spans_of_blocks() {
    for (heads, d) in [(1, 5), (3, 16), (12, 64)] {
        let width = heads * d;
        let keys = vec![
            vec![span(0, 0, 9), span(1, 2, 1), span(2, 0, 1)],
            vec![span(0, 0, 9), span(1, 0, 1), span(0, 0, 0), span(2, 1, 1)],
            vec![span(0, 9, 4)],
            vec![span(2, 3, 1)],
        ];
        let (first, second) = (drawn(1, 13, 2 * width, DType::F64), drawn(2, 3, 2 * width, DType::F64));
        let q = drawn(3, 4, 3 * width, DType::F64);
        let blocks = [first, second, q.clone()];
        let plain: Vec<Vec<Vec<f64>>> = blocks.iter().map(|block| block.to_vec2().unwrap()).collect();
        let wanted = reference(&plain[2], heads, &plain, &keys);
        // sums of up to 11 products of numbers below 1, and of d: (11 + d) rounding errors each
        for (dtype, bound) in [(DType::F64, 1e-13), (DType::F32, (11 + d) as f64 * 2e-7)] {
            let of = |tensor: &Tensor| tensor.to_dtype(dtype).unwrap();
            let blocks: Vec<Tensor> = blocks.iter().map(of).collect();
            let y = attention_over(&of(&q), heads, &blocks, &keys).unwrap();
            assert_eq!(y.dims(), [4, width]);
            let y = y.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let apart = y.iter().zip(&wanted).fold(0f64, |apart, (a, b)| apart.max((a - b).abs()));
            assert!(apart <= bound, "{heads} heads of {d}, {dtype:?}: {apart} apart");
        }
    }
}

/// One sequence whose tokens all see one another is what attention gives.
#[test]
fn the_whole_sequence_is_attention() {
    let qkv = drawn(7, 11, 3 * 32, DType::F32);
    let how = Attention {
        heads: 2,
        sequences: &Sequences::equal(1, 11),
        mask: None,
        dropout: None,
        precision: Precision::F32,
    };
    let wanted = attention(&qkv, &how).unwrap();
    let keys = vec![vec![span(0, 0, 11)]; 11];
    let got = attention_over(&qkv, 2, std::slice::from_ref(&qkv), &keys).unwrap();
    let apart = (got - wanted).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(apart < 1e-6, "{apart}");
}

#[test]
fn what_does_not_fit_is_named() {
    let (q, block) = (drawn(1, 2, 24, DType::F32), drawn(2, 3, 16, DType::F32));
    let blocks = [block.clone()];
    let good = vec![vec![span(0, 0, 3)]; 2];
    assert!(attention_over(&q, 2, &blocks, &good).is_ok());
    let said = |q: &Tensor, heads, blocks: &[Tensor], keys: &[Vec<KeySpan>]| {
        attention_over(q, heads, blocks, keys).unwrap_err().to_string()
    };
    let tracked = Var::from_tensor(&q).unwrap();
    for (message, part) in [
        (said(&q, 3, &blocks, &good), "3 heads"),
        (said(&q, 2, &blocks, &good[1..]), "[1, a multiple"),
        (said(&q, 2, &blocks, &[good[0].clone(), vec![span(0, 2, 2)]]), "query 1"),
        (said(&q, 2, &blocks, &[good[0].clone(), vec![span(1, 0, 1)]]), "query 1"),
        (said(&q, 2, &blocks, &[good[0].clone(), vec![span(0, 1, 0)]]), "a key for every query"),
        (said(&q, 2, &[block, drawn(3, 3, 17, DType::F32)], &good), "[n, 16 or 24]"),
        (said(tracked.as_tensor(), 2, &blocks, &good), "without gradient"),
    ] {
        assert!(message.contains(part), "{message} does not say {part}");
    }
}
