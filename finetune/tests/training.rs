//! `finetune backbone train | eval | export` as a user runs them, on drawn pictures and in seconds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use finetune_backbones::Backbone;
use finetune_regions::decoding::Picture;
use finetune_regions::encode_png;
use serde_json::Value;

const SIDE: u32 = 40;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A disc on a ground: the colour of the disc is the class, its place and the ground are not.
fn drawn(class: u32, number: u32) -> Vec<u8> {
    let (x, y, radius) = (10 + number * 7 % 20, 10 + number * 11 % 20, 6 + number % 5);
    let front = [[230, 40, 40], [40, 220, 60], [50, 60, 240]][class as usize];
    let back = [60 + (number * 13 % 60) as u8, 60 + (number * 29 % 60) as u8, 70];
    let rgb = (0..SIDE * SIDE).flat_map(|i| {
        let (dx, dy) = ((i % SIDE).abs_diff(x), (i / SIDE).abs_diff(y));
        if dx * dx + dy * dy < radius * radius { front } else { back }
    });
    encode_png(&Picture { width: SIDE, height: SIDE, rgb: rgb.collect() }).expect("a picture")
}

const CLASSES: [&str; 3] = ["blue-last", "green", "red"];

/// Twenty pictures of each class in folders; numbers from `first` on.
fn folders(root: &Path, first: u32) {
    for (class, name) in [(2, CLASSES[0]), (1, CLASSES[1]), (0, CLASSES[2])] {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for number in first..first + 20 {
            std::fs::write(folder.join(format!("{number}.png")), drawn(class, number)).expect("writing");
        }
    }
}

fn config(folder: &Folder) -> PathBuf {
    let text = format!(
        r#"
seed = 5
data = {{ train = "{}", held_out = "{}" }}
input = {{ side = 32, crop_share = 1.0 }}
augmentation = {{ crop_area = [0.7, 1.0], colour_jitter = [0.1, 0.1, 0.1] }}
network = {{ architecture = "efficientnet_half", zero_classifier = true, drop_connect = 0.1 }}
batch = {{ size = 12, micro = 6 }}
optimiser = {{ rule = {{ rule = "adamw" }}, weight_decay = 0.01, clip = 5.0, average = 0.8 }}
schedule = {{ epochs = 4, peak = 3e-3, warm_up = 0.4, decay = {{ kind = "cosine", floor = 0.0 }} }}
run = {{ checkpoint_every = 3, log_every = 1, keep = 2 }}
"#,
        folder.at("train").display(),
        folder.at("held").display()
    );
    let path = folder.at("run.toml");
    std::fs::write(&path, text).expect("writing");
    path
}

