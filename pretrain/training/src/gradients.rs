//! Gradients of all parameters as one flat vector: added up, reduced over ranks, measured, clipped.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use pretrain_comm::Collective;
use pretrain_kernels::{backward_into, squared_norm};
use rayon::prelude::*;

use crate::{Error, Parameters, Result};

/// Numbers of a bucket: 4 MiB of f32. One bucket is one operation between ranks.
const BUCKET: usize = 1 << 20;

/// The gradient of a loss, in the order of the [`Parameters`].
///
/// A step over several micro-batches and ranks is exact where losses are divided by the number of samples (tokens,
/// pictures) in ALL micro-batches of ALL ranks, before or after: then gradients only have to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    values: Vec<f32>,
}

/// Which parameters the parts of a backward pass have reached so far.
#[derive(Debug)]
pub struct Reached(Vec<bool>);

impl Gradients {
    /// Nothing yet.
    pub fn zeros(parameters: &Parameters) -> Self {
        Self { values: vec![0.0; parameters.n_values()] }
    }

    /// Adds the gradients of one micro-batch.
    ///
    /// # Errors
    /// A parameter without a gradient, or with one of another shape or type.
    pub fn add(&mut self, parameters: &Parameters, store: &GradStore) -> Result<()> {
        let mut reached = self.begin_parts();
        self.add_part(parameters, store, &mut reached)?;
        reached.require_all(parameters)
    }

    /// Adds the gradients of a loss: what [`add`](Self::add) does with `loss.backward()`, in less time and memory.
    ///
    /// # Errors
    /// As there, and those of the operations.
    pub fn backward(&mut self, parameters: &Parameters, loss: &Tensor) -> Result<()> {
        let mut reached = self.begin_parts();
        self.backward_part(parameters, loss, &mut reached)?;
        reached.require_all(parameters)
    }

    /// Adds the gradients of a loss that depends on some of the parameters, and notes on which; the gradients of all that is
    /// no parameter.
    ///
    /// # Errors
    /// As [`backward`](Self::backward), but for parameters that are not reached.
    pub fn backward_part(
        &mut self,
        parameters: &Parameters,
        loss: &Tensor,
        reached: &mut Reached,
    ) -> Result<GradStore> {
        let ranges: Vec<_> = parameters.iter().map(|one| (one.tensor().id(), one.range())).collect();
        let collected = backward_into(loss, &ranges, &mut self.values)?;
        reached.0.resize(ranges.len(), false);
        reached.0.iter_mut().zip(collected.reached).for_each(|(reached, now)| *reached |= now);
        self.add_part(parameters, &collected.store, reached)?;
        Ok(collected.store)
    }

    /// Before a micro-batch whose backward pass comes in parts, for some of the parameters each.
    pub fn begin_parts(&self) -> Reached {
        Reached(Vec::new())
    }

