//! Attention of single tokens over keys and values that are there already: decoding word by word.
//!
//! For a query q of d numbers and the rows of its spans: `y = Σ_j softmax(q kᵀ / sqrt(d))_j v_j`, head by head.
//! A query of n keys reads 8·n·heads·d bytes in f32 and takes 4·n·heads·d operations; queries that share a span read it from
//! the cache. Forward only. A task is one query: its sums run over keys in the order of its spans.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::element::{Element, by_dtype, check_anywhere, dims, elements};
use crate::simd::{Kernel, widest};
use crate::softmax::softmax_row;
use crate::{Error, Result, composed};

/// Rows of a block that a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpan {
    /// Which block.
    pub block: usize,
    /// Its first row.
    pub first: usize,
    /// How many.
    pub count: usize,
}

/// Attends from every query to its own rows of `blocks`, without gradient.
///
/// # Shapes
/// - `q_rc`: \[r, at least heads·d\]: queries are the first heads·d columns, where c is that or three times that
/// - `blocks`: \[n, 2·heads·d or more\]: the last 2·heads·d columns are keys, then values
/// - `keys`: r lists of spans, each with at least one row
/// - result: \[r, heads·d\]
///
/// # Errors
/// Beside types: shapes that do not fit, spans beyond their block, queries without a key, tensors that want gradients.
pub fn attention_over(
    q_rc: &Tensor,
    heads: usize,
    blocks: &[Tensor],
    keys: &[Vec<KeySpan>],
) -> Result<Tensor> {
    let width = checked(q_rc, heads, blocks, keys)?;
    if composed::is_needed(q_rc) {
        return composed::attention_over(q_rc, [heads, width], blocks, keys);
    }
    let q_rc = q_rc.contiguous()?;
    let blocks: Vec<Tensor> = blocks.iter().map(Tensor::contiguous).collect::<candle_core::Result<_>>()?;
    by_dtype!(q_rc.dtype(), T => {
        let guards: Vec<_> = blocks.iter().map(Tensor::storage_and_layout).collect();
        let mut rows: Vec<(&[T], usize)> = Vec::with_capacity(blocks.len());
        for (guard, block) in guards.iter().zip(&blocks) {
            rows.push((elements::<T>(guard)?, block.dims()[1]));
        }
        let q = q_rc.storage_and_layout();
        let (q, columns) = (elements::<T>(&q)?, q_rc.dims()[1]);
        let mut y = vec![T::ZERO; keys.len() * width];
        y.par_chunks_exact_mut(width).zip(keys).enumerate().for_each_init(Vec::new, |scores, (row, (y, spans))| {
            let spans: Vec<Span<'_, T>> = spans.iter().map(|span| Span::of(*span, &rows, width)).collect();
            let n: usize = spans.iter().map(|span| span.count).sum();
            scores.clear();
            scores.resize(heads * n, T::ZERO);
            let (q, head) = (&q[row * columns..][..width], width / heads);
            widest(Scores { q, head, spans: &spans, scores });
            scores.chunks_exact_mut(n).for_each(softmax_row);
            widest(Mean { head, spans: &spans, probabilities: scores, y });
        });
        Ok(Tensor::from_vec(y, (keys.len(), width), q_rc.device())?)
    })
}

const OP: &str = "attention_over";

