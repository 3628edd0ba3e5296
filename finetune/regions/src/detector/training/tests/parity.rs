//! Pieces and a whole small detector against what torchvision has recorded.

use candle_core::{Device, Tensor};
use pretrain_kernels::{binary_cross_entropy, smooth_l1};
use pretrain_training::{Decay, Gradients, optimiser};
use serde_json::Value;

use crate::detector::boxes::Convention;
use crate::detector::coder::BoxCoder;
use crate::detector::input::Ready;
use crate::detector::reference::*;
use crate::detector::training::learner::Learner;
use crate::detector::training::losses::{Draws, LOSSES, Objects, of_picture};
use crate::detector::training::matcher::{Match, Matcher};
use crate::detector::training::sampler::Sampler;
use crate::detector::training::settings::{
    LossSettings, Norm, OptimiserSettings, SampleSettings, ScheduleSettings, TrainingSettings,
};
use crate::detector::{Anchors, Detector, nms};

const PLAIN: Convention = Convention::Plain;

#[test]
fn anchors_overlaps_and_steps() {
    let recorded = recorded("pieces.json");
    let anchors = Anchors { sizes: vec![24.0, 32.0, 64.0, 130.0], ratios: vec![0.5, 1.0, 2.0, 0.3] };
    assert_eq!(flat(&anchors.of_map(PLAIN, [3, 4])), numbers(&recorded["anchors"]));

    let (a, b) = (boxes(1, 40, [100.0, 80.0]), boxes(2, 30, [100.0, 80.0]));
    let overlaps: Vec<f64> =
        a.iter().flat_map(|a| b.iter().map(|b| f64::from(PLAIN.overlap(*a, *b)))).collect();
    assert_near("overlaps", &overlaps, &numbers(&recorded["overlaps"]), 1e-5);
    assert!(overlaps.iter().filter(|overlap| **overlap > 0.1).count() > 50);

    let coder = BoxCoder { weights: [10.0, 10.0, 5.0, 5.0], convention: PLAIN };
    // torchvision encodes the first argument as steps from the second
    let encoded: Vec<[f32; 4]> = a[..30].iter().zip(&b).map(|(to, from)| coder.encode(*from, *to)).collect();
    assert_near("encoded", &flat(&encoded), &numbers(&recorded["encoded"]), 1e-5);
    let values = drawn(3, 160);
    let steps = values.as_chunks::<4>().0.iter().map(|[x, y, w, h]| [x * 3.0, y * 3.0, w * 4.0, h * 30.0]);
    let decoded: Vec<[f32; 4]> = a.iter().zip(steps).map(|(from, step)| coder.decode(*from, step)).collect();
    assert_near("decoded", &flat(&decoded), &numbers(&recorded["decoded"]), 1e-5);
    let clipped: Vec<[f32; 4]> = a.iter().map(|rect| PLAIN.clip(*rect, [100.0, 80.0])).collect();
    assert_eq!(flat(&clipped), numbers(&recorded["clipped"]));
}

#[test]
fn thinned_out() {
    let recorded = recorded("pieces.json");
    let (heap, scores) = (boxes(4, 200, [60.0, 60.0]), drawn(5, 200));
    let as_numbers = |kept: Vec<usize>| kept.into_iter().map(|at| at as f64).collect::<Vec<_>>();
    for (threshold, wanted) in recorded["nms"].as_object().unwrap() {
        let kept = nms(&heap, &scores, threshold.parse().unwrap(), PLAIN);
        assert!(kept.len() > 5 && kept.len() < 200, "{}", kept.len());
        assert_eq!(as_numbers(kept), numbers(wanted), "{threshold}");
    }
    // class by class, and joined by score
    let kinds: Vec<i64> =
        drawn(6, 200).into_iter().map(|value| (f64::from(value) * 4.0).floor() as i64).collect();
    let mut all: Vec<usize> = (-4..4)
        .flat_map(|kind| {
            let of_kind: Vec<usize> = (0..200).filter(|at| kinds[*at] == kind).collect();
            let boxes: Vec<[f32; 4]> = of_kind.iter().map(|at| heap[*at]).collect();
            let scores: Vec<f32> = of_kind.iter().map(|at| scores[*at]).collect();
            nms(&boxes, &scores, 0.5, PLAIN).into_iter().map(|at| of_kind[at]).collect::<Vec<_>>()
        })
        .collect();
    all.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    assert_eq!(as_numbers(all), numbers(&recorded["batched_nms"]));
}

