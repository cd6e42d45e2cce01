//! Frames: a length of 4 bytes, big-endian, and that many bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use log_entry::DropReason;

/// The bytes before each payload.
pub(crate) const HEADER_BYTES: usize = 4;

/// A frame announced longer than this ends the connection: skipping it would
/// take longer than connecting again.
pub(crate) const SKIP_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A drained buffer larger than this is given back.
const KEEP_BYTES: usize = 64 * 1024;

/// Splits a stream of bytes into payloads, however the bytes arrive.
///
/// Memory grows with the bytes received, never with a length announced.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    /// The bytes of `buffer` that are done with.
    taken: usize,
    /// The bytes still to come of a frame that is too long.
    skip: usize,
    bytes_max: usize,
    budget: Arc<Budget>,
    /// What was taken from `budget`: what `buffer` was asked to hold.
    reserved: usize,
}

/// What comes next in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A whole payload.
    Payload(&'a [u8]),
    /// A frame too long, which is passed over.
    Oversized {
        /// Its length, as announced.
        announced: usize,
    },
    /// Something after which nothing in the stream makes sense.
    Unusable(Unusable),
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("a frame of {announced} bytes was announced")]
    FarTooLong { announced: usize },
    #[error("HTTP on the port for frames")]
    Http,
    #[error("TLS on the port for frames")]
    Tls,
}

/// The bytes that all connections together may hold of frames not complete.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicUsize,
}

/// All connections together hold too much.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoBudget;

// === impl Frames ===

impl Frames {
    /// Payloads up to `bytes_max`; the buffer's memory is taken from `budget`.
    pub(crate) fn new(bytes_max: usize, budget: Arc<Budget>) -> Self {
        Self { buffer: Vec::new(), taken: 0, skip: 0, bytes_max, budget, reserved: 0 }
    }

    /// Adds bytes that arrived. Take all pieces before the next call.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), NoBudget> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.compact();
        self.grow(bytes.len() - skipped)?;
        self.buffer.extend_from_slice(&bytes[skipped..]);
        Ok(())
    }

    /// The next piece, if enough has arrived.
    pub(crate) fn next(&mut self) -> Option<Piece<'_>> {
        let header = *self.buffer[self.taken..].first_chunk::<HEADER_BYTES>()?;
        let announced = u32::from_be_bytes(header) as usize;
        if announced > SKIP_BYTES_MAX {
            return Some(Piece::Unusable(Unusable::of(header)));
        }
        let start = self.taken + HEADER_BYTES;
        let arrived = self.buffer.len() - start;
        if announced > self.bytes_max {
            let here = announced.min(arrived);
            self.taken = start + here;
            self.skip = announced - here;
            return Some(Piece::Oversized { announced });
        }
        if arrived < announced {
            return None;
        }
        self.taken = start + announced;
        Some(Piece::Payload(&self.buffer[start..start + announced]))
    }

    /// Whether a frame has begun and not ended.
    pub(crate) fn is_inside(&self) -> bool {
        self.skip > 0 || self.buffer.len() > self.taken
    }

    /// What has arrived of the payload that is underway.
    pub(crate) fn partial_payload(&self) -> &[u8] {
        self.buffer.get(self.taken + HEADER_BYTES..).unwrap_or_default()
    }

    fn compact(&mut self) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.is_empty() && self.reserved > KEEP_BYTES {
            self.budget.give_back(std::mem::take(&mut self.reserved));
            self.buffer = Vec::new();
        }
    }

    /// Makes room for `more` bytes, doubling, so that each is copied rarely.
    fn grow(&mut self, more: usize) -> Result<(), NoBudget> {
        let needed = self.buffer.len() + more;
        if needed > self.reserved {
            let wanted = needed.max(self.reserved * 2);
            self.budget.take(wanted - self.reserved)?;
            self.reserved = wanted;
            self.buffer.reserve_exact(wanted - self.buffer.len());
        }
        Ok(())
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.budget.give_back(self.reserved);
    }
}

// === impl Unusable ===

impl Unusable {
    /// The word for it in the ledger.
    pub(crate) fn reason(self) -> DropReason {
        match self {
            Self::FarTooLong { .. } => DropReason::Oversized,
            Self::Http | Self::Tls => DropReason::Malformed,
        }
    }

    /// As lengths, the first letters of HTTP and TLS are far too long too.
    fn of(header: [u8; HEADER_BYTES]) -> Self {
        match &header {
            b"GET " | b"POST" | b"PUT " | b"OPTI" | b"HEAD" => Self::Http,
            [0x16, 0x03, ..] => Self::Tls,
            _ => Self::FarTooLong { announced: u32::from_be_bytes(header) as usize },
        }
    }
}

