//! What a run trains: named numbers in one order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Tensor, Var};

use crate::{Error, Result};

/// The trainable tensors of a network, sorted by name.
///
/// The order is the order of everything else: of gradients, buckets, and the states of optimisers. Laid end to end the
/// parameters are one flat vector, and each knows its range of it.
///
/// They are on the host, where they are updated and saved. A network on another device computes with copies there, which
/// follow: 4 bytes a parameter and update go over, as the gradients of each backward pass come back. For OscarB 440 MB each
/// way, 20 to 40 ms on PCIe 4 or 5; an optimiser on the device would save both.
#[derive(Debug)]
pub struct Parameters {
    entries: Vec<Parameter>,
}

/// One trainable tensor.
#[derive(Debug)]
pub struct Parameter {
    name: String,
    variable: Var,
    copy: Option<Copy>,
    range: Range<usize>,
}

/// A parameter on the device that a network computes on.
#[derive(Debug)]
struct Copy {
    variable: Var,
    /// Whether the parameter has changed since.
    is_old: AtomicBool,
}

impl Parameters {
    /// Copies of `tensors` that can be trained.
    ///
    /// # Errors
    /// Another type than f32: that is what is updated, whatever a network computes in.
    pub fn new(tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        Self::on(&Device::Cpu, tensors)
    }

    /// As [`new`](Self::new), for a network that computes on `device`.
    ///
    /// # Errors
    /// As there; no room on the device.
    pub fn on(device: &Device, tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        Self::copied_to((!device.is_cpu()).then_some(device), tensors)
    }

    fn copied_to(device: Option<&Device>, tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        let mut end = 0;
        let entries = tensors.iter().map(|(name, tensor)| {
            if tensor.dtype() != DType::F32 {
                let problem = format!("is {:?}; parameters are trained in F32", tensor.dtype());
                return Err(Error::Unfit { tensor: name.clone(), problem });
            }
            let range = end..end + tensor.elem_count();
            end = range.end;
            let variable = Var::from_tensor(&tensor.to_device(&Device::Cpu)?.contiguous()?)?;
            let copy = device.map(|device| {
                let values = variable.flatten_all()?.to_vec1::<f32>()?;
                let variable = Var::from_tensor(&Tensor::from_vec(values, variable.shape(), device)?)?;
                Ok::<_, Error>(Copy { variable, is_old: AtomicBool::new(false) })
            });
            Ok(Parameter { name: name.clone(), variable, copy: copy.transpose()?, range })
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

    /// The tensors by name on the host, to be written.
    pub fn on_host(&self) -> BTreeMap<String, Tensor> {
        self.iter().map(|parameter| (parameter.name.clone(), parameter.host().clone())).collect()
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
            values.extend(parameter.host().flatten_all()?.to_vec1::<f32>()?);
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
        })?;
        self.publish()
    }

    /// Lets the network know what was changed: copies what has a copy.
    pub(crate) fn publish(&self) -> Result<()> {
        for parameter in self.iter() {
            if let Some(copy) = &parameter.copy
                && copy.is_old.swap(false, Ordering::Relaxed)
            {
                let host = parameter.host();
                let values = host.flatten_all()?.to_vec1::<f32>()?;
                copy.variable.set(&Tensor::from_vec(values, host.shape(), copy.variable.device())?)?;
            }
        }
        Ok(())
    }

    /// Calls `act` with the part of each parameter that lies in `range` of the flat vector, and with that part's place in it.
    /// After changes [`publish`](Self::publish) is due.
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
            let values = flat[parameter.range.clone()].to_vec();
            let tensor = Tensor::from_vec(values, parameter.tensor().shape(), &Device::Cpu)?;
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
        self.copy.as_ref().map_or(&self.variable, |copy| &copy.variable).as_tensor()
    }

    fn host(&self) -> &Tensor {
        self.variable.as_tensor()
    }

    /// Changes the numbers where they are; then [`Parameters::publish`] is due.
    pub(crate) fn change(&self, change: impl FnOnce(&mut [f32])) -> Result<()> {
        if let Some(copy) = &self.copy {
            copy.is_old.store(true, Ordering::Relaxed);
        }
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

    /// A copy as on another device, on the CPU: it is what is learnt with, and it follows.
    #[test]
    fn copies_follow_and_get_the_gradients() {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let tensors: BTreeMap<_, _> =
            [("a".to_owned(), tensor(&[1.0, 2.0])), ("b".to_owned(), tensor(&[3.0]))].into();
        let parameters = Parameters::copied_to(Some(&Device::Cpu), &tensors).unwrap();
        let seen = parameters.tensors()["a"].clone();
        assert_ne!(seen.id(), parameters.on_host()["a"].id());

        let loss =
            (parameters.tensors()["b"].sum_all().unwrap() + seen.sqr().unwrap().sum_all().unwrap()).unwrap();
        let mut gradients = crate::Gradients::zeros(&parameters);
        gradients.backward(&parameters, &loss).unwrap();
        assert_eq!(gradients.values(), [2.0, 4.0, 1.0]);

        let sgd = crate::optimiser::Rule::Sgd(crate::optimiser::Sgd { momentum: 0.0, nesterov: false });
        let mut optimiser =
            crate::Optimiser::new(sgd, &parameters, |_| crate::Group { weight_decay: 0.0, rate_factor: 1.0 });
        optimiser.step(&parameters, &gradients, 0.5).unwrap();
        for (values, of) in [([0.0, 0.0, 2.5], "step"), ([7.0, 8.0, 9.0], "set_values")] {
            if of == "set_values" {
                parameters.set_values(&values).unwrap();
            }
            assert_eq!(parameters.values().unwrap(), values);
            assert_eq!(seen.to_vec1::<f32>().unwrap(), values[..2], "{of}");
        }
        let saved = parameters.on_host();
        parameters.set_values(&[0.0; 3]).unwrap();
        // what is on the host is the parameter itself, as `tensors` are without copies
        assert_eq!(saved["b"].to_vec1::<f32>().unwrap(), [0.0]);
    }

    #[test]
    fn other_types_are_refused() {
        let half = Tensor::zeros(3, DType::F16, &Device::Cpu).unwrap();
        let error = Parameters::new(&[("w".to_owned(), half)].into()).unwrap_err();
        assert_eq!(error.to_string(), "w: is F16; parameters are trained in F32");
    }
}
