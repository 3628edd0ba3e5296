//! The stack machine that a pickle is a programme for, without the part that runs foreign code.

use std::collections::HashMap;
use std::sync::Arc;

use super::globals::{Global, hint};
use super::node::{Node, Slot};
use super::source::Source;
use super::text;
use crate::error::Error;
use crate::limits::Limits;
use crate::tensor::Storage;
use crate::value::Value;

/// What one pickle held.
pub(crate) struct Pickled {
    pub(crate) root: Value,
    /// Every storage that the pickle mentions, in the order of first mention.
    pub(crate) storages: Vec<Arc<Storage>>,
}

/// Reads one pickle from where `source` stands and leaves it behind the STOP.
/// `archive`: persistent ids are torch storages; otherwise they are refused.
pub(crate) fn unpickle(source: &mut Source<'_>, limits: &Limits, archive: bool) -> Result<Pickled, Error> {
    source.start_pickle(limits.max_pickle_bytes);
    let mut machine = Machine::new(source, limits, archive);
    let root = machine.run()?;
    machine.freeze(root)
}

pub(super) struct Machine<'s, 'r, 'l> {
    pub(super) source: &'s mut Source<'r>,
    pub(super) limits: &'l Limits,
    archive: bool,
    pub(super) nodes: Vec<Node>,
    /// Equal texts are one node: words repeat a lot in the tables we read.
    pub(super) texts: HashMap<Arc<str>, u32>,
    stack: Vec<Slot>,
    marks: Vec<usize>,
    /// Numbered densely by every pickler, so a table; see `put`.
    memo: Vec<Option<Slot>>,
    pub(super) storages: Vec<Arc<Storage>>,
    pub(super) storage_by_key: HashMap<Arc<str>, usize>,
    pub(super) used: u64,
    ops: u64,
    /// The opcode at work and where it stands.
    pub(super) at: u64,
    pub(super) opcode: u8,
}

/// What an entry of a table is charged: a slot, and its share of the table's growth.
pub(super) const ENTRY: u64 = 2 * size_of::<Slot>() as u64;

impl<'s, 'r, 'l> Machine<'s, 'r, 'l> {
    fn new(source: &'s mut Source<'r>, limits: &'l Limits, archive: bool) -> Self {
        Machine {
            source,
            limits,
            archive,
            nodes: Vec::new(),
            texts: HashMap::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            storages: Vec::new(),
            storage_by_key: HashMap::new(),
            used: 0,
            ops: 0,
            at: 0,
            opcode: 0,
        }
    }

    fn run(&mut self) -> Result<Slot, Error> {
        loop {
            self.at = self.source.position();
            self.opcode = self.source.byte()?;
            self.ops += 1;
            if self.ops > self.limits.max_ops {
                return Err(self.limit("max_ops", self.limits.max_ops));
            }
            if self.opcode == b'.' {
                return self.pop();
            }
            self.step()?;
        }
    }

