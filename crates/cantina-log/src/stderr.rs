//! Stderr, for a service that must not wait for whoever reads it.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};

use tracing_subscriber::fmt::MakeWriter;

/// Writes whole lines to stderr from a thread of its own. While that is stuck
/// (a pipe that nobody reads, a stopped terminal) what does not fit is dropped.
pub(crate) struct Stderr(SyncSender<Vec<u8>>);

/// Lines that may wait.
const LINES_MAX: usize = 256;

// === impl Stderr ===

impl Stderr {
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, lines) = sync_channel::<Vec<u8>>(LINES_MAX);
        std::thread::Builder::new().name("stderr".to_owned()).spawn(move || {
            for line in lines {
                // Nobody may be left to read it, and nobody else to tell.
                drop(io::stderr().write_all(&line));
            }
        })?;
        Ok(Self(sender))
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        drop(self.0.try_send(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_while_nobody_reads() {
        let (sender, lines) = sync_channel(1);
        let stderr = Stderr(sender);
        for line in ["one\n", "two\n", "three\n"] {
            stderr.make_writer().write_all(line.as_bytes()).unwrap();
        }
        drop(stderr);
        assert_eq!(lines.into_iter().collect::<Vec<_>>(), [b"one\n"]);
    }
}
