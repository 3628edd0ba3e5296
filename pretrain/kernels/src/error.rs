use candle_core::DType;

/// Why an operation was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor of another shape than the operation takes.
    #[error("{op}: {tensor} has shape {got:?}, expected {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The argument's name.
        tensor: &'static str,
        /// What would fit.
        expected: String,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// A tensor of another number type.
    #[error("{op}: {tensor} is {got:?}, expected {expected}; convert it with to_dtype")]
    Dtype {
        /// The operation.
        op: &'static str,
        /// The argument's name.
        tensor: &'static str,
        /// What would fit.
        expected: &'static str,
        /// The type that came.
        got: DType,
    },
    /// A tensor on another device than the operation takes it on.
    #[error("{op}: {tensor} is on {got}, expected {expected}; move it with to_device")]
    Device {
        /// The operation.
        op: &'static str,
        /// The argument's name.
        tensor: &'static str,
        /// Where it should be.
        expected: String,
        /// Where it is.
        got: String,
    },
    /// Strides, padding, kernels and the like that do not fit together or to the input.
    #[error("{op}: expected {expected}, got {got}")]
    Geometry {
        /// The operation.
        op: &'static str,
        /// The condition.
        expected: &'static str,
        /// What broke it.
        got: String,
    },
    /// A region that cannot be sampled.
    #[error("roi_align: region {roi}: expected {expected}, got {got}")]
    Region {
        /// Which row of the regions.
        roi: usize,
        /// The condition.
        expected: &'static str,
        /// What broke it.
        got: String,
    },
    /// A label that is no class.
    #[error("{op}: row {row}: expected a label below {classes}, or -1 for none, got {got}")]
    Label {
        /// The operation.
        op: &'static str,
        /// Which row.
        row: usize,
        /// The label that came.
        got: i64,
        /// How many classes there are.
        classes: usize,
    },
    /// An id beyond its table.
    #[error("{op}: token {token}: expected an id below {rows}, the rows of table {table}, got {got}")]
    Id {
        /// The operation.
        op: &'static str,
        /// The table's name.
        table: &'static str,
        /// Which token.
        token: usize,
        /// The id that came.
        got: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// The tensor library failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Candle(inner) => inner,
            ours => Self::wrap(ours),
        }
    }
}