    /// Adds the gradients of one part, and notes whom they reach.
    ///
    /// # Errors
    /// A gradient of another shape or type than its parameter.
    pub fn add_part(
        &mut self,
        parameters: &Parameters,
        store: &GradStore,
        reached: &mut Reached,
    ) -> Result<()> {
        reached.0.resize(parameters.iter().len(), false);
        for (parameter, reached) in parameters.iter().zip(&mut reached.0) {
            let Some(gradient) = store.get(parameter.tensor()) else { continue };
            *reached = true;
            if gradient.shape() != parameter.tensor().shape() {
                let problem =
                    format!("has a gradient of {:?} for {:?}", gradient.dims(), parameter.tensor().dims());
                return Err(Error::Unfit { tensor: parameter.name().to_owned(), problem });
            }
            let theirs = gradient.flatten_all()?.to_vec1::<f32>()?;
            let own = &mut self.values[parameter.range()];
            own.par_iter_mut().with_min_len(1 << 14).zip(&theirs).for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }

    /// The sums of parameter `number`, for those who compute its gradient without tensors and add to them.
    ///
    /// # Panics
    /// No such parameter.
    pub fn sums_of(&mut self, parameters: &Parameters, number: usize, reached: &mut Reached) -> &mut [f32] {
        reached.0.resize(parameters.iter().len(), false);
        reached.0[number] = true;
        let parameter = parameters.iter().nth(number).expect("a parameter of these");
        &mut self.values[parameter.range()]
    }

    /// Adds up the gradients of all ranks, bucket by bucket.
    ///
    /// # Errors
    /// A rank that does not come.
    pub fn all_reduce(&mut self, ranks: &dyn Collective) -> Result<()> {
        if ranks.world() > 1 {
            self.values.chunks_mut(BUCKET).try_for_each(|bucket| ranks.all_reduce_sum(bucket))?;
        }
        Ok(())
    }

    /// Multiplies all by `factor`: by 1 over the number of samples where losses were added up without dividing them,
    /// because only after [`all_reduce`](Self::all_reduce) is it known how many there are.
    pub fn scale(&mut self, factor: f64) {
        self.values.par_iter_mut().with_min_len(1 << 14).for_each(|value| *value *= factor as f32);
    }

    /// The square root of the sum of all squares, which is checked to be finite; then, with a bound, all gradients are
    /// made shorter by one factor so that the norm is at most the bound (Paper: 1211.5063, algorithm 1).
    ///
    /// Call it after [`all_reduce`](Self::all_reduce): then all ranks see the same.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the first parameter whose gradient is not.
    pub fn clip(&mut self, parameters: &Parameters, bound: Option<f64>, step: u64) -> Result<f64> {
        let entries: Vec<_> = parameters.iter().collect();
        let squares: Vec<f64> =
            entries.par_iter().map(|parameter| squared_norm(&self.values[parameter.range()])).collect();
        if let Some(i) = squares.iter().position(|sum| !sum.is_finite()) {
            let tensor = entries[i].name().to_owned();
            return Err(Error::NotFinite { what: "a gradient", tensor, step });
        }
        let norm = squares.iter().sum::<f64>().sqrt();
        if let Some(bound) = bound.filter(|bound| norm > *bound) {
            self.scale(bound / norm);
        }
        Ok(norm)
    }

    /// Back to nothing, for the next step.
    pub fn clear(&mut self) {
        self.values.par_chunks_mut(BUCKET).for_each(|values| values.fill(0.0));
    }

    /// All numbers end to end, in the order of the parameters.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

impl Reached {
    /// Refuses a backward pass that left a parameter out.
    ///
    /// # Errors
    /// [`Error::NoGradient`] with the first one.
    pub fn require_all(&self, parameters: &Parameters) -> Result<()> {
        let missing = parameters.iter().enumerate().find(|(i, _)| !self.0.get(*i).is_some_and(|it| *it));
        missing.map_or(Ok(()), |(_, parameter)| {
            Err(Error::NoGradient { parameter: parameter.name().to_owned() })
        })
    }
}

/// Refuses a loss that is not finite; ask with the loss of all ranks.
///
/// # Errors
/// [`Error::NotFinite`].
pub fn require_finite(loss: f64, name: &str, step: u64) -> Result<()> {
    if loss.is_finite() {
        return Ok(());
    }
    Err(Error::NotFinite { what: "the loss", tensor: format!("{name} is {loss}"), step })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn parameters() -> Parameters {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let tensors = [
            ("a".to_owned(), tensor(&[1.0, 2.0])),
            ("b".to_owned(), tensor(&[3.0])),
            ("c".to_owned(), tensor(&[0.0])),
        ];
        Parameters::new(&tensors.into()).unwrap()
    }

    fn loss(parameters: &Parameters, factors: [f64; 3]) -> Tensor {
        let terms = parameters.iter().zip(factors).filter(|(_, factor)| *factor != 0.0);
        let terms: Vec<Tensor> = terms
            .map(|(p, factor)| (p.tensor().sqr().unwrap().sum_all().unwrap() * factor).unwrap())
            .collect();
        Tensor::stack(&terms, 0).unwrap().sum_all().unwrap()
    }

    fn backward(parameters: &Parameters, factors: [f64; 3]) -> GradStore {
        loss(parameters, factors).backward().unwrap()
    }

    #[test]
    fn added_measured_and_clipped() {
        let parameters = parameters();
        let mut gradients = Gradients::zeros(&parameters);
        gradients.add(&parameters, &backward(&parameters, [0.5, 1.0, 1.0])).unwrap();
        gradients.add(&parameters, &backward(&parameters, [1.0, -0.5, 1.0])).unwrap();
        assert_eq!(gradients.values(), [3.0, 6.0, 3.0, 0.0]);
        let norm = 54f64.sqrt();
        let mut again = Gradients::zeros(&parameters);
        for factors in [[0.5, 1.0, 1.0], [1.0, -0.5, 1.0]] {
            again.backward(&parameters, &loss(&parameters, factors)).unwrap();
        }
        assert_eq!(gradients, again);
        assert_eq!(gradients.clip(&parameters, Some(norm + 1e-9), 0).unwrap(), norm);
        assert_eq!(gradients.values(), [3.0, 6.0, 3.0, 0.0]);
        assert_eq!(gradients.clip(&parameters, Some(norm / 3.0), 0).unwrap(), norm);
        let apart = gradients.values().iter().zip([1.0, 2.0, 1.0, 0.0]).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-6, "{gradients:?}");
        gradients.clear();
        assert_eq!(gradients, Gradients::zeros(&parameters));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let parameters = parameters();
        let mut gradients = Gradients::zeros(&parameters);
        let error = gradients.add(&parameters, &backward(&parameters, [1.0, 0.0, 1.0])).unwrap_err();
        assert!(error.to_string().starts_with("b has no gradient"), "{error}");
        gradients.add(&parameters, &backward(&parameters, [1.0, f64::NAN, 1.0])).unwrap();
        let error = gradients.clip(&parameters, None, 17).unwrap_err();
        assert!(error.to_string().starts_with("a gradient is not finite at step 17: b;"), "{error}");
        require_finite(0.0, "loss", 1).unwrap();
        let error = require_finite(f64::INFINITY, "cross-entropy", 3).unwrap_err();
        assert!(
            error.to_string().starts_with("the loss is not finite at step 3: cross-entropy is inf;"),
            "{error}"
        );
    }
}
