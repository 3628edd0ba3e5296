//! PyTorch's and torchvision's values and gradients (tests/golden/torch/generate.py, all in f64).

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use pretrain_kernels::{
    AdamWForm, AdamWSlices, AdamWStep, Attention, AttentionMask, ConvGeometry, Padding, Precision, RoiAlign,
    Sequences, adamw, attention, batch_norm_inference, batch_norm_training, conv2d, cross_entropy,
    embedding_sum, global_average_pool, layer_norm, linear, linear_gelu, max_pool2d, relu,
    residual_layer_norm, roi_align, sigmoid, softmax, swish, tanh, vocabulary_cross_entropy,
};

use crate::draw::numbers;

/// One case: its inputs as variables of the wanted type, its numbers, what must come out.
struct Golden {
    name: String,
    tensors: BTreeMap<String, Tensor>,
    dtype: DType,
}

fn cases(file: &str, dtype: DType) -> Vec<Golden> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/torch").join(file);
    let mut cases: BTreeMap<String, BTreeMap<String, Tensor>> = BTreeMap::new();
    let tensors: BTreeMap<_, _> =
        candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect();
    for (key, tensor) in tensors {
        let (case, name) = key.split_once('/').unwrap();
        cases.entry(case.to_owned()).or_default().insert(name.to_owned(), tensor);
    }
    cases.into_iter().map(|(name, tensors)| Golden { name, tensors, dtype }).collect()
}

impl Golden {
    fn how(&self) -> Vec<f64> {
        numbers(&self.tensors["how"])
    }

    fn input(&self, name: &str) -> Var {
        Var::from_tensor(&self.tensors[name].to_dtype(self.dtype).unwrap()).unwrap()
    }

    /// `|got - theirs| <= tolerance * (1 + |theirs|)`: 1e-13 in f64, where both sides sum a few hundred terms of
    /// magnitude 1 to 10; 2e-5 in f32, whose tight bounds are checked against the plain references. A query that sees
    /// nothing compares scores near -10000, which f32 rounds to 2^-10 and f64 to 2^-40.
    fn assert_near(&self, what: &str, got: &Tensor, theirs: &Tensor) {
        assert_eq!(got.dims(), theirs.dims(), "{}: {what}", self.name);
        assert_eq!(got.dtype(), self.dtype, "{}: {what}", self.name);
        let tolerance = match (self.dtype, self.name.as_str()) {
            (DType::F64, "attention_unseen") => 4e-12,
            (DType::F64, _) => 1e-13,
            (_, "attention_unseen") => 4e-3,
            _ => 2e-5,
        };
        for (index, (got, theirs)) in numbers(got).into_iter().zip(numbers(theirs)).enumerate() {
            let error = (got - theirs).abs();
            let near = error <= tolerance * (1.0 + theirs.abs());
            assert!(near, "{}: {what}[{index}] is {got}, theirs {theirs} (off by {error:e})", self.name);
        }
    }

    /// Compares y and the gradients to all inputs.
    fn assert_same(&self, y: &Tensor, inputs: &[(&str, &Var)]) {
        self.assert_near("y", y, &self.tensors["y"]);
        let d_y = self.tensors["d_y"].to_dtype(self.dtype).unwrap();
        let gradients = (y * d_y).unwrap().sum_all().unwrap().backward().unwrap();
        for &(name, input) in inputs {
            let name = format!("d_{name}");
            self.assert_near(&name, gradients.get(input).unwrap(), &self.tensors[&name]);
        }
    }
}

/// Calls `f` with every case of a file, in f64 and f32.
fn each(file: &str, count: usize, f: impl Fn(&Golden)) {
    for dtype in [DType::F64, DType::F32] {
        let cases = cases(file, dtype);
        assert_eq!(cases.len(), count, "{file}");
        cases.iter().for_each(&f);
    }
}

