//! What the training of a task shows.

use std::time::Instant;

use finetune_harness::{Progress, Scores, Watch};

use super::{LINE_EVERY, Shown};

impl Watch for Shown {
    fn told(&self, line: &str) {
        self.say(line);
    }

    fn step(&self, progress: &Progress) {
        let Progress { step, total, epoch, loss, rate, samples, seconds, waited, .. } = *progress;
        let speed = samples as f64 / seconds;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(step);
            bar.set_message(format!("epoch {epoch:.2}, loss {loss:.4}, {speed:.0} samples/s"));
            return;
        }
        let mut state = self.state();
        let is_due = state.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if is_due || step == total {
            state.last_line = Some(Instant::now());
            drop(state);
            let (left, wait) = ((total - step) as f64 * seconds, 100.0 * waited / seconds);
            self.say(&format!(
                "step {step}/{total}, epoch {epoch:.2}, loss {loss:.4}, rate {rate:.3e}, {speed:.0} samples/s ({wait:.1} % waiting for data), {left:.0} s left"
            ));
        }
    }

    fn damaged(&self, reason: &pretrain_training::Error) {
        self.say(&format!("a checkpoint is passed over: {reason}"));
    }

    fn evaluated(&self, step: u64, scores: &Scores, is_best: bool) {
        let figures = scores.figures.iter().map(|(name, value)| format!("{name} {value:.4}"));
        let figures = figures.collect::<Vec<_>>().join(", ");
        self.say(&format!("step {step}{}: {figures}", if is_best { ", the best so far" } else { "" }));
    }

    fn must_stop(&self) -> bool {
        self.signal().is_some()
    }
}