#[test]
fn matches_and_losses() {
    let recorded = recorded("pieces.json");
    let objects = &boxes(1, 40, [100.0, 80.0])[..5];
    let heap: Vec<[f32; 4]> =
        boxes(4, 200, [60.0, 60.0]).into_iter().map(|rect| rect.map(|corner| corner * 1.5)).collect();
    for (key, best_of_each, [high, low]) in
        [("matches_true", true, [0.7, 0.3]), ("matches_false", false, [0.5, 0.5])]
    {
        let matches = Matcher { high, low, best_of_each }.matches(objects, &heap, PLAIN);
        let as_theirs = matches.into_iter().map(|one| match one {
            Match::Object(object) => object as f64,
            Match::Ground => -1.0,
            Match::Neither => -2.0,
        });
        let wanted = numbers(&recorded[key]);
        assert!(wanted.iter().any(|one| *one >= 0.0), "{key}");
        assert_eq!(as_theirs.collect::<Vec<_>>(), wanted, "{key}");
    }
    let values = drawn(3, 160);
    let steps: Vec<f32> = values
        .as_chunks::<4>()
        .0
        .iter()
        .flat_map(|[x, y, w, h]| [x * 3.0, y * 3.0, w * 4.0, h * 30.0])
        .collect();
    let steps = Tensor::from_vec(steps, (40, 4), &Device::Cpu).unwrap();
    let near = |got: Tensor, key: &str| {
        assert_near(key, &[f64::from(got.to_scalar::<f32>().unwrap())], &numbers(&recorded[key]), 1e-6);
    };
    near(smooth_l1(&steps, &drawn(7, 160), 1.0 / 9.0).unwrap(), "smooth_l1");
    let targets: Vec<f32> = drawn(8, 160).into_iter().map(|value| f32::from(u8::from(value > 0.0))).collect();
    near(binary_cross_entropy(&steps, &targets).unwrap(), "entropy");
}

/// The recorded picture.
fn ready() -> Ready {
    let x_bchw = Tensor::from_vec(drawn(99, 3 * 96 * 128), (1, 3, 96, 128), &Device::Cpu).unwrap();
    Ready { x_bchw, size: [128.0, 96.0], scale: [1.0, 1.0] }
}

fn training_settings() -> TrainingSettings {
    let all = |objects| Sampler { count: 1_000_000, objects };
    TrainingSettings {
        seed: 1,
        pictures: 1,
        backbone: None,
        start: None,
        frozen_stages: 0,
        norm: Norm::Affine,
        short_sides: Vec::new(),
        detector: settings(),
        samples: SampleSettings {
            anchors: all(0.5),
            proposals: all(0.5),
            before: 60,
            after: 30,
            ..SampleSettings::default()
        },
        losses: LossSettings { box_beta: 1.0 / 9.0, ..LossSettings::default() },
        optimiser: OptimiserSettings {
            rule: optimiser::Rule::Sgd(optimiser::Sgd::default()),
            weight_decay: 0.0,
            network_rate: 1.0,
            bias_rate: 1.0,
            clip: None,
            average: None,
        },
        schedule: ScheduleSettings {
            updates: 1,
            peak: 0.1,
            warm_up: 0,
            warm_up_from: 0.0,
            decay: Decay::Constant {},
        },
        run: Default::default(),
    }
}

