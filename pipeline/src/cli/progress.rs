//! Progress, signals and failpoints: the outside of a build, as its watcher.
//!
//! Two environment variables are for tests only: `PIPELINE_FAILPOINT=<phase>:<n>` kills the process
//! the n-th time it reaches a phase (`read-error:<n>` makes the n-th read fail instead), and
//! `PIPELINE_PHASES=<file>` gets a line for each phase reached, so that a test which kills at a random
//! moment knows where it hit.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use pipeline::inputs::Span;
use pipeline::{Phase, Watch};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Without a terminal, one line per this long.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    rows: AtomicU64,
    rejected: AtomicU64,
    total: AtomicU64,
    scanned: AtomicU64,
    started: Instant,
    last_line: Mutex<Instant>,
    signal: Arc<AtomicI32>,
    failpoint: Option<(String, u64)>,
    reached: AtomicU64,
    phases: Option<File>,
}

impl Progress {
    pub(super) fn start() -> anyhow::Result<Progress> {
        let signal = Arc::new(AtomicI32::new(0));
        for number in [SIGINT, SIGTERM] {
            let flag = signal.clone();
            let mut signals =
                signal_hook::iterator::Signals::new([number]).context("cannot watch for signals")?;
            // Ends with the process: it waits for a signal that may never come.
            std::thread::spawn(move || {
                for number in signals.forever() {
                    flag.store(number, Ordering::Relaxed);
                }
            });
        }
        let failpoint = std::env::var("PIPELINE_FAILPOINT").ok().map(|text| {
            let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
            (name.to_string(), count.parse().unwrap_or(1))
        });
        let phases = std::env::var_os("PIPELINE_PHASES").map(|path| {
            OpenOptions::new().create(true).append(true).open(path).context("cannot open PIPELINE_PHASES")
        });
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let now = Instant::now();
        Ok(Progress {
            bar,
            rows: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            total: AtomicU64::new(0),
            scanned: AtomicU64::new(0),
            started: now,
            last_line: Mutex::new(now),
            signal,
            failpoint,
            reached: AtomicU64::new(0),
            phases: phases.transpose()?,
        })
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Tells where the work is: on the bar, or on a line every ten seconds.
    fn tell(&self, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(message());
            return;
        }
        // Whoever holds the lock prints; the others have nothing newer to say.
        if let Ok(mut last) = self.last_line.try_lock()
            && last.elapsed() >= LINE_EVERY
        {
            *last = Instant::now();
            eprintln!("{}", message());
        }
    }

    fn hits_failpoint(&self, name: &str) -> bool {
        let Some((wanted, count)) = &self.failpoint else { return false };
        wanted == name && self.reached.fetch_add(1, Ordering::SeqCst) + 1 == *count
    }
}

impl Watch for Progress {
    fn scanned(&self, bytes: u64) {
        let scanned = self.scanned.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.tell(|| format!("planning: {} scanned", indicatif::HumanBytes(scanned)));
    }

    fn planned(&self, tasks: usize, done: usize, rows: u64) {
        self.total.store(rows, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            let style = "{bar:30} {human_pos}/{human_len} rows  {per_sec}  {eta} left  {msg}";
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_length(rows);
            bar.set_position(0);
            bar.reset_eta();
            bar.set_message(format!("{done} of {tasks} shards were done"));
        }
    }

    fn rows(&self, rows: u64, rejected: u64) {
        let all = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let rejected = self.rejected.fetch_add(rejected, Ordering::Relaxed) + rejected;
        if let Some(bar) = &self.bar {
            bar.set_position(all);
        }
        let total = self.total.load(Ordering::Relaxed);
        let speed = all as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        self.tell(|| {
            let left = total.saturating_sub(all) as f64 / speed.max(1e-3);
            let counts = format!("{rejected} rejected");
            if self.bar.is_some() {
                return counts;
            }
            format!(
                "{} of {} rows, {counts}, {} rows/s, about {left:.0} s left",
                HumanCount(all),
                HumanCount(total),
                rate(speed)
            )
        });
    }

    fn phase(&self, phase: Phase) {
        if let Some(mut file) = self.phases.as_ref() {
            // One short write to a file opened for appending is whole, whatever other threads do.
            let _ = file.write_all(format!("{}\n", phase.name()).as_bytes());
        }
        if self.hits_failpoint(phase.name()) {
            kill_this_process();
        }
    }

    fn read_fault(&self, _span: &Span) -> Option<std::io::Error> {
        self.hits_failpoint("read-error").then(|| std::io::Error::other("made to fail by PIPELINE_FAILPOINT"))
    }

    fn interrupted(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::Relaxed)).filter(|&signal| signal != 0)
    }
}

/// Rows a second: with a digit behind the point where pictures make them few.
pub(super) fn rate(speed: f64) -> String {
    if speed < 10.0 { format!("{speed:.1}") } else { HumanCount(speed as u64).to_string() }
}

/// As a power cut would: no unwinding, no destructors, no flushing.
fn kill_this_process() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}
