//! `[CLS] a [SEP] b [SEP]`.

use std::ops::Range;

use data_specs::SpecialIds;

/// Words and tags in one line, as the network reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// \[t\]
    pub token_ids: Vec<u32>,
    /// 0 for `[CLS] a [SEP]`, 1 for `b [SEP]`. \[t\]
    pub segment_ids: Vec<u32>,
    /// Where a lies.
    pub a: Range<usize>,
    /// Where b lies; empty where there is none.
    pub b: Range<usize>,
}

impl Sequence {
    /// Lays out a and b in at most `max_tokens` tokens: the longer of the two loses its last token, b where they are equally
    /// long, until both fit. Without b the sequence is `[CLS] a [SEP]`.
    pub fn lay_out(a: &[u32], b: &[u32], special: SpecialIds, max_tokens: usize) -> Sequence {
        let (n_a, n_b) = truncated(a.len(), b.len(), max_tokens);
        let mut token_ids = Vec::with_capacity(n_a + n_b + 3);
        token_ids.push(special.cls);
        token_ids.extend_from_slice(&a[..n_a]);
        token_ids.push(special.sep);
        let first = token_ids.len();
        if n_b > 0 {
            token_ids.extend_from_slice(&b[..n_b]);
            token_ids.push(special.sep);
        }
        let segment_ids = (0..token_ids.len()).map(|place| u32::from(place >= first)).collect();
        Sequence { token_ids, segment_ids, a: 1..1 + n_a, b: first..first + n_b }
    }
}

/// How much of a and b is left.
fn truncated(mut n_a: usize, mut n_b: usize, max_tokens: usize) -> (usize, usize) {
    if n_b == 0 {
        return (n_a.min(max_tokens.saturating_sub(2)), 0);
    }
    let room = max_tokens.saturating_sub(3);
    while n_a + n_b > room {
        if n_a > n_b { n_a -= 1 } else { n_b -= 1 }
    }
    (n_a, n_b)
}
