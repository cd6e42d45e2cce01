//! Session files: every log entry of one run, kept as lines with checksums.
//!
//! A [`Directory`] is held by one process, which writes each session with a
//! [`Writer`]: the record, `<id>.jsonl`, and its readable twin, `<id>.log`.
//! [`Sessions`] reads them, while they are written or later, and a [`Follower`]
//! all of them one after the other; [`verify`] says whether they are as they were
//! written.
//!
//! ```
//! use std::sync::Arc;
//!
//! use log_entry::{EntryIds, Level, LogEntry, Record, ServiceNames, Stamp};
//! use session_store::{Directory, Header, Line, Query};
//!
//! # let temporary = tempfile::tempdir()?;
//! # let path = temporary.path().join("logs");
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let directory = Directory::open(&path)?;
//! let now = "2026-11-22T16:03:57Z".parse::<chrono::DateTime<chrono::Utc>>()?;
//! let header = Header { host: "r3x".into(), pid: 811, version: "0.1.0".into() };
//! let mut writer = directory.create_session(&now, header).await?;
//!
//! let entry = LogEntry::new(
//!     Record::new(now, Level::Info, "cantina_os.gpt_service", "ready"),
//!     Stamp {
//!         seq: 1,
//!         entry_id: EntryIds::new(7).next(1_795_363_437_000),
//!         service: ServiceNames::default().of("cantina_os.gpt_service"),
//!         session_id: writer.id().clone(),
//!         host: "r3x".into(),
//!     },
//! );
//! writer.append(&[Line::entry(Arc::new(entry))]).await?;
//! writer.sync().await?;
//!
//! let page = directory.sessions().entries(writer.id(), &Query::default())?;
//! assert_eq!(page.entries[0].message, "ready");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is on disk
//!
//! * **A line is a record's unit**: one JSON object, `kind` first, `crc` last,
//!   every control character escaped. `crc` is the CRC32C of the line before
//!   `,"crc":`, as eight hex digits. A damaged line hides only itself.
//! * **Files only grow.** Nothing is renamed or shortened. A session that gets
//!   too large goes on in `<id>.0001.jsonl`; a reader that follows sees a
//!   prefix of what it will see later.
//! * **When [`Writer::append`] succeeds**, its lines survive the death of the
//!   process. When [`Writer::sync`] succeeds, they survive a power cut.
//! * **When it fails**, it says how many of its lines are in the record. A line
//!   that was cut short is completed if it is appended again, and marked by a
//!   `recovered` line otherwise, at the latest by the next [`Directory::open`].
//! * **The twin is for people.** It has the entries in the zone of the machine,
//!   repeats folded, and never makes the record fail.
//! * Files have mode 0600, a directory made here 0700; symbolic links are not
//!   followed; only exact names are read or removed.
//!
//! # What this crate does not know
//!
//! What time it is, when to sync, which entries are repeats, and who reads.

mod directory;
mod error;
mod file;
mod follow;
mod line;
mod name;
mod page;
mod pending;
mod raw;
mod reader;
mod retention;
mod scan;
mod segment;
mod sessions;
mod twin;
mod verify;
mod writer;

pub use directory::{Directory, Recovered};
pub use error::Error;
pub use follow::{Followed, Follower, Found, Position};
pub use line::{Line, Repeat};
pub use page::{Order, Page, Query};
pub use pending::Pending;
pub use reader::{ReadLine, Reader};
pub use retention::{Limits, Removed};
pub use sessions::{SessionInfo, Sessions};
pub use verify::{FileReport, Finding, Report, verify};
pub use writer::{Header, Writer};

#[cfg(test)]
mod tests;
