//! Weights on the disk: .safetensors, and what `torch.save` writes. Nothing is read before its name and shape fit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use safetensors::tensor::Metadata;
use torch_files::{TorchFile, Value};

use crate::architecture::Architecture;
use crate::error::Differences;
use crate::flavour::Flavour;
use crate::names;
use crate::weights::Weights;
use crate::{Error, Result};

/// Where trainers put the weights beside other things, the averaged ones first.
const WRAPPERS: [&str; 4] = ["state_dict_ema", "model_ema", "state_dict", "model"];
/// What data parallelism and compilation put before every key, and what a wrapping module does.
const PREFIXES: [&str; 3] = ["module.", "_orig_mod.", "model."];
/// Counters of training steps; they take no part in anything.
const COUNTER: &str = "num_batches_tracked";
/// The format's own bound.
const MAX_HEADER: u64 = 100_000_000;

/// A file of named tensors.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    container: Container,
    /// Cleaned name to the name in the file.
    names: BTreeMap<String, Found>,
}

#[derive(Debug)]
struct Found {
    name: String,
    shape: Vec<usize>,
}

#[derive(Debug)]
enum Container {
    Safetensors { file: File, start: u64, metadata: Metadata },
    Torch(TorchFile),
}

/// Numbers of a tensor as they lie in a file.
#[derive(Debug, Clone, Copy)]
enum Width {
    F32,
    F16,
    Bf16,
}

impl Checkpoint {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let mut head = [0; 9];
        // a header in JSON behind its length; no torch archive has a brace there
        let is_safetensors =
            length >= 9 && file.read_exact_at(&mut head, 0).map(|()| head[8] == b'{').map_err(read)?;
        let (container, found) = if is_safetensors {
            let [size @ .., _] = head;
            let (start, metadata) = header(path, &file, u64::from_le_bytes(size), length)?;
            let found = metadata.offset_keys().into_iter().filter_map(|name| {
                let shape = metadata.info(&name)?.shape.clone();
                Some((name.clone(), Found { name, shape }))
            });
            let found = found.collect();
            (Container::Safetensors { file, start, metadata }, found)
        } else {
            let torch = TorchFile::open(path)?;
            let found = in_archive(&torch);
            (Container::Torch(torch), found)
        };
        Ok(Self { path: path.to_owned(), container, names: cleaned(found) })
    }

    /// Shapes by cleaned name.
    pub(crate) fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.names.iter().map(|(name, found)| (name.clone(), found.shape.clone())).collect()
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.names.get(name).map(|found| found.shape.as_slice())
    }

    /// The flavour on which this file's keys, the name and the wish agree.
    pub(crate) fn flavour(&self, architecture: Architecture, asked: Option<Flavour>) -> Result<Flavour> {
        Flavour::agreed(architecture, asked, self.names.keys().map(String::as_str))
    }

    /// All tensors of the network under timm's names, as f32, and the number of classes.
    ///
    /// # Errors
    /// Names or shapes that do not fit, all of them in one error; numbers that are no weights.
    pub(crate) fn read(
        &self,
        architecture: Architecture,
        flavour: Flavour,
        n_classes: Option<usize>,
    ) -> Result<(Weights, usize)> {
        let in_file = |timm: &str| match flavour {
            Flavour::Torchvision if architecture.is_efficientnet() => {
                names::in_torchvision(timm).ok_or_else(|| Error::Internal { tensor: timm.to_owned() })
            }
            _ => Ok(timm.to_owned()),
        };
        let classifier =
            in_file(if architecture.is_efficientnet() { "classifier.weight" } else { "fc.weight" })?;
        let n_classes = self.classes(architecture, &classifier, n_classes)?;
        let expected = architecture
            .tensors(n_classes)
            .into_iter()
            .map(|(timm, shape)| Ok((in_file(&timm)?, timm, shape)));
        let expected = expected.collect::<Result<Vec<_>>>()?;
        let differences = self.differences(&expected);
        if !differences.is_empty() {
            return Err(Error::Tensors {
                path: self.path.clone(),
                architecture: architecture.to_string(),
                flavour: flavour.name(),
                differences: Box::new(differences),
            });
        }
        let weights = expected.into_iter().map(|(name, timm, shape)| {
            let values = self.values(&name)?;
            Ok((timm, Tensor::from_vec(values, shape, &Device::Cpu)?))
        });
        Ok((weights.collect::<Result<_>>()?, n_classes))
    }

    fn classes(&self, architecture: Architecture, classifier: &str, asked: Option<usize>) -> Result<usize> {
        /// Only to name what is missing where the file has no classifier.
        const IMAGENET: usize = 1000;
        let found = self.names.get(classifier).and_then(|found| found.shape.first().copied());
        match (found, asked) {
            (Some(found), Some(expected)) if found != expected => Err(Error::Classes {
                path: self.path.clone(),
                tensor: classifier.to_owned(),
                found,
                expected,
            }),
            (Some(0), _) => Err(Error::NoClasses { architecture: architecture.to_string() }),
            (found, asked) => Ok(found.or(asked).unwrap_or(IMAGENET)),
        }
    }

    fn differences(&self, expected: &[(String, String, Vec<usize>)]) -> Differences {
        let mut differences = Differences::default();
        let mut surplus: BTreeMap<&str, &Found> =
            self.names.iter().map(|(name, found)| (name.as_str(), found)).collect();
        for (name, _, shape) in expected {
            match surplus.remove(name.as_str()) {
                None => differences.missing.push(name.clone()),
                Some(found) if found.shape != *shape => {
                    differences.misshaped.push(format!("{name} is {:?}, not {shape:?}", found.shape));
                }
                Some(_) => {}
            }
        }
        differences.surplus = surplus.into_keys().map(str::to_owned).collect();
        differences
    }

    /// The numbers of the tensor with this cleaned name, finite and, for variances, not negative.
    pub(crate) fn values(&self, name: &str) -> Result<Vec<f32>> {
        let refuse = |problem: &str| {
            Err(Error::Value {
                path: self.path.clone(),
                tensor: name.to_owned(),
                problem: problem.to_owned(),
            })
        };
        let original = self.names.get(name).map_or(name, |found| &found.name);
        let Some((bytes, width)) = self.bytes(original)? else {
            return refuse("is neither float32 nor float16 nor bfloat16; save it as float32");
        };
        let values: Vec<f32> = match width {
            Width::F32 => bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
            Width::F16 => bytes.as_chunks().0.iter().map(|two| f16::from_le_bytes(*two).to_f32()).collect(),
            Width::Bf16 => bytes.as_chunks().0.iter().map(|two| bf16::from_le_bytes(*two).to_f32()).collect(),
        };
        if values.iter().any(|value| !value.is_finite()) {
            return refuse("holds a number that is not finite; the training that wrote it has failed");
        }
        if name.ends_with(".running_var") && values.iter().any(|value| *value < 0.0) {
            return refuse("holds a negative variance; the file is damaged");
        }
        Ok(values)
    }

    /// Little-endian; `None` for other types than those of [`Width`].
    fn bytes(&self, original: &str) -> Result<Option<(Vec<u8>, Width)>> {
        let internal = || Error::Internal { tensor: original.to_owned() };
        match &self.container {
            Container::Safetensors { file, start, metadata } => {
                let info = metadata.info(original).ok_or_else(internal)?;
                let width = match info.dtype {
                    safetensors::Dtype::F32 => Width::F32,
                    safetensors::Dtype::F16 => Width::F16,
                    safetensors::Dtype::BF16 => Width::Bf16,
                    _ => return Ok(None),
                };
                let (from, to) = info.data_offsets;
                let mut bytes = vec![0; to - from];
                let read = |source| Error::Read { path: self.path.clone(), source };
                file.read_exact_at(&mut bytes, start + from as u64).map_err(read)?;
                Ok(Some((bytes, width)))
            }
            Container::Torch(torch) => {
                let (_, tensor) = torch.tensors().find(|(name, _)| *name == original).ok_or_else(internal)?;
                let width = match tensor.dtype() {
                    torch_files::Dtype::Float32 => Width::F32,
                    torch_files::Dtype::Float16 => Width::F16,
                    torch_files::Dtype::BFloat16 => Width::Bf16,
                    _ => return Ok(None),
                };
                Ok(Some((torch.read(tensor)?, width)))
            }
        }
    }
}

