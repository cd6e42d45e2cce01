//! Names that nobody else uses.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

/// Thirty-two hex digits that no other call, on any machine, returns.
///
/// The randomness is that of the standard library's hash maps, which takes its keys from the operating system.
/// It is not a secret.
pub(crate) fn unique() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let half = || RandomState::new().hash_one(CALLS.fetch_add(1, Ordering::Relaxed));
    format!("{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use super::unique;

    #[test]
    fn does_not_repeat_itself() {
        let many: std::collections::HashSet<String> = (0..1000).map(|_| unique()).collect();
        assert_eq!(many.len(), 1000);
        assert!(many.iter().all(|one| one.len() == 32));
    }
}
