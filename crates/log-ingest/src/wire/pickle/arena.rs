//! The values of one pickle, by number. Values refer to each other by number
//! too, so neither a cycle nor any depth can do harm, and freeing is flat.

/// The number of a value in its [`Arena`].
pub(super) type Id = u32;

/// One value as the pickle wrote it; texts stay in the payload.
#[derive(Debug)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// Little-endian, two's complement.
    Long(&'a [u8]),
    /// Decimal, with a sign perhaps.
    Digits(&'a [u8]),
    Float(f64),
    Str(&'a [u8], Form),
    Bytes(&'a [u8]),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name of a module. It is text here, and nothing else.
    Symbol(&'a [u8], &'a [u8]),
    /// Something Python would have made by calling.
    Opaque(Box<Opaque>),
    /// Something that only its own program could find.
    Foreign(&'static str),
}

/// How a text is written in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// UTF-8, in which Python also writes lone surrogates.
    Utf8,
    /// Latin-1 with `\uXXXX` (protocol 0).
    RawEscape,
    /// The bytes of a Python 2 `str`.
    Python2,
    /// The same, quoted and escaped (protocol 0).
    Python2Escape,
}

/// A call that was not made, and what would have been done to its result.
#[derive(Debug)]
pub(super) struct Opaque {
    pub(super) callable: Id,
    pub(super) args: Id,
    pub(super) state: Option<Id>,
    pub(super) items: Vec<Id>,
    pub(super) pairs: Vec<(Id, Id)>,
}

/// All values of one pickle.
#[derive(Debug, Default)]
pub(super) struct Arena<'a> {
    nodes: Vec<Node<'a>>,
}

// === impl Arena ===

impl<'a> Arena<'a> {
    /// Adds a value. The limit on opcodes keeps the numbers small.
    pub(super) fn add(&mut self, node: Node<'a>) -> Id {
        let id = Id::try_from(self.nodes.len()).expect("no opcode adds more than two values");
        self.nodes.push(node);
        id
    }

    pub(super) fn get(&self, id: Id) -> &Node<'a> {
        &self.nodes[id as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Node<'a> {
        &mut self.nodes[id as usize]
    }

    /// The items of a list or tuple; of anything else none.
    pub(super) fn items(&self, id: Id) -> &[Id] {
        match self.get(id) {
            Node::List(items) | Node::Tuple(items) => items,
            _ => &[],
        }
    }

    /// A whole number that is not large.
    pub(super) fn small_int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Node::Int(number) => Some(*number),
            Node::Bool(truth) => Some(i64::from(*truth)),
            Node::Long(bytes) => super::number::small(bytes),
            Node::Digits(digits) => str::from_utf8(digits).ok()?.parse().ok(),
            _ => None,
        }
    }
}
