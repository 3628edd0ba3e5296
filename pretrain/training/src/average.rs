//! Averages of weights over a run.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use crate::{Error, Result};

/// An exponential average of named tensors: of the parameters and of the statistics that belong to them.
///
/// `average <- d average + (1 - d) value` with `d = min(decay, (1 + n) / (10 + n))` after n updates: TensorFlow's ramp,
/// without which a decay of 0.9999 holds on to the first, random weights for tens of thousands of updates.
#[derive(Debug)]
pub struct WeightAverage {
    decay: f64,
    updates: u64,
    tensors: BTreeMap<String, Averaged>,
}

#[derive(Debug)]
struct Averaged {
    shape: Vec<usize>,
    values: Vec<f32>,
}

const COUNTER: &str = "updates";

impl WeightAverage {
    /// Starts at the tensors themselves.
    ///
    /// # Errors
    /// Tensors that are not f32.
    pub fn new(decay: f64, tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        let averaged = tensors.iter().map(|(name, tensor)| {
            if tensor.dtype() != DType::F32 {
                let problem = format!("is {:?}; averages are taken in F32", tensor.dtype());
                return Err(Error::Unfit { tensor: name.clone(), problem });
            }
            let values = tensor.flatten_all()?.to_vec1()?;
            Ok((name.clone(), Averaged { shape: tensor.dims().to_vec(), values }))
        });
        Ok(Self { decay, updates: 0, tensors: averaged.collect::<Result<_>>()? })
    }

    /// Takes the tensors as they are now into the average.
    ///
    /// # Errors
    /// Other names or shapes than at the start.
    pub fn update(&mut self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let updates = self.updates as f64;
        let decay = self.decay.min((1.0 + updates) / (10.0 + updates));
        self.same(tensors)?;
        for (averaged, tensor) in self.tensors.values_mut().zip(tensors.values()) {
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let new = (1.0 - decay) as f32;
            let chunks = averaged.values.par_iter_mut().with_min_len(1 << 14).zip(&values);
            // the form that leaves an average of equal values alone, to the bit
            chunks.for_each(|(average, value)| *average += new * (value - *average));
        }
        self.updates += 1;
        Ok(())
    }

    /// The averages under the tensors' names.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let tensors = self.tensors.iter().map(|(name, averaged)| {
            let tensor =
                Tensor::from_slice(&averaged.values, averaged.shape.as_slice(), &candle_core::Device::Cpu);
            Ok((name.clone(), tensor?))
        });
        tensors.collect()
    }

    /// [`tensors`](Self::tensors) with the number of updates: what is needed to go on later.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn save(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = self.tensors()?;
        tensors.insert(COUNTER.to_owned(), Tensor::new(self.updates as i64, &candle_core::Device::Cpu)?);
        Ok(tensors)
    }

    /// Goes on from what [`save`](Self::save) gave.
    ///
    /// # Errors
    /// Other names or shapes.
    pub fn restore(&mut self, mut saved: BTreeMap<String, Tensor>) -> Result<()> {
        let unfit = |problem: &str| Error::Unfit { tensor: COUNTER.to_owned(), problem: problem.to_owned() };
        let counter = saved.remove(COUNTER).ok_or_else(|| unfit("is missing"))?;
        self.same(&saved)?;
        for (averaged, tensor) in self.tensors.values_mut().zip(saved.values()) {
            averaged.values = tensor.flatten_all()?.to_vec1()?;
        }
        self.updates = counter.to_scalar::<i64>()?.try_into().map_err(|_| unfit("is negative"))?;
        Ok(())
    }

    fn same(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let own = self.tensors.iter().map(|(name, averaged)| (name, averaged.shape.as_slice()));
        let other = tensors.iter().map(|(name, tensor)| (name, tensor.dims()));
        if own.clone().eq(other.clone()) {
            return Ok(());
        }
        let (tensor, _) = own.zip(other).map(|(a, b)| (a.0, a == b)).find(|(_, same)| !same).unzip();
        let tensor = tensor.map_or_else(|| "a tensor".to_owned(), String::clone);
        Err(Error::Unfit { tensor, problem: "is not what is averaged".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tensors(a: f32, b: f32) -> BTreeMap<String, Tensor> {
        let tensor = |value: f32| Tensor::new(&[value, -value], &Device::Cpu).unwrap();
        [("w".to_owned(), tensor(a)), ("bn.running_var".to_owned(), tensor(b))].into()
    }

    fn first(average: &WeightAverage, name: &str) -> f32 {
        average.tensors().unwrap()[name].to_vec1::<f32>().unwrap()[0]
    }

    #[test]
    fn the_ramp_and_then_the_decay() {
        let mut average = WeightAverage::new(0.5, &tensors(0.0, 8.0)).unwrap();
        let mut wanted = 0.0;
        for n in 0..30 {
            let value = f64::from(n) + 1.0;
            average.update(&tensors(value as f32, 8.0)).unwrap();
            let decay = 0.5f64.min((1.0 + f64::from(n)) / (10.0 + f64::from(n)));
            wanted = decay * wanted + (1.0 - decay) * value;
            assert!((f64::from(first(&average, "w")) - wanted).abs() < 1e-5, "{n}");
        }
        // the first update is nearly all of it: 0.1 of the start is kept
        assert_eq!(first(&average, "bn.running_var"), 8.0);
    }

    #[test]
    fn saved_restored_refused() {
        let mut one = WeightAverage::new(0.9, &tensors(1.0, 2.0)).unwrap();
        one.update(&tensors(3.0, 4.0)).unwrap();
        let mut two = WeightAverage::new(0.9, &tensors(0.0, 0.0)).unwrap();
        two.restore(one.save().unwrap()).unwrap();
        for average in [&mut one, &mut two] {
            average.update(&tensors(-1.0, 0.1)).unwrap();
        }
        assert_eq!((first(&one, "w"), one.updates), (first(&two, "w"), two.updates));
        let mut other = tensors(1.0, 1.0);
        let taken = other.remove("w").unwrap();
        assert!(one.update(&other).is_err());
        other.insert("v".to_owned(), taken);
        assert!(one.update(&other).unwrap_err().to_string().starts_with("w: is not what"));
    }
}
