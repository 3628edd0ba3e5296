//! An output that several threads write at once, each its own numbers.

use std::marker::PhantomData;

/// A mutable borrow that is dealt out by the number.
pub(crate) struct SharedOut<'a, N> {
    pointer: *mut N,
    length: usize,
    owner: PhantomData<&'a mut [N]>,
}

// SAFETY: the pointer is only handed out by `pointer`, whose callers write numbers that are theirs alone.
unsafe impl<N: Send> Sync for SharedOut<'_, N> {}
// SAFETY: it is a mutable borrow of numbers that may be sent.
unsafe impl<N: Send> Send for SharedOut<'_, N> {}

impl<'a, N> SharedOut<'a, N> {
    pub(crate) fn new(numbers: &'a mut [N]) -> Self {
        Self { pointer: numbers.as_mut_ptr(), length: numbers.len(), owner: PhantomData }
    }

    /// Where `count` numbers from `start` on are written. Panics if they leave the output.
    ///
    /// # Safety
    ///
    /// No other thread may touch them while this one writes.
    #[inline(always)]
    pub(crate) unsafe fn pointer(&self, start: usize, count: usize) -> *mut N {
        assert!(start + count <= self.length);
        // SAFETY: inside, as was just asserted.
        unsafe { self.pointer.add(start) }
    }
}
