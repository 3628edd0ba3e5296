//! Attention of single tokens over keys and values that are there already, without gradient.
//!
//! Rows of all blocks are put end to end, and each query's are gathered, filled up to the most that any has: 8·w bytes in f32
//! a query and key, of which [`AT_ONCE`] are in memory. The fused operation reads them where they are.
//!
//! Legend: r queries, n keys of the query with the most, a heads, d numbers of a head, w = a d.

use candle_core::Tensor;

use super::elementwise::softmax;
use super::rows::indices;
use crate::Result;
use crate::attention_over::KeySpan;

/// # Shapes
/// - `q_rc`: \[r, at least w\]; `blocks`: \[rows, at least 2 w\]; `keys`: r lists of spans; result: \[r, w\]
pub(crate) fn attention_over(
    q_rc: &Tensor,
    [heads, width]: [usize; 2],
    blocks: &[Tensor],
    keys: &[Vec<KeySpan>],
) -> Result<Tensor> {
    let (d, device) = (width / heads, q_rc.device());
    let mut starts = Vec::with_capacity(blocks.len());
    let (mut rows, mut end) = (Vec::with_capacity(blocks.len()), 0);
    for block in blocks {
        let (n, columns) = block.dims2()?;
        starts.push(end);
        end += n;
        if n > 0 {
            rows.push(block.narrow(1, columns - 2 * width, 2 * width)?);
        }
    }
    let kv_n2w = Tensor::cat(&rows, 0)?.contiguous()?;
    let of_query: Vec<Vec<u32>> = keys.iter().map(|spans| rows_of(spans, &starts)).collect();

    let most = of_query.iter().map(Vec::len).max().unwrap_or(1);
    let chunk = (AT_ONCE / (most * 2 * width)).max(1);
    let mut first = 0;
    let mut parts = Vec::with_capacity(of_query.len().div_ceil(chunk));
    for of_query in of_query.chunks(chunk) {
        let (r, n) = (of_query.len(), of_query.iter().map(Vec::len).max().unwrap_or(1));
        let mut gathered = Vec::with_capacity(r * n);
        let mut hidden = Vec::with_capacity(r * n);
        for rows in of_query {
            // behind the last key any row will do
            gathered.extend(rows.iter().copied().chain(std::iter::repeat(rows[0])).take(n));
            hidden.extend((0..n).map(|key| if key < rows.len() { 0.0 } else { PADDING }));
        }
        let of_chunk = kv_n2w.index_select(&indices(&gathered, device)?, 0)?;
        let kv_2rand = of_chunk.reshape((r, n, 2, heads, d))?.permute((2, 0, 3, 1, 4))?.contiguous()?;
        let (k_rand, v_rand) = (kv_2rand.get(0)?, kv_2rand.get(1)?);
        let q_r1d = q_rc.narrow(0, first, r)?.narrow(1, 0, width)?.contiguous()?.reshape((r, heads, 1, d))?;
        let hidden = Tensor::from_vec(hidden, (r, 1, 1, n), device)?.to_dtype(q_rc.dtype())?;
        let scores_ra1n =
            (q_r1d.matmul(&k_rand.t()?)? * (1.0 / (d as f64).sqrt()))?.broadcast_add(&hidden)?;
        parts.push(softmax(&scores_ra1n)?.matmul(&v_rand)?.reshape((r, width))?);
        first += r;
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// Numbers of gathered keys and values that are in memory at once: 256 MiB in f32.
const AT_ONCE: usize = 1 << 26;
/// What a key adds to the score that is none.
const PADDING: f32 = -1e30;

fn rows_of(spans: &[KeySpan], starts: &[usize]) -> Vec<u32> {
    let rows = spans.iter().flat_map(|span| {
        let first = (starts[span.block] + span.first) as u32;
        first..first + span.count as u32
    });
    rows.collect()
}
