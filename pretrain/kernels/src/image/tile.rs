//! Sums of products in registers: some output pixels beside some vectors of output channels.

use super::maps::Line;
use super::vector::{Lanes, Tiles};

/// Vectors of a panel of weights, at most.
pub(crate) const MOST_VECTORS: usize = 3;
/// Sums of a tile, at most: rows times vectors times 16.
const MOST_SUMS: usize = 28 * 16;

/// The sums of a tile, row by row; aligned for whole vectors.
#[repr(align(64))]
pub(crate) struct Sums(pub(crate) [f32; MOST_SUMS]);

impl Default for Sums {
    fn default() -> Self {
        Self([0.0; MOST_SUMS])
    }
}

/// Rows of whole and of small tiles beside so many vectors.
pub(crate) fn rows_of(tiles: Tiles, vectors: usize) -> [usize; 2] {
    match (tiles, vectors) {
        (Tiles::Wide, 1) => [14, 7],
        (Tiles::Wide, 2) => [14, 7],
        (Tiles::Wide, _) => [9, 5],
        (Tiles::Middle, _) => [6, 3],
        (Tiles::Few, _) => [2, 1],
    }
}

/// First rows of tiles over `count` rows, and theirs, of which the last ones need not be there: whole tiles, then small
/// ones.
pub(crate) fn tiles(count: usize, whole: usize, small: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let (this, left) = (start, count.saturating_sub(start));
        let rows = if left > small { whole } else { small };
        start += rows;
        (left > 0).then_some((this, rows))
    })
}

/// Where a tile reads.
pub(crate) struct Operands<'a, N> {
    /// Numbers that the offsets count from.
    pub(crate) x: *const N,
    /// Where each row's numbers stand, run by run: `rows` offsets a run.
    pub(crate) offsets: &'a [usize],
    pub(crate) rows: usize,
    /// Words of a run, and numbers of a word.
    pub(crate) words: usize,
    pub(crate) a_word: usize,
    /// Words of weights, `vectors` times 16 side by side.
    pub(crate) w: *const u32,
    pub(crate) vectors: usize,
    /// What is read after this panel, and a tile fetches ahead: 16 words for each of its own words.
    pub(crate) ahead: *const u32,
    /// Where outputs see the inputs of narrow groups among the 16 beside them: for every word, in which lane each output
    /// finds its own. Only beside one vector.
    pub(crate) order: &'a [Line],
}

/// Writes the sums of a tile, row by row. `rows` is one of [`rows_of`].
///
/// # Safety
///
/// Every offset has `words` words behind it (with an order: 16 numbers), and `w` has 16 times `vectors` words for each word of each run.
#[inline(always)]
pub(crate) unsafe fn compute<N, V: Lanes<N>>(operands: &Operands<'_, N>, sums: &mut Sums) {
    let Operands { rows, vectors, order, .. } = *operands;
    if !order.is_empty() {
        // SAFETY: as below.
        return unsafe {
            match (V::TILES, rows) {
                (Tiles::Wide, 14) => narrow_tile::<N, V, 14>(operands, sums),
                (Tiles::Wide, _) => narrow_tile::<N, V, 7>(operands, sums),
                (Tiles::Middle, 6) => narrow_tile::<N, V, 6>(operands, sums),
                (Tiles::Middle, _) => narrow_tile::<N, V, 3>(operands, sums),
                (Tiles::Few, 2) => narrow_tile::<N, V, 2>(operands, sums),
                (Tiles::Few, _) => narrow_tile::<N, V, 1>(operands, sums),
            }
        };
    }
    // SAFETY: the caller's, and the sizes are those of `rows_of`.
    unsafe {
        match V::TILES {
            Tiles::Wide => match (vectors, rows) {
                (1, 14) => tile::<N, V, 14, 1>(operands, 0, sums),
                (1, _) => tile::<N, V, 7, 1>(operands, 0, sums),
                (2, 14) => tile::<N, V, 14, 2>(operands, 0, sums),
                (2, _) => tile::<N, V, 7, 2>(operands, 0, sums),
                (_, 9) => tile::<N, V, 9, 3>(operands, 0, sums),
                _ => tile::<N, V, 5, 3>(operands, 0, sums),
            },
            Tiles::Middle => (0..vectors).for_each(|vector| match rows {
                6 => tile::<N, V, 6, 1>(operands, vector, sums),
                _ => tile::<N, V, 3, 1>(operands, vector, sums),
            }),
            Tiles::Few => (0..vectors).for_each(|vector| match rows {
                2 => tile::<N, V, 2, 1>(operands, vector, sums),
                _ => tile::<N, V, 1, 1>(operands, vector, sums),
            }),
        }
    }
}

/// `R` rows beside the `C` vectors from `first` on.
#[inline(always)]
unsafe fn tile<N, V: Lanes<N>, const R: usize, const C: usize>(
    operands: &Operands<'_, N>,
    first: usize,
    out: &mut Sums,
) {
    let Operands { x, offsets, words, a_word, w, vectors, mut ahead, .. } = *operands;
    let stride = vectors * 16;
    assert!(R * vectors * 16 <= MOST_SUMS && first + C <= vectors);
    // SAFETY: all that is read stands behind the offsets and in the panel, says the caller; what is written is inside
    // of the sums, as was asserted.
    unsafe {
        let mut w = w.add(first * 16);
        let mut sums = [[V::splat(0.0); C]; R];
        for offsets in offsets.as_chunks::<R>().0 {
            let mut rows = [x; R];
            for (row, offset) in rows.iter_mut().zip(offsets) {
                *row = x.add(*offset);
            }
            for k in 0..words {
                V::fetch(ahead);
                ahead = ahead.wrapping_add(16);
                let mut panel = [V::words(w); C];
                for (c, words) in panel.iter_mut().enumerate() {
                    *words = V::words(w.add(c * 16));
                }
                for r in 0..R {
                    let word = V::word(rows[r].add(k * a_word));
                    for c in 0..C {
                        sums[r][c] = sums[r][c].add_products(word, panel[c]);
                    }
                }
                w = w.add(stride);
            }
        }
        // by reference: sums that are moved are moved through memory
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                sum.store(out.0.as_mut_ptr().add((r * vectors + first + c) * 16));
            }
        }
    }
}

/// `R` rows beside one vector of outputs, each of which picks its group's inputs.
#[inline(always)]
unsafe fn narrow_tile<N, V: Lanes<N>, const R: usize>(operands: &Operands<'_, N>, out: &mut Sums) {
    let Operands { x, offsets, w, order, .. } = *operands;
    assert!(R * 16 <= MOST_SUMS);
    // SAFETY: as of `tile`.
    unsafe {
        let mut w = w;
        let mut sums = [V::splat(0.0); R];
        for offsets in offsets.as_chunks::<R>().0 {
            let mut rows = [V::own_words(x.add(offsets[0])); R];
            for (row, offset) in rows.iter_mut().zip(offsets) {
                *row = V::own_words(x.add(*offset));
            }
            for order in order {
                let panel = V::words(w);
                for (sum, row) in sums.iter_mut().zip(&rows) {
                    *sum = sum.add_products(V::pick(*row, order.0.as_ptr()), panel);
                }
                w = w.add(16);
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            sum.store(out.0.as_mut_ptr().add(r * 16));
        }
    }
}