#[test]
fn conv2d_is_pytorchs() {
    each("conv2d.safetensors", 13, |case| {
        let how: Vec<usize> = case.how().iter().map(|number| *number as usize).collect();
        let geometry = ConvGeometry {
            stride: [how[0], how[1]],
            padding: Padding { top: how[2], bottom: how[3], left: how[4], right: how[5] },
            dilation: [how[6], how[7]],
            groups: how[8],
        };
        let (x, w, bias) = (case.input("x"), case.input("w"), case.input("bias"));
        let y = conv2d(&x, &w, Some(&bias), &geometry).unwrap();
        case.assert_same(&y, &[("x", &x), ("w", &w), ("bias", &bias)]);
    });
}

#[test]
fn batch_norm_is_pytorchs() {
    each("batch_norm.safetensors", 6, |case| {
        let (x, weight, bias) = (case.input("x"), case.input("weight"), case.input("bias"));
        let inputs = [("x", &x), ("weight", &weight), ("bias", &bias)];
        let eps = case.how()[0];
        if case.name.starts_with("inference") {
            let (mean, variance) = (case.input("mean"), case.input("variance"));
            let y = batch_norm_inference(&x, &mean, &variance, &weight, &bias, eps).unwrap();
            case.assert_same(&y, &inputs);
        } else {
            let (y, mean, variance) = batch_norm_training(&x, &weight, &bias, eps).unwrap();
            case.assert_same(&y, &inputs);
            case.assert_near("mean", &mean, &case.tensors["mean"]);
            let n = (x.elem_count() / x.dims()[1]) as f64;
            case.assert_near("variance", &(variance * (n / (n - 1.0))).unwrap(), &case.tensors["unbiased"]);
        }
    });
}

#[test]
fn activations_and_the_mean_are_pytorchs() {
    each("elementwise.safetensors", 4, |case| {
        let x = case.input("x");
        let y = match case.name.as_str() {
            "relu" => relu(&x),
            "swish" => swish(&x),
            "sigmoid" => sigmoid(&x),
            _ => global_average_pool(&x),
        };
        case.assert_same(&y.unwrap(), &[("x", &x)]);
    });
}

#[test]
fn max_pool2d_is_pytorchs() {
    each("max_pool2d.safetensors", 3, |case| {
        let how: Vec<usize> = case.how().iter().map(|number| *number as usize).collect();
        let x = case.input("x");
        let y = max_pool2d(&x, [how[0], how[1]], [how[2], how[3]], [how[4], how[5]]).unwrap();
        case.assert_same(&y, &[("x", &x)]);
    });
}

#[test]
fn linear_is_pytorchs() {
    each("linear.safetensors", 1, |case| {
        let (x, w, bias) = (case.input("x"), case.input("w"), case.input("bias"));
        case.assert_same(&linear(&x, &w, Some(&bias)).unwrap(), &[("x", &x), ("w", &w), ("bias", &bias)]);
    });
}

#[test]
fn roi_align_is_torchvisions() {
    each("roi_align.safetensors", 4, |case| {
        let how = case.how();
        let how = RoiAlign {
            output: [how[0] as usize, how[1] as usize],
            spatial_scale: how[2],
            sampling_ratio: how[3] as usize,
            aligned: how[4] != 0.0,
        };
        let x = case.input("x");
        case.assert_same(&roi_align(&x, &case.input("rois"), &how).unwrap(), &[("x", &x)]);
    });
}

