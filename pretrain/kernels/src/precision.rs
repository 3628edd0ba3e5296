//! In which numbers products are computed.

/// In which numbers the products of f32 tensors are computed. Tensors, sums and everything beside products stay f32; products
/// of f64 stay f64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Factors as they are.
    #[default]
    F32,
    /// Factors are rounded to bf16, to nearest even, and the sums are f32: twice the operations a second where the processor
    /// has AVX-512's bf16 instructions. Elsewhere it computes as [`F32`](Self::F32).
    ///
    /// With u = 2^-8, v = 2^-24 and k terms, `|computed - exact| <= (2 u + u²) Σ|x w| + γ_k (1 + u)² Σ|x w|`,
    /// `γ_k = k v / (1 - k v)`: each factor moves by at most u of itself, and f32 sums of products that are exact follow in
    /// any order. Numbers below 2^-126 count as 0.
    Bf16,
}

impl Precision {
    /// What products are computed in on this processor.
    pub fn here(self) -> Self {
        match self {
            Self::Bf16 if crate::bf16::is_available() => Self::Bf16,
            _ => Self::F32,
        }
    }
}