// === impl Budget ===

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }

    fn take(&self, bytes: usize) -> Result<(), NoBudget> {
        self.left
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .map(drop)
            .map_err(|_| NoBudget)
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// `payload` with its length before it.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("what we send is short");
    [&length.to_be_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Owned {
        Payload(Vec<u8>),
        Oversized(usize),
        Unusable(Unusable),
    }

    fn frames(bytes_max: usize) -> Frames {
        Frames::new(bytes_max, Arc::new(Budget::new(1 << 30)))
    }

    fn split<'a>(bytes_max: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Owned> {
        let mut frames = frames(bytes_max);
        let mut pieces = Vec::new();
        for chunk in chunks {
            frames.feed(chunk).unwrap();
            while let Some(piece) = frames.next() {
                pieces.push(match piece {
                    Piece::Payload(bytes) => Owned::Payload(bytes.to_vec()),
                    Piece::Oversized { announced } => Owned::Oversized(announced),
                    Piece::Unusable(why) => {
                        pieces.push(Owned::Unusable(why));
                        return pieces;
                    }
                });
            }
        }
        pieces
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_pieces(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            cuts in prop::collection::vec(1..50_usize, 1..40),
        ) {
            const BYTES_MAX: usize = 24;
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
            let expected: Vec<_> = payloads.into_iter().map(|payload| {
                if payload.len() > BYTES_MAX { Owned::Oversized(payload.len()) } else { Owned::Payload(payload) }
            }).collect();
            let mut rest = stream.as_slice();
            let chunks = cuts.iter().cycle().map_while(|&cut| {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                rest = after;
                (!chunk.is_empty()).then_some(chunk)
            });
            prop_assert_eq!(split(BYTES_MAX, chunks), expected.clone());
            prop_assert_eq!(split(BYTES_MAX, [stream.as_slice()]), expected);
        }

        #[test]
        fn any_bytes_are_survived(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..64)) {
            split(32, chunks.iter().map(Vec::as_slice));
        }
    }

    #[test]
    fn an_announced_length_takes_no_memory() {
        let mut frames = frames(1 << 20);
        frames.feed(&(1_u32 << 20).to_be_bytes()).unwrap();
        assert_eq!(frames.next(), None);
        assert!(frames.is_inside());
        assert!(frames.buffer.capacity() < 64);
    }

    #[test]
    fn a_frame_of_64_mib_is_passed_over_exactly_and_a_longer_one_ends_the_stream() {
        let mut frames = frames(1 << 20);
        frames.feed(&u32::try_from(SKIP_BYTES_MAX).unwrap().to_be_bytes()).unwrap();
        assert_eq!(frames.next(), Some(Piece::Oversized { announced: SKIP_BYTES_MAX }));
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..64 {
            assert!(frames.is_inside());
            frames.feed(&chunk).unwrap();
            assert_eq!(frames.next(), None);
        }
        assert!(!frames.is_inside());
        assert!(frames.buffer.capacity() < 64);
        frames.feed(&frame(b"after")).unwrap();
        assert_eq!(frames.next(), Some(Piece::Payload(b"after")));
        frames.feed(&[0xff; 4]).unwrap();
        let announced = u32::MAX as usize;
        assert_eq!(frames.next(), Some(Piece::Unusable(Unusable::FarTooLong { announced })));
    }

    #[test]
    fn a_browser_is_recognised() {
        for start in ["GET / HTTP/1.1", "POST /x", "PUT /", "OPTIONS *", "HEAD /"] {
            assert_eq!(split(99, [start.as_bytes()]), [Owned::Unusable(Unusable::Http)]);
        }
        assert_eq!(split(99, [&b"\x16\x03\x01\x02\x00"[..]]), [Owned::Unusable(Unusable::Tls)]);
    }

    #[test]
    fn the_budget_is_shared_kept_and_given_back() {
        let budget = Arc::new(Budget::new(100));
        let mut first = Frames::new(1000, Arc::clone(&budget));
        let mut second = Frames::new(1000, Arc::clone(&budget));
        first.feed(&[0; 60]).unwrap();
        assert_eq!(second.feed(&[0; 60]), Err(NoBudget));
        drop(first);
        second.feed(&[0; 60]).unwrap();
        drop(second);
        assert_eq!(budget.left.load(Ordering::Relaxed), 100);
    }
}
