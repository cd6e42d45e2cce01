//! Text of bounded length.

use std::fmt::Write as _;

/// Names: of loggers, files, functions, threads, fields.
pub(crate) const NAME_BYTES_MAX: usize = 640;

/// `text`, or its beginning and a mark if it is longer than `bytes_max`.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let all = text.len();
    text.truncate(text.floor_char_boundary(bytes_max));
    mark_truncated(&mut text, all);
    text
}

/// Says at the end of `text` that `all` bytes were there.
pub(crate) fn mark_truncated(text: &mut String, all: usize) {
    write!(text, "… [truncated: {all} bytes in all]").expect("writing to a string cannot fail");
}

/// `bytes` as text: as they are if they are UTF-8, else `b64:` and base 64.
pub(crate) fn from_bytes(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => base64(bytes),
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("b64:");
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(if place <= group.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters_and_marked() {
        assert_eq!(cut("abc".into(), 3), "abc");
        assert_eq!(cut("aä€".into(), 5), "aä… [truncated: 6 bytes in all]");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_in_base_64() {
        assert_eq!(from_bytes(b"plain"), "plain");
        assert_eq!(from_bytes(b"\xff"), "b64:/w==");
        assert_eq!(from_bytes(b"\xff\xfe"), "b64://4=");
        assert_eq!(from_bytes(b"\xff\xfe\xfd"), "b64://79");
    }
}
