//! Products of strided matrices on one thread, and outputs that tiles write side by side.

use std::marker::PhantomData;

use crate::element::Element;

/// A matrix inside a slice: element (r, c) is `data[r * row_stride + c * column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Panics if the last element lies outside of `data`: the products trust it.
    pub(crate) fn new(
        data: &'a [T],
        [rows, columns]: [usize; 2],
        [row_stride, column_stride]: [usize; 2],
    ) -> Self {
        assert!(span([rows, columns], [row_stride, column_stride]) <= data.len());
        Self { data, rows, columns, row_stride, column_stride }
    }

    /// Some of its rows.
    pub(crate) fn rows(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.rows);
        Self { data: &self.data[first * self.row_stride..], rows: count, ..self }
    }

    pub(crate) fn row_count(&self) -> usize {
        self.rows
    }

    pub(crate) fn column_count(&self) -> usize {
        self.columns
    }

    /// From the first element on.
    pub(crate) fn data(&self) -> &'a [T] {
        self.data
    }

    /// Between rows, and between columns.
    pub(crate) fn strides(&self) -> [usize; 2] {
        [self.row_stride, self.column_stride]
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix whose numbers are there, or are made when they are asked for.
pub(crate) trait Blocks<T>: Sync {
    /// Rows and columns.
    fn sizes(&self) -> [usize; 2];

    /// A part of it, columns side by side, where it lies or in `space`, which has as many numbers.
    fn block<'a>(&'a self, first: [usize; 2], sides: [usize; 2], space: &'a mut [T]) -> Matrix<'a, T>;
}

impl<T: Sync> Blocks<T> for Matrix<'_, T> {
    fn sizes(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    fn block<'a>(&'a self, first: [usize; 2], sides: [usize; 2], _: &'a mut [T]) -> Matrix<'a, T> {
        let data = &self.data[first[0] * self.row_stride + first[1] * self.column_stride..];
        Matrix::new(data, sides, self.strides())
    }
}

/// A matrix to write, rows apart by `row_stride`, columns side by side.
pub(crate) struct MatrixMut<'a, T> {
    pointer: *mut T,
    rows: usize,
    columns: usize,
    row_stride: usize,
    owner: PhantomData<&'a mut [T]>,
}

impl<'a, T> MatrixMut<'a, T> {
    /// Panics if the last element lies outside of `data`.
    pub(crate) fn new(data: &'a mut [T], [rows, columns]: [usize; 2], row_stride: usize) -> Self {
        assert!(span([rows, columns], [row_stride, 1]) <= data.len() && columns <= row_stride);
        Self { pointer: data.as_mut_ptr(), rows, columns, row_stride, owner: PhantomData }
    }

    pub(crate) fn row_count(&self) -> usize {
        self.rows
    }

    pub(crate) fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// One row.
    pub(crate) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows);
        // SAFETY: the constructors vouch for all rows, each of `columns` elements, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(row * self.row_stride), self.columns) }
    }
}

/// An output that several threads write at once, each its own part.
pub(crate) struct Shared<'a, T> {
    pointer: *mut T,
    length: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer is only used through `tile`, whose callers promise that no two parts overlap.
unsafe impl<T: Send> Sync for Shared<'_, T> {}
// SAFETY: it is a mutable borrow of elements that may be sent.
unsafe impl<T: Send> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(data: &'a mut [T]) -> Self {
        Self { pointer: data.as_mut_ptr(), length: data.len(), owner: PhantomData }
    }

    /// Elements of the output.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The matrix whose first element stands at `start`. Panics if it leaves the output.
    ///
    /// # Safety
    ///
    /// No other tile that is alive may hold any of its elements.
    pub(crate) unsafe fn tile(
        &self,
        start: usize,
        [rows, columns]: [usize; 2],
        row_stride: usize,
    ) -> MatrixMut<'_, T> {
        assert!(start + span([rows, columns], [row_stride, 1]) <= self.length && columns <= row_stride);
        // SAFETY: `start` lies inside, as was just seen.
        let pointer = unsafe { self.pointer.add(start) };
        MatrixMut { pointer, rows, columns, row_stride, owner: PhantomData }
    }
}

/// A vector of `length` elements that `write` writes, without a pass of zeros before: that is a tenth of the time of a training
/// step's operations beside the products, on one thread.
///
/// # Safety
///
/// `write` writes every element, and nothing reads one before.
pub(crate) unsafe fn written<T>(length: usize, write: impl FnOnce(&Shared<'_, T>)) -> Vec<T> {
    let mut elements = Vec::with_capacity(length);
    write(&Shared { pointer: elements.as_mut_ptr(), length, owner: PhantomData });
    // SAFETY: there is space for so many, and they were written, as the caller says.
    unsafe { elements.set_len(length) };
    elements
}

/// `out = lhs · rhs`, or `out += lhs · rhs`. One thread, so the bits follow from the shapes alone.
pub(crate) fn multiply<T: Element>(
    out: &mut MatrixMut<'_, T>,
    accumulate: bool,
    lhs: Matrix<'_, T>,
    rhs: Matrix<'_, T>,
) {
    assert!(lhs.rows == out.rows && rhs.columns == out.columns && lhs.columns == rhs.rows);
    // SAFETY: every matrix was checked against its slice when it was made, `out` is borrowed mutably and so overlaps
    // neither factor, and T is f32 or f64, which the product knows.
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            lhs.columns,
            out.pointer,
            1,
            out.row_stride as isize,
            accumulate,
            lhs.data.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Cuts `total` into equal parts of at most `most` (the last may be shorter), rounded up to whole vectors: a function
/// of these numbers only.
pub(crate) fn tile_size(total: usize, most: usize) -> usize {
    let most = most.max(1);
    let even = total.div_ceil(total.div_ceil(most).max(1));
    if even >= VECTOR { even.next_multiple_of(VECTOR).min(most) } else { even.max(1) }
}

const VECTOR: usize = 48; // what the f32 product keeps of a column in registers on AVX-512

/// How many elements from the first to the last.
fn span([rows, columns]: [usize; 2], [row_stride, column_stride]: [usize; 2]) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 }
}
