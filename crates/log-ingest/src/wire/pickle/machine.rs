//! The stack machine of pickle, protocols 0 to 5, without its power.

use std::collections::HashMap;

use super::arena::{Arena, Form, Id, Node, Opaque};
use super::{Error, MARKS_MAX, MEMO_INDEX_MAX, MEMO_MAX, OPCODES_MAX, STACK_MAX};

/// Runs the program `input` up to its STOP; returns all values, and the one
/// that it would have returned.
pub(super) fn run(input: &[u8]) -> Result<(Arena<'_>, Id), Error> {
    let mut machine = Machine {
        input,
        opcode: 0,
        arena: Arena::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    for _ in 0..OPCODES_MAX {
        machine.opcode = machine.byte()?;
        if machine.opcode == b'.' {
            let top = machine.pop()?;
            return Ok((machine.arena, top));
        }
        machine.step()?;
    }
    Err(Error::Limit { what: "opcodes", limit: OPCODES_MAX })
}

struct Machine<'a> {
    /// What is still to be read.
    input: &'a [u8],
    /// The opcode at work, for errors.
    opcode: u8,
    arena: Arena<'a>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

// === impl Machine ===

impl<'a> Machine<'a> {
    fn step(&mut self) -> Result<(), Error> {
        match self.opcode {
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'I' => self.text_int(),
            b'L' => self.text_long(),
            b'J' => self.le::<4>().and_then(|b| self.push_int(i32::from_le_bytes(b).into())),
            b'K' => self.byte().and_then(|number| self.push_int(number.into())),
            b'M' => self.le::<2>().and_then(|b| self.push_int(u16::from_le_bytes(b).into())),
            0x8a => self.counted::<1>().and_then(|bytes| self.push(Node::Long(bytes))),
            0x8b => self.counted::<4>().and_then(|bytes| self.push(Node::Long(bytes))),
            b'F' => self.text_float(),
            b'G' => self.le::<8>().and_then(|b| self.push(Node::Float(f64::from_be_bytes(b)))),
            b'S' => self.quoted(),
            b'T' => self.counted::<4>().and_then(|raw| self.push_str(raw, Form::Python2)),
            b'U' => self.counted::<1>().and_then(|raw| self.push_str(raw, Form::Python2)),
            b'V' => self.line().and_then(|raw| self.push_str(raw, Form::RawEscape)),
            b'X' => self.counted::<4>().and_then(|raw| self.push_str(raw, Form::Utf8)),
            0x8c => self.counted::<1>().and_then(|raw| self.push_str(raw, Form::Utf8)),
            0x8d => self.counted::<8>().and_then(|raw| self.push_str(raw, Form::Utf8)),
            b'B' => self.counted::<4>().and_then(|bytes| self.push(Node::Bytes(bytes))),
            b'C' => self.counted::<1>().and_then(|bytes| self.push(Node::Bytes(bytes))),
            0x8e | 0x96 => self.counted::<8>().and_then(|bytes| self.push(Node::Bytes(bytes))),
            _ => self.step_container(),
        }
    }

    fn step_container(&mut self) -> Result<(), Error> {
        match self.opcode {
            b']' => self.push(Node::List(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            0x8f => self.push(Node::Set(Vec::new())),
            b'l' => self.pop_mark().and_then(|items| self.push(Node::List(items))),
            b't' => self.pop_mark().and_then(|items| self.push(Node::Tuple(items))),
            0x91 => self.pop_mark().and_then(|items| self.push(Node::Set(items))),
            b'd' => {
                let items = self.pop_mark()?;
                let pairs = self.pairs(&items)?;
                self.push(Node::Dict(pairs))
            }
            0x85 => self.tuple(1),
            0x86 => self.tuple(2),
            0x87 => self.tuple(3),
            b'a' => self.pop().and_then(|item| self.append(&[item])),
            b'e' | 0x90 => self.pop_mark().and_then(|items| self.append(&items)),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])
            }
            b'u' => self.pop_mark().and_then(|items| self.set_items(&items)),
            _ => self.step_stack(),
        }
    }

    fn step_stack(&mut self) -> Result<(), Error> {
        match self.opcode {
            b'(' => self.mark(),
            b'0' => self.pop_or_unmark(),
            b'1' => self.pop_mark().map(drop),
            b'2' => self.top().and_then(|top| self.push_id(top)),
            b'p' => self.line_index().and_then(|index| self.put(index)),
            b'q' => self.byte().and_then(|index| self.put(index.into())),
            b'r' => self.le::<4>().and_then(|b| self.put(u32::from_le_bytes(b))),
            0x94 => self.put(u32::try_from(self.memo.len()).unwrap_or(u32::MAX)),
            b'g' => self.line_index().and_then(|index| self.fetch(index)),
            b'h' => self.byte().and_then(|index| self.fetch(index.into())),
            b'j' => self.le::<4>().and_then(|b| self.fetch(u32::from_le_bytes(b))),
            0x80 => self.byte().and_then(|version| if version <= 5 { Ok(()) } else { self.bad() }),
            // The length of a frame helps reading from files; we have it all.
            0x95 => self.take(8).map(drop),
            _ => self.step_object(),
        }
    }

    fn step_object(&mut self) -> Result<(), Error> {
        match self.opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Symbol(module, name))
            }
            0x93 => self.stack_global(),
            b'i' => self.instance(),
            b'o' => self.object(),
            b'R' | 0x81 => {
                let (args, callable) = (self.pop()?, self.pop()?);
                self.push_opaque(callable, args)
            }
            0x92 => {
                let (_kwargs, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.push_opaque(class, args)
            }
            b'b' => self.build(),
            0x82 => self.take(1).and_then(|_| self.push(Node::Foreign("<extension>"))),
            0x83 => self.take(2).and_then(|_| self.push(Node::Foreign("<extension>"))),
            0x84 => self.take(4).and_then(|_| self.push(Node::Foreign("<extension>"))),
            b'P' => self.line().and_then(|_| self.push(Node::Foreign("<persistent id>"))),
            b'Q' => self.pop().and_then(|_| self.push(Node::Foreign("<persistent id>"))),
            other => Err(Error::Opcode(other)),
        }
    }

    // --- Reading the input ---

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.input.split_at_checked(count).ok_or(Error::Truncated)?;
        self.input = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.le::<1>().map(|[byte]| byte)
    }

    fn le<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.input.split_first_chunk().ok_or(Error::Truncated)?;
        self.input = rest;
        Ok(*taken)
    }

    /// Bytes after their count, which is written in `N` bytes.
    fn counted<const N: usize>(&mut self) -> Result<&'a [u8], Error> {
        let mut count = [0; 8];
        count[..N].copy_from_slice(&self.le::<N>()?);
        self.take(usize::try_from(u64::from_le_bytes(count)).map_err(|_| Error::Truncated)?)
    }

    fn line(&mut self) -> Result<&'a [u8], Error> {
        let end = self.input.iter().position(|&byte| byte == b'\n').ok_or(Error::Truncated)?;
        let line = &self.input[..end];
        self.input = &self.input[end + 1..];
        Ok(line)
    }

    fn line_index(&mut self) -> Result<u32, Error> {
        let line = self.line()?;
        str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(self.argument())
    }

    // --- Scalars ---

    fn push_int(&mut self, number: i64) -> Result<(), Error> {
        self.push(Node::Int(number))
    }

    fn push_str(&mut self, raw: &'a [u8], form: Form) -> Result<(), Error> {
        self.push(Node::Str(raw, form))
    }

    fn text_int(&mut self) -> Result<(), Error> {
        match self.line()? {
            b"00" => self.push(Node::Bool(false)),
            b"01" => self.push(Node::Bool(true)),
            digits => self.push_digits(digits),
        }
    }

    fn text_long(&mut self) -> Result<(), Error> {
        let line = self.line()?;
        self.push_digits(line.strip_suffix(b"L").unwrap_or(line))
    }

    fn push_digits(&mut self, digits: &'a [u8]) -> Result<(), Error> {
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        if unsigned.is_empty() || !unsigned.iter().all(u8::is_ascii_digit) {
            return self.bad();
        }
        self.push(Node::Digits(digits))
    }

    fn text_float(&mut self) -> Result<(), Error> {
        let line = self.line()?;
        let number = str::from_utf8(line).ok().and_then(|text| text.parse().ok());
        self.push(Node::Float(number.ok_or(self.argument())?))
    }

    fn quoted(&mut self) -> Result<(), Error> {
        match self.line()? {
            [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => {
                self.push_str(inner, Form::Python2Escape)
            }
            _ => self.bad(),
        }
    }

    // --- The stack ---

    fn push(&mut self, node: Node<'a>) -> Result<(), Error> {
        let id = self.arena.add(node);
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Result<(), Error> {
        if self.stack.len() == STACK_MAX {
            return Err(Error::Limit { what: "values on the stack", limit: STACK_MAX });
        }
        self.stack.push(id);
        Ok(())
    }

    /// The height below which the stack is hidden.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, Error> {
        self.stack[self.floor()..].last().copied().ok_or(Error::Stack(self.opcode))
    }

    fn pop(&mut self) -> Result<Id, Error> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn mark(&mut self) -> Result<(), Error> {
        if self.marks.len() == MARKS_MAX {
            return Err(Error::Limit { what: "marks", limit: MARKS_MAX });
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Error> {
        let height = self.marks.pop().ok_or(Error::Stack(self.opcode))?;
        Ok(self.stack.split_off(height))
    }

    fn pop_or_unmark(&mut self) -> Result<(), Error> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    // --- The memo ---

    fn put(&mut self, index: u32) -> Result<(), Error> {
        let top = self.top()?;
        if index > MEMO_INDEX_MAX {
            return Err(self.argument());
        }
        if self.memo.len() == MEMO_MAX && !self.memo.contains_key(&index) {
            return Err(Error::Limit { what: "values in the memo", limit: MEMO_MAX });
        }
        self.memo.insert(index, top);
        Ok(())
    }

    fn fetch(&mut self, index: u32) -> Result<(), Error> {
        let id = *self.memo.get(&index).ok_or(self.argument())?;
        self.push_id(id)
    }

    // --- Containers ---

    fn tuple(&mut self, count: usize) -> Result<(), Error> {
        let start = self.stack.len().checked_sub(count).filter(|&start| start >= self.floor());
        let items = self.stack.split_off(start.ok_or(Error::Stack(self.opcode))?);
        self.push(Node::Tuple(items))
    }

    fn append(&mut self, new: &[Id]) -> Result<(), Error> {
        match self.arena.get_mut(self.top()?) {
            Node::List(items) | Node::Set(items) => items.extend(new),
            Node::Opaque(opaque) => opaque.items.extend(new),
            _ => return Err(Error::Stack(self.opcode)),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), Error> {
        let new = self.pairs(items)?;
        match self.arena.get_mut(self.top()?) {
            Node::Dict(pairs) => pairs.extend(new),
            Node::Opaque(opaque) => opaque.pairs.extend(new),
            _ => return Err(Error::Stack(self.opcode)),
        }
        Ok(())
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, Error> {
        match items.as_chunks() {
            (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
            _ => Err(Error::Stack(self.opcode)),
        }
    }

    // --- What Python would look up and call ---

    fn push_opaque(&mut self, callable: Id, args: Id) -> Result<(), Error> {
        let (items, pairs) = (Vec::new(), Vec::new());
        self.push(Node::Opaque(Box::new(Opaque { callable, args, state: None, items, pairs })))
    }

    fn stack_global(&mut self) -> Result<(), Error> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (self.arena.get(module), self.arena.get(name)) {
            (&Node::Str(module, _), &Node::Str(name, _)) => self.push(Node::Symbol(module, name)),
            _ => Err(Error::Stack(self.opcode)),
        }
    }

    fn instance(&mut self) -> Result<(), Error> {
        let (module, name) = (self.line()?, self.line()?);
        let args = self.pop_mark()?;
        let class = self.arena.add(Node::Symbol(module, name));
        let args = self.arena.add(Node::Tuple(args));
        self.push_opaque(class, args)
    }

    fn object(&mut self) -> Result<(), Error> {
        let mut args = self.pop_mark()?;
        if args.is_empty() {
            return Err(Error::Stack(self.opcode));
        }
        let class = args.remove(0);
        let args = self.arena.add(Node::Tuple(args));
        self.push_opaque(class, args)
    }

    fn build(&mut self) -> Result<(), Error> {
        let state = self.pop()?;
        if let Node::Opaque(opaque) = self.arena.get_mut(self.top()?) {
            opaque.state = Some(state);
        }
        Ok(())
    }

    // --- Errors ---

    const fn argument(&self) -> Error {
        Error::Argument(self.opcode)
    }

    fn bad<T>(&self) -> Result<T, Error> {
        Err(self.argument())
    }
}
