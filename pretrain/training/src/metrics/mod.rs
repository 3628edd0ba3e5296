//! Figures of a run: lines of JSON for programs, event files for TensorBoard.

mod events;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Result;
use events::Events;

/// Writes figures of a run.
///
/// `metrics.jsonl` has one object a line, `{"step": 20, "kind": "train", "loss": 0.7, ...}`; a crash may cut the last
/// line, and what was written after the checkpoint that a run goes on from will be written again: both are removed when
/// it is opened, so that no step is there twice. TensorBoard's files cannot be shortened while they are watched; a new
/// one begins with a mark that makes TensorBoard forget the same steps.
#[derive(Debug)]
pub struct Metrics {
    lines: File,
    events: Events,
}

const LINES: &str = "metrics.jsonl";

impl Metrics {
    /// Goes on in the run's folder after `step` updates; 0 for a new run.
    ///
    /// # Errors
    /// The system's.
    pub fn open(run: &Path, step: u64) -> Result<Self> {
        let path = run.join(LINES);
        if path.exists() {
            let text = fs::read(&path).map_err(data_specs::Error::io("read", &path))?;
            let kept = kept_lines(&text, step);
            if kept.len() != text.len() {
                data_specs::durable::write_durably(&path, &kept, "metrics")?;
            }
        }
        let lines = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(data_specs::Error::io("open", &path))?;
        Ok(Self { lines, events: Events::create(run, step)? })
    }

    /// Figures of one kind after `step` updates. TensorBoard calls them `<kind>/<name>`.
    ///
    /// # Errors
    /// The system's.
    pub fn record(&mut self, step: u64, kind: &str, figures: &[(&str, f64)]) -> Result<()> {
        let mut line = Map::from_iter([("step".to_owned(), json!(step)), ("kind".to_owned(), json!(kind))]);
        line.extend(figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        let line = format!("{}\n", Value::Object(line));
        let path = Path::new(LINES);
        // one write a line: it is there or cut, but never mixed with another
        self.lines.write_all(line.as_bytes()).map_err(data_specs::Error::io("append to", path))?;
        self.events.scalars(step, figures.iter().map(|(name, value)| (format!("{kind}/{name}"), *value)))
    }
}

/// Whole lines of at most `step` updates.
fn kept_lines(text: &[u8], step: u64) -> Vec<u8> {
    let whole = |line: &&[u8]| {
        let parsed = line.ends_with(b"\n").then(|| serde_json::from_slice::<Value>(line).ok()).flatten();
        parsed.and_then(|line| line["step"].as_u64()).is_some_and(|at| at <= step)
    };
    text.split_inclusive(|byte| *byte == b'\n').filter(whole).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(run: &Path) -> Vec<(u64, String)> {
        let text = fs::read_to_string(run.join(LINES)).unwrap();
        let line = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            (line["step"].as_u64().unwrap(), line["kind"].as_str().unwrap().to_owned())
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn a_crash_leaves_no_step_twice_and_no_half_line() {
        let run = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::open(run.path(), 0).unwrap();
        for step in 1..=6 {
            metrics.record(step, "train", &[("loss", 1.0 / step as f64), ("rate", 0.1)]).unwrap();
            if step % 2 == 0 {
                metrics.record(step, "eval", &[("top1", 0.5)]).unwrap();
            }
        }
        drop(metrics);
        let path = run.path().join(LINES);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 7]).unwrap();

        let mut metrics = Metrics::open(run.path(), 4).unwrap();
        metrics.record(5, "train", &[("loss", 0.2)]).unwrap();
        let wanted =
            [(1, "train"), (2, "train"), (2, "eval"), (3, "train"), (4, "train"), (4, "eval"), (5, "train")];
        assert_eq!(steps(run.path()), wanted.map(|(step, kind)| (step, kind.to_owned())));
        let first = fs::read_to_string(&path).unwrap();
        assert_eq!(first.lines().next(), Some(r#"{"step":1,"kind":"train","loss":1.0,"rate":0.1}"#));
        // figures that are no numbers do not make a line that nobody can read
        metrics.record(6, "train", &[("loss", f64::NAN)]).unwrap();
        assert_eq!(steps(run.path()).len(), 8);
    }
}
