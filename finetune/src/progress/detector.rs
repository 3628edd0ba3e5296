//! What the training of a detector shows.

use std::time::Instant;

use finetune_backbones::training::Unreadable;
use finetune_regions::detector::training::{Progress, Watch};

use super::{LINE_EVERY, NAMED, Shown};

impl Shown {
    /// Pictures are looked at.
    pub(crate) fn pictures(&self, done: u64, total: u64) {
        let mut state = self.state();
        let is_due = done == total || state.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if is_due {
            state.last_line = Some(Instant::now());
        }
        drop(state);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        } else if is_due {
            self.say(&format!("{done}/{total} pictures"));
        }
    }
}

impl Watch for Shown {
    fn step(&self, progress: &Progress) {
        let Progress { step, total, epoch, losses, rate, pictures, seconds, .. } = progress;
        let (step, total, speed) = (*step, *total, *pictures as f64 / seconds);
        let losses: Vec<String> = losses.iter().map(|(name, loss)| format!("{name} {loss:.3}")).collect();
        let losses = losses.join(", ");
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(step);
            bar.set_message(format!("epoch {epoch:.2}, {losses}, {speed:.1} pictures/s"));
            return;
        }
        let mut state = self.state();
        let is_due = state.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if is_due || step == total {
            state.last_line = Some(Instant::now());
            drop(state);
            let left = (total - step) as f64 * seconds;
            self.say(&format!(
                "step {step}/{total}, epoch {epoch:.2}, {losses}, rate {rate:.3e}, {speed:.1} pictures/s, {left:.0} s left"
            ));
        }
    }

    fn damaged(&self, reason: &pretrain_training::Error) {
        self.say(&format!("a checkpoint is passed over: {reason}"));
    }

    fn unreadable(&self, picture: &Unreadable) {
        let mut state = self.state();
        state.n_unreadable += 1;
        let n = state.n_unreadable;
        drop(state);
        if n <= NAMED {
            self.say(&format!("left out: {}: {}", picture.name, picture.reason));
        }
        if n == NAMED {
            self.say("further pictures that cannot be read are only counted");
        }
    }

    fn must_stop(&self) -> bool {
        self.signal().is_some()
    }
}
