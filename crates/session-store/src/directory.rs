//! The directory of the sessions, held by the one process that writes there.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeZone};

use crate::name::{self, Name, Part};
use crate::segment::recovered;
use crate::{Error, Header, Sessions, Writer, file};

/// The directory of the sessions, held until this and every [`Writer`] made of
/// it are gone, or the process ends.
#[derive(Debug)]
pub struct Directory {
    lock: Arc<Lock>,
    recovered: Vec<Recovered>,
}

/// A torn line at the end of an earlier session, from a process that was
/// killed or a machine that lost power.
#[derive(Debug)]
pub struct Recovered {
    /// The file.
    pub path: PathBuf,
    /// Where the torn line starts.
    pub offset: u64,
    /// How long it is.
    pub torn_bytes: u64,
    /// Why it could not be marked as torn, if it could not.
    pub error: Option<io::Error>,
}

#[derive(Debug)]
pub(crate) struct Lock {
    pub(crate) path: PathBuf,
    _file: File,
}

/// How much of the end of a file is read to find its last line.
const TAIL_MAX: u64 = 1 << 20;

// === impl Directory ===

impl Directory {
    /// Opens the directory at `path`, which is made for its owner only if it
    /// is not there, and marks what earlier sessions left torn. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] if another process holds it; [`Error::OpenDirectory`]
    /// if it is a symbolic link, no directory, or cannot be written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        // A slash at the end would make the system follow a link.
        let path: PathBuf = path.as_ref().components().collect();
        let failed = |source| Error::OpenDirectory { path: path.clone(), source };
        match file::expect_directory(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                file::make_directory(&path)
                    .and_then(|()| file::expect_directory(&path))
                    .map_err(failed)?;
            }
            other => other.map_err(failed)?,
        }
        let locked = file::lock(&path.join(".lock")).map_err(failed)?;
        let Some(file) = locked else { return Err(Error::InUse { path }) };
        let recovered = recover(&path)?;
        Ok(Self { lock: Arc::new(Lock { path, _file: file }), recovered })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.lock.path
    }

    /// What earlier sessions had left torn when this was opened.
    pub fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    /// The sessions in it, to read.
    pub fn sessions(&self) -> Sessions {
        Sessions::at(self.path())
    }

    /// Begins a session that is named after `started`, whose zone is also the
    /// one of the readable twin.
    ///
    /// # Errors
    ///
    /// [`Error::Create`] if its record cannot be made.
    pub async fn create_session<Z>(
        &self,
        started: &DateTime<Z>,
        header: Header,
    ) -> Result<Writer<Z>, Error>
    where
        Z: TimeZone<Offset: fmt::Display>,
    {
        Writer::create(Arc::clone(&self.lock), started, header).await
    }
}

/// Marks the torn ends of the newest segments; those before them are never
/// written again, so a start takes as long with many segments as with one.
fn recover(directory: &Path) -> Result<Vec<Recovered>, Error> {
    let sessions = name::find(directory)?;
    let newest = sessions.iter().filter_map(|(id, files)| {
        let segment = files.segments.last()?;
        Some(Name::new(id, *segment, Part::Record).within(directory))
    });
    // A file that cannot be read is the business of whoever wants to read it.
    Ok(newest.filter_map(|path| recover_file(path).ok().flatten()).collect())
}

fn recover_file(path: PathBuf) -> io::Result<Option<Recovered>> {
    if matches!(file::tail(&path, 1)?.1.last(), None | Some(b'\n')) {
        return Ok(None);
    }
    let (start, bytes) = file::tail(&path, TAIL_MAX)?;
    let torn = bytes.iter().rev().take_while(|&&byte| byte != b'\n').count() as u64;
    let offset = start + bytes.len() as u64 - torn;
    let error = file::add(&path, &recovered(torn, offset)).err();
    Ok(Some(Recovered { path, offset, torn_bytes: torn, error }))
}
