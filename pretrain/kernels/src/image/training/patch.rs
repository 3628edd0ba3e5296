//! Some rows of 16 channels of a picture with what lies beyond its border as zeros, laid out for a kernel to move over.

use super::source::{Source, Wanted};
use crate::image::maps::LANES;
use crate::image::vector::Vector;

/// Where a patch begins on a map, and how large it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patch {
    /// First row and column, which may lie before the map's.
    pub(super) start: [isize; 2],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Patch {
    /// Lines of 16 numbers.
    pub(super) fn lines(&self) -> usize {
        self.rows * self.columns
    }

    /// Fills a patch at `to` from 16 channels of a picture.
    ///
    /// # Safety
    /// Of the vectors; `to` has room.
    #[inline(always)]
    pub(super) unsafe fn fill<V: Vector>(
        &self,
        source: &Source<'_>,
        image: usize,
        channel: usize,
        to: *mut f32,
    ) {
        let [height, width] = source.shape().size;
        let columns = self.columns as isize;
        // columns of the patch that lie on the map
        let first = (-self.start[1]).clamp(0, columns) as usize;
        let end = (width as isize - self.start[1]).clamp(first as isize, columns) as usize;
        for row in 0..self.rows {
            let y = self.start[0] + row as isize;
            // SAFETY: the caller's; columns lie inside of the patch.
            unsafe {
                let to = to.add(row * self.columns * LANES);
                let zero = V::splat(0.0);
                if y < 0 || y >= height as isize || first == end {
                    (0..self.columns).for_each(|column| zero.store(to.add(column * LANES)));
                    continue;
                }
                (0..first).for_each(|column| zero.store(to.add(column * LANES)));
                (end..self.columns).for_each(|column| zero.store(to.add(column * LANES)));
                let at = y as usize * width + (first as isize + self.start[1]) as usize;
                let wanted = Wanted { image, first: at, every: 1, count: end - first, channel };
                source.write::<V>(wanted, to.add(first * LANES), LANES);
            }
        }
    }
}