    fn step(&mut self) -> Result<(), Error> {
        match self.opcode {
            // framing: no meaning for data
            0x80 => match self.source.byte()? {
                0..=5 => Ok(()),
                other => Err(self.malformed(format!("pickle protocol {other} is unknown (0 to 5 are)"))),
            },
            0x95 => self.source.array::<8>().map(drop),

            // scalars
            b'N' => self.push(Slot::None),
            0x88 => self.push(Slot::Bool(true)),
            0x89 => self.push(Slot::Bool(false)),
            b'K' => {
                let n = self.source.byte()?;
                self.push(Slot::Int(n.into()))
            }
            b'M' => {
                let n = u16::from_le_bytes(self.source.array()?);
                self.push(Slot::Int(n.into()))
            }
            b'J' => {
                let n = i32::from_le_bytes(self.source.array()?);
                self.push(Slot::Int(n.into()))
            }
            b'I' | b'L' => self.decimal(),
            0x8a => {
                let n = self.source.byte()?;
                self.long(n.into())
            }
            0x8b => {
                let n = self.length4()?;
                self.long(n)
            }
            b'G' => {
                let x = f64::from_be_bytes(self.source.array()?);
                self.push(Slot::Float(x))
            }
            b'F' => {
                let line = self.source.line()?;
                let x = std::str::from_utf8(&line).ok().and_then(|t| t.trim().parse().ok());
                let x = x.ok_or_else(|| self.malformed("not a decimal float"))?;
                self.push(Slot::Float(x))
            }

            // text and bytes
            b'X' => self.length4().and_then(|n| self.text(n)),
            0x8c => self.length1().and_then(|n| self.text(n)),
            0x8d => self.length8().and_then(|n| self.text(n)),
            b'V' => {
                let line = self.source.line()?;
                let text =
                    text::raw_unicode(&line).ok_or_else(|| self.malformed("not raw-unicode-escape"))?;
                let slot = self.new_text(&text)?;
                self.push(slot)
            }
            b'T' => self.length4().and_then(|n| self.python2_str(n)),
            b'U' => self.length1().and_then(|n| self.python2_str(n)),
            b'S' => {
                let line = self.source.line()?;
                let bytes = text::quoted(&line).ok_or_else(|| self.malformed("not a quoted string"))?;
                self.push_text_or_bytes(bytes)
            }
            b'B' => self.length4().and_then(|n| self.bytes(n)),
            b'C' => self.length1().and_then(|n| self.bytes(n)),
            0x8e | 0x96 => self.length8().and_then(|n| self.bytes(n)),

            // containers
            b']' => self.push_node(Node::List(Vec::new())),
            b')' => self.push_node(Node::Tuple(Vec::new())),
            b'}' => self.push_node(Node::dict("dict", Vec::new())),
            0x8f => self.push_node(Node::Set(Vec::new())),
            b'l' => {
                let items = self.pop_mark()?;
                self.push_items(items, Node::List)
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push_items(items, Node::Tuple)
            }
            0x91 => {
                let items = self.pop_mark()?;
                self.push_items(items, Node::Set)
            }
            n @ 0x85..=0x87 => {
                let items = self.pop_n(usize::from(n - 0x84))?;
                self.push_items(items, Node::Tuple)
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push_node(Node::dict("dict", Vec::new()))?;
                self.extend(items)
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])
            }
            b's' => {
                let pair = self.pop_n(2)?;
                self.extend(pair)
            }
            b'e' | b'u' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(items)
            }

            // stack and memo
            b'(' => {
                self.charge(ENTRY)?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => match self.marks.last() {
                Some(&mark) if mark == self.stack.len() => {
                    self.marks.pop();
                    Ok(())
                }
                _ => self.pop().map(drop),
            },
            b'1' => self.pop_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.push(top)
            }
            b'p' => self.memo_line().and_then(|i| self.put(i)),
            b'q' => self.length1().and_then(|i| self.put(i)),
            b'r' => self.length4().and_then(|i| self.put(i)),
            0x94 => self.put(self.memo.len() as u64),
            b'g' => self.memo_line().and_then(|i| self.get(i)),
            b'h' => self.length1().and_then(|i| self.get(i)),
            b'j' => self.length4().and_then(|i| self.get(i)),

            // objects: names are looked up in a list, nothing is imported or called
            b'c' => {
                let global = self.global_lines()?;
                self.push_node(Node::Global(global))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.text_of(module), self.text_of(name)) {
                    (Some(module), Some(name)) => {
                        let global = self.global(&module, &name)?;
                        self.push_node(Node::Global(global))
                    }
                    _ => Err(self.malformed("the name of a global is not text")),
                }
            }
            b'i' => {
                let global = self.global_lines()?;
                let args = self.pop_mark()?;
                let slot = self.construct(global, args)?;
                self.push(slot)
            }
            b'o' => {
                let mut args = self.pop_mark()?;
                if args.is_empty() {
                    return Err(self.malformed("an object without a class"));
                }
                let class = args.remove(0);
                self.call(class, args)
            }
            b'R' | 0x81 => {
                let (args, class) = (self.pop()?, self.pop()?);
                let args = self.tuple_of(args)?.to_vec();
                self.call(class, args)
            }
            0x92 => {
                let (keywords, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                if !self.is_empty(keywords) {
                    return Err(self.malformed("an object with keyword arguments"));
                }
                let args = self.tuple_of(args)?.to_vec();
                self.call(class, args)
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                self.build(target, state)
            }
            b'Q' if self.archive => {
                let id = self.pop()?;
                let slot = self.storage(id)?;
                self.push(slot)
            }

            b'P' | b'Q' => Err(self.refused("is a persistent id; open torch archives with TorchFile")),
            0x82..=0x84 => {
                Err(self.refused("is an extension code, which has no meaning outside one program"))
            }
            0x97 | 0x98 => Err(self.refused("is an out-of-band buffer, which is not in the file")),
            _ => Err(self.refused("is unknown; the file is not a pickle, or is damaged")),
        }
    }

    // ---- reading arguments

    fn length1(&mut self) -> Result<u64, Error> {
        self.source.byte().map(u64::from)
    }

    fn length4(&mut self) -> Result<u64, Error> {
        Ok(u32::from_le_bytes(self.source.array()?).into())
    }

    fn length8(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.source.array()?))
    }

    fn take(&mut self, n: u64) -> Result<Vec<u8>, Error> {
        let bytes = self.source.take(n)?;
        self.charge(n)?;
        Ok(bytes)
    }

    fn memo_line(&mut self) -> Result<u64, Error> {
        let line = self.source.line()?;
        let index = text::decimal(&line).and_then(|n| u64::try_from(n).ok());
        index.ok_or_else(|| self.malformed("not a memo number"))
    }

    fn decimal(&mut self) -> Result<(), Error> {
        let line = self.source.line()?;
        match (self.opcode, line.as_slice()) {
            (b'I', b"00") => return self.push(Slot::Bool(false)),
            (b'I', b"01") => return self.push(Slot::Bool(true)),
            _ => {}
        }
        let n = text::decimal(&line).ok_or_else(|| self.malformed("not a decimal of up to 38 digits"))?;
        let slot = self.new_integer(&n.to_le_bytes())?;
        self.push(slot)
    }

    fn long(&mut self, n: u64) -> Result<(), Error> {
        let bytes = self.take(n)?;
        let slot = self.new_integer(&bytes)?;
        self.push(slot)
    }

    fn text(&mut self, n: u64) -> Result<(), Error> {
        let bytes = self.take(n)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| self.malformed("text is not UTF-8"))?;
        let slot = self.new_text(text)?;
        self.push(slot)
    }

    fn bytes(&mut self, n: u64) -> Result<(), Error> {
        let bytes = self.take(n)?;
        self.push_node(Node::Bytes(bytes.into()))
    }

    fn python2_str(&mut self, n: u64) -> Result<(), Error> {
        let bytes = self.take(n)?;
        self.push_text_or_bytes(bytes)
    }

    fn push_text_or_bytes(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let slot = match String::from_utf8(bytes) {
            Ok(text) => self.new_text(&text)?,
            Err(not_text) => self.new_bytes(not_text.into_bytes())?,
        };
        self.push(slot)
    }

    fn global_lines(&mut self) -> Result<Global, Error> {
        let (module, name) = (self.source.line()?, self.source.line()?);
        self.global(&String::from_utf8_lossy(&module), &String::from_utf8_lossy(&name))
    }

    fn global(&self, module: &str, name: &str) -> Result<Global, Error> {
        Global::lookup(module, name).ok_or_else(|| {
            // a hostile name may be as long as the file
            let global = format!("{module}.{name}").chars().take(200).collect();
            Error::Global {
                file: self.source.file().to_owned(),
                position: self.at,
                global,
                hint: hint(module),
            }
        })
    }

    // ---- stack and memo

    pub(super) fn push(&mut self, slot: Slot) -> Result<(), Error> {
        if self.stack.len() == self.stack.capacity() {
            self.charge(ENTRY * (self.stack.len() as u64).max(4))?;
        }
        self.stack.push(slot);
        Ok(())
    }

    fn push_node(&mut self, node: Node) -> Result<(), Error> {
        let slot = self.add(node)?;
        self.push(slot)
    }

    fn push_items(&mut self, items: Vec<Slot>, node: fn(Vec<Slot>) -> Node) -> Result<(), Error> {
        self.charge(ENTRY * items.len() as u64)?;
        self.push_node(node(items))
    }

    /// What is above the topmost mark belongs to it; no opcode may reach below.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn top(&self) -> Result<Slot, Error> {
        match self.stack.last() {
            Some(&slot) if self.stack.len() > self.floor() => Ok(slot),
            _ => Err(self.malformed("the stack is empty")),
        }
    }

    fn pop(&mut self) -> Result<Slot, Error> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<Slot>, Error> {
        if self.stack.len() - self.floor() < n {
            return Err(self.malformed("the stack is empty"));
        }
        Ok(self.stack.split_off(self.stack.len() - n))
    }

    fn pop_mark(&mut self) -> Result<Vec<Slot>, Error> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed("no mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    fn put(&mut self, index: u64) -> Result<(), Error> {
        let top = self.top()?;
        // Every pickler counts up from 0 or 1, so a number above the opcodes so far is false, and the table
        // stays linear in the file.
        let index = usize::try_from(index).ok().filter(|&i| i as u64 <= self.ops);
        let index = index.ok_or_else(|| self.malformed("a memo number that no pickler would give"))?;
        if index >= self.memo.len() {
            self.charge(ENTRY * (index + 1 - self.memo.len()) as u64)?;
            self.memo.resize(index + 1, None);
        }
        self.memo[index] = Some(top);
        Ok(())
    }

    fn get(&mut self, index: u64) -> Result<(), Error> {
        let slot = usize::try_from(index).ok().and_then(|i| *self.memo.get(i)?);
        let slot = slot.ok_or_else(|| self.malformed(format!("memo {index} was never set")))?;
        self.push(slot)
    }
}
