//! Storages and tensors: what torch writes instead of numbers.

use std::sync::Arc;

use super::globals::Global;
use super::machine::Machine;
use super::node::{Node, Slot};
use crate::error::Error;
use crate::tensor::{Dtype, Storage, TensorRef};

impl Machine<'_, '_, '_> {
    /// A persistent id: `('storage', type, key, location, count[, view])`, where a view is
    /// `(view key, offset, count)`. Counts and offsets in elements of the type.
    pub(super) fn storage(&mut self, id: Slot) -> Result<Slot, Error> {
        let (kind, class, key, count, view) = match *self.tuple_of(id)? {
            [kind, class, key, _, count] => (kind, class, key, count, Slot::None),
            [kind, class, key, _, count, view] => (kind, class, key, count, view),
            _ => return Err(self.malformed("a storage has 5 or 6 fields")),
        };
        if self.text_of(kind).as_deref() != Some("storage") {
            return Err(self.malformed("only storages are kept outside the pickle; save a state_dict"));
        }
        let Some(&Node::Global(Global::TorchStorage(dtype))) = self.node(class) else {
            return Err(self.malformed("a storage of unknown type"));
        };
        let key = self.text_of(key).ok_or_else(|| self.malformed("the key of a storage is not text"))?;
        let element = dtype.map_or(1, Dtype::size);
        let bytes = self.bytes_of(count, element)?;
        let (first, view_bytes) = match view {
            Slot::None => (0, bytes),
            view => {
                let &[_, offset, count] = self.tuple_of(view)? else {
                    return Err(self.malformed("a storage view has 3 fields"));
                };
                (self.bytes_of(offset, element)?, self.bytes_of(count, element)?)
            }
        };
        if first.checked_add(view_bytes).is_none_or(|end| end > bytes) {
            return Err(self.malformed(format!("a view reaches beyond storage `{key}`")));
        }
        let storage = self.register(key, bytes, element)?;
        self.add(Node::Storage { storage, dtype, first, bytes: view_bytes })
    }

    /// One [`Storage`] a key, however often and under however many types it is mentioned.
    fn register(&mut self, key: Arc<str>, bytes: u64, element: u64) -> Result<Arc<Storage>, Error> {
        if let Some(&i) = self.storage_by_key.get(&key) {
            let known = &self.storages[i];
            if known.bytes == bytes {
                return Ok(known.clone());
            }
            let what = format!("is said to have {} bytes and {bytes} bytes", known.bytes);
            return Err(Error::Storage { file: self.file(), key: key.to_string(), what });
        }
        self.charge(160)?;
        let storage = Arc::new(Storage { key: key.clone(), bytes, element });
        self.storage_by_key.insert(key, self.storages.len());
        self.storages.push(storage.clone());
        Ok(storage)
    }

    /// `torch._utils._rebuild_*(*args)`.
    pub(super) fn rebuild(&mut self, global: Global, args: &[Slot]) -> Result<Slot, Error> {
        match (global, args) {
            (Global::RebuildTensor, &[storage, offset, shape, strides]) => {
                self.tensor(None, storage, offset, shape, strides)
            }
            (Global::RebuildTensorV2, &[storage, offset, shape, strides, _, hooks, ref metadata @ ..])
                if metadata.len() <= 1 =>
            {
                self.no_extras(hooks, metadata)?;
                self.tensor(None, storage, offset, shape, strides)
            }
            (
                Global::RebuildTensorV3,
                &[storage, offset, shape, strides, _, hooks, dtype, ref metadata @ ..],
            ) if metadata.len() <= 1 => {
                self.no_extras(hooks, metadata)?;
                let Some(&Node::Global(Global::TorchDtype(dtype))) = self.node(dtype) else {
                    return Err(self.malformed("the dtype of a tensor is missing"));
                };
                self.tensor(Some(dtype), storage, offset, shape, strides)
            }
            (Global::RebuildParameter, &[tensor, _, hooks]) => {
                self.no_extras(hooks, &[])?;
                self.with_attributes("torch.nn.parameter.Parameter", tensor, Slot::None)
            }
            (Global::RebuildParameterWithState, &[tensor, _, hooks, state]) => {
                self.no_extras(hooks, &[])?;
                self.with_attributes("torch.nn.parameter.Parameter", tensor, state)
            }
            (Global::RebuildFromType, &[function, class, inner, state]) => {
                let class = match self.node(class) {
                    Some(Node::Global(Global::TorchTensor)) => "torch.Tensor",
                    Some(Node::Global(Global::TorchParameter)) => "torch.nn.parameter.Parameter",
                    _ => return Err(self.malformed("a tensor subclass; save a plain tensor")),
                };
                // by name and not by recursion: this function cannot stand for itself
                let function = match self.node(function) {
                    Some(&Node::Global(function)) if function != Global::RebuildFromType => function,
                    _ => return Err(self.malformed("a tensor made by an unknown function")),
                };
                let inner = self.tuple_of(inner)?.to_vec();
                let tensor = self.rebuild(function, &inner)?;
                self.with_attributes(class, tensor, state)
            }
            _ => Err(self.malformed(format!("{} with {} arguments is unknown", global.name(), args.len()))),
        }
    }

    fn tensor(
        &mut self,
        dtype: Option<Dtype>,
        storage: Slot,
        offset: Slot,
        shape: Slot,
        strides: Slot,
    ) -> Result<Slot, Error> {
        let (of, stored_as, first, bytes) = match self.node(storage) {
            Some(Node::Storage { storage, dtype, first, bytes }) => (storage.clone(), *dtype, *first, *bytes),
            _ => return Err(self.malformed("a tensor without a storage")),
        };
        let dtype = dtype.or(stored_as).ok_or_else(|| self.malformed("a tensor of unknown dtype"))?;
        let offset = self.count_of(offset)?;
        let (shape, strides) = (self.counts_of(shape)?, self.counts_of(strides)?);
        self.charge(size_of::<TensorRef>() as u64 + 8 * (shape.len() + strides.len()) as u64)?;
        let tensor = TensorRef::new(dtype, shape, strides, offset, (of, first, bytes));
        let tensor = tensor.map_err(|what| self.malformed(what))?;
        self.add(Node::Tensor(Arc::new(tensor)))
    }

    /// Python attributes are kept beside the tensor; without any it is just the tensor.
    fn with_attributes(&mut self, class: &'static str, tensor: Slot, state: Slot) -> Result<Slot, Error> {
        if !matches!(self.node(tensor), Some(Node::Tensor(_))) {
            return Err(self.malformed("a parameter without a tensor"));
        }
        if self.is_empty(state) {
            return Ok(tensor);
        }
        self.add(Node::Object { class, args: vec![tensor], state })
    }

    /// Hooks are code, and the conjugate and negative bits change the numbers: neither may be there.
    fn no_extras(&self, hooks: Slot, metadata: &[Slot]) -> Result<(), Error> {
        if !self.is_empty(hooks) {
            return Err(self.malformed("a tensor with backward hooks"));
        }
        if !metadata.iter().all(|&slot| self.is_empty(slot)) {
            return Err(self.malformed("a lazily conjugated or negated tensor; save tensor.resolve_conj()"));
        }
        Ok(())
    }

    fn counts_of(&self, slot: Slot) -> Result<Vec<u64>, Error> {
        let items = match self.node(slot) {
            Some(Node::Tuple(items) | Node::List(items)) if items.len() <= 64 => items,
            _ => return Err(self.malformed("the shape or strides of a tensor are no tuple of up to 64")),
        };
        items.iter().map(|&item| self.count_of(item)).collect()
    }

    fn bytes_of(&self, count: Slot, element: u64) -> Result<u64, Error> {
        let bytes = self.count_of(count)?.checked_mul(element);
        bytes.ok_or_else(|| self.malformed("a storage beyond any file"))
    }
}
