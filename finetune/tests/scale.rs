//! `finetune backbone scale` as a user runs it: tiny networks, drawn pictures, seconds.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use finetune_regions::decoding::Picture;
use finetune_regions::encode_png;
use serde_json::Value;

struct Study {
    folder: tempfile::TempDir,
}

const SIDE: u32 = 40;

impl Study {
    /// Eight pictures of each of two classes to learn from, four to be examined with: bright left or right halves.
    fn new() -> Self {
        let study = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        for (split, numbers) in [("train", 0..8u32), ("held", 100..104)] {
            for (class, name) in ["left", "right"].into_iter().enumerate() {
                let folder = study.at(split).join(name);
                std::fs::create_dir_all(&folder).expect("a folder");
                for number in numbers.clone() {
                    let rgb = (0..SIDE * SIDE).flat_map(|i| {
                        let is_bright = (i % SIDE >= SIDE / 2) == (class == 1);
                        let value = if is_bright { 200 + number % 40 } else { 30 + number * 7 % 50 };
                        [value as u8; 3]
                    });
                    let picture = Picture { width: SIDE, height: SIDE, rgb: rgb.collect() };
                    let png = encode_png(&picture).expect("a picture");
                    std::fs::write(folder.join(format!("{number}.png")), png).expect("writing");
                }
            }
        }
        let text = format!(
            r#"
data = {{ train = "{}", held_out = "{}" }}
input = {{ side = 32, crop_share = 1.0 }}
augmentation = {{ crop_area = [0.9, 1.0], flip = 0.0 }}
network = {{ architecture = "efficientnet_half+w0.5+d0.5", zero_classifier = true }}
batch = {{ size = 8, micro = 8 }}
optimiser = {{ rule = {{ rule = "adamw" }} }}
schedule = {{ epochs = 1, peak = 3e-3, decay = {{ kind = "constant" }} }}
run = {{ checkpoint_every = 1 }}
"#,
            study.at("train").display(),
            study.at("held").display()
        );
        std::fs::write(study.at("run.toml"), text).expect("writing");
        study
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_finetune"));
        command
            .args(["backbone", "scale", "--config"])
            .arg(self.at("run.toml"))
            .arg("--out")
            .arg(self.at(out));
        command.args(more);
        command
    }

    fn scale(&self, out: &str, more: &[&str]) -> Output {
        self.command(out, more).output().expect("the command runs")
    }
}

