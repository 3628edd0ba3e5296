//! Weights from files: every container, every wrapping, and what is wrong with the others.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::drawn::{N_CLASSES, b0, backbone, distance, noise};
use crate::architecture::Architecture;
use crate::checkpoint::Checkpoint;
use crate::names::in_torchvision;
use crate::weights::Weights;
use crate::{Backbone, Error, Flavour, TensorFile};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn save(&self, weights: &Weights) -> PathBuf {
        let path = self.0.path().join("weights.safetensors");
        safetensors::serialize_to_file(weights.iter(), None, &path).unwrap();
        path
    }
}

fn load(architecture: Architecture, path: &Path) -> crate::Result<Backbone> {
    Backbone::load(architecture, path, None, None)
}

fn message<T: std::fmt::Debug>(result: crate::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn safetensors_of_timm_and_torchvision() {
    let folder = Folder::new();
    let (architecture, weights) = b0();
    let x_bchw = noise(4, &[1, 3, 50, 40]);
    let logits = |backbone: &Backbone| backbone.forward(&x_bchw).unwrap().logits_bk;
    let wanted = logits(&backbone(architecture, Flavour::Timm, &weights));

    let timm = load(architecture, &folder.save(&weights)).unwrap();
    assert_eq!((timm.flavour(), timm.n_classes()), (Flavour::Timm, N_CLASSES));
    assert_eq!(distance(&logits(&timm), &wanted), 0.0);

    // torchvision's B0 is the same arithmetic under other keys; a wrapping module and counters do no harm
    let mut theirs: Weights = weights
        .iter()
        .map(|(name, x)| (format!("module.{}", in_torchvision(name).unwrap()), x.clone()))
        .collect();
    let counter = Tensor::new(5i64, &Device::Cpu).unwrap();
    theirs.insert("module.features.0.1.num_batches_tracked".into(), counter);
    let torchvision = load(architecture, &folder.save(&theirs)).unwrap();
    assert_eq!(torchvision.flavour(), Flavour::Torchvision);
    assert_eq!(distance(&logits(&torchvision), &wanted), 0.0);

    // half precision is widened, exactly
    for dtype in [DType::F16, DType::BF16] {
        let half: Weights =
            weights.iter().map(|(name, x)| (name.clone(), x.to_dtype(dtype).unwrap())).collect();
        let widened = half.iter().map(|(name, x)| (name.clone(), x.to_dtype(DType::F32).unwrap())).collect();
        let got = logits(&load(architecture, &folder.save(&half)).unwrap());
        assert_eq!(distance(&got, &logits(&backbone(architecture, Flavour::Timm, &widened))), 0.0);
    }
}

#[test]
fn archives_of_torch() {
    let cases = [
        ("wrapped_zip.pth", "tf_efficientnet_b0", Flavour::Tf),
        ("torchvision_half_zip.pth", "efficientnet_b0", Flavour::Torchvision),
        ("model_legacy.pth", "resnext50_32x4d", Flavour::Timm),
    ];
    for (file, architecture, flavour) in cases {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/checkpoints").join(file);
        let architecture: Architecture = architecture.parse().unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(checkpoint.flavour(architecture, None).unwrap(), flavour);
        let (weights, n_classes) = checkpoint.read(architecture, flavour, None).unwrap();
        assert_eq!((n_classes, weights.len()), (10, architecture.tensors(10).len()));
        // the i-th tensor by the name in the file holds i / 1024
        let in_file = |timm: &str| match flavour {
            Flavour::Torchvision => in_torchvision(timm).unwrap(),
            _ => timm.to_owned(),
        };
        let mut names: Vec<(String, &str)> =
            weights.keys().map(|timm| (in_file(timm), timm.as_str())).collect();
        names.sort();
        for (i, (_, timm)) in names.into_iter().enumerate() {
            let values = weights[timm].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(values.iter().all(|value| *value == i as f32 / 1024.0), "{file}: {timm}");
        }
    }
}

#[test]
fn all_differences_are_named() {
    let folder = Folder::new();
    let (architecture, mut weights) = b0();
    weights.remove("blocks.2.1.bn3.running_var").unwrap();
    weights.remove("conv_head.weight").unwrap();
    weights.insert("blocks.2.1.attention.weight".into(), noise(1, &[2]));
    weights.insert("bn1.bias".into(), noise(1, &[33]));
    let error = load(architecture, &folder.save(&weights)).unwrap_err();
    let Error::Tensors { differences, .. } = &error else { panic!("{error}") };
    assert_eq!(differences.missing, ["blocks.2.1.bn3.running_var", "conv_head.weight"]);
    assert_eq!(differences.surplus, ["blocks.2.1.attention.weight"]);
    assert_eq!(differences.misshaped, ["bn1.bias is [33], not [32]"]);
    let text = error.to_string();
    for part in
        ["weights.safetensors", "efficientnet_b0", "2 missing: blocks.2.1.bn3.running_var, conv_head.weight"]
    {
        assert!(text.contains(part), "{text}");
    }

    // weights of another network: a few names and how many more
    let (_, weights) = b0();
    let text = message(load("efficientnet_b1".parse().unwrap(), &folder.save(&weights)));
    assert!(text.contains("missing") && text.contains(" more"), "{text}");
    let text = message(load("resnext50_32x4d".parse().unwrap(), &folder.save(&weights)));
    assert!(text.contains("263 missing: conv1.weight") && text.contains("and 243 more"), "{text}");
}

#[test]
fn classes_are_the_files() {
    let folder = Folder::new();
    let (architecture, weights) = b0();
    let path = folder.save(&weights);
    assert_eq!(Backbone::load(architecture, &path, None, Some(10)).unwrap().n_classes(), 10);
    let text = message(Backbone::load(architecture, &path, None, Some(1000)));
    assert!(text.contains("classifier.weight has 10 classes, not 1000"), "{text}");
}

#[test]
fn flavours_must_agree() {
    let folder = Folder::new();
    let (_, timm) = b0();
    let torchvision: Weights =
        timm.iter().map(|(name, x)| (in_torchvision(name).unwrap(), x.clone())).collect();
    let refused = [
        ("tf_efficientnet_b0", &timm, Some(Flavour::Timm), "says TensorFlow's"),
        ("tf_efficientnet_b0", &timm, Some(Flavour::Torchvision), "says TensorFlow's"),
        ("tf_efficientnet_b0", &torchvision, None, "torchvision's (features"),
        ("tf_efficientnet_b0", &torchvision, Some(Flavour::Tf), "torchvision's (features"),
        ("efficientnet_b0", &torchvision, Some(Flavour::Timm), "flavour timm was asked for"),
        ("efficientnet_b0", &torchvision, Some(Flavour::Tf), "flavour tf was asked for"),
        ("efficientnet_b0", &timm, Some(Flavour::Torchvision), "timm's (conv_stem"),
        ("efficientnet_b8", &torchvision, None, "torchvision has no such network"),
        ("resnext50_32x4d", &timm, Some(Flavour::Tf), "TensorFlow has no such"),
    ];
    for (name, weights, flavour, part) in refused {
        let text = message(Backbone::load(name.parse().unwrap(), &folder.save(weights), flavour, None));
        assert!(text.starts_with(name) && text.contains(part), "{text}");
    }

    // a plain name with timm's keys leaves TensorFlow's arithmetic to be asked for
    let path = folder.save(&timm);
    let asked = Backbone::load("efficientnet_b0".parse().unwrap(), &path, Some(Flavour::Tf), None).unwrap();
    let named = load("tf_efficientnet_b0".parse().unwrap(), &path).unwrap();
    let x_bchw = noise(6, &[1, 3, 40, 42]);
    let logits = |backbone: &Backbone| backbone.forward(&x_bchw).unwrap().logits_bk;
    assert_eq!(distance(&logits(&asked), &logits(&named)), 0.0);
}

#[test]
fn epsilon_follows_the_flavour() {
    let epsilon = |name: &str, flavour: Flavour| flavour.numerics(name.parse().unwrap()).epsilon;
    assert_eq!(epsilon("efficientnet_b4", Flavour::Torchvision), 1e-5);
    assert_eq!(epsilon("efficientnet_b5", Flavour::Torchvision), 1e-3);
    assert_eq!(epsilon("efficientnet_b5", Flavour::Timm), 1e-5);
    assert_eq!(epsilon("tf_efficientnet_b0", Flavour::Tf), 1e-3);
    assert_eq!(epsilon("resnext101_32x8d", Flavour::Torchvision), 1e-5);
}

#[test]
fn damaged_files_are_refused() {
    let folder = Folder::new();
    let (architecture, mut weights) = b0();
    let path = folder.save(&weights);
    let bytes = std::fs::read(&path).unwrap();
    let with = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        message(load(architecture, &path))
    };
    assert!(with(&bytes[..bytes.len() - 1]).contains("copy it again"));
    assert!(with(&bytes[..5000]).contains("claims a header"));
    let mut damaged = bytes.clone();
    damaged[9] = b'x';
    assert!(with(&damaged).contains("header of the .safetensors is damaged"));
    assert!(with(b"").contains("weights.safetensors"));
    assert!(with(b"not weights at all").contains("weights.safetensors"));
    std::fs::remove_file(&path).unwrap();
    assert!(message(load(architecture, &path)).contains("cannot read"));

    let good = weights["bn1.running_var"].clone();
    weights.insert("bn1.running_var".into(), good.neg().unwrap());
    assert!(
        message(load(architecture, &folder.save(&weights)))
            .contains("bn1.running_var holds a negative variance")
    );
    weights.insert("bn1.running_var".into(), (&good * f64::NAN).unwrap());
    assert!(
        message(load(architecture, &folder.save(&weights)))
            .contains("bn1.running_var holds a number that is not")
    );
    weights.insert("bn1.running_var".into(), good.to_dtype(DType::F64).unwrap());
    assert!(message(load(architecture, &folder.save(&weights))).contains("save it as float32"));
}

#[test]
fn files_of_any_network() {
    let golden = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/checkpoints").join(name);
    for file in ["wrapped_zip.pth", "model_legacy.pth"] {
        let tensors = TensorFile::open(&golden(file)).unwrap();
        let shapes = tensors.shapes();
        assert!(
            shapes.keys().all(|name| !name.starts_with("module.") && !name.contains("num_batches")),
            "{file}"
        );
        for (name, shape) in shapes {
            assert_eq!(tensors.tensor(&name).unwrap().dims(), shape, "{file}: {name}");
        }
    }
    let tensors = TensorFile::open(&golden("wrapped_zip.pth")).unwrap();
    assert!(message(tensors.tensor("nothing")).contains("nothing"));
}
