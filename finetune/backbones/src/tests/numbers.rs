//! Parameters, multiplications and keys of every network, to the last one.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::architecture::Architecture;
use crate::layer::is_statistic;
use crate::names::in_torchvision;
use crate::{Error, Summary};

fn fingerprint<'t>(tensors: impl Iterator<Item = (String, &'t [usize])>) -> String {
    let mut hash = Sha256::new();
    for (name, shape) in tensors {
        hash.update(format!("{name} {shape:?}\n"));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_network_has_timms_and_torchvisions_numbers() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/numbers/numbers.json")).unwrap();
    let golden = golden.as_object().unwrap();
    // neither library has the networks for pictures of 32 x 32: `changed.rs` has the paper's numbers
    let known = Architecture::names().filter(|name| !name.starts_with("resnext29"));
    let known: Vec<&str> = known.collect();
    assert_eq!(known.len() + 2, Architecture::names().len());
    for name in &known {
        assert!(golden.contains_key(*name), "{name} has no golden numbers");
    }
    assert_eq!(golden.len(), known.len() + 3);
    for (key, numbers) in golden {
        let architecture: Architecture = key.split(' ').next().unwrap().parse().unwrap();
        let number = |field: &str| numbers[field].as_u64().unwrap();
        let size = [0, 1].map(|axis| numbers["size"][axis].as_u64().unwrap() as usize);
        let summary = Summary::new(architecture, size, 1000);
        assert_eq!(summary.params, number("params"), "{key}");
        assert_eq!(summary.macs, number("macs"), "{key}");

        let tensors = architecture.tensors(1000);
        let norms = tensors.iter().filter(|(name, _)| name.ends_with(".running_mean")).count();
        assert_eq!((tensors.len() + norms) as u64, number("keys"), "{key}");
        let statistics = tensors.iter().filter(|(name, _)| is_statistic(name));
        assert_eq!(statistics.map(|(_, shape)| shape[0] as u64).sum::<u64>(), number("statistics"), "{key}");
        let ours = fingerprint(tensors.iter().map(|(name, shape)| (name.clone(), shape.as_slice())));
        assert_eq!(ours, numbers["fingerprint"], "{key}");
        if let Some(theirs) = numbers["torchvision_fingerprint"].as_str() {
            let rename = |name: &str| {
                if architecture.is_efficientnet() { in_torchvision(name).unwrap() } else { name.into() }
            };
            let ours = fingerprint(tensors.iter().map(|(name, shape)| (rename(name), shape.as_slice())));
            assert_eq!(ours, theirs, "{key}");
        }
    }
}

/// The figures that are published or were counted elsewhere: a second opinion on the golden file.
#[test]
fn known_counts() {
    let known = [
        ("efficientnet_b0", 5_288_548, 0.3858, 224, 360),
        ("efficientnet_b1", 7_794_184, 0.6868, 240, 508),
        ("efficientnet_b2", 9_109_994, 0.9936, 260, 508),
        ("efficientnet_b2", 9_109_994, 1.0875, 288, 508),
        ("efficientnet_b3", 12_233_232, 1.8271, 300, 574),
        ("efficientnet_b4", 19_341_616, 4.3938, 380, 706),
        ("efficientnet_b5", 30_389_784, 10.2664, 456, 854),
        ("efficientnet_b6", 43_040_704, 19.0676, 528, 986),
        ("efficientnet_b7", 66_347_960, 37.7459, 600, 1200),
        ("efficientnet_b8", 87_413_142, 62.5975, 672, 1332),
        ("tf_efficientnet_l2", 480_309_308, 475.70, 800, 1914),
        ("resnet50", 25_557_032, 4.0892, 224, 320),
        ("resnext50_32x4d", 25_028_904, 4.2305, 224, 320),
        ("resnext50_2x40d", 25_425_000, 4.1245, 224, 320),
        ("resnext50_4x24d", 25_292_968, 4.1598, 224, 320),
        ("resnext50_8x14d", 25_603_016, 4.2674, 224, 320),
        ("resnet101", 44_549_160, 7.8014, 224, 626),
        ("resnext101_32x4d", 44_177_704, 7.9700, 224, 626),
        ("resnext101_2x64d", 84_198_184, 15.123, 224, 626),
        ("resnext101_1x100d", 85_611_336, 15.273, 224, 626),
        ("resnext101_64x4d", 83_455_272, 15.4603, 224, 626),
        ("resnext101_32x8d", 88_791_336, 16.4140, 224, 626),
        ("resnext101_32x16d", 194_026_792, 36.163, 224, 626),
        ("resnext101_32x32d", 468_530_472, 87.107, 224, 626),
        ("resnext101_32x48d", 828_411_176, 153.31, 224, 626),
        ("resnext152_32x4d", 59_951_400, 11.7095, 224, 932),
        ("resnext152_32x8d", 122_372_392, 24.384, 224, 932),
        ("resnext152_64x4d", 114_971_944, 22.939, 224, 932),
    ];
    for (name, params, giga_macs, size, keys) in known {
        let architecture: Architecture = name.parse().unwrap();
        let summary = Summary::new(architecture, [size, size], 1000);
        assert_eq!(summary.params, params, "{name}");
        assert!((summary.macs as f64 / 1e9 / giga_macs - 1.0).abs() < 1e-3, "{name}: {}", summary.macs);
        let counters = summary.layers.iter().filter(|layer| layer.kind == "batch_norm").count();
        assert_eq!(architecture.tensors(1000).len() + counters, keys, "{name}");
    }
}

#[test]
fn widths_and_drop_rates() {
    let at = |name: &str| name.parse::<Architecture>().unwrap();
    assert_eq!(at("efficientnet_b0").stage_widths(), [16, 24, 40, 112, 320]);
    assert_eq!(at("efficientnet_b7").stage_widths(), [32, 48, 80, 224, 640]);
    assert_eq!(at("resnext152_64x4d").stage_widths(), [64, 256, 512, 1024, 2048]);
    let heads = ["b0", "b2", "b3", "b4", "b6", "b7", "b8", "l2"];
    let heads = heads.map(|size| at(&format!("efficientnet_{size}")).feature_width());
    assert_eq!(heads, [1280, 1408, 1536, 1792, 2304, 2560, 2816, 5504]);

    let last = |name: &str, n_blocks: usize| {
        let rates = at(name).drop_rates();
        assert_eq!((rates.len(), rates[0]), (n_blocks, 0.0), "{name}");
        rates[n_blocks - 1]
    };
    assert_eq!(last("efficientnet_b0", 16), 0.1875);
    for (name, n_blocks, rate) in
        [("efficientnet_b3", 26, 0.1923), ("tf_efficientnet_b7", 55, 0.1964), ("efficientnet_l2", 88, 0.1977)]
    {
        assert!((last(name, n_blocks) - rate).abs() < 5e-5, "{name}");
    }
    assert!(at("resnext50_32x4d").drop_rates().is_empty());
}

#[test]
fn names_and_tags() {
    let advprop: Architecture = "tf_efficientnet_b0.ap_in1k".parse().unwrap();
    assert_eq!(advprop.to_string(), "tf_efficientnet_b0.ap_in1k");
    assert_eq!(advprop.normalisation(), ([0.5; 3], [0.5; 3]));
    for name in ["tf_efficientnet_b0", "tf_efficientnet_b0.aa_in1k", "resnext50_32x4d.a1h_in1k"] {
        let architecture: Architecture = name.parse().unwrap();
        assert_eq!(architecture.normalisation(), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), "{name}");
    }
    let message = "efficientnet_b9".parse::<Architecture>().unwrap_err().to_string();
    assert!(message.contains("efficientnet_b8, efficientnet_l2, tf_efficientnet_b0"), "{message}");
    let error = "efficientnet_b0.ap_in1k".parse::<Architecture>().unwrap_err();
    assert!(matches!(&error, Error::UnknownTag { tag, .. } if tag == "ap_in1k"), "{error}");
    for name in Architecture::names() {
        assert_eq!(name.parse::<Architecture>().unwrap().to_string(), name);
    }
}
