//! Which tensors a network has, their first values, and how they are handed out by name.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::Precision;
use pretrain_training::{Generator, Stream};
use rayon::prelude::*;

use super::config::ModelConfig;
use crate::{Error, Result};

/// Names and shapes, as published models have them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shapes(BTreeMap<String, Vec<usize>>);

/// The tensors of a network by name, with the shapes that are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Tensors<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    precision: Precision,
}

impl Shapes {
    /// Embeddings, encoder and pooler: `bert.*`.
    pub fn of_encoder(config: &ModelConfig) -> Self {
        let (h, i) = (config.hidden_size, config.intermediate_size);
        let mut shapes = Self::default();
        for (table, rows) in [
            ("word", config.vocab_size),
            ("position", config.max_position_embeddings),
            ("token_type", config.type_vocab_size),
        ] {
            shapes.add(format!("bert.embeddings.{table}_embeddings.weight"), &[rows, h]);
        }
        shapes.norm("bert.embeddings.LayerNorm", h);
        for layer in (0..config.num_hidden_layers).map(|layer| format!("bert.encoder.layer.{layer}")) {
            for part in ["query", "key", "value"] {
                shapes.linear(&format!("{layer}.attention.self.{part}"), h, h);
            }
            shapes.linear(&format!("{layer}.attention.output.dense"), h, h);
            shapes.norm(&format!("{layer}.attention.output.LayerNorm"), h);
            shapes.linear(&format!("{layer}.intermediate.dense"), i, h);
            shapes.linear(&format!("{layer}.output.dense"), h, i);
            shapes.norm(&format!("{layer}.output.LayerNorm"), h);
        }
        shapes.linear("bert.pooler.dense", h, h);
        shapes.linear("bert.img_embedding", h, config.img_feature_dim);
        if config.has_region_norm() {
            shapes.norm("bert.LayerNorm", h);
        }
        shapes
    }

    /// Encoder, masked-token head (tied to the word embeddings) and contrastive head.
    pub fn of_pretraining(config: &ModelConfig) -> Self {
        let h = config.hidden_size;
        let mut shapes = Self::of_encoder(config);
        shapes.add("cls.predictions.bias".to_owned(), &[config.vocab_size]);
        shapes.linear("cls.predictions.transform.dense", h, h);
        shapes.norm("cls.predictions.transform.LayerNorm", h);
        shapes.linear("cls.seq_relationship", config.num_contrast_classes, h);
        shapes
    }

    /// One more tensor.
    pub fn add(&mut self, name: String, shape: &[usize]) {
        self.0.insert(name, shape.to_vec());
    }

    /// A linear layer's weight and bias.
    pub fn linear(&mut self, name: &str, outputs: usize, inputs: usize) {
        self.add(format!("{name}.weight"), &[outputs, inputs]);
        self.add(format!("{name}.bias"), &[outputs]);
    }

    /// A layer norm's weight and bias.
    pub fn norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.weight"), &[width]);
        self.add(format!("{name}.bias"), &[width]);
    }

    /// By name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[usize])> {
        self.0.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// How many numbers all tensors have.
    pub fn n_values(&self) -> usize {
        self.0.values().map(|shape| shape.iter().product::<usize>()).sum()
    }
}

/// First values as published: weights normal with the config's deviation, layer norms the identity, biases 0.
///
/// Every number is a function of the seed, the tensor's name and its own place, so that a tensor has the same first
/// values in every network that has it.
///
/// # Errors
/// The tensor library's.
pub fn initialise(shapes: &Shapes, config: &ModelConfig, seed: u64) -> Result<BTreeMap<String, Tensor>> {
    let drawn = shapes.iter().map(|(name, shape)| {
        let n: usize = shape.iter().product();
        let is_norm = name.contains("LayerNorm");
        let values = if name.ends_with("bias") {
            vec![0.0; n]
        } else if is_norm {
            vec![1.0; n]
        } else {
            let hash = blake3::hash(name.as_bytes());
            let number = u32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("four bytes"));
            let generator = Generator::new(seed, Stream::Weights, number);
            let value = |index| generator.normal(index, 0.0, config.initializer_range) as f32;
            (0..n as u64).into_par_iter().map(value).collect()
        };
        Ok((name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu)?))
    });
    drawn.collect()
}