#[test]
fn kernels_of_transformers_are_pytorchs() {
    each("transformer.safetensors", 19, |case| {
        let input = |name| case.input(name);
        let whole: Vec<i64> = case.how().into_iter().map(|number| number as i64).collect();
        if case.name.contains("layer_norm") {
            let (x, weight, bias, eps) = (input("x"), input("weight"), input("bias"), case.how()[0]);
            let mut inputs = vec![("x", &x), ("weight", &weight), ("bias", &bias)];
            if case.name.starts_with("residual") {
                let residual = input("residual");
                let y = residual_layer_norm(&x, &residual, None, &weight, &bias, eps).unwrap();
                inputs.push(("residual", &residual));
                case.assert_same(&y, &inputs);
            } else {
                case.assert_same(&layer_norm(&x, &weight, &bias, eps).unwrap(), &inputs);
            }
        } else if case.name.starts_with("attention") {
            let [batch, length, heads] = [0, 1, 2].map(|i| whole[i] as usize);
            let (sequences, seen) = (Sequences::equal(batch, length), &case.tensors["seen"]);
            let mask = if seen.rank() == 3 { AttentionMask::Pairs(seen) } else { AttentionMask::Keys(seen) };
            let how = Attention {
                heads,
                sequences: &sequences,
                mask: Some(mask),
                dropout: None,
                precision: Precision::F32,
            };
            let qkv = input("qkv");
            case.assert_same(&attention(&qkv, &how).unwrap(), &[("qkv", &qkv)]);
        } else if case.name.starts_with("linear") {
            let (x, w, bias) = (input("x"), input("w"), input("bias"));
            let gelu = case.name.starts_with("linear_gelu");
            let y = if gelu { linear_gelu(&x, &w, &bias) } else { linear(&x, &w, Some(&bias)) };
            case.assert_same(&y.unwrap(), &[("x", &x), ("w", &w), ("bias", &bias)]);
        } else if case.name == "cross_entropy" {
            let logits = input("logits");
            case.assert_same(&cross_entropy(&logits, &whole).unwrap().sum, &[("logits", &logits)]);
        } else if case.name == "vocabulary_cross_entropy" {
            let (x, w, bias) = (input("x"), input("w"), input("bias"));
            let sum = vocabulary_cross_entropy(&x, &w, &bias, &whole).unwrap().sum;
            case.assert_same(&sum, &[("x", &x), ("w", &w), ("bias", &bias)]);
        } else if case.name == "embedding_sum" {
            let tables = ["word", "position", "segment"].map(input);
            let [word, position, segment] = &tables;
            let ids: Vec<u32> = whole.into_iter().map(|id| id as u32).collect();
            let count = ids.len() / 3;
            let y = embedding_sum(
                (word, &ids[..count], None),
                (position, &ids[count..2 * count]),
                (segment, &ids[2 * count..]),
            );
            let inputs = [("word", word), ("position", position), ("segment", segment)];
            case.assert_same(&y.unwrap(), &inputs);
        } else {
            let x = input("x");
            let y = if case.name == "tanh" { tanh(&x) } else { softmax(&x) };
            case.assert_same(&y.unwrap(), &[("x", &x)]);
        }
    });
}

/// torch computes in f32 too, in another order: eight roundings of what is added up, gradients of up to 0.4 in the
/// moments' first.
#[test]
fn five_updates_of_adamw_are_pytorchs() {
    let cases = cases("adamw.safetensors", DType::F32);
    let values = |name: &str| cases[0].tensors[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (mut p, gradients) = (values("p"), values("gradients"));
    let (mut m, mut v) = (vec![0.0; p.len()], vec![0.0; p.len()]);
    for (index, gradient) in gradients.chunks(p.len()).enumerate() {
        let step = AdamWStep {
            form: AdamWForm::Torch,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            rate: 1e-2 / (index + 1) as f64,
            weight_decay: 0.01,
            number: index as u64 + 1,
            gradient_scale: 1.0,
        };
        let slices = AdamWSlices { parameter: &mut p, gradient, first_moment: &mut m, second_moment: &mut v };
        adamw(&step, slices).unwrap();
    }
    for (name, got, size) in [("y", p, 0.05), ("m", m, 0.05), ("v", v, 0.0)] {
        for (got, theirs) in got.into_iter().zip(values(name)) {
            assert!((got - theirs).abs() <= 5e-7 * theirs.abs().max(size), "{name}: {got}, theirs {theirs}");
        }
    }
}