/// heads·d.
fn checked(q_rc: &Tensor, heads: usize, blocks: &[Tensor], keys: &[Vec<KeySpan>]) -> Result<usize> {
    let [queries, columns] = dims(OP, "q", "[r, c]", q_rc)?;
    let mut named = vec![("q", q_rc)];
    named.extend(blocks.iter().map(|block| ("a block", block)));
    check_anywhere(OP, &named)?;
    if let Some((name, _)) = named.iter().find(|(_, tensor)| tensor.track_op()) {
        let got = format!("{name} that wants one");
        return Err(Error::Geometry { op: OP, expected: "tensors without gradient: detach them", got });
    }
    let wrong = |expected: String| Error::Shape { op: OP, tensor: "q", expected, got: q_rc.dims().to_vec() };
    let width = match blocks.first().map(|block| block.dims()) {
        Some([_, columns_of_block]) if columns == *columns_of_block && columns % 3 == 0 => columns / 3,
        Some([_, columns_of_block]) if columns % 3 == 0 && columns / 3 * 2 == *columns_of_block => {
            columns / 3
        }
        Some([_, columns_of_block]) if columns * 2 == *columns_of_block => columns,
        _ => return Err(wrong("[r, c], and blocks of [n, 2 c], or both with three parts".to_owned())),
    };
    if heads == 0 || width == 0 || width % heads != 0 || queries != keys.len() {
        return Err(wrong(format!("[{}, a multiple of {heads} heads]", keys.len())));
    }
    for block in blocks {
        let [_, columns] = dims(OP, "a block", "[n, 2 or 3 times the width]", block)?;
        if columns != 2 * width && columns != 3 * width {
            let expected = format!("[n, {} or {}]", 2 * width, 3 * width);
            return Err(Error::Shape { op: OP, tensor: "a block", expected, got: block.dims().to_vec() });
        }
    }
    for (row, spans) in keys.iter().enumerate() {
        let is_there = |span: &KeySpan| {
            let end = span.first.checked_add(span.count);
            blocks.get(span.block).is_some_and(|block| end.is_some_and(|end| end <= block.dims()[0]))
        };
        if let Some(span) = spans.iter().find(|span| !is_there(span)) {
            let got = format!("{span:?} of query {row}");
            return Err(Error::Geometry { op: OP, expected: "spans inside their blocks", got });
        }
        if spans.iter().all(|span| span.count == 0) {
            return Err(Error::Geometry {
                op: OP,
                expected: "a key for every query",
                got: format!("none for {row}"),
            });
        }
    }
    Ok(width)
}

/// The rows of a span: keys begin at `key` of a row, values `width` behind.
struct Span<'a, T> {
    rows: &'a [T],
    columns: usize,
    count: usize,
    key: usize,
    width: usize,
}

impl<'a, T> Span<'a, T> {
    fn of(span: KeySpan, blocks: &[(&'a [T], usize)], width: usize) -> Self {
        let (rows, columns) = blocks[span.block];
        let rows = &rows[span.first * columns..][..span.count * columns];
        Self { rows, columns, count: span.count, key: columns - 2 * width, width }
    }

    fn keys(&self) -> impl Iterator<Item = &'a [T]> {
        self.rows.chunks_exact(self.columns).map(|row| &row[self.key..][..self.width])
    }

    fn values(&self) -> impl Iterator<Item = &'a [T]> {
        self.rows.chunks_exact(self.columns).map(|row| &row[self.key + self.width..])
    }
}

/// `q kᵀ / sqrt(d)`, heads by keys.
struct Scores<'a, T> {
    q: &'a [T],
    head: usize,
    spans: &'a [Span<'a, T>],
    scores: &'a mut [T],
}

impl<T: Element> Kernel for Scores<'_, T> {
    #[inline(always)]
    fn run(self) {
        let n = self.scores.len() / (self.q.len() / self.head);
        let scale = T::from_f64(1.0 / (self.head as f64).sqrt());
        for (key, k) in self.spans.iter().flat_map(Span::keys).enumerate() {
            for (head, (q, k)) in self.q.chunks_exact(self.head).zip(k.chunks_exact(self.head)).enumerate() {
                let mut lanes = [T::ZERO; 16];
                let ((q, q_rest), (k, k_rest)) = (q.as_chunks::<16>(), k.as_chunks::<16>());
                for (q, k) in q.iter().zip(k) {
                    for lane in 0..16 {
                        lanes[lane] += q[lane] * k[lane];
                    }
                }
                let mut dot = T::ZERO;
                for lane in lanes {
                    dot += lane;
                }
                for (q, k) in q_rest.iter().zip(k_rest) {
                    dot += *q * *k;
                }
                self.scores[head * n + key] = dot * scale;
            }
        }
    }
}

/// `Σ_j p_j v_j`.
struct Mean<'a, T> {
    head: usize,
    spans: &'a [Span<'a, T>],
    probabilities: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel for Mean<'_, T> {
    #[inline(always)]
    fn run(self) {
        let n = self.probabilities.len() / (self.y.len() / self.head);
        for (key, v) in self.spans.iter().flat_map(Span::values).enumerate() {
            for (head, (y, v)) in
                self.y.chunks_exact_mut(self.head).zip(v.chunks_exact(self.head)).enumerate()
            {
                let p = self.probabilities[head * n + key];
                for (y, v) in y.iter_mut().zip(v) {
                    *y += p * *v;
                }
            }
        }
    }
}
