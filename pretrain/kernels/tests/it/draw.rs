//! Test numbers that are the same everywhere.

use candle_core::{DType, Device, Tensor, Var};

/// Numbers in (-1, 1), a function of the seed and the position (SplitMix64).
pub(crate) fn values(seed: u64, count: usize) -> Vec<f64> {
    let at = |index: u64| {
        let mut z = seed
            .wrapping_mul(0x2545_F491_4F6C_DD1D)
            .wrapping_add((index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / (1u64 << 23) as f64 - 1.0 // 24 bits: exact in f32
    };
    (0..count as u64).map(at).collect()
}

pub(crate) fn tensor(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let values = values(seed, shape.iter().product());
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

pub(crate) fn var(seed: u64, shape: &[usize], dtype: DType) -> Var {
    Var::from_tensor(&tensor(seed, shape, dtype)).unwrap()
}

pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}
