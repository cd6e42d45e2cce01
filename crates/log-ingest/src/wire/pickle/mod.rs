//! Python's pickle, read as data.
//!
//! A pickle is a program for a small stack machine, and in Python running it
//! can run anything. Here nothing is ever looked up or called: the
//! [`machine`] only notes *that* a name was mentioned and *that* something was
//! applied to arguments; [`known`] recognises what the common types of Python
//! look like in these notes, and [`render`] writes them as JSON or as text.
//!
//! Every step is bounded, and a record is refused only if it is no dict or
//! breaks a limit of the machine itself:
//!
//! | limit | |
//! |---|---|
//! | opcodes | 65 536 |
//! | stack | 4 096 values, 256 marks |
//! | memo | 8 192 values, under numbers below 65 536 |
//! | shown | 32 levels deep, 10 000 values, 1 MiB; each mention of a shared value counts again |
//! | text | 64 KiB, then a mark |
//! | integers | 64 bytes or 128 digits, else `<int: N bits>` |

mod arena;
mod known;
mod machine;
mod number;
mod percent;
mod record;
mod render;
mod string;

use log_entry::{Record, Timestamp};

const OPCODES_MAX: usize = 65_536;
const STACK_MAX: usize = 4_096;
const MARKS_MAX: usize = 256;
const MEMO_MAX: usize = 8_192;
const MEMO_INDEX_MAX: u32 = 65_535;
const DEPTH_MAX: usize = 32;
const SHOWN_MAX: usize = 10_000;
const SHOWN_BYTES_MAX: usize = 1024 * 1024;
const TEXT_BYTES_MAX: usize = 64 * 1024;
const INTEGER_BYTES_MAX: usize = 64;
const INTEGER_DIGITS_MAX: usize = 128;
const NAME_CHARS_MAX: usize = 200;

/// Why a payload is no pickled record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("it ends early")]
    Truncated,
    #[error("opcode {0:#04x} is unknown or not taken")]
    Opcode(u8),
    #[error("opcode {0:#04x} finds the wrong thing on the stack")]
    Stack(u8),
    #[error("opcode {0:#04x} has an unusable argument")]
    Argument(u8),
    #[error("more than {limit} {what}")]
    Limit { what: &'static str, limit: usize },
    #[error("it is not the dict of a record")]
    NotARecord,
}

/// The record whose `__dict__` was pickled.
pub(crate) fn decode(payload: &[u8], received_at: Timestamp) -> Result<Record, Error> {
    let (arena, top) = machine::run(payload)?;
    record::from_dict(&arena, top, received_at)
}

#[cfg(test)]
mod tests;
