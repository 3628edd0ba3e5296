//! What scoring of pairs shows.

use std::time::Instant;

use super::{LINE_EVERY, Shown};

impl Shown {
    /// Pairs are scored; their speed is told with the last one, too.
    pub(crate) fn pairs(&self, done: u64, total: u64) {
        let mut state = self.state();
        let first = *state.first_pairs.get_or_insert_with(|| (Instant::now(), done));
        // counted from the end of the first batch: model and data are opened before it
        let seconds = first.0.elapsed().as_secs_f64();
        let speed = if seconds > 0.0 { (done - first.1) as f64 / seconds } else { 0.0 };
        let is_due = done == total || state.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if is_due {
            state.last_line = Some(Instant::now());
        }
        drop(state);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(format!("pairs, {speed:.0}/s"));
        }
        if self.bar.is_none() && is_due || done == total {
            self.say(&format!("{done}/{total} pairs, {speed:.1} pairs/s"));
        }
    }
}
