//! What a training shows: a bar on a terminal, elsewhere a line every ten seconds. And how it is interrupted.

mod detector;
mod retrieval;
mod task;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use finetune_backbones::training::{Evaluation, Progress, Unreadable, Watch};
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Without a terminal, one line per this long.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Of unreadable pictures so many are named; all are counted in the figures.
const NAMED: u32 = 20;

pub(crate) struct Shown {
    bar: Option<ProgressBar>,
    state: Mutex<State>,
    signal: Arc<AtomicI32>,
}

struct State {
    last_line: Option<Instant>,
    n_unreadable: u32,
    /// When the first pairs were scored, and how many.
    first_pairs: Option<(Instant, u64)>,
}

impl Shown {
    /// From now on SIGINT and SIGTERM end the training after its step, with a checkpoint; a second one ends the process.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let signal = Arc::new(AtomicI32::new(0));
        let mut signals =
            signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).context("cannot watch for signals")?;
        let flag = Arc::clone(&signal);
        // Ends with the process: it waits for a signal that may never come.
        std::thread::spawn(move || {
            for number in signals.forever() {
                if flag.swap(number, Ordering::Relaxed) != 0 {
                    // this is what the signal does to those who do not watch for it
                    let _ = signal_hook::low_level::emulate_default_handler(number);
                }
            }
        });
        Ok(Self { signal, ..Self::uninterrupted() })
    }

    /// Shows work that keeps nothing: a signal ends the process at once.
    pub(crate) fn uninterrupted() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")
                .expect("the template is a constant that parses");
            ProgressBar::new(0).with_style(style)
        });
        let state = State { last_line: None, n_unreadable: 0, first_pairs: None };
        Self { bar, state: Mutex::new(state), signal: Arc::default() }
    }

    /// The signal that asked for the end.
    pub(crate) fn signal(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            // a closed stderr is no reason to end a training
            None => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Watch for Shown {
    fn step(&self, progress: &Progress) {
        let Progress { step, total, epoch, loss, rate, pictures, seconds, .. } = *progress;
        let speed = pictures as f64 / seconds;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(step);
            bar.set_message(format!("epoch {epoch:.2}, loss {loss:.4}, {speed:.0} pictures/s"));
            return;
        }
        let mut state = self.state();
        let is_due = state.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if is_due || step == total {
            state.last_line = Some(Instant::now());
            let left = (total - step) as f64 * seconds;
            let line = format!(
                "step {step}/{total}, epoch {epoch:.2}, loss {loss:.4}, rate {rate:.3e}, {speed:.0} pictures/s, {left:.0} s left"
            );
            drop(state);
            self.say(&line);
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

    fn evaluated(&self, step: u64, evaluation: &Evaluation) {
        let Evaluation { top1, top5, loss, .. } = evaluation;
        let scores = format!("top-1 {:.2} %, top-5 {:.2} %, loss {loss:.4}", 100.0 * top1, 100.0 * top5);
        self.say(&format!("step {step}: {scores}"));
    }

    fn must_stop(&self) -> bool {
        self.signal().is_some()
    }
}
