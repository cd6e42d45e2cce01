//! Every operation on files, so that nothing else in this crate names one.
//!
//! What is written goes through `tokio::fs`. Its `write_all` returns before the
//! write has happened and reports the error of one call at the next; that is
//! why [`AppendFile::append`] flushes, and why the length is asked for after a
//! failure. What is read, and what happens once at the start, blocks.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt as _;

/// A file that only grows, made by us.
#[derive(Debug)]
pub(crate) struct AppendFile {
    file: tokio::fs::File,
    path: PathBuf,
}

/// A file in a directory.
pub(crate) struct Listed {
    pub(crate) name: OsString,
    pub(crate) bytes: u64,
}

// === impl AppendFile ===

impl AppendFile {
    /// Makes the file; there must be none of that name, nor a link.
    pub(crate) async fn create(path: PathBuf) -> io::Result<Self> {
        let file = tokio::fs::OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .await?;
        Ok(Self { file, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `bytes`, and returns once the system has all of them. After an
    /// error, [`length`](Self::length) tells how many it has.
    pub(crate) async fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.file.flush().await
    }

    pub(crate) async fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata().await?.len())
    }

    pub(crate) async fn sync(&self) -> io::Result<()> {
        self.file.sync_data().await
    }

    /// Whether the file still has its name and its first `length` bytes.
    pub(crate) async fn is_intact(&self, length: u64) -> io::Result<bool> {
        let ours = self.file.metadata().await?;
        if ours.nlink() == 0 || ours.len() < length {
            return Ok(false);
        }
        match tokio::fs::symlink_metadata(&self.path).await {
            Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Any file to write to, such as a device that is always full.
    #[cfg(test)]
    pub(crate) async fn existing(path: &Path) -> io::Result<Self> {
        let file = tokio::fs::OpenOptions::new().append(true).open(path).await?;
        Ok(Self { file, path: path.to_owned() })
    }
}

/// Makes the names of new files in `path` survive a power cut.
pub(crate) async fn sync_directory(path: &Path) -> io::Result<()> {
    tokio::fs::File::open(path).await?.sync_all().await
}

/// Whether there is something of that name, be it a broken link.
pub(crate) async fn is_there(path: &Path) -> bool {
    tokio::fs::symlink_metadata(path).await.is_ok()
}

/// Removes a file that was only just made and has nothing in it of value.
pub(crate) async fn remove_stillborn(path: &Path) {
    // What cannot be removed stays as an empty segment, which readers pass over.
    drop(tokio::fs::remove_file(path).await);
}

/// Makes the directory, for its owner only, unless it is there.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Refuses what is not a directory itself, such as a link to one.
pub(crate) fn expect_directory(path: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_symlink() {
        return Err(io::Error::new(ErrorKind::NotADirectory, "symbolic links are not followed"));
    }
    if !kind.is_dir() {
        return Err(io::Error::new(ErrorKind::NotADirectory, "not a directory"));
    }
    Ok(())
}

/// Takes the lock file at `path`, which is held until the file is dropped or
/// the process ends. `None` if another process holds it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The regular files of a directory.
pub(crate) fn list(path: &Path) -> io::Result<Vec<Listed>> {
    let mut files = Vec::new();
    for file in fs::read_dir(path)? {
        let file = file?;
        // A file that was removed while we looked is not there.
        let Ok(metadata) = file.metadata() else { continue };
        if metadata.is_file() {
            files.push(Listed { name: file.file_name(), bytes: metadata.len() });
        }
    }
    Ok(files)
}

/// Opens a regular file to read, never waiting for the other end of a pipe.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// The first `max` bytes of a file.
pub(crate) fn head(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last `max` bytes of a file, and the offset of the first of them.
pub(crate) fn tail(path: &Path, max: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut file = open(path)?;
    let offset = file.metadata()?.len().saturating_sub(max);
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok((offset, bytes))
}

/// Adds to a file of an earlier session.
pub(crate) fn add(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

pub(crate) fn length(path: &Path) -> io::Result<u64> {
    Ok(fs::symlink_metadata(path)?.len())
}

pub(crate) fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}
