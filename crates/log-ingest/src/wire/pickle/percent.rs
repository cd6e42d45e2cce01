//! Python's `%` for records whose arguments were not merged by their sender.

use super::arena::{Id, Node};
use super::number;
use super::render::{Renderer, Style};
use super::{TEXT_BYTES_MAX, known::Seen};

/// Wider fields are not worth their spaces.
const WIDTH_MAX: usize = 1024;

/// What is put into the template.
#[derive(Debug, Clone, Copy)]
pub(super) enum Args<'r> {
    InOrder(&'r [Id]),
    ByName(&'r [(Id, Id)]),
}

/// `template % args`; nothing where Python would raise, or where the outcome
/// would be too long.
pub(super) fn merge(
    shown: &mut Renderer<'_, '_>,
    template: &str,
    args: Args<'_>,
) -> Option<String> {
    let mut merging = Merging { shown, args, rest: template, out: String::new() };
    while let Some((before, after)) = merging.rest.split_once('%') {
        merging.out.push_str(before);
        merging.rest = after;
        merging.conversion()?;
        if merging.out.len() > TEXT_BYTES_MAX {
            return None;
        }
    }
    match merging.args {
        Args::InOrder([_, ..]) => None,
        _ => Some(merging.out + merging.rest),
    }
}

struct Merging<'m, 'r, 'a, 't> {
    shown: &'m mut Renderer<'r, 'a>,
    args: Args<'t>,
    rest: &'t str,
    out: String,
}

/// The characters between `%` and the width.
#[derive(Debug, Clone, Copy)]
struct Flags<'t>(&'t str);

/// Python would raise here.
struct Unfit;

// === impl Merging ===

