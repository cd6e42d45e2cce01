//! One file of a record, while it is being written.

use std::io;
use std::path::{Path, PathBuf};

use crate::file::{self, AppendFile};
use crate::line::{Batch, Body, Counts};
use crate::{Error, Line};

/// The file a session is written to, and what of the last batch is in it.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) counts: Counts,
    file: AppendFile,
    /// How many bytes we wrote.
    length: u64,
    /// How many of them are synced.
    synced: u64,
    /// The start of a line that was cut short at the end of the file.
    torn: Vec<u8>,
    /// Bytes that must come before anything else.
    owed: Vec<u8>,
}

/// A batch that was cut short.
#[derive(Debug)]
pub(crate) struct Cut {
    /// How many of its lines are in the file.
    pub(crate) written: usize,
    pub(crate) source: io::Error,
}

// === impl Segment ===

impl Segment {
    /// Makes the file at `path` with its first line, and syncs both the file
    /// and its name.
    pub(crate) async fn create(
        path: PathBuf,
        number: u32,
        start: &Body<'_>,
    ) -> Result<Self, io::Error> {
        let file = AppendFile::create(path).await?;
        let mut segment = Self::new(file, number);
        match segment.begin(start).await {
            Ok(()) => Ok(segment),
            Err(error) => {
                file::remove_stillborn(segment.path()).await;
                Err(error)
            }
        }
    }

    pub(crate) fn new(file: AppendFile, number: u32) -> Self {
        let (torn, owed) = (Vec::new(), Vec::new());
        Self { number, counts: Counts::default(), file, length: 0, synced: 0, torn, owed }
    }

    async fn begin(&mut self, start: &Body<'_>) -> io::Result<()> {
        self.append(&Batch::of(start)).await.map_err(|cut| cut.source)?;
        self.sync().await?;
        file::sync_directory(self.path().parent().unwrap_or(Path::new("."))).await
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.length
    }

    pub(crate) fn unsynced(&self) -> u64 {
        self.length - self.synced
    }

    /// Writes `batch`, a chunk at a time. A line that was cut short before is
    /// completed if the batch starts with it, and marked if not.
    pub(crate) async fn append(&mut self, batch: &Batch) -> Result<(), Cut> {
        let mut at = self.mend(&batch.bytes);
        self.pay().await.map_err(|source| Cut { written: 0, source })?;
        while at < batch.bytes.len() {
            let (length, outcome) = self.write(&batch.bytes[at..batch.chunk_end(at)]).await;
            at += length;
            if let Err(source) = outcome {
                self.torn = batch.bytes[batch.line_start(at)..at].to_vec();
                return Err(Cut { written: batch.lines_within(at), source });
            }
        }
        self.torn.clear();
        Ok(())
    }

    /// Counts `lines`, which are in the file.
    pub(crate) fn count(&mut self, lines: &[Line]) {
        for line in lines {
            self.counts.count(line);
        }
    }

    pub(crate) async fn sync(&mut self) -> io::Result<()> {
        self.file.sync().await?;
        self.synced = self.length;
        Ok(())
    }

    pub(crate) async fn finish(&mut self, end: &Body<'_>) -> Result<(), Error> {
        if let Err(Cut { written, source }) = self.append(&Batch::of(end)).await {
            let path = self.path().to_owned();
            return Err(Error::Append { path, written, total: 1, source });
        }
        let synced = self.sync().await;
        synced.map_err(|source| Error::Sync { path: self.path().to_owned(), source })
    }

    pub(crate) async fn is_intact(&self) -> io::Result<bool> {
        self.file.is_intact(self.length).await
    }

    /// How many bytes of `next` the file already ends with. If it ends with
    /// the start of something else, owes the mark that says so.
    fn mend(&mut self, next: &[u8]) -> usize {
        if next.starts_with(&self.torn) {
            return self.torn.len();
        }
        let torn_bytes = self.torn.len() as u64;
        let mark = recovered(torn_bytes, self.length - torn_bytes);
        self.owed.extend_from_slice(&mark);
        self.torn.clear();
        0
    }

    async fn pay(&mut self) -> io::Result<()> {
        if self.owed.is_empty() {
            return Ok(());
        }
        let owed = std::mem::take(&mut self.owed);
        let (length, outcome) = self.write(&owed).await;
        self.owed = owed[length..].to_vec();
        outcome
    }

    /// Writes `bytes`, and says how many of them are in the file.
    async fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let outcome = self.file.append(bytes).await;
        let length = if outcome.is_ok() {
            bytes.len()
        } else {
            let length = self.file.length().await.unwrap_or(self.length);
            let written = usize::try_from(length.saturating_sub(self.length));
            written.unwrap_or(usize::MAX).min(bytes.len())
        };
        self.length += length as u64;
        (length, outcome)
    }
}

/// What ends a torn line and says that it is one.
pub(crate) fn recovered(torn_bytes: u64, offset: u64) -> Vec<u8> {
    let mut mark = vec![b'\n'];
    Body::Recovered { torn_bytes, offset }.encode(&mut mark);
    mark
}
