//! Sums of outer products in registers: what weights' gradients are made of.

use crate::image::vector::{Tiles, Vector};

/// Rows of a product whose numbers lie side by side.
pub(super) const ROWS: usize = 8;

/// `sums[r, v] += Σ_n a[n, r] b[n, v]`: r the 8 numbers at a place of a, v 16 numbers at a place of b and so on.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    /// Lines of places, and places of a line.
    pub(super) lines: usize,
    pub(super) count: usize,
    /// Numbers from place to place, and from line to line.
    pub(super) a: *const f32,
    pub(super) a_steps: [usize; 2],
    pub(super) b: *const f32,
    pub(super) b_steps: [usize; 2],
    /// Numbers from one vector of b to the next, and how many vectors.
    pub(super) b_vector: usize,
    pub(super) vectors: usize,
    /// Sums: numbers from row to row; vectors lie side by side.
    pub(super) sums: *mut f32,
    pub(super) row: usize,
}

/// # Safety
/// Of the vectors; all places have 8 numbers and `vectors` vectors, the sums 8 rows of as many.
#[inline(always)]
pub(super) unsafe fn add_products<V: Vector>(operands: &Operands) {
    let mut vector = 0;
    // SAFETY: the caller's.
    unsafe {
        while vector < operands.vectors {
            match (V::TILES, operands.vectors - vector) {
                (Tiles::Wide, 1) => {
                    tile::<V, ROWS, 1>(operands, 0, vector);
                    vector += 1;
                }
                (Tiles::Wide, 2 | 4) => {
                    tile::<V, ROWS, 2>(operands, 0, vector);
                    vector += 2;
                }
                (Tiles::Wide, _) => {
                    tile::<V, ROWS, 3>(operands, 0, vector);
                    vector += 3;
                }
                (Tiles::Middle, _) => {
                    tile::<V, 4, 1>(operands, 0, vector);
                    tile::<V, 4, 1>(operands, 4, vector);
                    vector += 1;
                }
                (Tiles::Few, _) => {
                    (0..ROWS).step_by(2).for_each(|row| tile::<V, 2, 1>(operands, row, vector));
                    vector += 1;
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const C: usize>(operands: &Operands, row: usize, vector: usize) {
    let Operands { lines, count, a, a_steps, b, b_steps, b_vector, sums, row: sums_row, .. } = *operands;
    // SAFETY: of `add_products`; the tile's rows and vectors are among them.
    unsafe {
        let mut registers = [[V::splat(0.0); C]; R];
        for line in 0..lines {
            let mut a = a.add(line * a_steps[1] + row);
            let mut b = b.add(line * b_steps[1] + vector * b_vector);
            for _ in 0..count {
                let mut columns = [V::load(b); C];
                for (c, column) in columns.iter_mut().enumerate().skip(1) {
                    *column = V::load(b.add(c * b_vector));
                }
                for (r, registers) in registers.iter_mut().enumerate() {
                    let number = V::splat(*a.add(r));
                    for (register, column) in registers.iter_mut().zip(&columns) {
                        *register = number.mul_add(*column, *register);
                    }
                }
                a = a.add(a_steps[0]);
                b = b.add(b_steps[0]);
            }
        }
        // by reference: sums that are moved are moved through memory
        for (r, registers) in registers.iter().enumerate() {
            for (c, register) in registers.iter().enumerate() {
                let sum = sums.add((row + r) * sums_row + (vector + c) * 16);
                V::load(sum).add(*register).store(sum);
            }
        }
    }
}
