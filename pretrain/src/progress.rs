//! What a training shows: a bar on a terminal, elsewhere a line every ten seconds. And how it is interrupted.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use pretrain::train::{Evaluation, Progress, Start, Watch};
use pretrain_comm::Attempt;
use signal_hook::consts::{SIGINT, SIGTERM};

/// Without a terminal, one line per this long.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Shown {
    bar: Option<ProgressBar>,
    last_line: Mutex<Option<Instant>>,
    signal: Arc<AtomicI32>,
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
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")
                .expect("the template is a constant that parses");
            ProgressBar::new(0).with_style(style)
        });
        Ok(Self { bar, last_line: Mutex::new(None), signal })
    }

    /// The signal that asked for the end.
    pub(crate) fn signal(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// Processes were lost.
    pub(crate) fn lost(&self, attempt: &Attempt) {
        self.say(&attempt.to_string());
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            // a closed stderr is no reason to end a training
            None => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }
}

impl Watch for Shown {
    fn started(&self, start: &Start) {
        let (config, n) = (&start.config, start.data.n_texts());
        self.say(&format!(
            "{} layers of {}, {} words, regions of {}, {} classes; {n} triples of {} data sets",
            config.num_hidden_layers,
            config.hidden_size,
            config.vocab_size,
            config.img_feature_dim,
            config.num_contrast_classes,
            start.data.summaries().len(),
        ));
        if !start.drawn.is_empty() {
            self.say(&format!("drawn, as model.from does not have them: {}", start.drawn.join(", ")));
        }
    }

    fn step(&self, progress: &Progress) {
        let Progress { step, total, masked_token_loss, contrastive_loss, rate, samples, seconds, .. } =
            *progress;
        let speed = samples as f64 / seconds;
        let losses = format!("masked tokens {masked_token_loss:.3}, contrastive {contrastive_loss:.3}");
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(step);
            bar.set_message(format!("{losses}, {speed:.0} samples/s"));
            return;
        }
        let mut last_line = self.last_line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) || step == total {
            *last_line = Some(Instant::now());
            let left = (total - step) as f64 * seconds;
            let wait = 100.0 * progress.waited / seconds;
            let share = 100.0 * progress.limit_share;
            self.say(&format!(
                "step {step}/{total}, {losses}, rate {rate:.2e}, {speed:.0} samples/s ({share:.0} % of the peak, {wait:.1} % waiting for data), {left:.0} s left"
            ));
        }
    }

    fn damaged(&self, reason: &pretrain_training::Error) {
        self.say(&format!("a checkpoint is passed over: {reason}"));
    }

    fn evaluated(&self, step: u64, evaluation: &Evaluation) {
        self.say(&format!("step {step}: {}", shares(evaluation)));
    }

    fn must_stop(&self) -> bool {
        self.signal().is_some()
    }
}

/// The figures of an evaluation in words.
pub(crate) fn shares(evaluation: &Evaluation) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let mut parts = vec![
        format!("hidden words {}", percent(evaluation.word_accuracy)),
        format!("tags {}", percent(evaluation.tag_accuracy)),
        format!("contrastive {}", percent(evaluation.contrastive_accuracy)),
    ];
    parts.extend(evaluation.probes.iter().map(|(name, share)| format!("{name} {}", percent(*share))));
    format!("{} of {} held-out samples", parts.join(", "), evaluation.samples)
}
