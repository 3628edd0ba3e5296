//! REDUCE, NEWOBJ, INST, OBJ and BUILD for the allowed globals: a shape of data each, and no call.

use super::globals::Global;
use super::machine::Machine;
use super::node::{Node, Slot};
use crate::error::Error;

impl Machine<'_, '_, '_> {
    /// `class(*args)`, pushed.
    pub(super) fn call(&mut self, class: Slot, args: Vec<Slot>) -> Result<(), Error> {
        let Some(&Node::Global(global)) = self.node(class) else {
            return Err(self.malformed("what is called is no global"));
        };
        let slot = self.construct(global, args)?;
        self.push(slot)
    }

    /// The data that `global(*args)` stands for.
    pub(super) fn construct(&mut self, global: Global, args: Vec<Slot>) -> Result<Slot, Error> {
        self.charge(2 * size_of_val(args.as_slice()) as u64)?;
        match (global, args.as_slice()) {
            (Global::OrderedDict, []) => self.add(Node::dict("collections.OrderedDict", Vec::new())),
            (Global::OrderedDict, &[items]) => self.dict_from("collections.OrderedDict", items),
            (Global::Counter, []) => self.add(Node::dict("collections.Counter", Vec::new())),
            (Global::Counter, &[items]) => self.dict_from("collections.Counter", items),
            // the factory is a name from the list; it is not data
            (Global::DefaultDict, [] | [_]) => self.add(Node::dict("collections.defaultdict", Vec::new())),
            (Global::DefaultDict, &[_, items]) => self.dict_from("collections.defaultdict", items),

            (Global::Set | Global::FrozenSet, []) => self.add(Node::Set(Vec::new())),
            (Global::Set | Global::FrozenSet, &[items]) => {
                let items = self.items_of(items)?;
                self.add(Node::Set(items))
            }
            (Global::Bytes | Global::ByteArray, []) => self.new_bytes(Vec::new()),
            (Global::ByteArray | Global::Bytes, &[bytes]) if self.is_bytes(bytes) => Ok(bytes),
            (Global::Encode | Global::ByteArray | Global::Bytes, &[text, encoding]) => {
                self.encode(text, encoding)
            }

            (Global::Namespace, []) => self.object("argparse.Namespace", Vec::new()),
            (Global::Reconstructor, &[class, base, Slot::None]) => {
                match (self.node(class), self.node(base)) {
                    (
                        Some(Node::Global(Global::Namespace)),
                        Some(Node::Global(Global::Type("builtins.object"))),
                    ) => self.object("argparse.Namespace", Vec::new()),
                    _ => Err(self.malformed("only argparse.Namespace is made this way")),
                }
            }

            (Global::TorchSize, &[items]) => {
                let items = self.items_of(items)?;
                self.add(Node::Tuple(items))
            }
            (Global::TorchDevice, [_] | [_, _]) => self.object("torch.device", args),
            (
                Global::RebuildTensor
                | Global::RebuildTensorV2
                | Global::RebuildTensorV3
                | Global::RebuildParameter
                | Global::RebuildParameterWithState
                | Global::RebuildFromType,
                _,
            ) => self.rebuild(global, &args),

            (
                Global::NumpyDtype | Global::NumpyReconstruct | Global::NumpyScalar | Global::NumpyFromBuffer,
                _,
            ) => self.numpy(global, &args),

            _ => Err(self.malformed(format!("{} is no data with {} arguments", global.name(), args.len()))),
        }
    }

    /// BUILD: attributes for what stands on the stack.
    pub(super) fn build(&mut self, target: Slot, state: Slot) -> Result<(), Error> {
        if matches!(self.node(target), Some(Node::NumpyDtype(_) | Node::NumpyArray(_))) {
            return self.numpy_state(target, state);
        }
        if !matches!(self.node(state), Some(Node::Dict { .. })) {
            return Err(self.malformed("the attributes of an object are no dictionary"));
        }
        let place = match self.node_mut(target) {
            Some(Node::Object { class: "argparse.Namespace", state, .. }) => Some(state),
            Some(Node::Dict { class, attributes, .. }) if *class != "dict" => Some(attributes),
            _ => None,
        };
        match place {
            Some(place @ Slot::None) => {
                *place = state;
                Ok(())
            }
            _ => Err(self.malformed("attributes for something that has none, or has them already")),
        }
    }

    pub(super) fn object(&mut self, class: &'static str, args: Vec<Slot>) -> Result<Slot, Error> {
        self.add(Node::Object { class, args, state: Slot::None })
    }

    /// Entries of a dictionary, or of a list of pairs.
    fn dict_from(&mut self, class: &'static str, items: Slot) -> Result<Slot, Error> {
        let entries = match self.node(items) {
            Some(Node::Dict { entries, .. }) => entries.clone(),
            Some(Node::List(pairs) | Node::Tuple(pairs)) => pairs
                .iter()
                .map(|&pair| match self.node(pair) {
                    Some(Node::List(pair) | Node::Tuple(pair)) if pair.len() == 2 => Ok((pair[0], pair[1])),
                    _ => Err(self.malformed("an entry is no pair")),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(self.malformed("entries are neither a dictionary nor a list of pairs")),
        };
        // copied out of a container that the file can name again and again: charged each time
        self.charge(2 * size_of_val(entries.as_slice()) as u64)?;
        self.add(Node::dict(class, entries))
    }

    fn items_of(&mut self, items: Slot) -> Result<Vec<Slot>, Error> {
        let items = match self.node(items) {
            Some(Node::List(items) | Node::Tuple(items) | Node::Set(items)) => items.clone(),
            _ => return Err(self.malformed("a list or tuple is missing")),
        };
        self.charge(2 * size_of_val(items.as_slice()) as u64)?;
        Ok(items)
    }

    fn is_bytes(&self, slot: Slot) -> bool {
        matches!(self.node(slot), Some(Node::Bytes(_)))
    }

    /// `_codecs.encode(text, 'latin1')`: characters below 256 are the bytes.
    fn encode(&mut self, text: Slot, encoding: Slot) -> Result<Slot, Error> {
        let (Some(text), Some(encoding)) = (self.text_of(text), self.text_of(encoding)) else {
            return Err(self.malformed("bytes are not spelled as text and encoding"));
        };
        if !matches!(&*encoding, "latin1" | "latin-1") {
            return Err(self.malformed(format!("bytes are spelled in {encoding:.20?}, not in latin1")));
        }
        // charged before the copy: a file can ask for the same text again and again
        self.charge(text.len() as u64)?;
        let bytes = text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>();
        match bytes {
            Some(bytes) => self.new_bytes(bytes),
            None => Err(self.malformed("bytes spelled with characters above 255")),
        }
    }
}
