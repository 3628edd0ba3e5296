//! What one file may cost.

/// Bounds on what reading one file may cost. A file that asks for more is refused with
/// [`Error::Limit`](crate::Error::Limit) before the memory is taken.
///
/// The defaults read every file this project meets (a document frequency table of a million entries takes less
/// than half of [`Limits::max_live_bytes`]); raise one where an honest file needs it.
///
/// ```
/// let limits = torch_files::Limits { max_pickle_bytes: 1 << 20, ..Default::default() };
/// assert_eq!(limits.max_depth, 200);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one pickle, or of `data.pkl` in an archive. Default 512 MiB.
    pub max_pickle_bytes: u64,
    /// Opcodes of one pickle. Default 100 million.
    pub max_ops: u64,
    /// Bytes allocated while a pickle is read and turned into values, counted without ever giving any back,
    /// so it bounds the peak too. Counts payloads and table growth, not the allocator's own overhead.
    /// The names of [`TorchFile::tensors`](crate::TorchFile::tensors) have an equal allowance of their own.
    /// Default 2 GiB.
    pub max_live_bytes: u64,
    /// Containers inside containers. Default 200; never above 1,000, because a value is dropped by recursion.
    pub max_depth: u32,
    /// Bytes that a walk over the whole value would meet if nothing in it were shared. Sharing keeps memory
    /// small, so this, not memory, is what stops `x = [x, x]` repeated 60 times. Default 4 GiB.
    pub max_expanded_bytes: u64,
    /// Entries of a zip archive. Default one million.
    pub max_entries: u64,
    /// Bytes that one [`TorchFile::read`](crate::TorchFile::read) may make beyond a plain copy from the file:
    /// an inflated entry, or a view whose strides skip or repeat elements. Default 4 GiB.
    pub max_made_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_pickle_bytes: 512 << 20,
            max_ops: 100_000_000,
            max_live_bytes: 2 << 30,
            max_depth: 200,
            max_expanded_bytes: 4 << 30,
            max_entries: 1_000_000,
            max_made_bytes: 4 << 30,
        }
    }
}

impl Limits {
    /// The depth that is enforced, whatever was asked for.
    pub(crate) fn depth(&self) -> u32 {
        self.max_depth.min(1_000)
    }
}
