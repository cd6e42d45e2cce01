//! How many entries wait, by session.

use log_entry::SessionId;

/// Entries that were counted after the cursor. Sessions are in the order in
/// which they are published.
#[derive(Debug, Default)]
pub(super) struct Ahead(Vec<(SessionId, i64)>);

// === impl Ahead ===

impl Ahead {
    /// `change` more wait in `session`, or less. There may be less than none
    /// while the count is behind the cursor.
    pub(super) fn change(&mut self, session: &SessionId, change: i64) {
        match self.0.iter_mut().rev().find(|(known, _)| known == session) {
            Some((_, count)) => *count += change,
            None => self.0.push((session.clone(), change)),
        }
    }

    /// Forgets the sessions before `session`, and says how many entries still
    /// waited there.
    pub(super) fn leave_those_before(&mut self, session: &SessionId) -> u64 {
        let here = self.0.iter().position(|(known, _)| known == session);
        let left = self.0.drain(..here.unwrap_or(self.0.len()));
        left.map(|(_, count)| count.max(0).unsigned_abs()).sum()
    }

    pub(super) fn has(&self, session: &SessionId) -> bool {
        self.0.iter().any(|(known, _)| known == session)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Entries in all sessions.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count.max(&0).unsigned_abs()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(minute: u32) -> SessionId {
        format!("cantina-session-20261122-16{minute:02}00").parse().unwrap()
    }

    #[test]
    fn what_waited_in_the_sessions_that_are_left_is_said_once() {
        let mut ahead = Ahead::default();
        // The clock may have said anything when a session began.
        for (minute, count) in [(50, 3), (10, 5), (20, 7), (10, -1)] {
            ahead.change(&session(minute), count);
        }
        assert_eq!(ahead.total(), 14);
        assert_eq!(ahead.leave_those_before(&session(20)), 7);
        assert_eq!(ahead.leave_those_before(&session(20)), 0);
        assert!(ahead.has(&session(20)) && !ahead.has(&session(10)));
        assert_eq!(ahead.leave_those_before(&session(30)), 7, "nothing of it was counted yet");
        assert_eq!(ahead.total(), 0);
    }

    #[test]
    fn a_count_that_is_behind_the_cursor_hides_nothing() {
        let mut ahead = Ahead::default();
        ahead.change(&session(1), -5);
        ahead.change(&session(2), 2);
        assert_eq!(ahead.total(), 2);
        assert_eq!(ahead.leave_those_before(&session(2)), 0);
    }
}
