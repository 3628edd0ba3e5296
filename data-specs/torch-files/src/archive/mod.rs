//! Torch archives: the object at open, the numbers on demand.

mod legacy;
mod names;
mod positioned;
mod zip;

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ::zip::read::ZipArchiveMetadata;

use crate::error::Error;
use crate::limits::Limits;
use crate::tensor::{Storage, TensorRef};
use crate::value::Value;
use positioned::PositionedFile;

/// A file written by `torch.save`, zip or legacy. Opening reads the object and checks where every storage lies;
/// no number is read before it is asked for, so a file of many gigabytes opens at once.
///
/// Shared freely between threads: reads are positioned.
#[derive(Debug)]
pub struct TorchFile {
    file: PositionedFile,
    limits: Limits,
    root: Value,
    named: Vec<(String, Arc<TensorRef>)>,
    located: HashMap<Arc<str>, (Arc<Storage>, Located)>,
}

/// What a container's reader hands over.
struct Opened {
    root: Value,
    located: HashMap<Arc<str>, (Arc<Storage>, Located)>,
}

/// Where a storage lies. Its size is in [`Storage`] and agrees with the file.
#[derive(Debug)]
enum Located {
    Plain { start: u64 },
    Deflated { metadata: Arc<ZipArchiveMetadata>, index: usize },
}

impl TorchFile {
    /// Opens with default [`Limits`].
    ///
    /// # Errors
    /// As [`TorchFile::open_with`].
    pub fn open(path: impl AsRef<Path>) -> Result<TorchFile, Error> {
        TorchFile::open_with(path, Limits::default())
    }

    /// Opens a zip or legacy archive.
    ///
    /// # Errors
    /// Another kind of file ([`Error::Format`]), an object that is not plain data ([`Error::Global`]), storages
    /// or entries that disagree with the file, or anything larger than `limits`.
    pub fn open_with(path: impl AsRef<Path>, limits: Limits) -> Result<TorchFile, Error> {
        let file = PositionedFile::open(path.as_ref())?;
        let head = file.read(0, file.len.min(512))?;
        let Opened { root, located } = if head.starts_with(b"PK\x03\x04") {
            zip::open(&file, &limits)?
        } else if head.get(257..262) == Some(b"ustar") {
            return Err(Error::Format {
                file: file.name,
                what: "is a tar archive, torch's format before 0.2".into(),
                hint: "load it with the torch that wrote it and re-save with torch.save(...)",
            });
        } else {
            legacy::open(&file, &limits)?
        };
        let named = names::name_tensors(&file.name, &root, &limits)?;
        Ok(TorchFile { file, limits, root, named, located })
    }

    /// The saved object.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// Every tensor with its dotted name, in file order: the key for a state dict, `optimizer.state.0.exp_avg`
    /// further down. A tensor in two places comes twice. No name comes twice.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = (&str, &TensorRef)> {
        self.named.iter().map(|(name, tensor)| (name.as_str(), &**tensor))
    }

    /// The elements of a tensor of this file, row-major, little-endian: [`TensorRef::byte_len`] bytes.
    ///
    /// A view with gaps costs the memory of the storage span it covers as well.
    ///
    /// # Errors
    /// The file cannot be read, an entry cannot be inflated, or the result would be larger than
    /// [`Limits::max_made_bytes`] without being in the file.
    pub fn read(&self, tensor: &TensorRef) -> Result<Vec<u8>, Error> {
        let size = tensor.dtype().size();
        if tensor.numel() == 0 {
            return self.locate(tensor).map(|_| Vec::new());
        }
        let first = tensor.offset() * size;
        if tensor.is_contiguous() {
            return self.read_storage(tensor, first, tensor.byte_len());
        }
        let span = tensor.span() * size;
        if tensor.byte_len().max(span) > self.limits.max_made_bytes {
            return Err(self.too_much());
        }
        let bytes = self.read_storage(tensor, first, span)?;
        Ok(gather(&bytes, tensor.shape(), tensor.strides(), size as usize))
    }

    /// Where in the file the elements lie, if they lie there as [`TorchFile::read`] would return them: for reading
    /// rows of a large matrix without the rest. `None` for deflated entries, views with gaps, other files' tensors.
    pub fn byte_range(&self, tensor: &TensorRef) -> Option<Range<u64>> {
        match self.locate(tensor) {
            Ok(Located::Plain { start }) if tensor.is_contiguous() => {
                let first = start + tensor.offset() * tensor.dtype().size();
                Some(first..first + tensor.byte_len())
            }
            _ => None,
        }
    }

    fn read_storage(&self, tensor: &TensorRef, first: u64, n: u64) -> Result<Vec<u8>, Error> {
        match self.locate(tensor)? {
            Located::Plain { start } => self.file.read(start + first, n),
            Located::Deflated { .. } if n > self.limits.max_made_bytes => Err(self.too_much()),
            Located::Deflated { metadata, index } => zip::inflate(&self.file, metadata, *index, first, n),
        }
    }

    /// Refuses tensors of another file, or of another opening of this one.
    fn locate(&self, tensor: &TensorRef) -> Result<&Located, Error> {
        match self.located.get(tensor.storage_key()) {
            Some((storage, located)) if Arc::ptr_eq(storage, tensor.storage()) => Ok(located),
            _ => Err(Error::Storage {
                file: self.file.name.clone(),
                key: tensor.storage_key().to_owned(),
                what: "belongs to another TorchFile than this one".into(),
            }),
        }
    }

    fn too_much(&self) -> Error {
        let (file, allowed) = (self.file.name.clone(), self.limits.max_made_bytes);
        Error::Limit { file, position: 0, limit: "max_made_bytes", allowed }
    }
}

/// Elements in row-major order out of the span that starts at the first of them.
fn gather(span: &[u8], shape: &[u64], strides: &[u64], size: usize) -> Vec<u8> {
    // the last dimension in one go where it has no gaps
    let (outer, run) = match (shape.split_last(), strides.last()) {
        (Some((&last, outer)), Some(1)) => (outer, last as usize * size),
        _ => (shape, size),
    };
    let rows: u64 = outer.iter().product();
    let mut out = Vec::with_capacity(rows as usize * run);
    let mut index = vec![0u64; outer.len()];
    let mut at = 0u64;
    for _ in 0..rows {
        let from = at as usize * size;
        out.extend_from_slice(&span[from..from + run]);
        for ((i, &extent), &stride) in index.iter_mut().zip(outer).zip(strides).rev() {
            *i += 1;
            at += stride;
            if *i < extent {
                break;
            }
            at -= *i * stride;
            *i = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::gather;

    #[test]
    fn views_are_gathered() {
        let bytes: Vec<u8> = (0..12).collect();
        assert_eq!(gather(&bytes, &[3, 4], &[1, 3], 1), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
        assert_eq!(gather(&bytes, &[2, 2], &[4, 1], 1), [0, 1, 4, 5]);
        assert_eq!(gather(&bytes, &[2, 2], &[0, 1], 2), [0, 1, 2, 3, 0, 1, 2, 3]);
    }
}
