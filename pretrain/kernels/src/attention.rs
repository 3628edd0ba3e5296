//! Multi-head scaled dot-product self-attention. Paper: 1706.03762, eq. 1.
//!
//! For every sequence of l tokens and every head, with q, k, v of \[l, d\]:
//! `s = q kᵀ / sqrt(d) - 10000 (1 - mask)`, `p = softmax(s)`, `y = dropout(p) v`.
//! Backward, with `p` computed again: `d_v = dropout(p)ᵀ d_y`, `d_p = dropout(d_y vᵀ)`, `d_s = p (d_p - Σ_j d_p p)`,
//! `d_q = d_s k / sqrt(d)`, `d_k = d_sᵀ q / sqrt(d)`.
//!
//! These products are in a precision of choice; scores, probabilities and everything else stay f32.
//!
//! Sequences lie end to end without padding: t = Σ l tokens. A task is one head of one sequence; it reads and writes
//! 16·l·d bytes in f32 beside its own l² scores (2 l² backward), which no other sees: memory beyond input and output
//! is a thread's, not the batch's. Forward 4·l²·d operations and l² exponentials, backward 10·l²·d and the
//! exponentials again; what dropout kept is l² bytes a head. The additive form of the mask is the published one: a row
//! whose keys are all masked stays finite and attends to all of them.

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::dropout::Dropout;
use crate::element::{Element, by_dtype, check_anywhere, dims, elements, slice, to_f64};
use crate::precision::Precision;
use crate::product::{Matrix, MatrixMut, Shared, written};
use crate::small_products::SmallProducts;
use crate::softmax::{softmax_gradient_row, softmax_row};
use crate::{Error, Result, composed};

/// How many tokens each sequence has, in the order in which they lie end to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequences {
    /// Where each begins, and the end of the last.
    offsets: Vec<usize>,
}

/// Which keys a query sees: 1 seen, 0 masked, of any number type.
#[derive(Debug, Clone, Copy)]
pub enum AttentionMask<'a> {
    /// Every query of a sequence sees the same keys. \[t\], or \[b, l\] for equal lengths.
    Keys(&'a Tensor),
    /// A matrix of queries and keys for every sequence. \[Σ l²\] end to end, or \[b, l, l\] for equal lengths.
    Pairs(&'a Tensor),
}

/// What attention does beside the product itself.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Heads; each has 1 / heads of the width.
    pub heads: usize,
    /// The sequences; tokens of different ones do not see each other.
    pub sequences: &'a Sequences,
    /// Without it every token sees its whole sequence.
    pub mask: Option<AttentionMask<'a>>,
    /// On the probabilities; a row is one query token, whose heads are rows of their own.
    pub dropout: Option<&'a Dropout>,
    /// Of the products of queries, keys, values and probabilities.
    pub precision: Precision,
}