fn command(arguments: &[&dyn AsRef<Path>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finetune"));
    command.arg("backbone").args(arguments.iter().map(|argument| argument.as_ref()));
    command
}

fn finetune(arguments: &[&dyn AsRef<Path>]) -> Output {
    command(arguments).output().expect("the command runs")
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

fn train(config: &Path, out: &Path, more: &[&str]) -> Output {
    let named: [&dyn AsRef<Path>; 6] = [&"train", &"--config", &config, &"--out", &out, &"--json"];
    let more: Vec<&dyn AsRef<Path>> = more.iter().map(|word| word as &dyn AsRef<Path>).collect();
    finetune(&[&named[..], &more].concat())
}

/// All tensors of the newest checkpoint of a run.
fn weights(run: &Path) -> Vec<u8> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(run.join("checkpoints"))
        .expect("checkpoints")
        .map(|e| e.expect("an entry").path())
        .collect();
    names.sort();
    std::fs::read(names.last().expect("a checkpoint").join("average.safetensors")).expect("weights")
}

#[test]
fn train_eval_export() {
    let folder = Folder::new();
    folders(&folder.at("train"), 0);
    folders(&folder.at("held"), 100);
    let (config, run) = (config(&folder), folder.at("run"));
    let output = train(&config, &run, &["--ranks", "2", "--set", "schedule.epochs=16"]);
    let done = object(&output);
    assert_eq!((&done["step"], &done["is_done"]), (&80.into(), &true.into()));
    let top1 = done["scores"]["top1"].as_f64().expect("a score");
    // Of three classes: a guess is right once in three, and five deviations of sixty guesses are 0.3.
    assert!(top1 > 0.7, "{done}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("step 80/80, epoch 16.00, loss "), "{told}");
    assert!(told.contains("top-1 "), "{told}");
    assert_eq!(std::fs::read_dir(run.join("checkpoints")).expect("checkpoints").count(), 2);

    let confusion = folder.at("confusion.json");
    let eval: [&dyn AsRef<Path>; 6] = [&"eval", &"--run", &run, &"--confusion", &confusion, &"--json"];
    let scores = object(&finetune(&eval));
    assert_eq!(scores["top1"], done["scores"]["top1"]);
    assert_eq!((&scores["pictures"], &scores["top5"]), (&60.into(), &1.0.into()));
    let rounded = object(&finetune(&[&eval[..], &[&"--precision", &"bf16"]].concat()));
    // two of sixty pictures may stand so near to a border that 8 bits decide
    let apart = (rounded["top1"].as_f64().expect("a score") - top1).abs();
    assert!(apart <= 2.01 / 60.0 && rounded["pictures"] == 60, "{rounded}");
    let confusion: Value = serde_json::from_slice(&std::fs::read(confusion).expect("a file")).expect("JSON");
    assert_eq!(confusion["classes"], serde_json::json!(CLASSES));
    let table = finetune(&[&"eval", &"--run", &run]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("taken for"));

    // where a class is seen; classes have their names
    let (image, map) = (folder.at("held/green/101.png"), folder.at("cam.png"));
    let cam: [&dyn AsRef<Path>; 10] =
        [&"cam", &"--run", &run, &"--image", &image, &"--class", &"green", &"--out", &map, &"--json"];
    let seen = object(&finetune(&cam));
    assert_eq!((&seen["class"], &seen["index"]), (&"green".into(), &1.into()));
    assert!(map.exists() && seen["probability"].as_f64().expect("a share") <= 1.0);
    let other: [&dyn AsRef<Path>; 9] =
        [&"cam", &"--run", &run, &"--image", &image, &"--class", &"gren", &"--out", &map];
    fails(&finetune(&other), 2, "the nearest are green, red, blue-last");

    // the weights that others read are those that were examined
    let out = folder.at("weights.safetensors");
    let described = object(&finetune(&[&"export", &"--run", &run, &"--out", &out, &"--json"]));
    assert_eq!((&described["classes"][2], &described["side"]), (&"red".into(), &32.into()));
    assert_eq!(described["averaged"], true);
    let backbone = Backbone::load("efficientnet_half".parse().expect("a name"), &out, None, Some(3));
    let backbone = backbone.expect("what was exported can be loaded");
    let x = Tensor::zeros((1, 3, 32, 32), candle_core::DType::F32, &Device::Cpu).expect("zeros");
    assert_eq!(backbone.forward(&x).expect("logits").logits_bk.dims(), [1, 3]);
    let text = std::fs::read_to_string(folder.at("weights.json")).expect("a description");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), described);
    // torchvision computes no network of this name in another way, but has none
    let theirs = folder.at("theirs.safetensors");
    let theirs =
        finetune(&[&"export", &"--run", &run, &"--out", &theirs, &"--names", &"torchvision", &"--json"]);
    assert_eq!(object(&theirs)["names"], "torchvision");
}

#[test]
fn interrupted_resumed_refused() {
    let folder = Folder::new();
    folders(&folder.at("train"), 0);
    folders(&folder.at("held"), 100);
    let config = config(&folder);
    let set = ["--set", "schedule.epochs=2", "--set", "schedule.warm_up=0", "--set", "run.evaluate_every=9"];
    let straight = folder.at("straight");
    assert_eq!(object(&train(&config, &straight, &set))["step"], 10);

    // a signal, then `kill -9`, each after the first steps that are told
    let run = folder.at("run");
    for (signal, code) in [("-TERM", Some(143)), ("-KILL", None)] {
        let out: &dyn AsRef<Path> = &run;
        let mut child = command(&[&"train", &"--config", &config, &"--out", out])
            .args(set)
            .args(if code.is_none() { &["--resume"][..] } else { &[] })
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the command runs");
        let figures =
            || std::fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
        let (before, start) = (figures(), Instant::now());
        while figures() < before + 2 && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
        assert_eq!(child.wait().expect("an end").code(), code, "{signal}");
    }
    fails(&train(&config, &run, &set), 2, "holds a run already; go on with --resume");
    let other = [&set[..], &["--resume", "--set", "schedule.peak=1.0", "--set", "run.keep=5"]].concat();
    fails(&train(&config, &run, &other), 2, "schedule.peak: 0.003 then, 1.0 now");
    let resume = [&set[..], &["--resume"]].concat();
    assert_eq!(object(&train(&config, &run, &resume))["is_done"], true);
    assert_eq!(weights(&run), weights(&straight));
    let steps: Vec<u64> = std::fs::read_to_string(run.join("metrics.jsonl"))
        .expect("figures")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|line| line["kind"] == "train")
        .filter_map(|line| line["step"].as_u64())
        .collect();
    assert_eq!(steps, (1..=10).collect::<Vec<u64>>());
}

