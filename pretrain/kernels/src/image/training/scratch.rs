//! Memory of a thread for what a task lays out for itself.

use std::cell::Cell;

use crate::image::maps::Line;

thread_local! {
    static LINES: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Lines whose contents are left open. They go back to the thread when dropped.
pub(super) struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    pub(super) fn of(count: usize) -> Self {
        let mut lines = LINES.take();
        if lines.len() < count {
            lines.resize(count, Line([0; 16]));
        }
        Self { lines }
    }

    /// The first of its numbers; every line has 16.
    pub(super) fn numbers(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        LINES.set(std::mem::take(&mut self.lines));
    }
}
