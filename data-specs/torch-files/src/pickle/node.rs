//! What the machine builds: a flat table of nodes that refer to each other by number.
//!
//! A memo `get` copies one number, never an object, and dropping the table never recurses.

use std::sync::Arc;

use super::globals::Global;
use crate::tensor::{Dtype, Storage, TensorRef};
use crate::value::Array;

/// A value on the stack, in the memo or in a container: a scalar, or the number of a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Node(u32),
}

#[derive(Debug)]
pub(super) enum Node {
    Str(Arc<str>),
    Bytes(Arc<[u8]>),
    BigInt(Arc<[u8]>),
    List(Vec<Slot>),
    Tuple(Vec<Slot>),
    Set(Vec<Slot>),
    Dict {
        class: &'static str,
        entries: Vec<(Slot, Slot)>,
        attributes: Slot,
    },
    Object {
        class: &'static str,
        args: Vec<Slot>,
        state: Slot,
    },
    Global(Global),
    /// `bytes` bytes of the storage from byte `first`; without a dtype where the file has it elsewhere.
    Storage {
        storage: Arc<Storage>,
        dtype: Option<Dtype>,
        first: u64,
        bytes: u64,
    },
    Tensor(Arc<TensorRef>),
    /// `numpy.dtype`, with the byte order once BUILD has said it.
    NumpyDtype(Arc<str>),
    /// `numpy.ndarray`, empty until BUILD.
    NumpyArray(Option<Arc<Array>>),
    /// Already turned into a value.
    Taken,
}

impl Node {
    /// The `i`-th slot inside this node, in file order.
    pub(super) fn child(&self, i: usize) -> Option<Slot> {
        match self {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => items.get(i).copied(),
            Node::Dict { entries, attributes, .. } => match entries.get(i / 2) {
                Some(&(key, value)) => Some(if i.is_multiple_of(2) { key } else { value }),
                None => (i == 2 * entries.len()).then_some(*attributes),
            },
            Node::Object { args, state, .. } => {
                args.get(i).copied().or_else(|| (i == args.len()).then_some(*state))
            }
            _ => None,
        }
    }
}

impl Node {
    pub(super) fn dict(class: &'static str, entries: Vec<(Slot, Slot)>) -> Node {
        Node::Dict { class, entries, attributes: Slot::None }
    }
}
