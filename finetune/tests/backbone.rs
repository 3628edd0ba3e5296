//! The `finetune backbone` doors, driven on whole checkpoints of a few kilobytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::{DType, Device, Tensor};
use finetune_backbones::Backbone;
use finetune_backbones::training::{Learner, NetworkSettings};
use finetune_regions::decoding::{Limits, Picture, decode};
use finetune_regions::encode_png;
use serde_json::Value;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn save(&self, name: &str, tensors: &[(&str, &Tensor)]) -> PathBuf {
        let path = self.at(name);
        safetensors::serialize_to_file(tensors.iter().copied(), None, &path).expect("writing");
        path
    }
}

fn checkpoint(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("backbones/golden/checkpoints").join(name)
}

fn pictures(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("as many numbers as places")
}

fn finetune(arguments: &[&dyn AsRef<Path>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finetune"));
    command.arg("backbone").args(arguments.iter().map(|argument| argument.as_ref()));
    command.output().expect("the command runs")
}

fn forward(arch: &str, weights: &Path, inputs: &Path, out: &Path, more: &[&str]) -> Output {
    let named: [&dyn AsRef<Path>; 9] =
        [&"forward", &"--arch", &arch, &"--weights", &weights, &"--inputs", &inputs, &"--out", &out];
    let more: Vec<&dyn AsRef<Path>> = more.iter().map(|word| word as &dyn AsRef<Path>).collect();
    finetune(&[&named[..], &more].concat())
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

#[test]
fn forward_writes_logits_and_stages() {
    let folder = Folder::new();
    let x_bchw = pictures(&[2, 3, 33, 40]);
    let (weights, out) = (checkpoint("wrapped_zip.pth"), folder.at("y.safetensors"));
    let inputs = folder.save("x.safetensors", &[("x", &x_bchw)]);
    std::fs::write(&out, "older").expect("writing");
    let got = object(&forward("tf_efficientnet_b0", &weights, &inputs, &out, &["--json"]));
    assert_eq!((&got["flavour"], &got["shapes"]["stage5"]), (&"tf".into(), &vec![2, 320, 2, 2].into()));

    let written = candle_core::safetensors::load(&out, &Device::Cpu).expect("a file of tensors");
    let written: BTreeMap<String, Tensor> = written.into_iter().collect();
    let names: Vec<&String> = written.keys().collect();
    assert_eq!(names, ["logits", "stage1", "stage2", "stage3", "stage4", "stage5"]);
    let backbone = Backbone::load("tf_efficientnet_b0".parse().expect("a name"), &weights, None, Some(10));
    let output = backbone.expect("the checkpoint fits").forward(&x_bchw).expect("the pictures fit");
    let numbers = |tensor: &Tensor| -> Vec<f32> {
        tensor.flatten_all().and_then(|tensor| tensor.to_vec1()).expect("numbers")
    };
    assert_eq!(numbers(&written["logits"]), numbers(&output.logits_bk));
    for (i, stage) in output.stages.iter().enumerate() {
        let stage_written = &written[&format!("stage{}", i + 1)];
        assert_eq!(stage_written.dims(), stage.dims());
        assert_eq!(numbers(stage_written), numbers(stage));
        assert!(numbers(stage).iter().all(|number| number.is_finite()));
    }
    let left: Vec<_> = std::fs::read_dir(folder.0.path()).expect("a folder").collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// Rounded to 8 bits layer by layer: a few hundredths of a map's size, and not the same file.
#[test]
fn forward_in_bf16_is_near() {
    let folder = Folder::new();
    let inputs = folder.save("x.safetensors", &[("x", &pictures(&[2, 3, 33, 40]))]);
    let written = |name: &str, more: &[&str]| {
        let out = folder.at(name);
        let more = [&["--json"], more].concat();
        object(&forward("tf_efficientnet_b0", &checkpoint("wrapped_zip.pth"), &inputs, &out, &more));
        candle_core::safetensors::load(&out, &Device::Cpu).expect("a file of tensors")
    };
    let (exact, rounded) = (written("f32", &[]), written("bf16", &["--precision", "bf16"]));
    let numbers = |tensor: &Tensor| -> Vec<f32> {
        tensor.flatten_all().and_then(|tensor| tensor.to_vec1()).expect("numbers")
    };
    let is_here = pretrain_kernels::Precision::Bf16.here() == pretrain_kernels::Precision::Bf16;
    for (name, exact) in exact.into_iter().collect::<BTreeMap<_, _>>() {
        let (exact, rounded) = (numbers(&exact), numbers(&rounded[&name]));
        let square = |x: f32| f64::from(x).powi(2);
        let apart: f64 = exact.iter().zip(&rounded).map(|(x, y)| square(x - y)).sum();
        let share = (apart / exact.iter().map(|x| square(*x)).sum::<f64>()).sqrt();
        assert!(share < 0.1 && (share > 0.0) == is_here, "{name}: {share}");
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let folder = Folder::new();
    let x_bchw = pictures(&[1, 3, 20, 20]);
    let inputs = folder.save("x.safetensors", &[("x", &x_bchw)]);
    let out = folder.at("y.safetensors");
    let (timm, torchvision) = (checkpoint("wrapped_zip.pth"), checkpoint("torchvision_half_zip.pth"));
    fails(&forward("efficientnet_b9", &timm, &inputs, &out, &[]), 2, "there are efficientnet_b0, ");
    let near = "the nearest are resnext50_32x4d, resnext50_32x8d, ";
    fails(&forward("resnext50-32x4d", &timm, &inputs, &out, &[]), 2, near);
    fails(
        &forward("tf_efficientnet_b0", &timm, &inputs, &out, &["--flavour", "timm"]),
        2,
        "leave the flavour out",
    );
    fails(&forward("efficientnet_b0", &torchvision, &inputs, &out, &["--flavour", "tf"]), 2, "torchvision's");
    fails(&forward("efficientnet_b1", &timm, &inputs, &out, &[]), 3, "missing: blocks.0.1.conv_dw.weight");
    fails(&forward("efficientnet_b0", &folder.at("none"), &inputs, &out, &[]), 3, "cannot read");

    let other = folder.save("other.safetensors", &[("pixels", &x_bchw)]);
    fails(&forward("efficientnet_b0", &timm, &other, &out, &[]), 3, "holds no tensor x, but [\"pixels\"]");
    let double = x_bchw.to_dtype(DType::F64).expect("a wider type");
    let other = folder.save("other.safetensors", &[("x", &double)]);
    fails(&forward("efficientnet_b0", &timm, &other, &out, &[]), 3, "x is F64; save it as F32");
    let other = folder.save("other.safetensors", &[("x", &pictures(&[1, 4, 20, 20]))]);
    fails(&forward("efficientnet_b0", &timm, &other, &out, &[]), 3, "it has to be [b, 3, h, w]");
    fails(&forward("efficientnet_b0", &timm, &timm, &out, &[]), 3, "is no .safetensors file");
    assert!(!out.exists());
    fails(&forward("efficientnet_b0", &timm, &inputs, &folder.at("no/y"), &[]), 4, "cannot write the result");
}

#[test]
fn summary_counts() {
    let got = object(&finetune(&[&"summary", &"--arch", &"resnext101_32x8d", &"--size", &"224", &"--json"]));
    assert_eq!((&got["params"], &got["macs"]), (&88_791_336.into(), &16_414_015_488_u64.into()));
    let layers = got["layers"].as_array().expect("layers");
    let sum = |field: &str| layers.iter().filter_map(|layer| layer[field].as_u64()).sum::<u64>();
    assert_eq!((sum("params"), sum("macs")), (88_791_336, 16_414_015_488));
    assert_eq!(layers[0]["name"], "conv1");
    assert_eq!(layers[0]["kind"], "conv");
    assert_eq!(layers[0]["output"], Value::from(vec![64, 112, 112]));
    fails(&finetune(&[&"summary", &"--arch", &"resnext50_32x4d", &"--size", &"0"]), 2, "0 is not in 1..");
    let table = finetune(&[&"summary", &"--arch", &"efficientnet_b0", &"--size", &"224"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("5,288,548"));
}

#[test]
fn bench_measures_and_refuses_what_cannot_be() {
    let bench = |arch: &str, more: &[&str]| {
        let named: [&dyn AsRef<Path>; 8] =
            [&"bench", &"--arch", &arch, &"--threads", &"1", &"--repeats", &"1", &"--json"];
        let more: Vec<&dyn AsRef<Path>> = more.iter().map(|word| word as &dyn AsRef<Path>).collect();
        finetune(&[&named[..], &more].concat())
    };
    for more in [&["--dtype", "f32"][..], &["--dtype", "bf16"], &["--mode", "train"]] {
        let more = [&["--batch", "2", "--size", "32"], more].concat();
        let got = object(&bench("efficientnet_half", &more));
        let number = |key: &str| got[key].as_f64().unwrap_or_else(|| panic!("{key}"));
        assert!(number("median_s") > 0.0 && (0.0..1.0).contains(&number("limit_share")), "{got}");
        assert!((number("images_per_s") * number("median_s") - 2.0).abs() < 1e-9, "{got}");
        assert!(number("peak_rss_bytes") > 1e6, "{got}");
    }
    fails(&bench("efficientnet_hal", &[]), 2, "the nearest are efficientnet_half, ");
    fails(&bench("efficientnet_b0", &["--size", "31"]), 2, "--size 31 is less than");
    fails(&bench("efficientnet_b0", &["--batch", "0"]), 2, "at least 1");
    let one = ["--mode", "train", "--batch", "1", "--size", "32"];
    fails(&bench("efficientnet_b0", &one), 2, "no variance");
    fails(&bench("efficientnet_b0", &["--mode", "train", "--dtype", "bf16"]), 2, "--mode train is in f32");
}

/// A picture of 90 x 60 with a bright square.
fn picture(folder: &Folder) -> PathBuf {
    let rgb = (0..90 * 60).flat_map(|i| {
        let (x, y) = (i % 90, i / 90);
        if (50..75).contains(&x) && (20..45).contains(&y) { [250, 200, 40] } else { [60, x as u8, y as u8] }
    });
    let png = encode_png(&Picture { width: 90, height: 60, rgb: rgb.collect() }).expect("a picture");
    let path = folder.at("picture.png");
    std::fs::write(&path, png).expect("writing");
    path
}

#[test]
fn cam_shows_what_makes_the_logit() {
    let folder = Folder::new();
    let settings = NetworkSettings {
        architecture: "resnext26_16x4d".to_owned(),
        weights: None,
        new_classifier: false,
        zero_classifier: false,
        zero_residual: false,
        drop_connect: 0.0,
        dropout: 0.0,
        norm_momentum: None,
    };
    let drawn = Learner::start(&settings, 4, 10).expect("a network").weights();
    let drawn: Vec<(&str, &Tensor)> = drawn.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let weights = folder.save("weights.safetensors", &drawn);
    let (image, out) = (picture(&folder), folder.at("cam.png"));
    let cam = |more: &[&str]| {
        let named: [&dyn AsRef<Path>; 9] = [
            &"cam",
            &"--arch",
            &"resnext26_16x4d",
            &"--weights",
            &weights,
            &"--image",
            &image,
            &"--out",
            &out,
        ];
        let more: Vec<&dyn AsRef<Path>> = more.iter().map(|word| word as &dyn AsRef<Path>).collect();
        finetune(&[&named[..], &more].concat())
    };
    let number = |value: &Value| value.as_f64().expect("a number");
    let likeliest = object(&cam(&["--size", "96", "--json"]));
    let mut sum = 0.0;
    for class in 0..10 {
        let got = object(&cam(&["--size", "96", "--class", &class.to_string(), "--json"]));
        let rows = got["map"].as_array().expect("rows");
        // the short side of 96 / 0.875 = 109 pixels, the long one of 164
        assert_eq!((rows.len(), rows[0].as_array().expect("cells").len()), (4, 6));
        let cells: Vec<f64> =
            rows.iter().flat_map(|row| row.as_array().expect("cells")).map(number).collect();
        let mean = cells.iter().sum::<f64>() / cells.len() as f64;
        let logit = number(&got["logit"]);
        assert!((mean + number(&got["bias"]) - logit).abs() < 1e-4 * logit.abs().max(1.0), "{got}");
        assert!(number(&got["probability"]) <= number(&likeliest["probability"]));
        sum += number(&got["probability"]);
    }
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    // the picture and the same under the map, each enlarged to 640 pixels
    let drawn = decode(&std::fs::read(&out).expect("a file"), &Limits::default()).expect("a PNG");
    assert!(drawn.width > 2 * 640 && drawn.height > 426, "{} x {}", drawn.width, drawn.height);
    let at = |x: u32, y: u32| &drawn.rgb[3 * (y * drawn.width + x) as usize..][..3];
    assert_eq!(at(320 + 120, 230), [250, 200, 40], "the picture is as it was");
    assert_ne!(at(drawn.width - 640 + 320 + 120, 230), [250, 200, 40], "nothing lies over it");
    let table = cam(&[]);
    let table = String::from_utf8_lossy(&table.stdout);
    assert!(table.contains("8 x 12 cells"), "{table}");

    fails(&cam(&["--class", "10"]), 2, "no class \"10\": these weights come without names");
    let names: Vec<String> = (0..10).map(|class| format!("thing{class}")).collect();
    let description = serde_json::json!({ "arch": "resnext26_16x4d", "classes": names, "side": 64 });
    std::fs::write(folder.at("weights.json"), description.to_string()).expect("writing");
    let got = object(&cam(&["--class", "thing3", "--json"]));
    assert_eq!((&got["class"], &got["index"]), (&"thing3".into(), &3.into()));
    assert_eq!(got["map"].as_array().expect("rows").len(), 3, "73 pixels of the described side");
    fails(&cam(&["--class", "thin7"]), 2, "no class is called \"thin7\"; the nearest are thing7, ");
    std::fs::write(folder.at("weights.json"), r#"{"arch": "a", "classes": ["one"]}"#).expect("writing");
    fails(&cam(&[]), 3, "describes 1 classes, the weights have 10");
    std::fs::write(folder.at("weights.json"), "{").expect("writing");
    fails(&cam(&[]), 3, "is no JSON");
    std::fs::remove_file(folder.at("weights.json")).expect("removing");
    std::fs::write(&image, "no picture").expect("writing");
    fails(&cam(&[]), 3, "picture.png: not a JPEG");
    std::fs::remove_file(&image).expect("removing");
    fails(&cam(&[]), 3, "cannot read");
    fails(&finetune(&[&"cam", &"--image", &image, &"--out", &out]), 2, "--run");
}
