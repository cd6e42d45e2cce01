//! Keeps the capture of an event from capturing what it causes.

use std::cell::Cell;

thread_local! {
    static CAPTURING: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, no other is given out on its thread.
pub(crate) struct Guard(());

// === impl Guard ===

impl Guard {
    /// The guard of this thread, unless it is taken, or the thread is ending
    /// and can no longer tell.
    pub(crate) fn enter() -> Option<Self> {
        let is_free = CAPTURING.try_with(|capturing| !capturing.replace(true)).unwrap_or(false);
        is_free.then(|| Self(()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Where there is no flag any more, nobody can find it set.
        let _ = CAPTURING.try_with(|capturing| capturing.set(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_at_a_time_also_after_a_panic() {
        let first = Guard::enter();
        assert!(first.is_some());
        assert!(Guard::enter().is_none());
        assert!(Guard::enter().is_none(), "being refused changes nothing");
        drop(first);
        let result = std::panic::catch_unwind(|| {
            let _guard = Guard::enter().unwrap();
            panic!("a field could not be formatted");
        });
        assert!(result.is_err());
        assert!(Guard::enter().is_some());
    }
}
