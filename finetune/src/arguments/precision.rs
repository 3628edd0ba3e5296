//! `--precision`.

use clap::ValueEnum;
use pretrain_kernels::Precision;

/// What products are computed in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PrecisionArgument {
    F32,
    /// Processors without AVX-512's bf16 instructions compute in f32 anyway
    Bf16,
}

impl From<PrecisionArgument> for Precision {
    fn from(argument: PrecisionArgument) -> Self {
        match argument {
            PrecisionArgument::F32 => Self::F32,
            PrecisionArgument::Bf16 => Self::Bf16,
        }
    }
}
