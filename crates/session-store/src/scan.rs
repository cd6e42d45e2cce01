//! Whole lines of a file that may be growing, a chunk at a time.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use memchr::{memchr, memmem, memrchr};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::file;
use crate::line::{is_entry, is_repeat, is_sound};
use crate::raw::{LINE_MAX, border};

/// A file from some offset on. What it gives ends with a line feed, so it never
/// shows half of a line that is being written.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    file: File,
    offset: u64,
}

/// Whole lines, and where in the file they begin.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// What a sound line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An entry, of another logging service if it is collected.
    Entry {
        is_collected: bool,
    },
    Repeat,
    Other,
}

/// What is read at once at the least.
const CHUNK_MIN: usize = 4 << 10;

// === impl Tail ===

impl Tail {
    pub(crate) fn open(path: PathBuf, offset: u64) -> io::Result<Self> {
        Ok(Self { file: file::open(&path)?, path, offset })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn go_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// The next whole lines, of some `max` bytes, or of one longer line.
    /// `None` if there is no whole line now.
    pub(crate) fn chunk(&mut self, max: usize) -> io::Result<Option<Chunk>> {
        let mut max = max.max(CHUNK_MIN);
        loop {
            let (bytes, is_all) = self.read(max)?;
            if let Some(end) = memrchr(b'\n', &bytes) {
                return Ok(Some(self.give(bytes, end + 1)));
            }
            if is_all {
                return Ok(None);
            }
            if max > LINE_MAX {
                return self.pass_over_line(max);
            }
            max = max.saturating_mul(4).min(LINE_MAX + 1);
        }
    }

    /// Whether there is a whole line now.
    pub(crate) fn has_line(&mut self) -> io::Result<bool> {
        let offset = self.offset;
        let has_line = self.chunk(CHUNK_MIN)?.is_some();
        self.offset = offset;
        Ok(has_line)
    }

    /// Where the line ends that begins here, or goes on here.
    pub(crate) fn line_end(&mut self) -> io::Result<u64> {
        loop {
            let (bytes, is_all) = self.read(CHUNK_MIN)?;
            let end = memchr(b'\n', &bytes);
            self.offset += end.map_or(bytes.len(), |end| end + 1) as u64;
            if end.is_some() || is_all {
                return Ok(self.offset);
            }
        }
    }

    /// Whether the file has lost its name.
    pub(crate) fn is_removed(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    fn give(&mut self, mut bytes: Vec<u8>, length: usize) -> Chunk {
        let offset = self.offset;
        bytes.truncate(length);
        self.offset += length as u64;
        Chunk { offset, bytes }
    }

    /// Up to `max` bytes from here on, and whether that is all there is.
    fn read(&self, max: usize) -> io::Result<(Vec<u8>, bool)> {
        let left = self.file.metadata()?.len().saturating_sub(self.offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(max);
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut bytes[filled..], self.offset + filled as u64) {
                // Someone shortened the file meanwhile.
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok((bytes, filled < length || length as u64 == left))
    }

    /// Passes over a line that is longer than `length`, which is more than a
    /// line may have. An empty line, which is no sound one either, stands for it.
    fn pass_over_line(&mut self, length: usize) -> io::Result<Option<Chunk>> {
        let start = self.offset;
        self.offset += length as u64;
        loop {
            let (bytes, is_all) = self.read(LINE_MAX)?;
            if let Some(end) = memchr(b'\n', &bytes) {
                self.offset += end as u64;
                return Ok(Some(self.give(b"\n".to_vec(), 1)));
            }
            if is_all {
                self.offset = start;
                return Ok(None);
            }
            self.offset += bytes.len() as u64;
        }
    }
}

/// Calls `each` with every sound line of `bytes`: where it is without its line
/// feed, what it is, and where the next one begins. Says how many lines are
/// not sound.
pub(crate) fn sound_lines(bytes: &[u8], mut each: impl FnMut(Range<usize>, Kind, usize)) -> u64 {
    let (mut start, mut damaged) = (0, 0);
    while let Some(length) = memchr(b'\n', &bytes[start..]) {
        let line = &bytes[start..start + length];
        let length = if is_sound(line) { Some(length) } else { border(line) };
        if let Some(length) = length {
            let next = start + length + 1;
            each(start..start + length, kind(&bytes[start..start + length]), next);
            start = next;
        } else {
            damaged += 1;
            start += line.len() + 1;
        }
    }
    damaged
}

/// How many entries of this logging service `bytes` have.
pub(crate) fn count_entries(bytes: &[u8]) -> u64 {
    let mut count = 0;
    sound_lines(bytes, |_, kind, _| {
        count += u64::from(kind == Kind::Entry { is_collected: false });
    });
    count
}

fn kind(line: &[u8]) -> Kind {
    if is_entry(line) {
        Kind::Entry { is_collected: is_collected(line) }
    } else if is_repeat(line) {
        Kind::Repeat
    } else {
        Kind::Other
    }
}

/// Whether the entry in a sound line comes from another logging service.
fn is_collected(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Outline {
        origin: Option<IgnoredAny>,
    }
    // Within a text, the quotes would be escaped; but a field may have the name.
    memmem::find(line, b"\"origin\"").is_some()
        && serde_json::from_slice::<Outline>(line).is_ok_and(|outline| outline.origin.is_some())
}
