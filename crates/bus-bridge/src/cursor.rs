//! How far the session record is on the bus, kept beside the sessions.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bus::StoreMark;
use log_entry::Timestamp;
use serde::{Deserialize, Serialize};
use session_store::Position;

/// How far the session record is on the bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Which bus.
    pub(crate) bus: String,
    /// After the last line that is done with.
    pub(crate) position: Position,
    /// The number of the last entry that is done with.
    pub(crate) number: u64,
    /// What may have been taken after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<Attempt>,
    /// How far the broker had come with what it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirmed: Option<Confirmed>,
}

/// Entries of which it is not known whether the bus took them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// The number of the last one.
    pub(crate) through: u64,
    /// When the first was published first.
    pub(crate) since: Timestamp,
}

/// A [`bus::StoreMark`], as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmed {
    pub(crate) store: String,
    pub(crate) last: u64,
}

/// The file of a cursor: two slots that are written in turn, so that a write
/// that was cut short leaves the one before.
///
/// A slot is a line of JSON with `crc` last, which is the CRC32C of the line
/// before `,"crc":`, and spaces up to 1 KiB.
#[derive(Debug)]
pub(crate) struct CursorFile {
    path: PathBuf,
    file: Option<File>,
    generation: u64,
    synced: Option<Instant>,
    is_synced: bool,
}

/// What the file says at the start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    Cursor(Cursor),
    /// There is none yet.
    Nothing,
    /// It cannot be read, for people.
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
struct Slot<C> {
    generation: u64,
    #[serde(flatten)]
    cursor: C,
}

const FILE: &str = ".bus-cursor";
const SLOT_BYTES: usize = 1024;
/// The most that a file system loses of it when the power fails.
const SYNC_EVERY: Duration = Duration::from_secs(1);
const CRC: &str = ",\"crc\":\"";

// === impl Confirmed ===

impl Confirmed {
    pub(crate) fn mark(&self) -> StoreMark {
        StoreMark { store: self.store.clone(), last: self.last }
    }
}

// === impl CursorFile ===

impl CursorFile {
    /// The file in `directory`, which need not be there. Blocks.
    pub(crate) fn load(directory: &Path) -> (Self, Loaded) {
        let path = directory.join(FILE);
        let (mut generation, mut loaded) = (0, Loaded::Nothing);
        match read(&path) {
            Ok(bytes) => {
                loaded = Loaded::Damaged(format!("`{}` is damaged", path.display()));
                for slot in bytes.chunks(SLOT_BYTES).take(2).filter_map(decode) {
                    if slot.generation > generation {
                        generation = slot.generation;
                        loaded = Loaded::Cursor(slot.cursor);
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                loaded = Loaded::Damaged(format!("reading `{}`: {error}", path.display()));
            }
        }
        (Self { path, file: None, generation, synced: None, is_synced: true }, loaded)
    }

    /// Writes `cursor`, which then survives the death of this process; at most
    /// a second later, or at once if `sync`, it is made to survive a power cut.
    /// Blocks.
    pub(crate) fn save(&mut self, cursor: &Cursor, sync: bool) -> io::Result<()> {
        let saved = self.write(cursor).and_then(|()| self.sync(sync));
        if saved.is_err() {
            // It may have been removed, or the directory replaced.
            self.file = None;
        }
        saved
    }

    fn write(&mut self, cursor: &Cursor) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) if !self.is_due() || file.metadata()?.nlink() > 0 => file,
            _ => open(&self.path)?,
        };
        let file = self.file.insert(file);
        self.generation += 1;
        let offset = if self.generation.is_multiple_of(2) { SLOT_BYTES as u64 } else { 0 };
        file.write_all_at(&encode(self.generation, cursor)?, offset)?;
        self.is_synced = false;
        Ok(())
    }

    fn sync(&mut self, now: bool) -> io::Result<()> {
        if let Some(file) = &self.file
            && !self.is_synced
            && (now || self.is_due())
        {
            self.synced = Some(Instant::now());
            file.sync_data()?;
            self.is_synced = true;
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.synced.is_none_or(|last| last.elapsed() >= SYNC_EVERY)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, 2 * SLOT_BYTES as u64), &mut bytes)?;
    Ok(bytes)
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

