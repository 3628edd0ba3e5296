//! What PyTorch wrote gives PyTorch's outputs.

use std::fs;

use candle_core::Device;
use pretrain::{DeviceChoice, forward};

use super::{all_told, convert, done, golden, read, scratch};

/// The largest difference from PyTorch's outputs, divided by their largest number.
fn apart(name: &str, made: &std::path::Path) -> f32 {
    let expected = golden(name).join("expected.safetensors");
    let out = made.parent().unwrap().join("out.safetensors");
    let inputs = made.parent().unwrap().join("in.safetensors");
    let mut all = candle_core::safetensors::load(&expected, &Device::Cpu).unwrap();
    all.retain(|name, _| !name.starts_with("expected."));
    candle_core::safetensors::save(&all, &inputs).unwrap();
    forward(made, &inputs, &out, false, DeviceChoice::Cpu).unwrap();
    let mask = all["attention_mask"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
    let wanted = candle_core::safetensors::load(&expected, &Device::Cpu).unwrap();
    let wanted: std::collections::BTreeMap<_, _> = wanted.into_iter().collect();
    let found = read(&out);
    let (mut worst, mut compared) = (0f32, 0);
    for (key, wanted) in &wanted {
        let Some(key) = key.strip_prefix("expected.") else { continue };
        let wanted = wanted.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (_, found) = &found[key];
        assert_eq!(found.len(), wanted.len(), "{key}");
        // rows behind the end of a sample have no defined numbers
        let row = |place: usize| key != "hidden" || mask[place / (wanted.len() / mask.len())] == 1;
        let largest = wanted.iter().fold(0f32, |most, x| most.max(x.abs()));
        for (place, (ours, theirs)) in found.iter().zip(&wanted).enumerate().filter(|(place, _)| row(*place))
        {
            assert!(ours.is_finite(), "{key} at {place}");
            worst = worst.max((ours - theirs).abs() / largest);
        }
        compared += 1;
    }
    assert!(compared >= 3, "{compared} outputs");
    worst
}

#[test]
fn a_zip_archive_of_oscar_plus() {
    let folder = scratch();
    let told = convert(&golden("plus"), &folder.path().join("made")).unwrap();
    assert_eq!((told.container, told.fresh.len(), told.unused.len()), ("torch", 0, 1));
    assert!(told.unused[0].name == super::DECODER && told.unused[0].why.starts_with("tied"));
    assert!(told.tensors.iter().all(|tensor| tensor.source.as_deref() == Some(&tensor.name)));
    let apart = apart("plus", &told.to);
    assert!(apart < 1e-4, "{apart}");
}

#[test]
fn a_legacy_archive_of_the_first_captioner() {
    let folder = scratch();
    let told = convert(&golden("captioner"), &folder.path().join("made")).unwrap();
    let source = |name: &str| told.tensors.iter().find(|tensor| tensor.name == name).unwrap().source.clone();
    assert_eq!(source(super::DECODER).unwrap(), "module.decoder.weight");
    assert_eq!(
        source("cls.predictions.transform.LayerNorm.weight").unwrap(),
        "module.transform.LayerNorm.gamma"
    );
    assert_eq!(source("cls.predictions.bias"), None);
    assert_eq!(read(&told.to.join("model.safetensors"))["cls.predictions.bias"].1, vec![0.0; 41]);
    assert_eq!(told.task.as_deref(), Some("captioning"));
    let apart = apart("captioner", &told.to);
    assert!(apart < 1e-4, "{apart}");
}

/// A converted folder converts to itself, and a file alone is converted with what is named beside it.
#[test]
fn again_and_from_a_file() {
    let folder = scratch();
    for name in ["plus", "captioner"] {
        let first = convert(&golden(name), &folder.path().join(name)).unwrap();
        let again = folder.path().join(format!("{name}-again"));
        let second = convert(&first.to, &again).unwrap();
        all_told(&second, &read(&first.to.join("model.safetensors")));
        let alone = pretrain::Conversion {
            from: golden(name).join("pytorch_model.bin"),
            to: folder.path().join(format!("{name}-alone")),
            config: Some(golden(name).join("config.json")),
            vocabulary: Some(golden(name).join("vocab.txt")),
            ..pretrain::Conversion::default()
        };
        let third = done(&alone).0;
        for file in ["model.safetensors", "config.json", "vocab.txt", "tokenizer.json"] {
            let bytes = |folder: &std::path::Path| fs::read(folder.join(file)).unwrap();
            assert!(bytes(&first.to) == bytes(&third.to), "{name}: {file} from a file alone");
            assert!(bytes(&first.to) == bytes(&again), "{name}: {file} converted twice");
        }
    }
}
