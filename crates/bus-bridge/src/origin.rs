//! What an instance calls itself on the bus.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

/// The name of the file in the session directory.
const FILE: &str = ".origin";
const SLUG_MAX: usize = 32;
const NONCE_DIGITS: usize = 8;
/// The longest name that is believed of others.
const LENGTH_MAX: usize = 64;

/// The name of the instance whose sessions are in `directory`, such as
/// `r3x-5f3a9c12`: the host's, and digits that no other instance has. Blocks.
///
/// It is made once and kept in the file `.origin` beside the sessions, for
/// their owner only; the directory is made if it is not there. A file that
/// cannot be read or holds something else is replaced, and that is said.
///
/// Who copies the sessions of one instance for another to write there must
/// leave the file out: two instances of one name take each other's entries for
/// their own.
pub fn origin(directory: &Path) -> io::Result<Arc<str>> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let path = directory.join(FILE);
    match read(&path) {
        Ok(name) if is_ours(&name) => return Ok(name.into()),
        Ok(_) => warn!(path = %path.display(), "not the name of an instance: making a new one"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => warn!(path = %path.display(), %error, "making a new name of the instance"),
    }
    replace(&path)
}

/// Whether `name` can be an instance: 1 to 64 of `a-z`, `0-9`, `-` and `_`.
pub(crate) fn is_origin(name: &str) -> bool {
    (1..=LENGTH_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_allowed(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')
}

/// Whether `name` has the shape of those that are made here.
fn is_ours(name: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.rsplit_once('-').is_some_and(|(slug, nonce)| {
        (1..=SLUG_MAX).contains(&slug.len())
            && slug.bytes().all(is_allowed)
            && nonce.len() == NONCE_DIGITS
            && nonce.bytes().all(is_digit)
    })
}

fn read(path: &Path) -> io::Result<String> {
    // Neither follows a link nor waits for the other end of a pipe.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut name = String::new();
    file.take(2 * LENGTH_MAX as u64).read_to_string(&mut name)?;
    Ok(name.trim_end().to_owned())
}

/// Puts a new name where none or an unusable one was.
fn replace(path: &Path) -> io::Result<Arc<str>> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let name = format!("{}-{:08x}", slug(&gethostname::gethostname().to_string_lossy()), nonce());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    writeln!(file, "{name}")?;
    file.sync_all()?;
    Ok(name.into())
}

fn nonce() -> u32 {
    // A fresh `RandomState` is seeded by the system: as random as this needs.
    let random = RandomState::new().hash_one(std::process::id());
    u32::try_from(random & u64::from(u32::MAX)).expect("it was masked")
}

/// `host` in the letters that a name may have.
fn slug(host: &str) -> String {
    let letter = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii() && is_allowed(c as u8) => c,
        _ => '-',
    };
    let slug: String = host.chars().map(letter).take(SLUG_MAX).collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "host".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_name_is_made_once_and_kept() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a").join("logs");
        let name = origin(&directory).unwrap();
        assert!(is_ours(&name) && is_origin(&name), "{name}");
        assert_eq!(origin(&directory).unwrap(), name);
        assert_eq!((mode(&directory), mode(&directory.join(FILE))), (0o700, 0o600));
        assert_ne!(origin(&parent.path().join("b")).unwrap(), name);
    }

    #[test]
    fn what_is_no_name_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        for content in ["", "r3x", "r3x-5f3a9c1", "R3X-5f3a9c12", "../r3x-5f3a9c12", "-5f3a9c12"] {
            fs::write(&path, content).unwrap();
            let name = origin(directory.path()).unwrap();
            assert_ne!(&*name, content);
            assert_eq!(origin(directory.path()).unwrap(), name, "after {content:?}");
        }
        fs::write(&path, [0xff; 4096]).unwrap();
        assert!(is_ours(&origin(directory.path()).unwrap()));
    }

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let other = directory.path().join("other");
        fs::write(&other, "r3x-5f3a9c12\n").unwrap();
        symlink(&other, directory.path().join(FILE)).unwrap();
        assert_ne!(&*origin(directory.path()).unwrap(), "r3x-5f3a9c12");
        assert_eq!(fs::read_to_string(&other).unwrap(), "r3x-5f3a9c12\n");
        assert!(fs::symlink_metadata(directory.path().join(FILE)).unwrap().is_file());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(origin(&file).is_err());
    }

    #[test]
    fn any_host_has_a_slug() {
        for (host, expected) in [
            ("r3x", "r3x"),
            ("R3X.local", "r3x-local"),
            ("größe", "gr--e"),
            ("---", "host"),
            ("", "host"),
            (&"x".repeat(100), &"x".repeat(32)),
        ] {
            assert_eq!(slug(host), expected);
            assert!(is_ours(&format!("{}-00000000", slug(host))));
        }
    }
}
