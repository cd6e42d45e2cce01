//! One entry is one line, and a terminal shows it as text.
//!
//! JSON escapes what lies below U+0020. What else moves cursors, ends lines or
//! turns text around (DEL, C1, U+2028, U+2029, the bidi controls) is escaped
//! here too, so that `cat` on a session file is harmless and no editor sees a
//! second line.

use std::io;

use serde_json::ser::Formatter;

/// Whether `c` must not reach a terminal or a file as it is: controls, line
/// separators and bidi controls. Tab and line feed count as controls.
pub const fn is_unsafe(c: char) -> bool {
    matches!(
        c,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Formats JSON compactly, with every unsafe character escaped.
#[derive(Debug, Clone, Copy, Default)]
pub struct EscapedFormatter;

impl Formatter for EscapedFormatter {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        // Every unsafe character that JSON itself lets through starts with one
        // of these bytes, and plain ASCII text has none of them.
        if !fragment.bytes().any(|byte| matches!(byte, 0x7f | 0xc2 | 0xd8 | 0xe2)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let c = rest[at..].chars().next().expect("`find` returned the start of a character");
            write!(writer, "\\u{:04x}", u32::from(c))?;
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        text.serialize(&mut serde_json::Serializer::with_formatter(&mut out, EscapedFormatter))
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_turns_text_around_is_escaped_and_reads_back() {
        let text = "a\u{7f}\u{9b}\u{2028}\u{202e}\u{2066}\u{61c}→ä\n\u{1b}[31m";
        let json = json(text);
        assert_eq!(json, "\"a\\u007f\\u009b\\u2028\\u202e\\u2066\\u061c→ä\\n\\u001b[31m\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    proptest::proptest! {
        #[test]
        fn no_unsafe_character_gets_through(text: String) {
            let json = json(&text);
            proptest::prop_assert!(!json.chars().any(is_unsafe));
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
