//! Frames as Python sends them: made by Python once, then numbered in place.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// What Python made.
#[derive(Debug, Clone)]
pub(crate) struct Templates {
    /// A frame of `SocketHandler`: a pickle of one record.
    pickle: Vec<u8>,
    /// A record of `CantinaLogHandler`, open at its end.
    json: Vec<u8>,
}

/// The frames of one connection.
pub(crate) trait Frames: Send {
    /// Appends frames with the records numbered `from..to`; the first ever has
    /// the number 0.
    fn append(&mut self, from: u64, to: u64, bytes: &mut Vec<u8>);
}

/// One record in each frame.
pub(crate) struct Pickles {
    frame: Vec<u8>,
    /// Where the number is.
    place: usize,
    base: u64,
}

/// All records in one frame.
pub(crate) struct Json {
    record: Vec<u8>,
    place: usize,
    base: u64,
}

const DIGITS: usize = 10;
const NUMBER: [u8; DIGITS] = [b'~'; DIGITS];
const SOURCE: u8 = b'^';
/// A ULID, but for its last digits.
const ENTRY_ID: &[u8] = b",\"entry_id\":\"01KAPT2F4V0000AA";
/// The numbers of one connection are below that of the next.
const STRIDE: u64 = 100_000_000;

// === impl Templates ===

impl Templates {
    /// Asks Python for them.
    pub(crate) fn make() -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("py/frames.py");
        let output = Command::new(::tests::python()).arg(script).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let mut lines = text.lines().map(bytes);
        let mut next = || lines.next().flatten().context("frames.py printed no template");
        Ok(Self { pickle: next()?, json: next()? })
    }

    /// The bytes of one record of each kind.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.pickle.len(), self.json.len() + ENTRY_ID.len() + DIGITS + ",\"seq\":100000}".len())
    }

    pub(crate) fn pickles(&self, connection: u8) -> Pickles {
        let frame = self.pickle.clone();
        Pickles { place: place(&frame), frame, base: u64::from(connection) * STRIDE }
    }

    pub(crate) fn json(&self, connection: u8) -> Json {
        let mut record = self.json.clone();
        let source = record.iter_mut().find(|byte| **byte == SOURCE);
        *source.expect("the template has a source") = b'0' + connection;
        record.extend_from_slice(ENTRY_ID);
        Json { place: place(&record), record, base: u64::from(connection) * STRIDE }
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = |at| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn place(template: &[u8]) -> usize {
    let found = template.windows(DIGITS).position(|window| window == NUMBER);
    found.expect("the template has a place for a number")
}

/// Ten decimal digits.
fn digits(mut number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).expect("it is below ten");
        number /= 10;
    }
    digits
}

// === impl Frames ===

impl Frames for Pickles {
    fn append(&mut self, from: u64, to: u64, bytes: &mut Vec<u8>) {
        for number in from..to {
            self.frame[self.place..][..DIGITS].copy_from_slice(&digits(self.base + number));
            bytes.extend_from_slice(&self.frame);
        }
    }
}

impl Frames for Json {
    fn append(&mut self, from: u64, to: u64, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend_from_slice(&[0, 0, 0, 0, b'[']);
        for number in from..to {
            if number > from {
                bytes.push(b',');
            }
            let digits = digits(self.base + number);
            self.record[self.place..][..DIGITS].copy_from_slice(&digits);
            bytes.extend_from_slice(&self.record);
            bytes.extend_from_slice(&digits);
            // Sequences begin with 1.
            write!(bytes, "\",\"seq\":{}}}", number + 1).expect("memory takes everything");
        }
        bytes.push(b']');
        let length = u32::try_from(bytes.len() - start - 4).expect("a frame is below 4 GiB");
        bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates() -> Templates {
        let json = br#"[{"message":"a ~~~~~~~~~~ b","source_id":"m:^""#[1..].to_vec();
        Templates { pickle: b"\0\0\0\x0cX~~~~~~~~~~.".to_vec(), json }
    }

    #[test]
    fn pickles_are_numbered_in_place() {
        let mut bytes = Vec::new();
        templates().pickles(0).append(41, 43, &mut bytes);
        assert_eq!(bytes, b"\0\0\0\x0cX0000000041.\0\0\0\x0cX0000000042.");
    }

    #[test]
    fn records_of_a_json_frame_have_ids_and_sequences_of_their_own() {
        let mut bytes = Vec::new();
        templates().json(3).append(7, 9, &mut bytes);
        let length = u32::from_be_bytes(bytes[..4].try_into().unwrap());
        assert_eq!(length as usize, bytes.len() - 4);
        let records: serde_json::Value = serde_json::from_slice(&bytes[4..]).unwrap();
        assert_eq!(records.as_array().unwrap().len(), 2);
        assert_eq!(records[0]["seq"], 8);
        assert_eq!(records[0]["message"], "a 0300000007 b");
        assert_eq!(records[1]["source_id"], "m:3");
        assert_eq!(records[1]["entry_id"], "01KAPT2F4V0000AA0300000008");
    }
}