/// The header of a safetensors file, checked against the file's length, and where the numbers start.
fn header(path: &Path, file: &File, size: u64, length: u64) -> Result<(u64, Metadata)> {
    let format = |problem: String| Error::Format { path: path.to_owned(), problem };
    if size > MAX_HEADER || size > length - 8 {
        let problem =
            format!("claims a header of {size} bytes in a file of {length}: cut short, or no .safetensors");
        return Err(format(problem));
    }
    let mut header = vec![0; size as usize];
    file.read_exact_at(&mut header, 8)
        .map_err(|source: io::Error| Error::Read { path: path.to_owned(), source })?;
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| format(format!("the header of the .safetensors is damaged: {error}")))?;
    let (start, needed) = (8 + size, metadata.data_len() as u64);
    if length - start != needed {
        let problem =
            format!("holds {} bytes of numbers, its header {needed}: copy it again", length - start);
        return Err(format(problem));
    }
    Ok((start, metadata))
}

/// The tensors of the state dict in a torch archive, wherever the trainer put it, by their keys in it.
fn in_archive(torch: &TorchFile) -> Vec<(String, Found)> {
    let root = torch.root().as_dict();
    let is_wrapper = |name: &&str| matches!(root.and_then(|root| root.get(name)), Some(Value::Dict(_)));
    let wrapper = WRAPPERS.into_iter().find(is_wrapper).map(|name| format!("{name}.")).unwrap_or_default();
    let tensors = torch.tensors().filter_map(|(name, tensor)| {
        let key = name.strip_prefix(&wrapper)?.to_owned();
        let shape = tensor.shape().iter().map(|&n| n as usize).collect();
        Some((key, Found { name: name.to_owned(), shape }))
    });
    tensors.collect()
}

/// Without the counters, and without prefixes that all keys share.
fn cleaned(mut found: Vec<(String, Found)>) -> BTreeMap<String, Found> {
    found.retain(|(key, _)| key.rsplit('.').next() != Some(COUNTER));
    let shared = |found: &[(String, Found)]| {
        let is_shared =
            |prefix: &&str| !found.is_empty() && found.iter().all(|(key, _)| key.starts_with(prefix));
        PREFIXES.into_iter().find(is_shared)
    };
    while let Some(prefix) = shared(&found) {
        for (key, _) in &mut found {
            key.drain(..prefix.len());
        }
    }
    found.into_iter().collect()
}
