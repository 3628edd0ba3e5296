//! Where in a picture a class is seen (Paper: 1512.04150, equations 1 and 2).
//!
//! b batch, d numbers of a vector, h and w of the last map, k classes.

use candle_core::Tensor;
use pretrain_kernels::linear;

use crate::backbone::Backbone;
use crate::{Error, Result};

/// What each place of a picture says for one class.
#[derive(Debug, Clone)]
pub struct ClassMap {
    /// \[b, h, w\]: the class's weights times the vector of each cell, `M = sum_d w_d A_d`. Its mean and the bias make the
    /// logit, because the classifier sees the mean of the cells.
    pub map_bhw: Tensor,
    /// The class's bias.
    pub bias: f32,
    /// \[b, k\], of all classes.
    pub logits_bk: Tensor,
}

impl Backbone {
    /// The class activation map of class number `class`.
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, 3, h, w\], f32, normalised
    /// - the map: \[b, ceil(h / 32), ceil(w / 32)\]
    ///
    /// # Errors
    /// Another shape or type; a class that the network does not have.
    pub fn class_map(&self, x_bchw: &Tensor, class: usize) -> Result<ClassMap> {
        if class >= self.n_classes() {
            return Err(Error::NoSuchClass { class, classes: self.n_classes() });
        }
        let cells_bdhw = self.head_map(x_bchw)?;
        let (b, d, h, w) = cells_bdhw.dims4()?;
        let cells_nd = cells_bdhw.permute((0, 2, 3, 1))?.contiguous()?.reshape((b * h * w, d))?;
        let classifier = self.classifier();
        let w_1d = classifier.w_oi.narrow(0, class, 1)?.contiguous()?;
        Ok(ClassMap {
            map_bhw: linear(&cells_nd, &w_1d, None)?.reshape((b, h, w))?,
            bias: classifier.bias_o.get(class)?.to_scalar::<f32>()?,
            logits_bk: self.classify(&cells_bdhw.mean((2, 3))?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::drawn::noise;

    /// Logits come from the forward pass, another way through the network than the map's.
    #[test]
    fn mean_and_bias_are_the_logit() {
        for name in ["efficientnet_half", "tf_efficientnet_b0", "resnext26_16x4d"] {
            let backbone = Backbone::untrained(name.parse().unwrap(), 5, 7).unwrap();
            let x_bchw = noise(11, &[2, 3, 97, 130]);
            let logits = backbone.forward(&x_bchw).unwrap().logits_bk.to_vec2::<f32>().unwrap();
            let largest = logits.iter().flatten().fold(1f32, |most, logit| most.max(logit.abs()));
            for class in [0, 3, 6] {
                let found = backbone.class_map(&x_bchw, class).unwrap();
                assert_eq!(found.map_bhw.dims(), [2, 4, 5], "{name}");
                let maps = found.map_bhw.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
                let said = found.logits_bk.to_vec2::<f32>().unwrap();
                for (i, cells) in maps.iter().enumerate() {
                    let mean = cells.iter().map(|cell| f64::from(*cell)).sum::<f64>() / cells.len() as f64;
                    let logit = mean as f32 + found.bias;
                    assert!((logit - logits[i][class]).abs() < 1e-4 * largest, "{name}: {logit} {logits:?}");
                    assert!((said[i][class] - logits[i][class]).abs() < 1e-4 * largest, "{name}");
                    let (low, high) = cells
                        .iter()
                        .fold((f32::MAX, f32::MIN), |(low, high), cell| (low.min(*cell), high.max(*cell)));
                    assert!(high - low > 1e-3 * largest, "{name}: all places say the same");
                }
            }
            let error = backbone.class_map(&x_bchw, 7).unwrap_err().to_string();
            assert!(error.contains("class 7") && error.contains("from 0 to 6"), "{error}");
        }
    }
}
