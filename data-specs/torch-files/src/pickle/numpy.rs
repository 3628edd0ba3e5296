//! numpy arrays, scalars and dtypes, as bytes with a shape.

use std::sync::Arc;

use super::globals::Global;
use super::machine::Machine;
use super::node::{Node, Slot};
use crate::error::Error;
use crate::value::Array;

impl Machine<'_, '_, '_> {
    /// `numpy.dtype`, `_reconstruct`, `scalar` and `_frombuffer`.
    pub(super) fn numpy(&mut self, global: Global, args: &[Slot]) -> Result<Slot, Error> {
        match (global, args) {
            (Global::NumpyDtype, &[name, ..]) if args.len() <= 3 => {
                let name =
                    self.text_of(name).ok_or_else(|| self.malformed("a numpy dtype without a name"))?;
                let (kind, size) = kind_and_size(&name).ok_or_else(|| {
                    self.malformed(format!(
                        "numpy dtype {name:.20?}: only numbers and fixed-width text are data"
                    ))
                })?;
                let order = if size > 1 && kind != 'S' { '<' } else { '|' };
                self.add(Node::NumpyDtype(format!("{order}{name}").into()))
            }
            (Global::NumpyReconstruct, &[class, _, _]) => match self.node(class) {
                Some(Node::Global(Global::NumpyArray)) => self.add(Node::NumpyArray(None)),
                _ => Err(self.malformed("a subclass of numpy.ndarray; save a plain array")),
            },
            (Global::NumpyScalar, &[dtype, data]) => {
                let array = self.array(dtype, Vec::new(), false, data)?;
                self.scalar(array)
            }
            (Global::NumpyFromBuffer, &[data, dtype, shape, order]) => {
                let fortran = self.text_of(order).as_deref() == Some("F");
                let shape = self.extents(shape)?;
                let array = self.array(dtype, shape, fortran, data)?;
                self.add(Node::NumpyArray(Some(Arc::new(array))))
            }
            _ => Err(self.malformed(format!("{} with {} arguments is unknown", global.name(), args.len()))),
        }
    }

    /// BUILD of a dtype `(version, order, None, None, None, -1, -1, flags)` or of an array
    /// `(version, shape, dtype, is_fortran, data)`.
    pub(super) fn numpy_state(&mut self, target: Slot, state: Slot) -> Result<(), Error> {
        let state = self.tuple_of(state)?.to_vec();
        let built = match (self.node(target), state.as_slice()) {
            (
                Some(Node::NumpyDtype(dtype)),
                &[_, order, Slot::None, Slot::None, Slot::None, _, _, ref flags @ ..],
            ) if flags.len() <= 1 => {
                let name = dtype[1..].to_owned();
                let order = self.text_of(order);
                let order = order.filter(|o| matches!(&**o, "<" | ">" | "|" | "="));
                let order = order.ok_or_else(|| self.malformed("a numpy dtype of unknown byte order"))?;
                // `=` is the writer's own order, and every machine that writes such files is little-endian
                let order = if &*order == "=" { "<" } else { &*order };
                Node::NumpyDtype(format!("{order}{name}").into())
            }
            (Some(Node::NumpyArray(None)), &[_, shape, dtype, Slot::Bool(fortran), data]) => {
                let shape = self.extents(shape)?;
                Node::NumpyArray(Some(Arc::new(self.array(dtype, shape, fortran, data)?)))
            }
            _ => return Err(self.malformed("the state of a numpy object has an unknown form")),
        };
        if let Some(node) = self.node_mut(target) {
            *node = built;
        }
        Ok(())
    }

    fn array(&mut self, dtype: Slot, shape: Vec<u64>, fortran: bool, data: Slot) -> Result<Array, Error> {
        let Some(Node::NumpyDtype(dtype)) = self.node(dtype) else {
            return Err(self.malformed("a numpy array without a dtype"));
        };
        let dtype = dtype.clone();
        let (_, size) =
            kind_and_size(&dtype[1..]).ok_or_else(|| self.malformed("a numpy dtype of no size"))?;
        let data: Arc<[u8]> = match self.node(data) {
            Some(Node::Bytes(bytes)) => bytes.clone(),
            // Python 2 wrote the bytes as `str`; these happened to be UTF-8
            Some(Node::Str(text)) => text.as_bytes().into(),
            _ => return Err(self.malformed("a numpy array of objects, which are not bytes")),
        };
        self.charge(data.len() as u64 + 8 * shape.len() as u64 + 64)?;
        let bytes = shape.iter().try_fold(size, |n, &d| n.checked_mul(d));
        if bytes != Some(data.len() as u64) {
            let what = format!("a numpy array {dtype} of shape {shape:?} with {} bytes", data.len());
            return Err(self.malformed(what));
        }
        let data = if fortran && shape.len() > 1 { to_c_order(&data, &shape, size as usize) } else { data };
        Ok(Array { dtype, shape, data })
    }

    /// The Python number that a numpy scalar is, or an array without dimensions.
    fn scalar(&mut self, array: Array) -> Result<Slot, Error> {
        let mut bytes = array.data.to_vec();
        if array.dtype.starts_with('>') {
            bytes.reverse();
        }
        match (array.dtype.as_bytes().get(1), bytes.as_slice()) {
            (Some(b'b'), &[byte]) => Ok(Slot::Bool(byte != 0)),
            (Some(b'i'), _) => self.new_integer(&bytes),
            (Some(b'u'), _) => {
                bytes.push(0);
                self.new_integer(&bytes)
            }
            (Some(b'f'), &[a, b, c, d]) => Ok(Slot::Float(f32::from_le_bytes([a, b, c, d]).into())),
            (Some(b'f'), &[a, b, c, d, e, f, g, h]) => {
                Ok(Slot::Float(f64::from_le_bytes([a, b, c, d, e, f, g, h])))
            }
            _ => self.add(Node::NumpyArray(Some(Arc::new(array)))),
        }
    }

    fn extents(&self, shape: Slot) -> Result<Vec<u64>, Error> {
        let items = self.tuple_of(shape)?;
        if items.len() > 64 {
            return Err(self.malformed("a numpy array of more than 64 dimensions"));
        }
        items.iter().map(|&item| self.count_of(item)).collect()
    }
}

