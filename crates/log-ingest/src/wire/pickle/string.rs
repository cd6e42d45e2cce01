//! The texts of a pickle, which are written in four ways.

use std::fmt::Write as _;

use super::arena::Form;
use crate::wire::text::{cut, mark_truncated};

/// The text of a str, at most about `bytes_max` of it.
pub(super) fn decode(raw: &[u8], form: Form, bytes_max: usize) -> String {
    let part = &raw[..raw.len().min(bytes_max)];
    let mut text = match form {
        Form::Utf8 => utf8_with_surrogates(part),
        Form::RawEscape => raw_unicode_escape(part),
        Form::Python2 => utf8_or_latin1(part),
        Form::Python2Escape => utf8_or_latin1(&unescape(part)),
    };
    if part.len() == raw.len() {
        return cut(text, bytes_max);
    }
    mark_truncated(&mut text, raw.len());
    text
}

/// Lone surrogates become the text of their escape; a character cut off at the
/// end is left out.
fn utf8_with_surrogates(mut raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    loop {
        match str::from_utf8(raw) {
            Ok(rest) => return text + rest,
            Err(error) => {
                let (valid, rest) = raw.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                raw = match (rest, error.error_len()) {
                    (&[0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..], _) => {
                        let low = u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f);
                        push_escape(&mut text, 0xd000 | low);
                        &rest[3..]
                    }
                    (_, Some(length)) => {
                        text.push(char::REPLACEMENT_CHARACTER);
                        &rest[length..]
                    }
                    (_, None) => return text,
                };
            }
        }
    }
}

fn push_escape(text: &mut String, code: u32) {
    write!(text, "\\u{code:04x}").expect("writing to a string cannot fail");
}

/// Latin-1 with `\uXXXX` and `\UXXXXXXXX`; protocol 0 writes every backslash
/// of the text itself in that way.
fn raw_unicode_escape(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let digits = match &raw[at..] {
            [b'\\', b'u', ..] => 4,
            [b'\\', b'U', ..] => 8,
            _ => 0,
        };
        match hex(raw.get(at + 2..at + 2 + digits).unwrap_or_default()) {
            Some(code) => {
                match char::from_u32(code) {
                    Some(c) => text.push(c),
                    None => push_escape(&mut text, code),
                }
                at += 2 + digits;
            }
            None => {
                text.push(char::from(raw[at]));
                at += 1;
            }
        }
    }
    text
}

fn hex(digits: &[u8]) -> Option<u32> {
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    is_hex.then(|| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())?
}

fn utf8_or_latin1(raw: &[u8]) -> String {
    match str::from_utf8(raw) {
        Ok(text) => text.to_owned(),
        Err(_) => raw.iter().copied().map(char::from).collect(),
    }
}

/// The escapes in Python 2's quoted strings.
pub(super) fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let (byte, length) = match &raw[at..] {
            [b'\\', b'x', high, low, ..] => {
                match hex(&[*high, *low]).and_then(|c| u8::try_from(c).ok()) {
                    Some(byte) => (byte, 4),
                    None => (b'\\', 1),
                }
            }
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', other, ..] => (*other, 2),
            [other, ..] => (*other, 1),
            [] => break,
        };
        bytes.push(byte);
        at += length;
    }
    bytes
}
