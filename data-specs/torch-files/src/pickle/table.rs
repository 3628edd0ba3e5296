//! The machine's table of nodes: adding to it, looking into it, and the account of what it costs.

use std::sync::Arc;

use super::machine::{ENTRY, Machine};
use super::node::{Node, Slot};
use crate::error::Error;

impl Machine<'_, '_, '_> {
    pub(super) fn add(&mut self, node: Node) -> Result<Slot, Error> {
        self.charge(2 * size_of::<Node>() as u64)?;
        let number = u32::try_from(self.nodes.len()).map_err(|_| self.malformed("2^32 objects"))?;
        self.nodes.push(node);
        Ok(Slot::Node(number))
    }

    pub(super) fn new_text(&mut self, text: &str) -> Result<Slot, Error> {
        if let Some(&number) = self.texts.get(text) {
            return Ok(Slot::Node(number));
        }
        // the text, its two counters, and its place in the map of texts
        self.charge(text.len() as u64 + 80)?;
        let text: Arc<str> = text.into();
        let slot = self.add(Node::Str(text.clone()))?;
        if let Slot::Node(number) = slot {
            self.texts.insert(text, number);
        }
        Ok(slot)
    }

    pub(super) fn new_bytes(&mut self, bytes: Vec<u8>) -> Result<Slot, Error> {
        self.charge(bytes.len() as u64 + 16)?;
        self.add(Node::Bytes(bytes.into()))
    }

    /// From two's complement, least significant byte first; none is 0.
    pub(super) fn new_integer(&mut self, bytes: &[u8]) -> Result<Slot, Error> {
        let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let same_sign = |b: u8| (b ^ fill) & 0x80 == 0;
        let mut len = bytes.len();
        while len > 0 && bytes[len - 1] == fill && (len == 1 || same_sign(bytes[len - 2])) {
            len -= 1;
        }
        if len <= 8 {
            let mut word = [fill; 8];
            word[..len].copy_from_slice(&bytes[..len]);
            return Ok(Slot::Int(i64::from_le_bytes(word)));
        }
        self.charge(len as u64 + 16)?;
        self.add(Node::BigInt(bytes[..len].into()))
    }

    /// Appends to the list, set or dictionary on top of the stack.
    pub(super) fn extend(&mut self, items: Vec<Slot>) -> Result<(), Error> {
        self.charge(ENTRY * items.len() as u64)?;
        let target = self.top()?;
        let opcode = self.opcode;
        let done = match self.node_mut(target) {
            Some(Node::List(list)) if matches!(opcode, b'a' | b'e') => {
                list.extend(items);
                true
            }
            Some(Node::Set(set)) if opcode == 0x90 => {
                set.extend(items);
                true
            }
            Some(Node::Dict { entries, .. })
                if matches!(opcode, b's' | b'u' | b'd') && items.len().is_multiple_of(2) =>
            {
                entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                true
            }
            _ => false,
        };
        if done {
            Ok(())
        } else {
            Err(self.malformed("what stands below on the stack cannot hold these items"))
        }
    }

    pub(super) fn node(&self, slot: Slot) -> Option<&Node> {
        if let Slot::Node(number) = slot { self.nodes.get(number as usize) } else { None }
    }

    pub(super) fn node_mut(&mut self, slot: Slot) -> Option<&mut Node> {
        if let Slot::Node(number) = slot { self.nodes.get_mut(number as usize) } else { None }
    }

    pub(super) fn text_of(&self, slot: Slot) -> Option<Arc<str>> {
        if let Some(Node::Str(text)) = self.node(slot) { Some(text.clone()) } else { None }
    }

    pub(super) fn tuple_of(&self, slot: Slot) -> Result<&[Slot], Error> {
        match self.node(slot) {
            Some(Node::Tuple(items)) => Ok(items),
            _ => Err(self.malformed("a tuple is missing")),
        }
    }

    pub(super) fn count_of(&self, slot: Slot) -> Result<u64, Error> {
        match slot {
            Slot::Int(n) if n >= 0 => Ok(n.unsigned_abs()),
            _ => Err(self.malformed("a size, stride or offset is missing or negative")),
        }
    }

    /// `None`, or a container without content.
    pub(super) fn is_empty(&self, slot: Slot) -> bool {
        matches!(slot, Slot::None)
            || self.node(slot).is_some_and(
                |node| matches!(node, Node::Dict { entries, attributes: Slot::None, .. } if entries.is_empty()),
            )
    }

    // ---- accounts and errors

    /// Counts bytes before they are allocated; nothing is ever given back.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<(), Error> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.limits.max_live_bytes {
            return Err(self.limit("max_live_bytes", self.limits.max_live_bytes));
        }
        Ok(())
    }

    pub(super) fn file(&self) -> String {
        self.source.file().to_owned()
    }

    pub(super) fn limit(&self, limit: &'static str, allowed: u64) -> Error {
        Error::Limit { file: self.file(), position: self.at, limit, allowed }
    }

    pub(super) fn malformed(&self, what: impl Into<String>) -> Error {
        Error::Malformed { file: self.file(), position: self.at, opcode: self.opcode, what: what.into() }
    }

    pub(super) fn refused(&self, what: &'static str) -> Error {
        Error::Opcode { file: self.file(), position: self.at, opcode: self.opcode, what }
    }
}