impl Sequences {
    /// One for every length.
    pub fn new(lengths: &[usize]) -> Self {
        let mut offsets = vec![0];
        offsets.extend(lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
        Self { offsets }
    }

    /// `count` sequences of `length` tokens: a padded batch.
    pub fn equal(count: usize, length: usize) -> Self {
        Self { offsets: (0..=count).map(|index| index * length).collect() }
    }

    /// Tokens of all.
    pub fn tokens(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// The tokens of each.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = std::ops::Range<usize>> {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }
}

/// Attends within every sequence, with gradient to q, k and v.
///
/// Queries, keys and values of a token stand side by side, each with its heads in order, so that one product makes all
/// three and one takes their gradient.
///
/// # Shapes
/// - `qkv_tc`: \[t, 3·heads·d\]
/// - result: \[t, heads·d\]
///
/// # Errors
/// Beside types: a width that is not three times the heads, tokens or a mask that are not those of the sequences, and
/// those of [`dropout`](crate::dropout).
pub fn attention(qkv_tc: &Tensor, how: &Attention<'_>) -> Result<Tensor> {
    check_anywhere(OP, &[("qkv", qkv_tc)])?;
    let op = SelfAttention::new(OP, dims(OP, "qkv", "[t, 3 heads d]", qkv_tc)?, how)?;
    if composed::is_needed(qkv_tc) {
        return composed::attention(qkv_tc, &op);
    }
    Ok(qkv_tc.contiguous()?.apply_op1(op)?)
}

const OP: &str = "attention";
/// What a masked key's score loses.
const MASKED: f64 = -10000.0;

/// The mask in additive form.
fn additive(mask: AttentionMask<'_>, sequences: &[std::ops::Range<usize>]) -> Result<Bias> {
    let (tensor, wanted, expected) = match mask {
        AttentionMask::Keys(keys) => {
            (keys, sequences.iter().map(|sequence| sequence.len()).sum(), "one number for every token")
        }
        AttentionMask::Pairs(pairs) => (
            pairs,
            sequences.iter().map(|sequence| sequence.len().pow(2)).sum::<usize>(),
            "one number for every query and key of a sequence",
        ),
    };
    if tensor.elem_count() != wanted {
        let (expected, got) = (format!("{expected}, {wanted} in all"), tensor.dims().to_vec());
        return Err(Error::Shape { op: OP, tensor: "mask", expected, got });
    }
    let values = to_f64(tensor)?.into_iter().map(|seen| ((1.0 - seen) * MASKED) as f32).collect();
    Ok(match mask {
        AttentionMask::Keys(_) => Bias::Keys(values),
        AttentionMask::Pairs(_) => Bias::Pairs(values),
    })
}

/// What is added to scores.
pub(crate) enum Bias {
    /// A number for every token.
    Keys(Vec<f32>),
    /// A number for every pair of tokens of a sequence.
    Pairs(Vec<f32>),
}

/// One of the sequences that lie end to end.
pub(crate) struct Sequence {
    pub(crate) tokens: std::ops::Range<usize>,
    /// Where its pairs of queries and keys begin.
    pub(crate) pairs: usize,
}

pub(crate) struct SelfAttention {
    pub(crate) heads: usize,
    /// Numbers of a head.
    pub(crate) head: usize,
    pub(crate) tasks: Vec<Sequence>,
    pub(crate) bias: Option<Bias>,
    pub(crate) dropout: Option<Dropout>,
    pub(crate) precision: Precision,
    /// Which probabilities were kept, if any were dropped: every sequence's pairs, head by head.
    pub(crate) kept: OnceLock<Vec<u8>>,
}

/// q, k and v of one head of one sequence.
struct Factors<'a, T> {
    q: Matrix<'a, T>,
    k: Matrix<'a, T>,
    v: Matrix<'a, T>,
}

impl SelfAttention {
    /// For queries, keys and values of this shape.
    pub(crate) fn new(op: &'static str, [tokens, width]: [usize; 2], how: &Attention<'_>) -> Result<Self> {
        if how.heads == 0 || width == 0 || width % (3 * how.heads) != 0 || tokens != how.sequences.tokens() {
            let expected = format!("[{}, a multiple of 3 x {} heads]", how.sequences.tokens(), how.heads);
            return Err(Error::Shape { op, tensor: "qkv", expected, got: vec![tokens, width] });
        }
        how.dropout.map_or(Ok(()), |dropout| dropout.check(op, tokens, how.heads))?;
        let sequences: Vec<_> = how.sequences.iter().collect();
        let pairs = sequences.iter().scan(0, |end, sequence| {
            let first = *end;
            *end += sequence.len().pow(2);
            Some(first)
        });
        let tasks = sequences.iter().cloned().zip(pairs).map(|(tokens, pairs)| Sequence { tokens, pairs });
        Ok(Self {
            heads: how.heads,
            head: width / (3 * how.heads),
            tasks: tasks.collect(),
            bias: how.mask.map(|mask| additive(mask, &sequences)).transpose()?,
            dropout: how.dropout.filter(|dropout| dropout.rate > 0.0).cloned(),
            precision: how.precision,
            kept: OnceLock::new(),
        })
    }

    pub(crate) fn width(&self) -> usize {
        self.heads * self.head
    }

