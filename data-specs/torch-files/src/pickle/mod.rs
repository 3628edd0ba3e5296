//! Pickles, protocols 0 to 5, as data.

mod construct;
mod freeze;
mod globals;
mod keys;
mod machine;
mod node;
mod numpy;
mod source;
mod table;
mod text;
mod torch;

use std::fs::File;
use std::path::Path;

pub(crate) use machine::unpickle;
pub(crate) use source::Source;

use crate::error::Error;
use crate::limits::Limits;
use crate::value::Value;

/// Reads a file that is one pickle, such as a label map or a document frequency table.
///
/// # Errors
/// Anything that is not plain data ([`Error::Global`]), malformed, larger than `limits`, or followed by more
/// bytes. A torch archive is refused with a pointer to [`TorchFile`](crate::TorchFile).
pub fn load_pickle(path: impl AsRef<Path>, limits: &Limits) -> Result<Value, Error> {
    let name = path.as_ref().display().to_string();
    let io = |action| {
        let file = name.clone();
        move |source| Error::Io { file, action, source }
    };
    let mut file = File::open(path.as_ref()).map_err(io("open"))?;
    let len = file.metadata().map_err(io("stat"))?.len();
    load(Source::new(name, &mut file, len), limits)
}

/// [`load_pickle`] for bytes in memory; errors name the file `<bytes>`.
///
/// # Errors
/// As [`load_pickle`].
///
/// ```
/// use torch_files::{Limits, load_pickle_bytes};
///
/// let labels = load_pickle_bytes(b"(dp1\nS'yes'\np2\nI3\ns.", &Limits::default())?;
/// assert_eq!(labels.as_dict().unwrap().get("yes").unwrap().as_int(), Some(3));
///
/// let attack = load_pickle_bytes(b"cos\nsystem\n(S'echo'\ntR.", &Limits::default());
/// assert!(attack.unwrap_err().to_string().contains("`os.system` is not plain data"));
/// # Ok::<(), torch_files::Error>(())
/// ```
pub fn load_pickle_bytes(bytes: &[u8], limits: &Limits) -> Result<Value, Error> {
    let mut reader = bytes;
    load(Source::new("<bytes>".into(), &mut reader, bytes.len() as u64), limits)
}

fn load(mut source: Source<'_>, limits: &Limits) -> Result<Value, Error> {
    let root = unpickle(&mut source, limits, false)?.root;
    if !source.at_end() {
        return Err(Error::Format {
            file: source.file().to_owned(),
            what: format!("more bytes follow the pickle that ends at byte {}", source.position()),
            hint: "open it with TorchFile if torch.save wrote it, otherwise keep one pickle a file",
        });
    }
    Ok(root)
}