#[test]
fn forward_of_a_small_detector() {
    let recorded = recorded("network.json");
    let detector = Detector::new(settings(), names(), weights()).unwrap();
    let network = detector.network();
    let map_bchw = network.map(&ready().x_bchw).unwrap();
    let said = network.of_anchors(&map_bchw).unwrap();
    let objectness: Vec<f64> =
        said.objectness_m.to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect();
    assert_near("objectness", &objectness, &numbers(&recorded["objectness"]), 1e-5);
    let proposals = detector.proposals(&map_bchw, ready().size).unwrap();
    assert_near("proposals", &flat(&proposals), &numbers(&recorded["proposals"]), 1e-5);
    let vectors = network.vectors(&map_bchw, &proposals).unwrap().to_vec2::<f32>().unwrap();
    let rms = |vector: &Vec<f32>| {
        (vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / vector.len() as f64).sqrt()
    };
    let vectors: Vec<f64> = vectors.iter().map(rms).collect();
    assert_near("vectors", &vectors, &numbers(&recorded["vectors_rms"]), 1e-5);

    let found = detector.detect_ready(&ready()).unwrap();
    let theirs = &recorded["detections"];
    assert_near("boxes", &flat(&found.boxes), &numbers(&theirs["boxes"]), 1e-5);
    let scores: Vec<f64> = found.scores.iter().map(|score| f64::from(*score)).collect();
    assert_near("scores", &scores, &numbers(&theirs["scores"]), 1e-5);
    let classes: Vec<f64> = found.classes.iter().map(|class| *class as f64 + 1.0).collect();
    assert_eq!(classes, numbers(&theirs["labels"]));
    // every attribute is above a threshold of 0; "none" is not reported
    let wanted = numbers(&recorded["attributes"]);
    for (likely, wanted) in found.attributes.iter().zip(wanted.chunks_exact(ATTRIBUTES + 1)) {
        assert_eq!(likely.len(), ATTRIBUTES);
        assert!(likely.is_sorted_by(|a, b| a.1 >= b.1));
        for (attribute, p) in likely {
            assert!((f64::from(*p) - wanted[attribute + 1]).abs() < 1e-5, "{attribute}: {p}, {wanted:?}");
        }
    }
    assert_eq!(found.attributes.len() * (ATTRIBUTES + 1), wanted.len());
}

#[test]
fn losses_and_all_gradients_of_a_training_step() {
    let recorded = recorded("network.json");
    let settings = training_settings();
    let [classes, attributes] = names();
    let learner = Learner::start(&settings, &classes, &attributes).unwrap().of_weights(&settings, &weights());
    let objects = Objects {
        boxes: vec![[10.0, 12.0, 70.0, 80.0], [60.0, 5.0, 120.0, 50.0], [80.0, 60.0, 110.0, 90.0]],
        classes: vec![1, 4, 0],
        attributes: vec![vec![0, 2], vec![], vec![1]],
    };
    let draws = Draws { seed: 1, step: 0, place: 0 };
    let sums = of_picture(learner.network(), &settings, &ready(), &objects, draws, None).unwrap();
    let theirs = ["loss_objectness", "loss_rpn_box_reg", "classifier", "box", "attributes"];
    let mut parts = Vec::new();
    for (i, (loss, count)) in sums.losses.iter().zip(&sums.counts).enumerate() {
        let value = f64::from(loss.to_scalar::<f32>().unwrap()) / count;
        assert_near(LOSSES[i], &[value], &numbers(&recorded["losses"][theirs[i]]), 1e-5);
        let weight = if i == 4 { 0.5 } else { 1.0 };
        parts.push((loss * (weight / count)).unwrap());
    }
    let total = Tensor::stack(&parts, 0).unwrap().sum_all().unwrap();
    assert_near("total", &[f64::from(total.to_scalar::<f32>().unwrap())], &numbers(&recorded["total"]), 1e-5);

    let mut gradients = Gradients::zeros(learner.parameters());
    gradients.backward(learner.parameters(), &total).unwrap();
    let recorded = recorded["gradients"].as_object().unwrap();
    assert_eq!(learner.parameters().iter().len(), recorded.len());
    for parameter in learner.parameters().iter() {
        let values = &gradients.values()[parameter.range()];
        assert_gradient(parameter.name(), values, &recorded[parameter.name()]);
    }
}

fn assert_gradient(name: &str, values: &[f32], recorded: &Value) {
    let n = values.len() as f64;
    let rms = (values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n).sqrt();
    let wanted = numbers(&recorded["rms"])[0];
    assert!(wanted > 0.0, "{name}");
    assert!((rms - wanted).abs() <= 2e-4 * wanted, "{name}: {rms}, recorded {wanted}");
    // the product is a sum of n numbers of this size and chance signs
    let product: f64 = values.iter().zip(hashed(7, values.len())).map(|(x, h)| f64::from(*x) * h).sum();
    let recorded_product = numbers(&recorded["product"])[0];
    assert!(
        (product - recorded_product).abs() <= 5e-4 * wanted * n.sqrt(),
        "{name}: {product}, {recorded_product}"
    );
    for (value, first) in values.iter().zip(numbers(&recorded["first"])) {
        assert!((f64::from(*value) - first).abs() <= 1e-3 * wanted, "{name}: {value}, recorded {first}");
    }
}
