//! What a pickle holds, as plain data.

use std::sync::Arc;

use crate::tensor::TensorRef;

/// One Python value. Cloning is cheap: containers are shared, as they were in the file.
///
/// A value is a tree (cycles are refused) of at most [`Limits::max_depth`](crate::Limits::max_depth) levels whose
/// full walk meets at most [`Limits::max_expanded_bytes`](crate::Limits::max_expanded_bytes).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// `True`, `False`, and numpy's.
    Bool(bool),
    /// An integer that fits, and numpy's integer scalars.
    Int(i64),
    /// Any other integer: two's complement, least significant byte first.
    BigInt(Arc<[u8]>),
    /// A float, and numpy's 32- and 64-bit float scalars.
    Float(f64),
    /// Text; also a Python-2 `str` whose bytes are UTF-8.
    Str(Arc<str>),
    /// `bytes`, `bytearray`; also a Python-2 `str` whose bytes are not UTF-8.
    Bytes(Arc<[u8]>),
    /// A list.
    List(Arc<[Value]>),
    /// A tuple, or a `torch.Size`.
    Tuple(Arc<[Value]>),
    /// A dictionary of any allowed class.
    Dict(Arc<Dict>),
    /// A `set` or `frozenset`, in file order; no member twice.
    Set(Arc<[Value]>),
    /// A tensor, or a parameter without Python attributes. Its numbers stay in the file.
    Tensor(Arc<TensorRef>),
    /// A numpy array, or a numpy scalar that no Python number holds.
    Array(Arc<Array>),
    /// An object of one of the few allowed classes.
    Object(Arc<Object>),
    /// The name of an allowed class, function or dtype, such as `torch.float32`. There is nothing to call.
    Name(Arc<str>),
}

/// A dictionary: pairs in insertion order, no key twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Dict {
    /// `dict`, `collections.OrderedDict`, `collections.defaultdict` or `collections.Counter`.
    /// The factory of a `defaultdict` is not data and is dropped.
    pub class: &'static str,
    /// Key and value.
    pub entries: Vec<(Value, Value)>,
    /// Python attributes set on the object: a state dict carries its `_metadata` here. Otherwise `None`.
    pub attributes: Value,
}

/// A numpy array with its bytes in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// numpy's own spelling with the byte order: `<f4`, `>i8`, `|u1`, `|b1`, `|S5`, `<U7`.
    pub dtype: Arc<str>,
    /// Extent of each dimension; empty for a scalar.
    pub shape: Vec<u64>,
    /// `product(shape) * item size` bytes, in the byte order that `dtype` says.
    pub data: Arc<[u8]>,
}

/// An object of one of the allowed classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// `argparse.Namespace` (attributes in `state`), `torch.device` (type and index in `args`), or
    /// `torch.Tensor` and `torch.nn.parameter.Parameter` with Python attributes (the tensor is `args[0]`).
    pub class: &'static str,
    /// Arguments it was made from.
    pub args: Vec<Value>,
    /// Attributes, or `None`.
    pub state: Value,
}

impl Value {
    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(text) = self { Some(text) } else { None }
    }

    /// The integer, if this is one that fits.
    pub fn as_int(&self) -> Option<i64> {
        if let Value::Int(number) = self { Some(*number) } else { None }
    }

    /// The number as a float: a float itself, or an integer that `f64` holds exactly.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(number) => Some(*number),
            Value::Int(number) if number.unsigned_abs() <= 1 << 53 => Some(*number as f64),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    pub fn as_items(&self) -> Option<&[Value]> {
        if let Value::List(items) | Value::Tuple(items) = self { Some(items) } else { None }
    }

    /// The dictionary, whatever its class.
    pub fn as_dict(&self) -> Option<&Dict> {
        if let Value::Dict(dict) = self { Some(dict) } else { None }
    }

    /// The tensor; also the one inside a parameter or tensor that carries Python attributes.
    pub fn as_tensor(&self) -> Option<&TensorRef> {
        match self {
            Value::Tensor(tensor) => Some(tensor),
            Value::Object(object) => match object.args.first() {
                Some(Value::Tensor(tensor)) => Some(tensor),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Dict {
    /// The value under a text key. Walks the entries: make an index of your own for many look-ups.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, value)| value)
    }
}
