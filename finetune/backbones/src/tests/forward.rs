//! Whole networks against timm's numbers, and what must hold between our own.

use candle_core::{DType, Tensor};
use pretrain_kernels::Precision;
use pretrain_kernels::image::VectorPath;
use serde_json::Value;

use super::drawn::{b0, backbone, distance, noise, weights};
use crate::architecture::Architecture;
use crate::modules::Mode;
use crate::{Backbone, Error, Flavour};

/// Measured: 2e-6 and less. The issue asks for 1e-4.
const TOLERANCE: f64 = 2e-5;

struct Case {
    golden: Value,
    backbone: Backbone,
    x_bchw: Tensor,
}

fn case(name: &str, [height, width]: [usize; 2], factors: [f64; 2], flavour: Flavour) -> Case {
    let path = format!("{}/golden/forward/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let architecture: Architecture = name.parse().unwrap();
    let backbone = backbone(architecture, flavour, &weights(architecture, factors));
    Case { golden, backbone, x_bchw: noise(8, &[2, 3, height, width]) }
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// The largest difference between samples, mean and root mean square, as a share of the map's largest number.
fn summary_distance(got: &Tensor, golden: &Value) -> f64 {
    assert_eq!(got.dims(), numbers(&golden["shape"]).iter().map(|&n| n as usize).collect::<Vec<_>>());
    let got = doubles(got);
    let samples = numbers(&golden["samples"]);
    let at = |i: usize| got[i * got.len() / samples.len()];
    let mean = got.iter().sum::<f64>() / got.len() as f64;
    let rms = (got.iter().map(|x| x * x).sum::<f64>() / got.len() as f64).sqrt();
    let pairs = samples.iter().enumerate().map(|(i, sample)| (at(i), *sample));
    let moments = [(mean, golden["mean"].as_f64().unwrap()), (rms, golden["rms"].as_f64().unwrap())];
    let most = pairs.chain(moments).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
    most / golden["largest"].as_f64().unwrap()
}

impl Case {
    /// Distances of the logits, the five stages, and the vectors of regions.
    fn distances(&self) -> Vec<f64> {
        let output = self.backbone.forward(&self.x_bchw).unwrap();
        let wanted = numbers(&self.golden["logits"]);
        let largest = wanted.iter().fold(0f64, |most, x| most.max(x.abs()));
        let logits = doubles(&output.logits_bk);
        assert_eq!(logits.len(), wanted.len());
        let most = logits.iter().zip(&wanted).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
        let mut distances = vec![most / largest];
        for (stage, golden) in output.stages.iter().zip(self.golden["stages"].as_array().unwrap()) {
            distances.push(summary_distance(stage, golden));
        }
        let rois = noise(9, &[2, output.stages[3].dims()[1], 14, 14]);
        distances
            .push(summary_distance(&self.backbone.region_vectors(&rois).unwrap(), &self.golden["vectors"]));
        distances
    }

    fn agrees(&self) {
        let distances = self.distances();
        println!("{distances:?}");
        assert!(distances.iter().all(|distance| *distance < TOLERANCE), "{distances:?}");
    }
}

#[test]
fn efficientnet_b0_is_timms() {
    case("efficientnet_b0", [65, 98], [0.8, 1.4], Flavour::Timm).agrees();
}

#[test]
fn tf_efficientnet_b0_is_timms() {
    case("tf_efficientnet_b0", [98, 75], [0.8, 1.4], Flavour::Tf).agrees();
}

#[test]
fn resnext50_is_timms() {
    case("resnext50_32x4d", [65, 82], [0.3, 1.1], Flavour::Timm).agrees();
}

/// All widths of vectors, whatever this processor would choose.
#[test]
fn every_path_says_timms_numbers() {
    for path in [VectorPath::Avx512, VectorPath::Avx2, VectorPath::Portable] {
        if !path.is_available() {
            eprintln!("skipped: this processor has no {path:?}");
            continue;
        }
        for (name, size, factors, flavour) in [
            ("tf_efficientnet_b0", [98, 75], [0.8, 1.4], Flavour::Tf),
            ("resnext50_32x4d", [65, 82], [0.3, 1.1], Flavour::Timm),
        ] {
            let case = case(name, size, factors, flavour);
            Case { backbone: case.backbone.along(path), ..case }.agrees();
        }
    }
}

/// The compiled network and the layers that learn are one function.
#[test]
fn compiled_or_layer_by_layer() {
    let (architecture, weights) = b0();
    let backbone = backbone(architecture, Flavour::Timm, &weights);
    let x_bchw = noise(13, &[2, 3, 47, 66]);
    let (compiled, layers) =
        (backbone.forward(&x_bchw).unwrap(), backbone.output(&x_bchw, Mode::Inference).unwrap());
    assert!(distance(&compiled.logits_bk, &layers.logits_bk) < TOLERANCE);
    for (compiled, layers) in compiled.stages.iter().zip(&layers.stages) {
        assert!(distance(compiled, layers) < TOLERANCE);
    }
    assert_eq!(distance(&backbone.logits(&x_bchw).unwrap(), &compiled.logits_bk), 0.0);
}

/// bf16 has 8 bits: each layer rounds by up to 2^-9, and dozens of layers add up to some per cent of the largest number.
#[test]
fn bf16_is_near() {
    let (architecture, weights) = b0();
    let x_bchw = noise(14, &[2, 3, 64, 64]);
    let precise = backbone(architecture, Flavour::Timm, &weights);
    let rounded = backbone(architecture, Flavour::Timm, &weights).in_precision(Precision::Bf16);
    let (precise, rounded) = (precise.forward(&x_bchw).unwrap(), rounded.forward(&x_bchw).unwrap());
    let apart = distance(&rounded.logits_bk, &precise.logits_bk);
    let is_bf16 = Precision::Bf16.here() == Precision::Bf16;
    assert!(apart < 0.1 && (apart > 1e-4) == is_bf16, "{apart}");
    assert!(distance(&rounded.stages[0], &precise.stages[0]) < 0.02);
}

/// The golden values can tell flavours apart: padding and epsilon both show.
#[test]
fn another_flavour_is_seen() {
    let distances = case("tf_efficientnet_b0", [98, 75], [0.8, 1.4], Flavour::Timm).distances();
    assert!(distances[0] > 0.05, "{distances:?}");
    // regions see no padding at stride 2 from 14 x 14, where SAME differs, so epsilon and padding both count there
    assert!(distances[6] > 1e-3, "{distances:?}");
}

#[test]
fn region_and_grid_doors_agree_with_forward() {
    let (architecture, weights) = b0();
    let resnext: Architecture = "resnext50_32x4d".parse().unwrap();
    let resnext_weights = super::drawn::weights(resnext, [0.3, 1.1]);
    for (architecture, weights) in [(architecture, weights), (resnext, resnext_weights)] {
        let backbone = backbone(architecture, Flavour::Timm, &weights);
        let x_bchw = noise(11, &[2, 3, 71, 100]);
        let output = backbone.forward(&x_bchw).unwrap();
        let stride16 = backbone.stride16_map(&x_bchw).unwrap();
        assert_eq!(distance(&stride16, &output.stages[3]), 0.0);

        // all of the map as one region is the picture itself
        let vectors = backbone.region_vectors(&stride16).unwrap();
        assert_eq!(distance(&backbone.classify(&vectors).unwrap(), &output.logits_bk), 0.0);

        // class activation maps: the mean over the cells is the logit, bias and all
        let cells_bdhw = backbone.head_map(&x_bchw).unwrap();
        let (b, d, h, w) = cells_bdhw.dims4().unwrap();
        assert_eq!((b, d, h, w), (2, backbone.feature_width(), 3, 4));
        let cells_nd = cells_bdhw.permute((0, 2, 3, 1)).unwrap().reshape((b * h * w, d)).unwrap();
        let per_cell = backbone.classify(&cells_nd).unwrap().reshape((b, h * w, ())).unwrap();
        let mean = per_cell.mean(1).unwrap();
        assert!(distance(&mean, &output.logits_bk) < 1e-5);
        // and the cells do not all say the same
        assert!(distance(&per_cell.narrow(1, 0, 1).unwrap(), &per_cell.narrow(1, 5, 1).unwrap()) > 0.01);

        // no regions, no pictures
        let none = stride16.narrow(0, 0, 0).unwrap();
        assert_eq!(backbone.region_vectors(&none).unwrap().dims(), [0, d]);
        assert_eq!(backbone.forward(&x_bchw.narrow(0, 0, 0).unwrap()).unwrap().logits_bk.dims(), [0, 10]);
    }
}

#[test]
fn neighbours_and_threads_change_no_bit() {
    let (architecture, weights) = b0();
    let backbone = backbone(architecture, Flavour::Timm, &weights);
    let x_bchw = noise(12, &[3, 3, 51, 64]);
    let bits = |threads: usize, x_bchw: &Tensor| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let output = pool.install(|| backbone.forward(x_bchw).unwrap());
        let maps: Vec<f32> =
            output.stages.iter().flat_map(|x| x.flatten_all().unwrap().to_vec1().unwrap()).collect();
        (maps, output.logits_bk.to_vec2::<f32>().unwrap())
    };
    let together = bits(1, &x_bchw);
    assert!(together.0.iter().all(|x| x.is_finite()));
    assert_eq!(together, bits(3, &x_bchw));
    for i in 0..3 {
        assert_eq!(bits(2, &x_bchw.narrow(0, i, 1).unwrap()).1[0], together.1[i]);
    }
}

#[test]
fn inputs_of_another_shape_are_named() {
    let (architecture, weights) = b0();
    let backbone = backbone(architecture, Flavour::Timm, &weights);
    let message = |result: crate::Result<Tensor>| match result {
        Err(error @ Error::Input { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let forward = |x: &Tensor| backbone.forward(x).map(|output| output.logits_bk);
    assert_eq!(
        message(forward(&noise(1, &[2, 4, 8, 8]))),
        "x is [2, 4, 8, 8] of F32; it has to be [b, 3, h, w] of F32"
    );
    message(forward(&noise(1, &[3, 8, 8])));
    message(forward(&noise(1, &[2, 3, 0, 8])));
    message(forward(&noise(1, &[2, 3, 8, 8]).to_dtype(DType::F64).unwrap()));
    let regions = message(backbone.region_vectors(&noise(1, &[2, 111, 14, 14])));
    assert!(regions.contains("[b, 112, h, w]"), "{regions}");
    assert!(message(backbone.classify(&noise(1, &[2, 1279]))).contains("[n, 1280]"));
    backbone.forward(&noise(1, &[1, 3, 1, 1])).unwrap();
}