fn object(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn fails(output: &Output, code: i32, part: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(message.contains(part), "{message}");
    assert!(output.stdout.is_empty());
}

fn rows(report: &Value) -> &Vec<Value> {
    report["rows"].as_array().expect("rows")
}

fn file(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const COARSE: [&str; 5] = ["--grid", "--step", "0.25", "--tolerance", "0.1"];

#[test]
fn a_grid_is_trained_and_ranked() {
    let study = Study::new();
    let dry = object(&study.scale("grid", &[&COARSE[..], &["--dry-run", "--json"]].concat()));
    assert!(!study.at("grid").exists());
    let done = object(&study.scale("grid", &[&COARSE[..], &["--json"]].concat()));
    assert!((2..=8).contains(&rows(&done).len()), "{done}");
    assert_eq!(rows(&done).len(), rows(&dry).len());
    let scores: Vec<(f64, f64)> = rows(&done)
        .iter()
        .map(|row| {
            let number = |key: &str| row["score"][key].as_f64().expect("a score");
            assert_eq!(row["score"]["steps"], 2);
            let (depth, width, size) = (&row["depth"], &row["width"], &row["resolution"]);
            let [alpha, beta, gamma] = [depth, width, size].map(|value| value.as_f64().expect("a factor"));
            assert!((alpha * beta * beta * gamma * gamma - 2.0).abs() <= 0.1 + 1e-9);
            assert!(row["macs"].as_u64() > Some(0) && row["params"].as_u64() > Some(0));
            (number("top1"), number("loss"))
        })
        .collect();
    let is_ranked =
        |pair: &[(f64, f64)]| pair[0].0 > pair[1].0 || pair[0].0 == pair[1].0 && pair[0].1 <= pair[1].1;
    assert!(scores.windows(2).all(is_ranked), "{scores:?}");
    let kept: Value = serde_json::from_str(&file(&study.at("grid/results.json"))).expect("JSON");
    assert_eq!(kept, done);
    let svg = file(&study.at("grid/results.svg"));
    assert!(svg.starts_with("<svg") && svg.contains("<circle"), "{svg}");
    assert!(file(&study.at("grid/results.txt")).lines().count() == rows(&done).len() + 1);

    // all is trained: nothing is trained again, and the same comes out
    let networks = || {
        let mut runs: Vec<_> = std::fs::read_dir(study.at("grid/runs"))
            .expect("runs")
            .map(|entry| entry.expect("an entry").path().join("metrics.jsonl"))
            .map(|path| std::fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("figures"))
            .collect();
        runs.sort();
        runs
    };
    let before = networks();
    assert_eq!(object(&study.scale("grid", &[&COARSE[..], &["--json"]].concat())), done);
    assert_eq!(networks(), before);

    // another question or other settings are another study
    fails(&study.scale("grid", &["--phi", "1"]), 2, "holds the study of another question");
    let other = [&COARSE[..], &["--set", "schedule.peak=1.0"]].concat();
    fails(&study.scale("grid", &other), 2, "schedule.peak: 0.003 then, 1.0 now");
}

#[test]
fn dimensions_are_compared_and_phi_raised() {
    let study = Study::new();
    let done = object(&study.scale("compare", &["--compare", "2", "--json"]));
    let series: Vec<&str> = rows(&done).iter().map(|row| row["series"].as_str().expect("a name")).collect();
    assert_eq!(series, ["base", "depth", "width", "resolution", "compound"]);
    assert_eq!(rows(&done)[0]["times"], 1.0);
    let svg = file(&study.at("compare/results.svg"));
    assert_eq!(svg.matches("<polyline").count(), 4);
    let table = study.scale("compare", &["--compare", "2"]);
    let table = String::from_utf8_lossy(&table.stdout);
    assert!(table.contains("resolution") && table.contains("efficientnet_half+w0.5+d0.5@45"), "{table}");

    let resnext =
        ["--set", "network.architecture=resnext26_16x4d+w0.25", "--phi", "0,1", "--dry-run", "--json"];
    let done = object(&study.scale("phi", &resnext));
    let names: Vec<&str> = rows(&done).iter().map(|row| row["network"].as_str().expect("a name")).collect();
    assert_eq!(names, ["resnext26_16x4d+w0.25@32", "resnext26_16x4d+w0.275+d1.2@37"]);
    assert_eq!(rows(&done)[1]["score"], Value::Null);
}

/// A signal in the middle, and a study that was killed: the same command goes on, and finds what it would have found.
#[test]
fn a_study_goes_on_where_it_was_stopped() {
    let study = Study::new();
    let phis = ["--phi", "0,1,2", "--json"];
    let straight = object(&study.scale("straight", &phis));
    for (signal, code) in [("-TERM", Some(143)), ("-KILL", None)] {
        let mut child = study
            .command("stopped", &phis)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command runs");
        let started = |name: &str| study.at("stopped/runs").join(name).join("metrics.jsonl").exists();
        let next =
            if code.is_some() { "efficientnet_half+w0.5+d0.5@32" } else { "efficientnet_half+w0.55+d0.6@37" };
        let start = Instant::now();
        while !started(next) && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
        assert_eq!(child.wait().expect("an end").code(), code, "{signal}");
        assert!(!study.at("stopped/results.json").exists());
    }
    assert_eq!(object(&study.scale("stopped", &phis)), straight);
}

#[test]
fn what_cannot_be_studied_is_said_before_any_work() {
    let study = Study::new();
    let cases: [(&[&str], &str); 9] = [
        (&["--grid", "--step", "0.3", "--tolerance", "0.01"], "raise --tolerance or lower --step"),
        (&["--phi", "1", "--coefficients", "1.2,1.1"], "--coefficients takes three numbers"),
        (&["--phi", "1", "--coefficients", "1.2,1.1,0.5"], "none is below 1"),
        (&["--compare", "0.5"], "each above 1"),
        (&["--phi", "1", "--set", "input.side=20"], "set input.side"),
        (&["--phi", "1", "--set", "network.weights=w.pth"], "leave network.weights out"),
        (&["--phi", "1", "--set", "network.architecture=efficientnet_b9"], "no architecture is called"),
        (&["--phi", "1", "--compare", "2"], "cannot be used with"),
        (&[], "--grid"),
    ];
    for (arguments, part) in cases {
        fails(&study.scale("none", arguments), 2, part);
    }
    assert!(!study.at("none").exists());
    let text = file(&study.at("run.toml"));
    let held = text.lines().find(|line| line.starts_with("data")).expect("a line").to_owned();
    let alone = format!("data = {{ train = \"{}\" }}", study.at("train").display());
    std::fs::write(study.at("run.toml"), text.replace(&held, &alone)).expect("writing");
    fails(&study.scale("none", &["--phi", "1"]), 2, "set data.held_out");
}
