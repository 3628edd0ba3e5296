//! `model.safetensors`, one tensor in memory at a time.

use std::io::{BufWriter, Write};
use std::path::Path;

use data_specs::durable::PendingFile;
use serde_json::{Map, Value, json};

use super::heads::{From, Plan};
use super::source::Source;
use crate::{Error, Result};

/// Writes all tensors of the plan; how many numbers they have.
///
/// # Errors
/// Numbers that are not finite, files that cannot be read or written.
pub(super) fn write(folder: &Path, source: &Source, plan: &Plan) -> Result<usize> {
    let path = folder.join("model.safetensors");
    let io = |source| Error::from(data_specs::Error::io("write", &path)(source));
    let mut header = Map::from_iter([("__metadata__".to_owned(), json!({ "format": "pt" }))]);
    let (mut at, mut parameters) = (0, 0);
    for (name, shape, _) in &plan.tensors {
        let n: usize = shape.iter().product();
        let place = [at, at + 4 * n];
        header.insert(name.clone(), json!({ "dtype": "F32", "shape": shape, "data_offsets": place }));
        (at, parameters) = (place[1], parameters + n);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // numbers start at a multiple of eight bytes
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::new(PendingFile::create(&path, "convert")?);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
    file.write_all(&header).map_err(io)?;
    for (_, shape, from) in &plan.tensors {
        match from {
            From::File(number) => file.write_all(&source.f32_bytes(*number)?).map_err(io)?,
            From::Zeros => file.write_all(&vec![0; 4 * shape.iter().product::<usize>()]).map_err(io)?,
        }
    }
    let file = file.into_inner().map_err(|error| io(error.into_error()))?;
    file.commit(&|_| {})?;
    Ok(parameters)
}
