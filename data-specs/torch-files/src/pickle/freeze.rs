//! From the table of nodes to a tree of values: cycles, depth and expansion are found here, without recursion.

use std::sync::Arc;

use super::keys;
use super::machine::{Machine, Pickled};
use super::node::{Node, Slot};
use crate::error::Error;
use crate::value::{Dict, Object, Value};

/// How far a node has come.
#[derive(Clone)]
enum Progress {
    Unseen,
    /// On the path from the root to where we are: meeting it again is a cycle.
    Open,
    Done {
        value: Value,
        /// Bytes that a walk over the value meets, shared parts counted each time.
        expanded: u64,
        /// Containers inside containers, itself included; shared parts make this more than any one path shows.
        levels: u32,
    },
}

impl Machine<'_, '_, '_> {
    /// Turns everything reachable from `root` into values, each node once.
    pub(super) fn freeze(mut self, root: Slot) -> Result<Pickled, Error> {
        self.charge((self.nodes.len() * size_of::<Progress>()) as u64)?;
        let mut progress = vec![Progress::Unseen; self.nodes.len()];
        // node, and the child to look at next
        let mut path: Vec<(u32, usize)> = Vec::new();
        if let Slot::Node(number) = root {
            path.push((number, 0));
        }
        while let Some((number, next)) = path.last_mut() {
            let node = *number as usize;
            if let Some(child) = self.nodes[node].child(*next) {
                *next += 1;
                if let Slot::Node(child) = child {
                    match progress[child as usize] {
                        Progress::Done { .. } => {}
                        Progress::Open => return Err(Error::Cycle { file: self.file() }),
                        Progress::Unseen if child as usize == node => {
                            return Err(Error::Cycle { file: self.file() });
                        }
                        Progress::Unseen => {
                            progress[node] = Progress::Open;
                            path.push((child, 0));
                            // `root` is level 1, so the path is as long as the tree is deep
                            if path.len() > self.limits.depth() as usize + 1 {
                                return Err(self.limit("max_depth", self.limits.depth().into()));
                            }
                        }
                    }
                }
            } else {
                progress[node] = self.finish(node, &progress)?;
                path.pop();
            }
        }
        let (root, _, _) = value_of(root, &progress);
        Ok(Pickled { root, storages: self.storages })
    }

    /// The value of a node whose children are all done.
    fn finish(&mut self, node: usize, progress: &[Progress]) -> Result<Progress, Error> {
        let node = std::mem::replace(&mut self.nodes[node], Node::Taken);
        let mut expanded = size_of::<Value>() as u64;
        let mut levels = 0;
        let mut get = |slot: Slot| {
            let (value, size, depth) = value_of(slot, progress);
            expanded = expanded.saturating_add(size);
            levels = levels.max(depth + 1);
            value
        };
        let value = match node {
            Node::List(items) => Value::List(items.into_iter().map(&mut get).collect()),
            Node::Tuple(items) => Value::Tuple(items.into_iter().map(&mut get).collect()),
            Node::Set(items) => Value::Set(items.into_iter().map(&mut get).collect()),
            Node::Dict { class, entries, attributes } => {
                let entries = entries.into_iter().map(|(k, v)| (get(k), get(v))).collect();
                Value::Dict(Arc::new(Dict { class, entries, attributes: get(attributes) }))
            }
            Node::Object { class, args, state } => {
                let args = args.into_iter().map(&mut get).collect();
                Value::Object(Arc::new(Object { class, args, state: get(state) }))
            }
            Node::Str(text) => Value::Str(text),
            Node::Bytes(bytes) => Value::Bytes(bytes),
            Node::BigInt(bytes) => Value::BigInt(bytes),
            Node::Tensor(tensor) => Value::Tensor(tensor),
            Node::NumpyArray(Some(array)) => Value::Array(array),
            Node::Global(global) => Value::Name(global.name().into()),
            Node::NumpyDtype(dtype) => Value::Name(format!("numpy.dtype({dtype})").into()),
            Node::NumpyArray(None) => return Err(self.malformed("a numpy array that was never filled")),
            Node::Storage { .. } => return Err(self.malformed("a bare storage; save a tensor over it")),
            Node::Taken => return Err(Error::Cycle { file: self.file() }),
        };
        if levels > self.limits.depth() {
            return Err(self.limit("max_depth", self.limits.depth().into()));
        }
        expanded = expanded.saturating_add(payload(&value));
        if expanded > self.limits.max_expanded_bytes {
            return Err(self.limit("max_expanded_bytes", self.limits.max_expanded_bytes));
        }
        self.charge(own_bytes(&value))?;
        let fault = match &value {
            Value::Dict(dict) => keys::fault(dict.entries.iter().map(|(key, _)| key)),
            Value::Set(items) => keys::fault(items.iter()),
            _ => None,
        };
        match fault {
            Some(what) => Err(Error::Key { file: self.file(), what }),
            None => Ok(Progress::Done { value, expanded, levels }),
        }
    }
}

/// Value, expanded bytes and levels of a slot that is a scalar or a finished node.
fn value_of(slot: Slot, progress: &[Progress]) -> (Value, u64, u32) {
    let scalar = |value| (value, size_of::<Value>() as u64, 0);
    match slot {
        Slot::None => scalar(Value::None),
        Slot::Bool(flag) => scalar(Value::Bool(flag)),
        Slot::Int(number) => scalar(Value::Int(number)),
        Slot::Float(number) => scalar(Value::Float(number)),
        Slot::Node(number) => match &progress[number as usize] {
            Progress::Done { value, expanded, levels } => (value.clone(), *expanded, *levels),
            Progress::Unseen | Progress::Open => unreachable!("children are finished before their parent"),
        },
    }
}

/// Bytes of a leaf beyond its place in the container.
fn payload(value: &Value) -> u64 {
    let bytes = match value {
        Value::Str(text) | Value::Name(text) => text.len(),
        Value::Bytes(bytes) | Value::BigInt(bytes) => bytes.len(),
        Value::Array(array) => array.data.len() + 8 * array.shape.len(),
        Value::Tensor(tensor) => 16 * tensor.shape().len(),
        _ => 0,
    };
    bytes as u64
}

/// Bytes that finishing a container allocates: its slots, and for a check of its keys a table of them.
fn own_bytes(value: &Value) -> u64 {
    let slots = match value {
        Value::List(items) | Value::Tuple(items) => items.len(),
        Value::Set(items) => 2 * items.len(),
        Value::Dict(dict) => 3 * dict.entries.len() + 4,
        Value::Object(object) => object.args.len() + 4,
        _ => 0,
    };
    (slots * size_of::<Value>()) as u64
}