fn encode(generation: u64, cursor: &Cursor) -> io::Result<Vec<u8>> {
    let mut slot = serde_json::to_vec(&Slot { generation, cursor })?;
    slot.pop();
    let crc = crc32c::crc32c(&slot);
    slot.extend_from_slice(format!("{CRC}{crc:08x}\"}}").as_bytes());
    if slot.len() >= SLOT_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "the cursor has more than 1 KiB"));
    }
    slot.resize(SLOT_BYTES - 1, b' ');
    slot.push(b'\n');
    Ok(slot)
}

fn decode(slot: &[u8]) -> Option<Slot<Cursor>> {
    let line = slot.trim_ascii_end();
    let (text, seal) = line.split_at_checked(line.len().checked_sub(CRC.len() + 10)?)?;
    let crc = crc32c::crc32c(text);
    if seal != format!("{CRC}{crc:08x}\"}}").as_bytes() {
        return None;
    }
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn cursor(number: u64) -> Cursor {
        let session = "cantina-session-20261122-160357".parse().unwrap();
        Cursor {
            bus: "nats://localhost:4222".into(),
            position: Position { session, segment: 3, offset: number * 100 },
            number,
            attempt: Some(Attempt {
                through: number + 2,
                since: "2026-11-22T16:04:22.123456Z".parse().unwrap(),
            }),
            confirmed: Some(Confirmed { store: "2026-11-22T16:00:00Z".into(), last: 9 }),
        }
    }

    fn saved(directory: &Path, numbers: impl IntoIterator<Item = u64>) -> PathBuf {
        let (mut file, _) = CursorFile::load(directory);
        numbers.into_iter().for_each(|number| file.save(&cursor(number), false).unwrap());
        directory.join(FILE)
    }

    #[test]
    fn what_was_saved_last_is_loaded_again() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(CursorFile::load(&root.path().join("none")).1, Loaded::Nothing);
        for number in 1..6 {
            let path = saved(root.path(), [number]);
            assert_eq!(CursorFile::load(root.path()).1, Loaded::Cursor(cursor(number)));
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let text = fs::read_to_string(root.path().join(FILE)).unwrap();
        assert_eq!(text.len(), 2 * SLOT_BYTES);
        let start = "{\"generation\":5,\"bus\":\"nats://localhost:4222\",\"position\":{\"session\":\
                     \"cantina-session-20261122-160357\",\"segment\":3,\"offset\":500},\"number\":5,";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn whatever_byte_is_damaged_the_other_slot_counts() {
        let root = tempfile::tempdir().unwrap();
        let path = saved(root.path(), 1..=4);
        let whole = fs::read(&path).unwrap();
        let line = whole[SLOT_BYTES..].trim_ascii_end().len();
        for at in SLOT_BYTES..SLOT_BYTES + line {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(CursorFile::load(root.path()).1, Loaded::Cursor(cursor(3)), "{at}");
            bytes[100] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(CursorFile::load(root.path()).1, Loaded::Damaged(_)), "{at}");
        }
        for length in 0..SLOT_BYTES + line {
            fs::write(&path, &whole[..length]).unwrap();
            let is_whole = length >= whole[..SLOT_BYTES].trim_ascii_end().len();
            match CursorFile::load(root.path()).1 {
                Loaded::Cursor(found) => assert!(is_whole && found == cursor(3), "{length}"),
                Loaded::Damaged(_) => assert!(!is_whole, "{length}"),
                Loaded::Nothing => panic!("there is a file: {length}"),
            }
        }
    }

    #[test]
    fn a_link_is_not_followed_and_a_removed_file_is_made_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(FILE);
        std::os::unix::fs::symlink(root.path().join("target"), &path).unwrap();
        let (mut file, loaded) = CursorFile::load(root.path());
        assert!(matches!(loaded, Loaded::Damaged(_)));
        assert!(file.save(&cursor(1), false).is_err());
        assert!(!root.path().join("target").exists());

        fs::remove_file(&path).unwrap();
        file.save(&cursor(2), true).unwrap();
        fs::remove_file(&path).unwrap();
        file.synced = None;
        file.save(&cursor(3), false).unwrap();
        assert_eq!(CursorFile::load(root.path()).1, Loaded::Cursor(cursor(3)));
    }

    #[test]
    fn what_is_too_long_for_a_slot_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (mut file, _) = CursorFile::load(root.path());
        let long = Cursor { bus: "x".repeat(SLOT_BYTES), ..cursor(1) };
        assert!(file.save(&long, false).is_err());
        file.save(&cursor(2), false).unwrap();
        assert_eq!(CursorFile::load(root.path()).1, Loaded::Cursor(cursor(2)));
    }
}
