//! Text with a limit.

use std::fmt::{self, Write};

/// Bytes of one text that are kept.
pub(crate) const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Keeps the beginning of what is written to it, and counts the rest.
pub(crate) struct BoundedText {
    kept: String,
    room: usize,
    truncated: usize,
}

/// `value` as `Display` or `Debug` shows it.
pub(crate) fn render(value: fmt::Arguments<'_>) -> String {
    let mut text = BoundedText::new(TEXT_BYTES_MAX);
    let result = text.write_fmt(value);
    let mut text = text.into_string();
    if result.is_err() {
        text.push_str("…[formatting failed]");
    }
    text
}

/// A copy of `value`.
pub(crate) fn copy(value: &str) -> String {
    if value.len() <= TEXT_BYTES_MAX {
        return value.to_owned();
    }
    render(format_args!("{value}"))
}

// === impl BoundedText ===

impl BoundedText {
    /// Keeps `bytes_max` bytes, or up to three fewer so as not to split a character.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { kept: String::new(), room: bytes_max, truncated: 0 }
    }

    /// What was kept, with a mark if that is not all.
    pub(crate) fn into_string(self) -> String {
        match self.truncated {
            0 => self.kept,
            bytes => format!("{}…[truncated {bytes} bytes]", self.kept),
        }
    }
}

impl Write for BoundedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.floor_char_boundary(self.room);
        self.kept.push_str(&text[..end]);
        self.truncated += text.len() - end;
        // After a cut nothing may follow, even if it would fit.
        self.room = if end == text.len() { self.room - end } else { 0 };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_says_what_is_missing() {
        assert_eq!(copy(&"x".repeat(TEXT_BYTES_MAX)).len(), TEXT_BYTES_MAX);
        let long = copy(&"ä".repeat(TEXT_BYTES_MAX));
        let (kept, mark) = long.split_at(TEXT_BYTES_MAX);
        assert!(kept.chars().all(|c| c == 'ä'));
        assert_eq!(mark, "…[truncated 65536 bytes]");
    }

    #[test]
    fn a_value_that_cannot_be_formatted_leaves_what_it_wrote() {
        struct Broken;
        impl fmt::Display for Broken {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half")?;
                Err(fmt::Error)
            }
        }
        assert_eq!(render(format_args!("{Broken}")), "half…[formatting failed]");
    }

    proptest::proptest! {
        #[test]
        fn what_is_kept_is_the_beginning_of_the_whole(parts: Vec<String>, bytes_max in 0_usize..40) {
            let whole = parts.concat();
            let mut text = BoundedText::new(bytes_max);
            for part in &parts {
                text.write_str(part).unwrap();
            }
            let expected = match whole.floor_char_boundary(bytes_max) {
                end if end == whole.len() => whole,
                end => format!("{}…[truncated {} bytes]", &whole[..end], whole.len() - end),
            };
            proptest::prop_assert_eq!(text.into_string(), expected);
        }
    }
}