#[test]
fn bad_input_is_said() {
    let folder = Folder::new();
    folders(&folder.at("train"), 0);
    folders(&folder.at("held"), 100);
    let config = config(&folder);
    let short = ["--set", "schedule.epochs=0.4", "--set", "schedule.warm_up=0"];
    let with = |more: &[&str], out: &str| train(&config, &folder.at(out), &[&short[..], more].concat());

    fails(&with(&["--set", "batch.micros=3"], "a"), 2, "unknown field `micros`");
    fails(&with(&["--set", "network.architecture=resnet1"], "a"), 2, "no architecture is called \"resnet1\"");
    fails(&with(&["--set", "augmentation.flip=3"], "a"), 2, "augmentation.flip: a chance is from 0 to 1");
    fails(&with(&["--ranks", "3"], "a"), 2, "3 ranks cannot share the 2 micro-batches");
    fails(&with(&["--set", "data.train=/nowhere"], "a"), 3, "cannot read /nowhere");
    fails(&with(&["--set", "data.classes=[\"red\", \"green\"]"], "a"), 3, "has the class \"blue-last\"");
    assert!(!folder.at("a").exists(), "nothing is made before all is checked");
    fails(&finetune(&[&"eval", &"--run", &folder.at("a")]), 2, "config.toml");

    // two pictures of sixty are no pictures: told, left out, and too many where none is allowed
    for number in [3, 4] {
        std::fs::write(folder.at("train").join(format!("red/{number}.png")), "no picture").expect("writing");
    }
    let epoch = ["--set", "schedule.epochs=1"];
    fails(&with(&epoch, "b"), 3, "of 60 pictures cannot be read, more than the share of 0.01");
    let output = with(&[&epoch[..], &["--set", "run.unreadable=0.05"]].concat(), "c");
    assert_eq!(object(&output)["step"], 5);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("left out: ") && told.contains("red/3.png: not a JPEG"), "{told}");

    // a class more among the pictures for examination
    std::fs::create_dir(folder.at("held/violet")).expect("a folder");
    std::fs::write(folder.at("held/violet/1.png"), drawn(0, 1)).expect("writing");
    fails(&with(&[], "d"), 3, "has the class \"violet\"");
}

