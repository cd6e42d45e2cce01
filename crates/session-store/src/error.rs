//! What can go wrong with session files.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use log_entry::SessionId;

/// A session file could not be opened, written or read.
///
/// `Display` says what was being done and to which file; the cause is in
/// [`source`](std::error::Error::source), once.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory cannot be made or used.
    #[error("opening the session directory `{}`", path.display())]
    OpenDirectory {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Another process writes sessions into the directory.
    #[error("the session directory `{}` is in use", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file of a session cannot be begun.
    #[error("creating `{}`", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A batch was not written in full. The first `written` lines of it are in
    /// the record; the rest are the caller's to append again or to drop.
    #[error("appending to `{}` after {written} of {total} lines", path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// Lines of the batch that are in the file.
        written: usize,
        /// Lines in the batch.
        total: usize,
        /// What the file system said.
        source: io::Error,
    },
    /// What is written may not survive a power cut. The next batch goes to a
    /// new segment, because a file system that failed once reports success
    /// the next time without having written anything.
    #[error("syncing `{}`", path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A file or directory cannot be read.
    #[error("reading `{}`", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// There is no such session.
    #[error("no session `{session}` in `{}`", path.display())]
    NoSession {
        /// The session that was asked for.
        session: SessionId,
        /// The directory.
        path: PathBuf,
    },
}

impl Error {
    /// Whether another process holds the directory.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }

    /// Whether the disk, the quota or the allowed file size is used up, so that
    /// trying again is pointless until someone makes room.
    pub fn is_disk_full(&self) -> bool {
        self.cause().is_some_and(|cause| {
            matches!(
                cause.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
            )
        })
    }

    /// Whether what was to be read is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NoSession { .. } => true,
            Self::Read { source, .. } => source.kind() == ErrorKind::NotFound,
            _ => false,
        }
    }

    fn cause(&self) -> Option<&io::Error> {
        match self {
            Self::OpenDirectory { source, .. }
            | Self::Create { source, .. }
            | Self::Append { source, .. }
            | Self::Sync { source, .. }
            | Self::Read { source, .. } => Some(source),
            Self::InUse { .. } | Self::NoSession { .. } => None,
        }
    }
}
