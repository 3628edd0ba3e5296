//! Networks that no library has: scaled ones, ones without shortcuts, those for pictures of 32 x 32.

use candle_core::Tensor;

use super::drawn::{backbone, distance, noise, weights};
use crate::architecture::Architecture;
use crate::modules::Mode;
use crate::training::Learner;
use crate::training_pass::TrainingPass;
use crate::{Backbone, Flavour, Summary};

fn named(name: &str) -> Architecture {
    name.parse().unwrap()
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

/// Paper: 1905.11946, table 7 and figure 3; multiplications counted from the published rounding rules.
#[test]
fn scaled_networks_have_the_published_sizes() {
    for (name, size, giga_macs, mega_params) in [
        ("efficientnet_b0+d4", 224, 1.575, 20.1),
        ("efficientnet_b0+w2", 224, 1.450, 18.1),
        ("efficientnet_b0", 448, 1.538, 5.29),
        ("efficientnet_b0+w1.2+d1.4", 291, 1.800, 12.2),
        ("efficientnet_b0+w1.4", 224, 0.74, 9.7),
        ("efficientnet_b0+w5", 224, 8.71, 104.0),
        ("efficientnet_b0+d8", 224, 3.16, 40.0),
    ] {
        let summary = Summary::new(named(name), [size; 2], 1000);
        let (macs, params) = (summary.macs as f64 / 1e9, summary.params as f64 / 1e6);
        assert!((macs / giga_macs - 1.0).abs() < 0.01, "{name}: {macs}");
        if name.contains("+w1.2") || name.contains("+d4") || name.ends_with("w2") || size == 448 {
            assert!((params / mega_params - 1.0).abs() < 0.01, "{name}: {params}");
        }
    }
    // the table's variants are the same networks
    for (scaled, variant) in
        [("efficientnet_b0+w1.2+d1.4", "efficientnet_b3"), ("efficientnet_b0+w2+d3.1", "efficientnet_b7")]
    {
        assert_eq!(named(scaled).tensors(10), named(variant).tensors(10));
    }
    let twice = named("efficientnet_b0").scaled(1.1, 1.2).unwrap().scaled(1.1, 1.2).unwrap();
    assert_eq!(twice.to_string(), "efficientnet_b0+w1.21+d1.44");
    // wide four times is four times four of everything between layers
    let (plain, wide) = (named("resnet50"), named("resnet50+w2"));
    let macs = |of| Summary::new(of, [224; 2], 1000).macs as f64;
    assert!((macs(wide) / macs(plain) - 3.93).abs() < 0.05, "{}", macs(wide) / macs(plain));
    assert_eq!(wide.stage_widths(), [128, 512, 1024, 2048, 4096]);
    // groups keep their width and get more
    let grouped = named("resnext50_32x4d+w2+d1.5");
    let layers = grouped.layers([224; 2], 10);
    let second = layers.iter().find(|layer| layer.name == "layer1.0.conv2").unwrap();
    assert_eq!(second.tensors()[0].1, [256, 4, 3, 3]);
    assert_eq!(layers.iter().filter(|layer| layer.name.ends_with(".conv2")).count(), 5 + 6 + 9 + 5);
}

/// Paper: 1611.05431, table 7.
#[test]
fn networks_for_cifar_have_the_published_parameters() {
    for (name, millions) in [("resnext29_8x64d", 34.4), ("resnext29_16x64d", 68.1)] {
        let architecture = named(name);
        let summary = Summary::new(architecture, [32, 32], 10);
        let params = summary.params as f64 / 1e6;
        assert!((params - millions).abs() < 0.06, "{name}: {params}");
        let convs = |layer: &&crate::LayerSummary| {
            layer.kind.ends_with("conv") && !layer.name.contains("downsample") || layer.kind == "linear"
        };
        assert_eq!(summary.layers.iter().filter(convs).count(), 29);
        assert_eq!((architecture.stride(), named("resnet50").stride()), (4, 32));
    }
}

#[test]
fn a_network_for_small_pictures_keeps_their_size() {
    let architecture = named("resnext29_8x64d+w0.25");
    let backbone = Backbone::untrained(architecture, 3, 5).unwrap();
    let x_bchw = noise(4, &[2, 3, 32, 36]);
    let output = backbone.forward(&x_bchw).unwrap();
    let shapes: Vec<&[usize]> = output.stages.iter().map(Tensor::dims).collect();
    let wanted: [&[usize]; 5] =
        [&[2, 16, 32, 36], &[2, 64, 32, 36], &[2, 128, 16, 18], &[2, 256, 8, 9], &[2, 256, 8, 9]];
    assert_eq!(shapes, wanted);
    assert_eq!(architecture.stage_widths(), [16, 64, 128, 256, 256]);
    assert!(backbone.head_map(&x_bchw).unwrap().dims() == [2, 256, 8, 9]);
    let by_layers = backbone.output(&x_bchw, Mode::Inference).unwrap().logits_bk;
    assert!(distance(&output.logits_bk, &by_layers) < 1e-4);
    let layers = architecture.layers([32, 36], 5);
    assert_eq!(layers.iter().find(|layer| layer.name == "layer3.2.conv3").unwrap().output, [256, 8, 9]);
}

/// Where every block ends in a normalisation of zeros, only a shortcut carries anything on.
#[test]
fn without_shortcuts_nothing_goes_around_a_block() {
    let x_bchw = noise(5, &[1, 3, 64, 64]);
    for (name, carries) in [("resnext26_16x4d", true), ("resnext26_16x4d+noshortcut", false)] {
        let architecture = named(name);
        let mut weights = weights(architecture, [0.8, 1.2]);
        let network = backbone(architecture, Flavour::Timm, &weights);
        let output = network.forward(&x_bchw).unwrap();
        let by_layers = network.output(&x_bchw, Mode::Inference).unwrap();
        assert!(largest(&output.stages[4]) > 0.0, "{name}");
        assert!(distance(&output.stages[4], &by_layers.stages[4]) < 1e-4, "{name}");
        for (name, tensor) in &mut weights {
            if name.ends_with("bn3.weight") || name.ends_with("bn3.bias") {
                *tensor = tensor.zeros_like().unwrap();
            }
        }
        let stages = backbone(architecture, Flavour::Timm, &weights).forward(&x_bchw).unwrap().stages;
        assert!(largest(&stages[0]) > 0.0);
        assert_eq!(largest(&stages[4]) > 0.0, carries, "{name}");
        let projections = weights.keys().filter(|name| name.contains("downsample")).count();
        assert_eq!(projections > 0, carries);
    }
}

#[test]
fn every_weight_of_a_changed_network_has_a_gradient() {
    for name in [
        "efficientnet_half+w0.8+d1.3",
        "resnext26_16x4d+w1.5+noshortcut",
        "resnext29_8x64d+w0.25",
        "resnet50+w0.25",
    ] {
        let architecture = named(name);
        let weights = weights(architecture, [0.8, 1.2]);
        let learner = Learner::new(architecture, Flavour::Timm, 10, weights, None).unwrap();
        let pass = TrainingPass::new(0, 0, vec![0, 1, 2], 0.0, 0.0);
        let logits_bk = learner.backbone().logits_in_training(&noise(6, &[3, 3, 64, 64]), &pass).unwrap();
        let factors = noise(7, logits_bk.dims());
        let gradients = (logits_bk * factors).unwrap().sum_all().unwrap().backward().unwrap();
        for parameter in learner.parameters().iter() {
            let gradient =
                gradients.get(parameter.tensor()).unwrap_or_else(|| panic!("{}", parameter.name()));
            let most = largest(gradient);
            assert!(most.is_finite() && most > 0.0, "{name} {}: {most}", parameter.name());
        }
    }
}

#[test]
fn what_stands_behind_a_name_is_checked() {
    for name in [
        "efficientnet_b0+w1.1",
        "efficientnet_half+d0.5",
        "resnext50_32x4d+w1.2+d1.4+noshortcut",
        "resnext29_16x64d+noshortcut",
    ] {
        assert_eq!(named(name).to_string(), name);
        assert_eq!(named(name).to_string().parse::<Architecture>().unwrap(), named(name));
    }
    assert_eq!(named("resnet50+w1+d1"), named("resnet50"));
    for (name, said) in [
        ("efficientnet_b0+w0", "w0 is no factor"),
        ("efficientnet_b0+wNaN", "no factor"),
        ("efficientnet_b0+d17", "from 0.1 to 16"),
        ("efficientnet_b0+d2+w2", "+w2 says nothing"),
        ("efficientnet_b0+noshortcut", "only a ResNeXt"),
        ("resnet50+noshortcuts", "+noshortcuts says nothing"),
        ("tf_efficientnet_b0.ap_in1k+w2", "the tag ap_in1k do not fit"),
    ] {
        let message = name.parse::<Architecture>().unwrap_err().to_string();
        assert!(message.contains(said), "{name}: {message}");
    }
    assert!(named("efficientnet_b0").scaled(20.0, 1.0).is_err());
    assert!(named("efficientnet_b0").scaled(f64::NAN, 1.0).is_err());
    assert!(named("tf_efficientnet_b0.ap_in1k").scaled(1.1, 1.0).is_err());
}
