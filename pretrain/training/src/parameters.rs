//! What a run trains: named numbers in one order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Tensor, Var};

use crate::{Error, Result};

/// The trainable tensors of a network, sorted by name.
///
/// The order is the order of everything else: of gradients, buckets, and the states of optimisers. Laid end to end the
/// parameters are one flat vector, and each knows its range of it.
#[derive(Debug)]
pub struct Parameters {
    entries: Vec<Parameter>,
}

/// One trainable tensor.
#[derive(Debug)]
pub struct Parameter {
    name: String,
    variable: Var,
    range: Range<usize>,
}

impl Parameters {
    /// Copies of `tensors` that can be trained.
    ///
    /// # Errors
    /// Another type than f32: that is what is updated, whatever a network computes in.
    pub fn new(tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        let mut end = 0;
        let entries = tensors.iter().map(|(name, tensor)| {
            if tensor.dtype() != DType::F32 {
                let problem = format!("is {:?}; parameters are trained in F32", tensor.dtype());
                return Err(Error::Unfit { tensor: name.clone(), problem });
            }
            let range = end..end + tensor.elem_count();
            end = range.end;
            Ok(Parameter { name: name.clone(), variable: Var::from_tensor(&tensor.contiguous()?)?, range })
        });
        Ok(Self { entries: entries.collect::<Result<_>>()? })
    }

    /// By name.
    pub fn iter(&self) -> std::slice::Iter<'_, Parameter> {
        self.entries.iter()
    }

    /// The tensors by name, for a network to compute with: they change when the parameters do.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.iter().map(|parameter| (parameter.name.clone(), parameter.tensor().clone())).collect()
    }

    /// How many numbers are trained.
    pub fn n_values(&self) -> usize {
        self.entries.last().map_or(0, |parameter| parameter.range.end)
    }

    /// All numbers end to end.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn values(&self) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(self.n_values());
        for parameter in self.iter() {
            values.extend(parameter.tensor().flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(values)
    }

    /// Replaces all numbers.
    ///
    /// # Errors
    /// Another amount of numbers.
    pub fn set_values(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.n_values() {
            let problem = format!("{} numbers for {}", values.len(), self.n_values());
            return Err(Error::Unfit { tensor: "the parameters".to_owned(), problem });
        }
        self.iter().try_for_each(|parameter| {
            parameter.change(|own| own.copy_from_slice(&values[parameter.range.clone()]))
        })
    }

    /// Calls `act` with the part of each parameter that lies in `range` of the flat vector, and with that part's place in it.
    pub(crate) fn change_range(
        &self,
        range: Range<usize>,
        mut act: impl FnMut(&mut [f32], Range<usize>),
    ) -> Result<()> {
        for parameter in self.iter() {
            let (start, end) = (range.start.max(parameter.range.start), range.end.min(parameter.range.end));
            if start < end {
                let first = parameter.range.start;
                parameter.change(|values| act(&mut values[start - first..end - first], start..end))?;
            }
        }
        Ok(())
    }

    /// Takes the numbers of saved tensors, which have the parameters' names and shapes. Other tensors may be there.
    ///
    /// # Errors
    /// A tensor that is missing, or of another shape or type.
    pub fn restore(&self, saved: &BTreeMap<String, Tensor>) -> Result<()> {
        self.set_values(&self.flat("", saved)?)
    }

    /// Parts of a flat vector as tensors of the parameters' names and shapes: to save what belongs to them.
    pub(crate) fn named(&self, prefix: &str, flat: &[f32]) -> Result<BTreeMap<String, Tensor>> {
        let named = self.iter().map(|parameter| {
            let (values, device) = (flat[parameter.range.clone()].to_vec(), parameter.tensor().device());
            let tensor = Tensor::from_vec(values, parameter.tensor().shape(), device)?;
            Ok((format!("{prefix}{}", parameter.name), tensor))
        });
        named.collect()
    }

    /// The way back from [`named`](Self::named). Other tensors may be there.
    pub(crate) fn flat(&self, prefix: &str, named: &BTreeMap<String, Tensor>) -> Result<Vec<f32>> {
        let mut flat = Vec::with_capacity(self.n_values());
        for parameter in self.iter() {
            let name = format!("{prefix}{}", parameter.name);
            let unfit = |problem: String| Error::Unfit { tensor: name.clone(), problem };
            let tensor = named.get(&name).ok_or_else(|| unfit("is missing".to_owned()))?;
            if tensor.shape() != parameter.tensor().shape() || tensor.dtype() != DType::F32 {
                let (got, wanted) = (tensor.dims(), parameter.tensor().dims());
                return Err(unfit(format!("is {got:?} of {:?}, not {wanted:?} of F32", tensor.dtype())));
            }
            flat.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(flat)
    }
}

impl Parameter {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its place in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// What a network computes with.
    pub fn tensor(&self) -> &Tensor {
        self.variable.as_tensor()
    }

    /// Changes the numbers where they are.
    pub(crate) fn change(&self, change: impl FnOnce(&mut [f32])) -> Result<()> {
        Ok(self.variable.inplace_op1(&InPlace(RefCell::new(Some(change))))?)
    }
}

struct InPlace<F>(RefCell<Option<F>>);

impl<F: FnOnce(&mut [f32])> InplaceOp1 for InPlace<F> {
    fn name(&self) -> &'static str {
        "change of a parameter"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else {
            candle_core::bail!("a parameter that is not f32");
        };
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("a parameter whose numbers do not lie end to end");
        };
        if let Some(change) = self.0.take() {
            change(&mut values[start..end]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn flat_in_the_order_of_names_and_changed_in_place() {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let square = tensor(&[5.0, 6.0, 7.0, 8.0]).reshape((2, 2)).unwrap().t().unwrap();
        let tensors: BTreeMap<_, _> = [
            ("b".to_owned(), square),
            ("a.z".to_owned(), tensor(&[1.0])),
            ("a".to_owned(), tensor(&[2.0, 3.0])),
        ]
        .into();
        let parameters = Parameters::new(&tensors).unwrap();
        let names: Vec<&str> = parameters.iter().map(Parameter::name).collect();
        assert_eq!(names, ["a", "a.z", "b"]);
        assert_eq!(parameters.values().unwrap(), [2.0, 3.0, 1.0, 5.0, 7.0, 6.0, 8.0]);

        let seen = parameters.tensors()["b"].clone();
        let values: Vec<f32> = (0..7).map(|i| i as f32).collect();
        parameters.set_values(&values).unwrap();
        assert_eq!(seen.to_vec2::<f32>().unwrap(), [[3.0, 4.0], [5.0, 6.0]]);
        assert_eq!(tensors["a.z"].to_vec1::<f32>().unwrap(), [1.0]);
        assert!(parameters.set_values(&values[1..]).is_err());

        let named = parameters.named("m/", &values).unwrap();
        assert_eq!(parameters.flat("m/", &named).unwrap(), values);
        let missing = parameters.flat("v/", &named).unwrap_err().to_string();
        assert_eq!(missing, "v/a: is missing");
    }

    #[test]
    fn other_types_are_refused() {
        let half = Tensor::zeros(3, DType::F16, &Device::Cpu).unwrap();
        let error = Parameters::new(&[("w".to_owned(), half)].into()).unwrap_err();
        assert_eq!(error.to_string(), "w: is F16; parameters are trained in F32");
    }
}
