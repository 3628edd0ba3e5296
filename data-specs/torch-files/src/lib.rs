//! PyTorch archives and pickles as plain data: no code is run, memory is bounded, every tensor is named.
//!
//! * [`load_pickle`]: label maps, document frequencies and the like, protocols 0 to 5, Python 2 and 3.
//! * [`TorchFile`]: what `torch.save` writes, zip or legacy (before 1.6). Opening reads the object; numbers stay in
//!   the file until [`TorchFile::read`], or are fetched by row through [`TorchFile::byte_range`].
//!
//! ```no_run
//! # fn main() -> Result<(), torch_files::Error> {
//! let file = torch_files::TorchFile::open("pytorch_model.bin")?;
//! for (name, tensor) in file.tensors() {
//!     let bytes = file.read(tensor)?; // row-major, little-endian
//!     assert_eq!(bytes.len() as u64, tensor.byte_len());
//!     let _ = (name, tensor.dtype(), tensor.shape());
//! }
//! # Ok(()) }
//! ```
//!
//! # What is data
//!
//! | in the file | becomes |
//! |---|---|
//! | `None`, bool, int, float, str, bytes, list, tuple, set | [`Value`] of that name |
//! | dict, `OrderedDict`, `defaultdict`, `Counter` | [`Value::Dict`], pairs in order |
//! | tensors, parameters | [`Value::Tensor`]; with Python attributes [`Value::Object`] |
//! | numpy arrays and scalars of numbers or fixed-width text | [`Value::Array`], or the number |
//! | `argparse.Namespace`, `torch.device` | [`Value::Object`] |
//! | `torch.Size` | [`Value::Tuple`] |
//! | dtypes, the types of Python, names of the above | [`Value::Name`] |
//!
//! Every other global is refused by name. Nothing is ever imported or called.
//!
//! # Attacks
//!
//! Each of these is a test (`tests/it/attacks.rs`); each ends in a typed [`Error`].
//!
//! * `os.system`, `eval`, `getattr`, `__reduce__` in all its spellings (GLOBAL, STACK_GLOBAL, INST, OBJ, REDUCE, NEWOBJ,
//!   NEWOBJ_EX, BUILD, EXT1/2/4), `__setstate__` on plain dicts, hooks on tensors
//! * memo bombs: `x = [x, x]` 60 times over, as values, as keys, as names of tensors
//! * lists, dicts and objects that hold themselves; 100,000 lists inside one another, straight and through the memo
//! * length prefixes of 4 GiB and 2^63, memo numbers of 2^32, out-of-band buffers, marks and pops below the stack
//! * keys that come twice or cannot be hashed, two tensors of one name
//! * tensors, views and storages past the end, negative or overflowing sizes, strides that repeat one element 2^40 times
//! * archives with entries that overlap, come twice, are encrypted, lie about a size or a method, reach past the end,
//!   inflate to thousands of times their size; more entries than allowed; a directory that points elsewhere
//! * files cut at every byte, and a thousand mutants of every golden file, under a limit on address space

mod archive;
mod error;
mod limits;
mod pickle;
mod tensor;
mod value;

pub use archive::TorchFile;
pub use error::Error;
pub use limits::Limits;
pub use pickle::{load_pickle, load_pickle_bytes};
pub use tensor::{Dtype, TensorRef};
pub use value::{Array, Dict, Object, Value};
