//! Values as JSON, and as Python would print them, within one budget for the
//! whole record.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use super::arena::{Arena, Id};
use super::known::{Brackets, Seen};
use super::{DEPTH_MAX, SHOWN_BYTES_MAX, SHOWN_MAX, number};
use crate::wire::text::from_bytes;

/// Shown where the budget or the depth ends.
const LEFT_OUT: &str = "…";

/// Shows values. A value that is mentioned twice costs twice, so a pickle that
/// doubles and doubles again ends as early as any other.
pub(super) struct Renderer<'r, 'a> {
    arena: &'r Arena<'a>,
    left: usize,
    bytes_left: usize,
    /// The values being shown, from the outermost in.
    path: Vec<Id>,
}

/// Whether text is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Str,
    Repr,
}

// === impl Renderer ===

impl<'r, 'a> Renderer<'r, 'a> {
    pub(super) fn new(arena: &'r Arena<'a>) -> Self {
        Self { arena, left: SHOWN_MAX, bytes_left: SHOWN_BYTES_MAX, path: Vec::new() }
    }

    pub(super) fn arena(&self) -> &'r Arena<'a> {
        self.arena
    }

    /// The value as JSON.
    pub(super) fn value(&mut self, id: Id) -> Value {
        match self.enter(id) {
            Err(instead) => Value::String(instead.to_owned()),
            Ok(()) => {
                let value = self.seen_value(self.arena.see(id));
                self.path.pop();
                value
            }
        }
    }

    /// The value as `str` or `repr` would show it.
    pub(super) fn text(&mut self, id: Id, style: Style) -> String {
        let mut text = String::new();
        self.write(&mut text, id, style);
        text
    }

    fn enter(&mut self, id: Id) -> Result<(), &'static str> {
        if self.path.contains(&id) {
            return Err("<recursive>");
        }
        if self.is_spent() || self.path.len() == DEPTH_MAX {
            return Err(LEFT_OUT);
        }
        self.left -= 1;
        self.path.push(id);
        Ok(())
    }

    fn is_spent(&self) -> bool {
        self.left == 0 || self.bytes_left == 0
    }

    fn charge(&mut self, text: String) -> String {
        self.bytes_left = self.bytes_left.saturating_sub(text.len());
        text
    }

    // --- JSON ---

    fn seen_value(&mut self, seen: Seen<'r>) -> Value {
        match seen {
            Seen::None => Value::Null,
            Seen::Bool(truth) => Value::Bool(truth),
            Seen::Int(digits) => self.integer(digits),
            Seen::Float(number) => match Number::from_f64(number) {
                Some(number) => Value::Number(number),
                None => Value::String(number::float(number)),
            },
            Seen::Str(text) | Seen::Plain(text) => Value::String(self.charge(text)),
            Seen::Bytes(bytes) => Value::String(self.charge(from_bytes(&bytes))),
            Seen::Items(_, items) => self.array(items),
            Seen::Pairs(pairs) => self.object(pairs),
            Seen::Call(name, args) => {
                let mut text = String::new();
                self.write_call(&mut text, &name, args);
                Value::String(text)
            }
        }
    }

    fn integer(&mut self, digits: String) -> Value {
        if let Ok(number) = digits.parse::<i64>() {
            return number.into();
        }
        match digits.parse::<u64>() {
            Ok(number) => number.into(),
            Err(_) => Value::String(self.charge(digits)),
        }
    }

    fn array(&mut self, items: &[Id]) -> Value {
        let mut array = Vec::new();
        for item in items {
            if self.is_spent() {
                array.push(LEFT_OUT.into());
                break;
            }
            array.push(self.value(*item));
        }
        Value::Array(array)
    }

    fn object(&mut self, pairs: &[(Id, Id)]) -> Value {
        let mut object = Map::new();
        for (key, value) in pairs {
            if self.is_spent() {
                object.insert(LEFT_OUT.to_owned(), LEFT_OUT.into());
                break;
            }
            let key = self.text(*key, Style::Str);
            object.insert(key, self.value(*value));
        }
        Value::Object(object)
    }

    // --- Text ---

    fn write(&mut self, out: &mut String, id: Id, style: Style) {
        match self.enter(id) {
            Err(instead) => out.push_str(instead),
            Ok(()) => {
                self.write_seen(out, self.arena.see(id), style);
                self.path.pop();
            }
        }
    }

    fn write_seen(&mut self, out: &mut String, seen: Seen<'r>, style: Style) {
        let text = match seen {
            Seen::None => "None".to_owned(),
            Seen::Bool(true) => "True".to_owned(),
            Seen::Bool(false) => "False".to_owned(),
            Seen::Float(number) => number::float(number),
            Seen::Str(text) if style == Style::Repr => quoted(&text),
            Seen::Int(text) | Seen::Str(text) | Seen::Plain(text) => text,
            Seen::Bytes(bytes) => bytes_literal(&bytes),
            Seen::Items(brackets, items) => return self.write_items(out, brackets, items),
            Seen::Pairs(pairs) => return self.write_pairs(out, pairs),
            Seen::Call(name, args) => return self.write_call(out, &name, args),
        };
        out.push_str(&self.charge(text));
    }

    fn write_call(&mut self, out: &mut String, name: &str, args: &[Id]) {
        out.push_str(name);
        out.push('(');
        self.write_list(out, args);
        out.push(')');
    }

    fn write_items(&mut self, out: &mut String, brackets: Brackets, items: &[Id]) {
        let (open, close) = match (brackets, items) {
            (Brackets::List, _) => ("[", "]"),
            (Brackets::Tuple, [_]) => ("(", ",)"),
            (Brackets::Tuple, _) => ("(", ")"),
            (Brackets::Set, []) => ("set(", ")"),
            (Brackets::Set, _) => ("{", "}"),
        };
        out.push_str(open);
        self.write_list(out, items);
        out.push_str(close);
    }

    fn write_list(&mut self, out: &mut String, items: &[Id]) {
        for (number, item) in items.iter().enumerate() {
            out.push_str(if number > 0 { ", " } else { "" });
            self.write(out, *item, Style::Repr);
            if self.is_spent() {
                break;
            }
        }
    }

    fn write_pairs(&mut self, out: &mut String, pairs: &[(Id, Id)]) {
        out.push('{');
        for (number, (key, value)) in pairs.iter().enumerate() {
            out.push_str(if number > 0 { ", " } else { "" });
            self.write(out, *key, Style::Repr);
            out.push_str(": ");
            self.write(out, *value, Style::Repr);
            if self.is_spent() {
                break;
            }
        }
        out.push('}');
    }
}

/// As Python quotes: in single quotes, if that saves escapes.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => {
                write!(out, "\\x{:02x}", u32::from(c)).expect("writing to a string cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

fn bytes_literal(bytes: &[u8]) -> String {
    // What would not be kept need not be made.
    let bytes = &bytes[..bytes.len().min(super::TEXT_BYTES_MAX)];
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = format!("b{quote}");
    for &byte in bytes {
        match char::from(byte) {
            '\'' | '"' if char::from(byte) != quote => out.push(char::from(byte)),
            _ => out.extend(byte.escape_ascii().map(char::from)),
        }
    }
    out.push(quote);
    out
}