    fn longest(&self) -> usize {
        self.tasks.iter().map(|sequence| sequence.tokens.len()).max().unwrap_or(0)
    }

    /// Calls `f(products, scratch, sequence, head)` for each of them that has tokens, in parallel; `products` and `scratch` are
    /// the thread's.
    fn for_each<T: Element>(
        &self,
        squares: usize,
        f: impl Fn(&mut SmallProducts, &mut [T], &Sequence, usize) + Sync,
    ) {
        let scratch = || (SmallProducts::new(self.precision), vec![T::ZERO; squares * self.longest().pow(2)]);
        (0..self.tasks.len() * self.heads).into_par_iter().for_each_init(
            scratch,
            |(products, scratch), task| {
                let sequence = &self.tasks[task / self.heads];
                let length = sequence.tokens.len();
                if length > 0 {
                    f(products, &mut scratch[..squares * length.pow(2)], sequence, task % self.heads);
                }
            },
        );
    }

    fn factors<'a, T: Element>(&self, qkv: &'a [T], sequence: &Sequence, head: usize) -> Factors<'a, T> {
        let width = self.width();
        let part = |part: usize| {
            let first = sequence.tokens.start * 3 * width + part * width + head * self.head;
            Matrix::new(&qkv[first..], [sequence.tokens.len(), self.head], [3 * width, 1])
        };
        Factors { q: part(0), k: part(1), v: part(2) }
    }

    fn scale<T: Element>(&self) -> T {
        T::from_f64(1.0 / (self.head as f64).sqrt())
    }

    /// `p` into `scores`.
    fn probabilities<T: Element>(
        &self,
        products: &mut SmallProducts,
        factors: &Factors<'_, T>,
        sequence: &Sequence,
        scores: &mut [T],
    ) {
        let length = sequence.tokens.len();
        let mut out = MatrixMut::new(scores, [length, length], length);
        products.write(&mut out, factors.q, factors.k.transposed());
        let scale = self.scale::<T>();
        for (query, scores) in scores.chunks_exact_mut(length).enumerate() {
            let bias = match &self.bias {
                None => None,
                Some(Bias::Keys(bias)) => Some(&bias[sequence.tokens.clone()]),
                Some(Bias::Pairs(bias)) => Some(&bias[sequence.pairs + query * length..][..length]),
            };
            scores.iter_mut().for_each(|score| *score *= scale);
            if let Some(bias) = bias {
                let bias = bias.iter().map(|bias| T::from_f64(f64::from(*bias)));
                scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
            }
            softmax_row(scores);
        }
    }

    /// Where in what is kept the pairs of one head of a sequence stand.
    fn pairs(&self, sequence: &Sequence, head: usize) -> std::ops::Range<usize> {
        let pairs = sequence.tokens.len().pow(2);
        let first = sequence.pairs * self.heads + head * pairs;
        first..first + pairs
    }

    /// From what all heads see to what they give.
    pub(crate) fn forward<T: Element>(&self, qkv: &[T]) -> Vec<T> {
        let n_pairs = self.tasks.last().map_or(0, |last| self.pairs(last, self.heads - 1).end);
        let n_pairs = if self.dropout.is_some() { n_pairs } else { 0 };
        let mut kept = Vec::new();
        // SAFETY: every token is in one sequence, so that the heads of all sequences are all that is seen and kept.
        let y = unsafe {
            written(qkv.len() / 3, |y| {
                kept = written(n_pairs, |kept| self.heads_forward(qkv, y, kept));
            })
        };
        // One forward, one value: an operation is applied once.
        self.kept.get_or_init(|| kept);
        y
    }

    /// Writes all of y, and of what is kept where something is dropped.
    fn heads_forward<T: Element>(&self, qkv: &[T], y: &Shared<'_, T>, all_kept: &Shared<'_, u8>) {
        let width = self.width();
        self.for_each(1, |products, scores, sequence, head| {
            let length = sequence.tokens.len();
            let factors = self.factors(qkv, sequence, head);
            self.probabilities(products, &factors, sequence, scores);
            if let Some(dropout) = &self.dropout {
                // SAFETY: this head's pairs of this sequence are this task's alone.
                let mut kept =
                    unsafe { all_kept.tile(self.pairs(sequence, head).start, [length, length], length) };
                for (query, scores) in scores.chunks_exact_mut(length).enumerate() {
                    let token = dropout.row_number(sequence.tokens.start + query);
                    dropout.draw(token * self.heads as u32 + head as u32, kept.row(query));
                    dropout.keep(kept.row(query), scores);
                }
            }
            let first = sequence.tokens.start * width + head * self.head;
            // SAFETY: this head's columns of this sequence's rows are this task's alone.
            let mut out = unsafe { y.tile(first, [length, self.head], width) };
            products.write(&mut out, Matrix::new(scores, [length, length], [length, 1]), factors.v);
        });
    }

    /// The gradient to what all heads see.
    pub(crate) fn backward<T: Element>(&self, qkv: &[T], d_y: &[T]) -> Vec<T> {
        // SAFETY: every token is in one sequence, so that the heads of all sequences are all that is seen.
        unsafe { written(qkv.len(), |d_qkv| self.heads_backward(qkv, d_y, d_qkv)) }
    }

    /// Writes all of d_qkv.
    fn heads_backward<T: Element>(&self, qkv: &[T], d_y: &[T], d_qkv: &Shared<'_, T>) {
        let width = self.width();
        let kept = self.kept.get().map_or(&[][..], Vec::as_slice);
        self.for_each(2, |products, scratch, sequence, head| {
            let length = sequence.tokens.len();
            let square = [length, length];
            let (p, d) = scratch.split_at_mut(length * length);
            let drop = |matrix: &mut [T]| {
                if let Some(dropout) = &self.dropout {
                    dropout.keep(&kept[self.pairs(sequence, head)], matrix);
                }
            };
            let factors = self.factors(qkv, sequence, head);
            let d_y = &d_y[sequence.tokens.start * width + head * self.head..];
            let d_y = Matrix::new(d_y, [length, self.head], [width, 1]);
            let out = |part: usize| {
                let first = sequence.tokens.start * 3 * width + part * width + head * self.head;
                // SAFETY: each of q, k, v is asked for once; this head's columns of this sequence's rows are this
                // task's alone.
                unsafe { d_qkv.tile(first, [length, self.head], 3 * width) }
            };
            self.probabilities(products, &factors, sequence, p);
            d.copy_from_slice(p);
            drop(d);
            products.write(&mut out(2), Matrix::new(d, square, [length, 1]).transposed(), d_y);
            let mut d_p = MatrixMut::new(d, square, length);
            products.write(&mut d_p, d_y, factors.v.transposed());
            drop(d);
            let scale = self.scale::<T>();
            for (p, d) in p.chunks_exact(length).zip(d.chunks_exact_mut(length)) {
                softmax_gradient_row(p, d);
                d.iter_mut().for_each(|d| *d *= scale);
            }
            products.write(&mut out(0), Matrix::new(d, square, [length, 1]), factors.k);
            products.write(&mut out(1), Matrix::new(d, square, [length, 1]).transposed(), factors.q);
        });
    }
}

impl CustomOp1 for SelfAttention {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(qkv.dtype(), T => {
            let y = self.forward(slice::<T>(qkv, layout)?);
            Ok((T::to_cpu_storage_owned(y), Shape::from((layout.dims()[0], self.width()))))
        })
    }

    fn bwd(&self, qkv: &Tensor, _y: &Tensor, d_y: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if !qkv.track_op() {
            return Ok(None);
        }
        let d_y = d_y.contiguous()?;
        by_dtype!(qkv.dtype(), T => {
            let (qkv_guard, d_y) = (qkv.storage_and_layout(), d_y.storage_and_layout());
            let d_qkv = self.backward(elements::<T>(&qkv_guard)?, elements::<T>(&d_y)?);
            Ok(Some(Tensor::from_vec(d_qkv, qkv.shape(), qkv.device())?))
        })
    }
}
