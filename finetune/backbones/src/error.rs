use std::fmt;
use std::path::PathBuf;

/// Why there is no backbone, or no output of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No network of that name.
    #[error("no architecture is called {name:?}; the nearest are {nearest}; there are {known}")]
    UnknownArchitecture {
        /// What was asked for.
        name: String,
        /// The names most like it.
        nearest: String,
        /// All names.
        known: String,
    },
    /// A name with a tag that timm does not have.
    #[error(
        "timm has no weights {architecture}.{tag}; its tags are {known}; without a tag the normalisation is ImageNet's"
    )]
    UnknownTag {
        /// The name before the dot.
        architecture: String,
        /// What stands behind it.
        tag: String,
        /// All tags of that name.
        known: String,
    },
    /// What stands behind the name, or how it is to be scaled, makes no network.
    #[error("{architecture}: {problem}")]
    Change {
        /// The network.
        architecture: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The name, the keys of the file and the flavour that was asked for contradict one another.
    #[error("{architecture}: {problem}")]
    Flavour {
        /// The network.
        architecture: String,
        /// What contradicts what, and what to do.
        problem: String,
    },
    /// An untrained network could not be shown its batch.
    #[error("no running statistics for an untrained network: {source}")]
    Untrained {
        /// What went wrong.
        source: Box<crate::training::Error>,
    },
    /// The weights cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The weights are not in a format that is known, or damaged.
    #[error("{path}: {problem}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A torch archive that cannot be read.
    #[error("cannot read the weights: {source}")]
    Torch {
        /// The reader's reason; it names the file.
        #[from]
        source: torch_files::Error,
    },
    /// The file's tensors are not the network's.
    #[error("{path} does not hold {architecture} in {flavour}'s names: {differences}", path = path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// The network.
        architecture: String,
        /// Whose names were looked for.
        flavour: &'static str,
        /// Which tensors, by name.
        differences: Box<Differences>,
    },
    /// The classifier has another number of classes than was asked for.
    #[error("{path}: {tensor} has {found} classes, not {expected}; ask for {found}, or give weights with {expected}", path = path.display())]
    Classes {
        /// The file.
        path: PathBuf,
        /// The classifier's weight.
        tensor: String,
        /// Classes in the file.
        found: usize,
        /// Classes that were asked for.
        expected: usize,
    },
    /// A tensor whose numbers cannot be weights.
    #[error("{path}: {tensor} {problem}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// An input of another shape or type.
    #[error("{tensor} is {got}; it has to be {expected}")]
    Input {
        /// The argument.
        tensor: &'static str,
        /// What would fit.
        expected: String,
        /// What came.
        got: String,
    },
    /// A classifier for nothing.
    #[error("{architecture} with 0 classes has nothing to choose from; ask for at least 1")]
    NoClasses {
        /// The network.
        architecture: String,
    },
    /// A class that the network does not have.
    #[error("there is no class {class}; the network's {classes} classes are numbered from 0 to {last}", last = classes.saturating_sub(1))]
    NoSuchClass {
        /// What was asked for.
        class: usize,
        /// How many there are.
        classes: usize,
    },
    /// A kernel refused.
    #[error(transparent)]
    Kernel(#[from] pretrain_kernels::Error),
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A layer asks for a tensor that its description does not name: a fault of this crate.
    #[error("the layers ask for {tensor}, which their description does not name; please report this")]
    Internal {
        /// The tensor.
        tensor: String,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// In what a file's tensors are not the network's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Tensors that are not there.
    pub missing: Vec<String>,
    /// Tensors that have no place.
    pub surplus: Vec<String>,
    /// Tensors of another shape, with both.
    pub misshaped: Vec<String>,
}

/// More names than this of a kind help nobody.
const SHOWN: usize = 20;

impl Differences {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty() && self.misshaped.is_empty()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds =
            [("missing", &self.missing), ("surplus", &self.surplus), ("of another shape", &self.misshaped)];
        let mut separator = "";
        for (kind, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "{separator}{} {kind}: {}", names.len(), names[..names.len().min(SHOWN)].join(", "))?;
            if names.len() > SHOWN {
                write!(f, " and {} more", names.len() - SHOWN)?;
            }
            separator = "; ";
        }
        Ok(())
    }
}
