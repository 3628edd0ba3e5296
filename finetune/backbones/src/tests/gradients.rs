//! Every weight can be trained: its gradient arrives, and is PyTorch's.
//!
//! In f64, because of rectifiers: among millions of f32 numbers some stand so near zero that rounding picks their side.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use serde_json::Value;

use super::drawn::{backbone, noise, weights};
use crate::Flavour;
use crate::architecture::Architecture;
use crate::layer::is_statistic;
use crate::modules::Mode;
use crate::weights::Weights;

fn gradients_are_torchs(name: &str, [height, width]: [usize; 2], factors: [f64; 2], flavour: Flavour) {
    let architecture: Architecture = name.parse().unwrap();
    let double = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
    let mut variables = BTreeMap::new();
    let weights = weights(architecture, factors).into_iter().map(|(name, tensor)| {
        if is_statistic(&name) {
            return (name, double(&tensor));
        }
        let variable = Var::from_tensor(&double(&tensor)).unwrap();
        let tensor = variable.as_tensor().clone();
        variables.insert(name.clone(), variable);
        (name, tensor)
    });
    let weights: Weights = weights.collect();
    let backbone = backbone(architecture, flavour, &weights);

    let x_bchw = double(&noise(8, &[2, 3, height, width]));
    let logits_bk = backbone.output(&x_bchw, Mode::Inference).unwrap().logits_bk;
    let loss = (&logits_bk * double(&noise(10, logits_bk.dims()))).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();

    let path = format!("{}/golden/forward/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let golden = golden["gradient_rms"].as_array().unwrap();
    assert_eq!(golden.len(), variables.len());
    let mut worst = 0f64;
    for ((name, variable), wanted) in variables.iter().zip(golden) {
        let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert_eq!(gradient.dims(), variable.dims(), "{name}");
        let squares = gradient.sqr().unwrap().mean_all().unwrap();
        let (got, wanted) = (squares.to_scalar::<f64>().unwrap().sqrt(), wanted.as_f64().unwrap());
        let apart = (got / wanted - 1.0).abs();
        assert!(apart < 1e-6, "{name}: {got} is not {wanted}");
        worst = worst.max(apart);
    }
    println!("{name}: {} gradients, at most {worst:.1e} apart", variables.len());
}

#[test]
fn efficientnet() {
    gradients_are_torchs("tf_efficientnet_b0", [98, 75], [0.8, 1.4], Flavour::Tf);
}

#[test]
fn resnext() {
    gradients_are_torchs("resnext50_32x4d", [65, 82], [0.3, 1.1], Flavour::Timm);
}