impl<'t> Merging<'_, '_, '_, 't> {
    /// What follows a `%`, and its argument.
    fn conversion(&mut self) -> Option<()> {
        let named = self.name().ok()?;
        let flags = self.flags();
        let width = self.size().ok()?.unwrap_or(0);
        let precision = if self.skip(|c| c == '.').is_some() {
            Some(self.size().ok()?.unwrap_or(0))
        } else {
            None
        };
        self.skip(|c| "hlL".contains(c));
        let kind = self.skip(|_| true)?;
        if kind == '%' {
            self.out.push('%');
            return Some(());
        }
        let arg = match named {
            Some(arg) => arg,
            None => self.next_arg()?,
        };
        let (sign, body) = self.convert(kind, arg, precision, flags)?;
        let fill = if flags.has('0') && !"srac".contains(kind) { "0" } else { " " };
        self.pad(&sign, &body, width, (fill, flags));
        Some(())
    }

    fn skip(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let c = self.rest.chars().next().filter(|&c| wanted(c))?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn next_arg(&mut self) -> Option<Id> {
        let Args::InOrder([first, rest @ ..]) = self.args else { return None };
        self.args = Args::InOrder(rest);
        Some(*first)
    }

    /// `(name)`, looked up.
    fn name(&mut self) -> Result<Option<Id>, Unfit> {
        if self.skip(|c| c == '(').is_none() {
            return Ok(None);
        }
        let (name, rest) = self.rest.split_once(')').ok_or(Unfit)?;
        self.rest = rest;
        let Args::ByName(pairs) = self.args else { return Err(Unfit) };
        let arena = self.shown.arena();
        let is_it = |key: Id| arena.text(key, name.len() + 1).as_deref() == Some(name);
        let found = pairs.iter().take(64).find(|(key, _)| is_it(*key));
        found.map(|(_, value)| Some(*value)).ok_or(Unfit)
    }

    fn flags(&mut self) -> Flags<'t> {
        let rest = self.rest.trim_start_matches(['-', '0', '+', ' ', '#']);
        let (flags, rest) = self.rest.split_at(self.rest.len() - rest.len());
        self.rest = rest;
        Flags(flags)
    }

    /// A width or a precision: a number, or `*` for the next argument.
    fn size(&mut self) -> Result<Option<usize>, Unfit> {
        let size = if self.skip(|c| c == '*').is_some() {
            let arg = self.next_arg().ok_or(Unfit)?;
            let size = self.shown.arena().small_int(arg).ok_or(Unfit)?;
            usize::try_from(size).map_err(|_| Unfit)?
        } else {
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            self.rest = rest;
            if digits.is_empty() {
                return Ok(None);
            }
            digits.parse().map_err(|_| Unfit)?
        };
        if size <= WIDTH_MAX { Ok(Some(size)) } else { Err(Unfit) }
    }

    /// Sign and prefix, and the rest.
    fn convert(
        &mut self,
        kind: char,
        arg: Id,
        precision: Option<usize>,
        flags: Flags<'_>,
    ) -> Option<(String, String)> {
        let style = if kind == 's' { Style::Str } else { Style::Repr };
        match kind {
            's' | 'r' | 'a' => {
                let text = self.shown.text(arg, style);
                Some((String::new(), text.chars().take(precision.unwrap_or(usize::MAX)).collect()))
            }
            'c' => Some((String::new(), self.character(arg)?)),
            'd' | 'i' | 'u' => {
                let digits = self.whole(arg)?;
                let (sign, digits) = signed(&digits, flags);
                Some((sign, format!("{digits:0>0$}", precision.unwrap_or(0))))
            }
            'x' | 'X' | 'o' => self.radix(kind, arg, precision, flags),
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let text = float(kind, self.float(arg)?, precision.unwrap_or(6));
                let (sign, text) = signed(&text, flags);
                Some((sign, text.to_owned()))
            }
            _ => None,
        }
    }

    fn character(&self, arg: Id) -> Option<String> {
        let arena = self.shown.arena();
        if let Some(text) = arena.text(arg, 8) {
            return (text.chars().count() == 1).then_some(text);
        }
        let code = u32::try_from(arena.small_int(arg)?).ok()?;
        char::from_u32(code).map(String::from)
    }

    fn whole(&self, arg: Id) -> Option<String> {
        match self.shown.arena().see(arg) {
            Seen::Int(digits) => Some(digits),
            Seen::Bool(truth) => Some(u8::from(truth).to_string()),
            Seen::Float(number) if number.is_finite() => Some(format!("{:.0}", number.trunc())),
            _ => None,
        }
    }

    fn radix(
        &self,
        kind: char,
        arg: Id,
        precision: Option<usize>,
        flags: Flags<'_>,
    ) -> Option<(String, String)> {
        let number = self.shown.arena().small_int(arg)?;
        let size = number.unsigned_abs();
        let (prefix, digits) = match kind {
            'x' => ("0x", format!("{size:x}")),
            'X' => ("0X", format!("{size:X}")),
            _ => ("0o", format!("{size:o}")),
        };
        let (mut sign, _) = signed(if number < 0 { "-" } else { "" }, flags);
        sign.push_str(if flags.has('#') { prefix } else { "" });
        Some((sign, format!("{digits:0>0$}", precision.unwrap_or(0))))
    }

    fn float(&self, arg: Id) -> Option<f64> {
        match self.shown.arena().get(arg) {
            Node::Float(number) => Some(*number),
            _ => self.whole(arg)?.parse().ok(),
        }
    }

    fn pad(&mut self, sign: &str, body: &str, width: usize, (fill, flags): (&str, Flags<'_>)) {
        let length = sign.chars().count() + body.chars().count();
        let padding = fill.repeat(width.saturating_sub(length));
        let parts = match (flags.has('-'), fill) {
            (true, _) => [sign, body, &" ".repeat(padding.len())],
            (false, "0") => [sign, &padding, body],
            (false, _) => [&padding, sign, body],
        };
        parts.iter().for_each(|part| self.out.push_str(part));
    }
}

// === impl Flags ===

impl Flags<'_> {
    fn has(self, flag: char) -> bool {
        self.0.contains(flag)
    }
}

fn signed<'t>(text: &'t str, flags: Flags<'_>) -> (String, &'t str) {
    match text.strip_prefix('-') {
        Some(rest) => ("-".to_owned(), rest),
        None if flags.has('+') => ("+".to_owned(), text),
        None if flags.has(' ') => (" ".to_owned(), text),
        None => (String::new(), text),
    }
}

fn float(kind: char, number: f64, precision: usize) -> String {
    let text = match kind.to_ascii_lowercase() {
        'e' => number::scientific(number, precision),
        'f' => number::fixed(number, precision),
        _ => number::general(number, precision),
    };
    if kind.is_ascii_uppercase() { text.to_uppercase() } else { text }
}