/// The limit on the size of files stands for a full disk: the checkpoint that is there stays good.
#[test]
fn a_full_disk_leaves_the_older_checkpoint() {
    let folder = Folder::new();
    folders(&folder.at("train"), 0);
    folders(&folder.at("held"), 100);
    let (config, run) = (config(&folder), folder.at("run"));
    let set = ["--set", "schedule.epochs=2", "--set", "schedule.warm_up=0", "--set", "run.evaluate_every=9"];
    let (limited, straight) = (folder.at("straight"), &run);
    assert_eq!(object(&train(&config, &limited, &set))["step"], 10);
    let bytes = std::fs::metadata(limited.join("checkpoints/step-000000010/optimiser.safetensors"))
        .expect("a file")
        .len();
    // weights fit, the state of the optimiser does not
    let blocks = (bytes / 512 * 3 / 4).to_string();
    let mut child = Command::new("sh");
    child.args(["-c", "trap '' XFSZ; ulimit -f $0; exec \"$@\"", &blocks, env!("CARGO_BIN_EXE_finetune")]);
    child.args(["backbone", "train", "--config"]).arg(&config).arg("--out").arg(straight).args(set);
    let output = child.output().expect("the command runs");
    fails(&output, 4, "step-000000003 was not written");
    let resume = [&set[..], &["--resume"]].concat();
    fails(&train(&config, &run, &resume), 2, "holds no checkpoint that is good");

    // with one that is good: it is gone on from once there is room
    let stopped = folder.at("stopped");
    std::fs::create_dir_all(stopped.join("checkpoints")).expect("a folder");
    for file in ["config.toml", "network.json", "metrics.jsonl"] {
        std::fs::copy(limited.join(file), stopped.join(file)).expect("a copy");
    }
    let older = limited.join("checkpoints/step-000000009");
    std::fs::create_dir(stopped.join("checkpoints/step-000000009")).expect("a folder");
    for entry in std::fs::read_dir(older).expect("a checkpoint") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), stopped.join("checkpoints/step-000000009").join(entry.file_name()))
            .expect("a copy");
    }
    let mut child = Command::new("sh");
    child.args(["-c", "trap '' XFSZ; ulimit -f $0; exec \"$@\"", &blocks, env!("CARGO_BIN_EXE_finetune")]);
    child
        .args(["backbone", "train", "--resume", "--config"])
        .arg(&config)
        .arg("--out")
        .arg(&stopped)
        .args(set);
    fails(&child.output().expect("the command runs"), 4, "the checkpoints before it are good");
    assert_eq!(object(&train(&config, &stopped, &resume))["step"], 10);
    assert_eq!(weights(&stopped), weights(&limited));
}

/// The same pictures as a tar give the same run as folders do, where classes and order are the same.
#[test]
fn tars_are_read_in_place() {
    let folder = Folder::new();
    folders(&folder.at("train"), 0);
    folders(&folder.at("held"), 100);
    let config = config(&folder);
    std::fs::create_dir(folder.at("tars")).expect("a folder");
    for (part, held) in [("train", false), ("held", true)] {
        let path = folder.at(if held { "held.tar" } else { "tars/0.tar" });
        let mut tar = tar::Builder::new(std::fs::File::create(path).expect("a file"));
        for (label, class) in CLASSES.iter().enumerate() {
            let mut files: Vec<PathBuf> = std::fs::read_dir(folder.at(part).join(class))
                .expect("files")
                .map(|e| e.expect("an entry").path())
                .collect();
            files.sort();
            for (number, file) in files.iter().enumerate() {
                let mut append = |name: String, bytes: &[u8]| {
                    let mut header = tar::Header::new_gnu();
                    header.set_size(bytes.len() as u64);
                    header.set_mode(0o644);
                    header.set_cksum();
                    tar.append_data(&mut header, name, bytes).expect("an entry");
                };
                let key = format!("{label}/{number:04}");
                append(format!("{key}.png"), &std::fs::read(file).expect("a picture"));
                append(format!("{key}.cls"), format!("{label}\n").as_bytes());
                append(format!("{key}.json"), b"{}");
            }
        }
        tar.into_inner().expect("a tar").flush().expect("written");
    }
    let short =
        ["--set", "schedule.epochs=0.4", "--set", "schedule.warm_up=0", "--set", "run.evaluate_every=9"];
    let plain = object(&train(&config, &folder.at("plain"), &short));
    let tars = format!("data.train={}", folder.at("tars").display());
    let held = format!("data.held_out={}", folder.at("held.tar").display());
    let more = ["--set", "data.format=tars", "--set", &tars, "--set", &held];
    let packed = object(&train(&config, &folder.at("packed"), &[&short[..], &more].concat()));
    assert_eq!(packed["scores"], plain["scores"]);
    assert_eq!(weights(&folder.at("packed")), weights(&folder.at("plain")));
}

#[test]
fn presets_are_read() {
    let presets = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut seen = 0;
    for entry in std::fs::read_dir(presets).expect("presets") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a preset");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !text.contains("finetune backbone train") {
            continue;
        }
        for part in [
            &*format!("--config finetune/configs/{name} "),
            "\n# Hardware: ",
            "\n# Wall time: ",
            "\n# Expected score: ",
        ] {
            assert!(text.contains(part), "{name}: {part}");
        }
        finetune::backbone::TrainSettings::load(&path, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        seen += 1;
    }
    assert!(seen >= 4, "{seen} presets");
}
