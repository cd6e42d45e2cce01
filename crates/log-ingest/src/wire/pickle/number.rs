//! Numbers as Python writes them.

use std::fmt::Write as _;

use super::{INTEGER_BYTES_MAX, INTEGER_DIGITS_MAX};

/// The integer in little-endian two's complement, if an `i64` holds it.
pub(super) fn small(bytes: &[u8]) -> Option<i64> {
    let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let (low, high) = bytes.split_at(bytes.len().min(8));
    let mut word = [sign; 8];
    word[..low.len()].copy_from_slice(low);
    let number = i64::from_le_bytes(word);
    let is_whole = high.iter().all(|&byte| byte == sign) && (number < 0) == (sign != 0);
    (bytes.len() <= INTEGER_BYTES_MAX && is_whole).then_some(number)
}

/// The integer in little-endian two's complement, in decimal.
pub(super) fn decimal(bytes: &[u8]) -> String {
    if bytes.len() > INTEGER_BYTES_MAX {
        return too_long(bytes.len() * 8);
    }
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut magnitude = words(bytes, is_negative);
    let mut groups = Vec::new();
    while magnitude.iter().any(|&word| word != 0) {
        groups.push(divide_by_billion(&mut magnitude));
    }
    let mut text = if is_negative { "-" } else { "" }.to_owned();
    text.push_str(&groups.pop().unwrap_or(0).to_string());
    for group in groups.iter().rev() {
        write!(text, "{group:09}").expect("writing to a string cannot fail");
    }
    text
}

/// An integer that was written in decimal.
pub(super) fn from_digits(digits: &[u8]) -> String {
    if digits.len() > INTEGER_DIGITS_MAX {
        // A decimal digit is 3.322 bits.
        return too_long(digits.len() * 3322 / 1000);
    }
    String::from_utf8_lossy(digits).into_owned()
}

fn too_long(bits: usize) -> String {
    format!("<int: {bits} bits>")
}

/// The magnitude, in words of 32 bits, lowest first.
fn words(bytes: &[u8], is_negative: bool) -> Vec<u32> {
    let sign = if is_negative { 0xff } else { 0 };
    let mut carry = is_negative;
    let word = |chunk: &[u8]| {
        let mut word = [sign; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_le_bytes(word)
    };
    let magnitude = bytes.chunks(4).map(word).map(|word| {
        if !is_negative {
            return word;
        }
        let (negated, overflow) = (!word).overflowing_add(u32::from(carry));
        carry = overflow;
        negated
    });
    magnitude.collect()
}

/// Divides in place, and returns the remainder: nine decimal digits.
fn divide_by_billion(words: &mut [u32]) -> u32 {
    let mut rest = 0_u64;
    for word in words.iter_mut().rev() {
        let number = rest << 32 | u64::from(*word);
        // A remainder below the divisor keeps the quotient in a word.
        *word = u32::try_from(number / 1_000_000_000).expect("a word");
        rest = number % 1_000_000_000;
    }
    u32::try_from(rest).expect("below a billion")
}

/// `repr` of a float.
pub(super) fn float(number: f64) -> String {
    if !number.is_finite() {
        return non_finite(number);
    }
    let text = format!("{number:e}");
    let (digits, exponent) = split_exponent(&text);
    if (-4..16).contains(&exponent) {
        let text = number.to_string();
        if text.contains('.') { text } else { text + ".0" }
    } else {
        exponential(digits, exponent)
    }
}

/// `%e` with `precision` decimals.
pub(super) fn scientific(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        return non_finite(number);
    }
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = split_exponent(&text);
    exponential(digits, exponent)
}

/// `%f` with `precision` decimals.
pub(super) fn fixed(number: f64, precision: usize) -> String {
    if number.is_finite() { format!("{number:.precision$}") } else { non_finite(number) }
}

/// `%g` with `precision` digits.
pub(super) fn general(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        return non_finite(number);
    }
    let precision = precision.max(1);
    let text = format!("{number:.*e}", precision - 1);
    let (digits, exponent) = split_exponent(&text);
    let is_fixed = exponent >= -4 && usize::try_from(exponent).map_or(true, |e| e < precision);
    if !is_fixed {
        return exponential(without_zeros(digits), exponent);
    }
    let decimals = i64::try_from(precision).unwrap_or(i64::MAX) - 1 - i64::from(exponent);
    let text = format!("{number:.*}", usize::try_from(decimals).unwrap_or(0));
    without_zeros(&text).to_owned()
}

fn non_finite(number: f64) -> String {
    if number.is_nan() {
        "nan".to_owned()
    } else if number < 0.0 {
        "-inf".to_owned()
    } else {
        "inf".to_owned()
    }
}

fn split_exponent(text: &str) -> (&str, i32) {
    let (digits, exponent) = text.split_once('e').expect("`{:e}` writes an exponent");
    (digits, exponent.parse().expect("`{:e}` writes a small exponent"))
}

fn exponential(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_any_length_are_written() {
        assert_eq!(decimal(&[]), "0");
        assert_eq!(decimal(&[0xff]), "-1");
        assert_eq!(decimal(&[0, 0x80]), "-32768");
        assert_eq!(decimal(&(i128::MIN).to_le_bytes()), i128::MIN.to_string());
        assert_eq!(decimal(&[0xff; 65]), "<int: 520 bits>");
        assert_eq!(from_digits(&[b'9'; 200]), "<int: 664 bits>");
        assert_eq!((small(&[]), small(&[0xfe]), small(&[0x80, 0])), (Some(0), Some(-2), Some(128)));
        assert_eq!(small(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]), None);
        assert_eq!(small(&[0, 0, 0, 0, 0, 0, 0, 0x80]), Some(i64::MIN));
    }

    proptest::proptest! {
        #[test]
        fn decimals_are_those_of_i128(number: i128) {
            proptest::prop_assert_eq!(decimal(&number.to_le_bytes()), number.to_string());
            proptest::prop_assert_eq!(small(&number.to_le_bytes()), i64::try_from(number).ok());
        }
    }
}
