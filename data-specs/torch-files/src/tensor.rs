//! Where a tensor's numbers lie.

use std::sync::Arc;

/// A tensor described, not loaded: element type, shape and strides over a storage of the file.
///
/// Made only by this crate, after checking that every element lies inside the storage.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorRef {
    dtype: Dtype,
    shape: Vec<u64>,
    strides: Vec<u64>,
    offset: u64,
    storage: Arc<Storage>,
}

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "torch's own names")]
pub enum Dtype {
    Float64,
    Float32,
    Float16,
    BFloat16,
    Float8E4M3Fn,
    Float8E5M2,
    Int64,
    Int32,
    Int16,
    Int8,
    UInt64,
    UInt32,
    UInt16,
    UInt8,
    Bool,
    Complex64,
    Complex128,
}

/// A run of bytes in the file that one or more tensors look at.
#[derive(Debug, PartialEq)]
pub(crate) struct Storage {
    pub(crate) key: Arc<str>,
    pub(crate) bytes: u64,
    /// Bytes of one element as first met; legacy files count storages in these.
    pub(crate) element: u64,
}

/// The most dimensions that torch itself allows.
const MAX_DIMS: usize = 64;

impl TensorRef {
    /// Checks that every element lies in bytes `first..first + bytes` of the storage. Offsets and strides in elements.
    pub(crate) fn new(
        dtype: Dtype,
        shape: Vec<u64>,
        strides: Vec<u64>,
        offset: u64,
        (storage, first, bytes): (Arc<Storage>, u64, u64),
    ) -> Result<Self, String> {
        if shape.len() != strides.len() || shape.len() > MAX_DIMS {
            return Err(format!("{} sizes and {} strides for a tensor", shape.len(), strides.len()));
        }
        let size = dtype.size();
        if first % size != 0 {
            return Err(format!("a view at byte {first} splits elements of {size} bytes"));
        }
        let overflow = || format!("a tensor of shape {shape:?} and strides {strides:?} is beyond any file");
        let numel = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let numel = if shape.contains(&0) { 0 } else { numel.ok_or_else(overflow)? };
        numel.checked_mul(size).filter(|&n| usize::try_from(n).is_ok()).ok_or_else(overflow)?;
        if numel > 0 {
            let end = shape
                .iter()
                .zip(&strides)
                .try_fold(offset, |at, (&d, &s)| at.checked_add((d - 1).checked_mul(s)?))
                .and_then(|last| last.checked_add(1)?.checked_mul(size))
                .ok_or_else(overflow)?;
            if end > bytes {
                return Err(format!(
                    "a tensor of shape {shape:?}, strides {strides:?} and offset {offset} ends at byte {end} \
                     of a storage of {bytes}"
                ));
            }
        }
        let offset = if numel > 0 { first / size + offset } else { first / size };
        Ok(TensorRef { dtype, shape, strides, offset, storage })
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Extent of each dimension; empty for a single number.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Elements from one index to the next in each dimension.
    pub fn strides(&self) -> &[u64] {
        &self.strides
    }

    /// Elements of this tensor's type from the start of the storage to the first element.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Name of the storage; tensors of one file with the same key share memory.
    pub fn storage_key(&self) -> &str {
        &self.storage.key
    }

    /// Number of elements.
    pub fn numel(&self) -> u64 {
        if self.shape.contains(&0) { 0 } else { self.shape.iter().product() }
    }

    /// Bytes of all elements, which is what [`TorchFile::read`](crate::TorchFile::read) returns.
    pub fn byte_len(&self) -> u64 {
        self.numel() * self.dtype.size()
    }

    /// Whether the elements lie row-major without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.numel() == 0
            || self.shape.iter().zip(&self.strides).rev().all(|(&d, &s)| {
                let fits = d == 1 || s == expected;
                expected *= d;
                fits
            })
    }

    pub(crate) fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// Elements from the first to one past the last in storage order; not for tensors without elements.
    pub(crate) fn span(&self) -> u64 {
        1 + self.shape.iter().zip(&self.strides).map(|(&d, &s)| (d - 1) * s).sum::<u64>()
    }
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> u64 {
        match self {
            Dtype::Complex128 => 16,
            Dtype::Float64 | Dtype::Int64 | Dtype::UInt64 | Dtype::Complex64 => 8,
            Dtype::Float32 | Dtype::Int32 | Dtype::UInt32 => 4,
            Dtype::Float16 | Dtype::BFloat16 | Dtype::Int16 | Dtype::UInt16 => 2,
            Dtype::Float8E4M3Fn | Dtype::Float8E5M2 | Dtype::Int8 | Dtype::UInt8 | Dtype::Bool => 1,
        }
    }

    /// torch's name without the `torch.`, such as `float32`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Float64 => "float64",
            Dtype::Float32 => "float32",
            Dtype::Float16 => "float16",
            Dtype::BFloat16 => "bfloat16",
            Dtype::Float8E4M3Fn => "float8_e4m3fn",
            Dtype::Float8E5M2 => "float8_e5m2",
            Dtype::Int64 => "int64",
            Dtype::Int32 => "int32",
            Dtype::Int16 => "int16",
            Dtype::Int8 => "int8",
            Dtype::UInt64 => "uint64",
            Dtype::UInt32 => "uint32",
            Dtype::UInt16 => "uint16",
            Dtype::UInt8 => "uint8",
            Dtype::Bool => "bool",
            Dtype::Complex64 => "complex64",
            Dtype::Complex128 => "complex128",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(bytes: u64, shape: &[u64], strides: &[u64], offset: u64) -> Result<TensorRef, String> {
        let storage = Arc::new(Storage { key: "0".into(), bytes, element: 4 });
        TensorRef::new(Dtype::Float32, shape.into(), strides.into(), offset, (storage, 0, bytes))
    }

    #[test]
    fn every_element_must_lie_inside_the_storage() {
        assert!(over(24, &[2, 3], &[3, 1], 0).is_ok());
        assert!(over(24, &[3, 2], &[1, 3], 0).is_ok());
        assert!(over(24, &[2, 3], &[3, 1], 1).is_err());
        assert!(over(24, &[7], &[1], 0).is_err());
        assert!(over(0, &[], &[], 0).is_err(), "a single number needs its bytes");
        assert!(over(0, &[0, u64::MAX], &[u64::MAX, 1], 9).is_ok(), "no elements, nothing to be outside");
    }

    #[test]
    fn products_do_not_wrap() {
        assert!(over(24, &[1 << 40, 1 << 40], &[0, 0], 0).is_err());
        assert!(over(24, &[2, 2], &[u64::MAX, u64::MAX], 0).is_err());
        assert!(over(24, &[1], &[1], u64::MAX).is_err());
    }

    #[test]
    fn contiguity_ignores_dimensions_of_one() {
        assert!(over(24, &[2, 1, 3], &[3, 999, 1], 0).unwrap().is_contiguous());
        assert!(!over(24, &[3, 2], &[1, 3], 0).unwrap().is_contiguous());
        assert!(over(24, &[], &[], 5).unwrap().is_contiguous());
    }
}
