//! The process that does the decoding, and what its parent learns from it.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use finetune_regions::Fingerprint;
use finetune_regions::decoding::{Limits, Picture, decode};

use crate::{bombs, mutants};

const TASK: &str = "OSCAR_HOSTILE_TASK";
const REPORT: &str = "OSCAR_HOSTILE_REPORT";

/// What a decoder did with one input.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) input: String,
    /// `decoded`, or the error's code.
    pub(crate) code: String,
    /// Of the decoded picture.
    pub(crate) pixels: u64,
    /// How far resident memory rose above what it was before, at its peak.
    pub(crate) growth_kib: u64,
    pub(crate) millis: u64,
}

/// Runs a task in a child process. An input that ends the process, or that it does not finish in time, is an error.
pub(crate) fn run(task: &str, deadline: Duration) -> Result<Vec<Outcome>, String> {
    let report = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(task.replace(':', "-"));
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::works_when_told_to", "--nocapture"])
        .env(TASK, task)
        .env(REPORT, &report)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break Some(status);
        }
        if start.elapsed() > deadline {
            process.kill().unwrap();
            process.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = fs::read_to_string(&report).unwrap();
    fs::remove_file(&report).unwrap();
    let last = text.lines().last().unwrap_or_default();
    match status {
        Some(status) if status.success() && last == "end" => Ok(text.lines().filter_map(outcome).collect()),
        Some(status) => Err(format!("{task}: {status} at {last}")),
        None => Err(format!("{task}: not finished after {deadline:?} at {last}")),
    }
}

#[test]
fn works_when_told_to() {
    let (Ok(task), Ok(report)) = (std::env::var(TASK), std::env::var(REPORT)) else { return };
    std::panic::set_hook(Box::new(|_| {}));
    let limit = rustix::process::Rlimit { current: Some(4 << 30), maximum: Some(4 << 30) };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).unwrap();
    let mut report = fs::File::create(report).unwrap();
    let parts: Vec<&str> = task.split(':').collect();
    match parts[..] {
        ["mutants", family, from, to] => {
            let bases = mutants::bases(family);
            for number in from.parse::<u64>().unwrap()..to.parse().unwrap() {
                measure(&mut report, &number.to_string(), &mutants::mutant(&bases, family, number));
            }
        }
        ["bomb", name] => measure(&mut report, name, &bombs::bomb(name)),
        _ => panic!("no task {task}"),
    }
    writeln!(report, "end").unwrap();
}

fn measure(report: &mut fs::File, input: &str, bytes: &[u8]) {
    writeln!(report, "start {input}").unwrap();
    // Forgets the peak so far.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status_kib("VmRSS:");
    let start = Instant::now();
    let decoded = decode(bytes, &Limits::default());
    let millis = start.elapsed().as_millis();
    let growth = status_kib("VmHWM:").saturating_sub(before);
    let (code, pixels) = match &decoded {
        Ok(picture) => ("decoded", checked(picture)),
        Err(error) => (error.code(), 0),
    };
    writeln!(report, "done {input} {code} {pixels} {growth} {millis}").unwrap();
}

/// A decoded picture is one that everything else can work with.
fn checked(picture: &Picture) -> u64 {
    picture.checked_len().unwrap();
    if picture.rgb.len() < 1 << 20 {
        Fingerprint::of(picture).unwrap();
    }
    u64::from(picture.width) * u64::from(picture.height)
}

fn status_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn outcome(line: &str) -> Option<Outcome> {
    let [input, code, pixels, growth, millis] =
        line.strip_prefix("done ")?.split(' ').collect::<Vec<_>>()[..]
    else {
        return None;
    };
    Some(Outcome {
        input: input.to_owned(),
        code: code.to_owned(),
        pixels: pixels.parse().unwrap(),
        growth_kib: growth.parse().unwrap(),
        millis: millis.parse().unwrap(),
    })
}

/// One line of figures.
pub(crate) fn summary(title: &str, outcomes: &[Outcome]) -> String {
    let mut codes: Vec<&str> = outcomes.iter().map(|outcome| outcome.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let mut line = format!("{title}: {} pictures", outcomes.len());
    for code in codes {
        let n = outcomes.iter().filter(|outcome| outcome.code == code).count();
        write!(line, ", {n} {code}").unwrap();
    }
    let refused = outcomes.iter().filter(|outcome| outcome.code != "decoded");
    let growth = refused.map(|outcome| outcome.growth_kib).max().unwrap_or_default();
    let slowest = outcomes.iter().map(|outcome| outcome.millis).max().unwrap_or_default();
    write!(line, "; a refused one cost at most {growth} KiB, the slowest {slowest} ms").unwrap();
    line
}