impl<'a> Tensors<'a> {
    /// Of a map that whoever owns it has checked, or not: [`get`](Self::get) checks.
    pub fn new(tensors: &'a BTreeMap<String, Tensor>) -> Self {
        Self { tensors, precision: Precision::F32 }
    }

    /// The same, whose linear layers compute in `precision`.
    pub fn computing_in(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// What linear layers compute in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// It is missing, or of another shape or type.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let unfit = |problem: String| {
            Error::Training(pretrain_training::Error::Unfit { tensor: name.to_owned(), problem })
        };
        let tensor = self.tensors.get(name).ok_or_else(|| unfit("is missing".to_owned()))?;
        if tensor.dims() != shape || tensor.dtype() != DType::F32 {
            let got = format!("{:?} of {:?}", tensor.dims(), tensor.dtype());
            return Err(unfit(format!("is {got}; the config asks for {shape:?} of F32")));
        }
        Ok(tensor.clone())
    }

    /// Weight and bias of a linear layer.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Result<super::heads::Linear> {
        Ok(super::heads::Linear {
            w_oi: self.get(&format!("{name}.weight"), &[outputs, inputs])?,
            bias_o: self.get(&format!("{name}.bias"), &[outputs])?,
            precision: self.precision,
        })
    }

    /// Weight and bias of a layer norm.
    pub(crate) fn norm(&self, name: &str, width: usize, eps: f64) -> Result<super::encoder::Norm> {
        Ok(super::encoder::Norm {
            weight_h: self.get(&format!("{name}.weight"), &[width])?,
            bias_h: self.get(&format!("{name}.bias"), &[width])?,
            eps,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(layers: usize, hidden: usize, classes: usize, norm: bool) -> ModelConfig {
        let json = serde_json::json!({
            "vocab_size": 30522, "hidden_size": hidden, "num_hidden_layers": layers,
            "num_attention_heads": hidden / 64, "intermediate_size": 4 * hidden,
            "num_contrast_classes": classes, "use_img_layernorm": norm,
        });
        serde_json::from_value(json).unwrap()
    }

    /// The counts of the published models.
    #[test]
    fn as_many_numbers_as_published() {
        let base = published(12, 768, 2, false);
        assert_eq!(Shapes::of_encoder(&base).n_values(), 111_060_480);
        assert_eq!(Shapes::of_encoder(&base).iter().len(), 201);
        assert_eq!(Shapes::of_pretraining(&base).n_values(), 111_684_668);
        assert_eq!(Shapes::of_pretraining(&published(12, 768, 3, true)).n_values(), 111_686_973);
        let large = published(24, 1024, 2, false);
        assert_eq!(Shapes::of_encoder(&large).n_values(), 337_246_208);
        assert_eq!(Shapes::of_encoder(&large).iter().len(), 393);
        assert_eq!(Shapes::of_pretraining(&large).n_values(), 338_330_428);
        assert_eq!(Shapes::of_pretraining(&published(24, 1024, 3, true)).n_values(), 338_333_501);
    }

    #[test]
    fn first_values() {
        let mut config = published(1, 64, 2, true);
        config.vocab_size = 200;
        let drawn = initialise(&Shapes::of_pretraining(&config), &config, 3).unwrap();
        let values = |name: &str| drawn[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let word = values("bert.embeddings.word_embeddings.weight");
        let spread = (word.iter().map(|x| x * x).sum::<f32>() / word.len() as f32).sqrt();
        assert!((spread - 0.02).abs() < 0.02 * 5.0 / (2.0 * word.len() as f32).sqrt(), "{spread}");
        assert_ne!(word[..64], values("bert.embeddings.position_embeddings.weight")[..64]);
        assert!(values("bert.LayerNorm.weight").iter().all(|x| *x == 1.0));
        assert!(values("bert.pooler.dense.bias").iter().all(|x| *x == 0.0));
        let alone = initialise(&Shapes::of_encoder(&config), &config, 3).unwrap();
        let again = alone["bert.pooler.dense.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(again, values("bert.pooler.dense.weight"));
    }
}