/// `f4` -> ('f', 4). Text of width n is n bytes (`S`) or 4 n bytes (`U`).
fn kind_and_size(name: &str) -> Option<(char, u64)> {
    let kind = name.chars().next()?;
    let digits = name.get(1..).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    let n: u64 = digits.parse().ok()?;
    let size = match (kind, n) {
        ('b', 1) | ('i' | 'u', 1 | 2 | 4 | 8) | ('f', 2 | 4 | 8) | ('c', 8 | 16) => n,
        ('S', 1..=0xFFFF_FFFF) => n,
        ('U', 1..=0x3FFF_FFFF) => 4 * n,
        _ => return None,
    };
    Some((kind, size))
}

/// First index fastest -> last index fastest.
fn to_c_order(data: &[u8], shape: &[u64], size: usize) -> Arc<[u8]> {
    let mut out = Vec::with_capacity(data.len());
    // `index` counts in C order; `at` is the same element in Fortran order
    let mut index = vec![0u64; shape.len()];
    for _ in 0..data.len() / size {
        let at = index.iter().zip(shape).rev().fold(0, |at, (&i, &d)| at * d + i) as usize * size;
        out.extend_from_slice(&data[at..at + size]);
        for (i, &d) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < d {
                break;
            }
            *i = 0;
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fortran_order_is_turned() {
        // [[0, 1, 2], [3, 4, 5]] stored column by column
        assert_eq!(&*to_c_order(&[0, 3, 1, 4, 2, 5], &[2, 3], 1), [0, 1, 2, 3, 4, 5]);
        assert_eq!(&*to_c_order(&[], &[2, 0], 1), []);
    }

    #[test]
    fn dtypes_of_objects_and_records_are_refused() {
        assert_eq!(kind_and_size("f4"), Some(('f', 4)));
        assert_eq!(kind_and_size("U7"), Some(('U', 28)));
        for bad in ["O8", "V16", "f", "f3", "", "é4", "i+4", "M8"] {
            assert_eq!(kind_and_size(bad), None, "{bad}");
        }
    }
}
