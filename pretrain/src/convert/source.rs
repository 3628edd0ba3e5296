//! A file of weights: .safetensors, or what `torch.save` writes. Tensors are known by name and shape; numbers stay in the
//! file until they are asked for.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::Metadata;
use torch_files::{Limits, TorchFile};

use crate::{Error, Result};

/// The file.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    container: Container,
    entries: Vec<Entry>,
}

/// A tensor of the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: String,
    width: Option<Width>,
}

#[derive(Debug)]
enum Container {
    Safetensors { file: File, start: u64, metadata: Metadata },
    Torch(TorchFile),
}

/// Numbers that can be weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    F64,
    F32,
    F16,
    Bf16,
}

/// The format's own bound.
const MAX_HEADER: u64 = 100_000_000;
const DAMAGED: &str = "the file is damaged or cut short: copy it again";

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io = data_specs::Error::io;
        let file = File::open(path).map_err(io("open", path))?;
        let length = file.metadata().map_err(io("read", path))?.len();
        let mut head = [0; 9];
        // a header in JSON behind its length; no torch archive has a brace there
        let is_safetensors = length >= 9 && {
            file.read_exact_at(&mut head, 0).map_err(io("read", path))?;
            head[8] == b'{'
        };
        let (container, entries) = if is_safetensors {
            let [size @ .., _] = head;
            let (start, metadata) = header(path, &file, u64::from_le_bytes(size), length)?;
            let mut entries: Vec<Entry> = metadata
                .tensors()
                .into_iter()
                .map(|(name, info)| Entry {
                    name,
                    shape: info.shape.clone(),
                    dtype: in_torch(info.dtype),
                    width: Width::of(&in_torch(info.dtype)),
                })
                .collect();
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            (Container::Safetensors { file, start, metadata }, entries)
        } else {
            // a view that repeats its elements may not make more than a few times what the file holds
            let limits = Limits { max_made_bytes: (4 * length).max(64 << 20), ..Limits::default() };
            let torch = TorchFile::open_with(path, limits).map_err(archive)?;
            let entries = torch.tensors().map(|(name, tensor)| Entry {
                name: name.to_owned(),
                shape: tensor.shape().iter().map(|&n| n as usize).collect(),
                dtype: tensor.dtype().name().to_owned(),
                width: Width::of(tensor.dtype().name()),
            });
            let entries = entries.collect();
            (Container::Torch(torch), entries)
        };
        Ok(Self { path: path.to_owned(), container, entries })
    }

    /// All tensors, in an order that the file fixes.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn container(&self) -> &'static str {
        match self.container {
            Container::Safetensors { .. } => "safetensors",
            Container::Torch(_) => "torch",
        }
    }

    /// The numbers of a tensor as f32, little-endian, all finite.
    ///
    /// # Errors
    /// Another type than weights have; numbers that are not finite; a damaged file.
    pub(super) fn f32_bytes(&self, number: usize) -> Result<Vec<u8>> {
        let entry = &self.entries[number];
        let refuse = |problem: &str, hint: &str| Error::Unfit {
            path: self.path.clone(),
            field: entry.name.clone(),
            problem: problem.to_owned(),
            hint: hint.to_owned(),
        };
        let Some(width) = entry.width else {
            let hint = "weights are float64, float32, float16 or bfloat16; save them as float32";
            return Err(refuse(&format!("is {}", entry.dtype), hint));
        };
        let bytes = self.bytes(number)?;
        let (bytes, is_finite) = match width {
            Width::F32 => {
                let (numbers, _) = bytes.as_chunks();
                let is_finite = numbers.iter().all(|four| f32::from_le_bytes(*four).is_finite());
                (bytes, is_finite)
            }
            Width::F64 => widened(bytes.as_chunks().0.iter().map(|eight| f64::from_le_bytes(*eight) as f32)),
            Width::F16 => widened(bytes.as_chunks().0.iter().map(|two| f16::from_le_bytes(*two).to_f32())),
            Width::Bf16 => widened(bytes.as_chunks().0.iter().map(|two| bf16::from_le_bytes(*two).to_f32())),
        };
        if !is_finite {
            let hint =
                "the training that wrote it has failed, or the file is damaged: take another checkpoint";
            return Err(refuse("holds a number that is not finite in float32", hint));
        }
        Ok(bytes)
    }

    /// As they lie in the file.
    fn bytes(&self, number: usize) -> Result<Vec<u8>> {
        let entry = &self.entries[number];
        match &self.container {
            Container::Safetensors { file, start, metadata } => {
                let info = metadata.info(&entry.name).expect("entries are those of the header");
                let (from, to) = info.data_offsets;
                let mut bytes = vec![0; to - from];
                let read = data_specs::Error::io("read", &self.path);
                file.read_exact_at(&mut bytes, start + from as u64).map_err(read)?;
                Ok(bytes)
            }
            Container::Torch(torch) => {
                let (_, tensor) = torch.tensors().nth(number).expect("entries are those of the archive");
                torch.read(tensor).map_err(|error| Error::Unfit {
                    path: self.path.clone(),
                    field: entry.name.clone(),
                    problem: format!("cannot be read: {error}"),
                    hint: DAMAGED.to_owned(),
                })
            }
        }
    }
}

impl Width {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "float64" => Self::F64,
            "float32" => Self::F32,
            "float16" => Self::F16,
            "bfloat16" => Self::Bf16,
            _ => return None,
        })
    }
}

fn in_torch(dtype: safetensors::Dtype) -> String {
    match dtype {
        safetensors::Dtype::F64 => "float64".to_owned(),
        safetensors::Dtype::F32 => "float32".to_owned(),
        safetensors::Dtype::F16 => "float16".to_owned(),
        safetensors::Dtype::BF16 => "bfloat16".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn widened(numbers: impl ExactSizeIterator<Item = f32>) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(4 * numbers.len());
    let mut is_finite = true;
    for number in numbers {
        is_finite &= number.is_finite();
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    (bytes, is_finite)
}

fn archive(source: torch_files::Error) -> Error {
    let hint = match source {
        torch_files::Error::Global { .. } | torch_files::Error::Opcode { .. } => {
            "nothing was run; weights need no code: save the state dict again with save_file of safetensors"
        }
        torch_files::Error::Format { .. } => "weights are a .safetensors or what torch.save wrote",
        torch_files::Error::Io { .. } => "the system refused",
        _ => DAMAGED,
    };
    Error::Archive { source: Box::new(source), hint: hint.to_owned() }
}

/// The header of a safetensors file, checked against the file's length, and where the numbers start.
fn header(path: &Path, file: &File, size: u64, length: u64) -> Result<(u64, Metadata)> {
    let unfit = |problem: String| Error::Unfit {
        path: path.to_owned(),
        field: "header".to_owned(),
        problem,
        hint: DAMAGED.to_owned(),
    };
    if size > MAX_HEADER || size > length - 8 {
        return Err(unfit(format!("claims {size} bytes in a file of {length}")));
    }
    let mut header = vec![0; size as usize];
    file.read_exact_at(&mut header, 8).map_err(data_specs::Error::io("read", path))?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| unfit(format!("is no header: {error}")))?;
    let (start, needed) = (8 + size, metadata.data_len() as u64);
    if length - start != needed {
        return Err(unfit(format!(
            "tells of {needed} bytes of numbers, there are {}: tensors end past the end, or bytes belong to none",
            length - start
        )));
    }
    Ok((start, metadata))
}
