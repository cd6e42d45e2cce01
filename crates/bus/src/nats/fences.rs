//! Fences: messages to ourselves that tell how far the server has come.
//!
//! A server works off a connection in order.
//! A message of ours to a subject that only we subscribe to therefore comes back when the server has everything that went before it,
//! and after everything that it had for us by then.
//! A server that does not let us publish there says so in the same order, which tells as much.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::unique::unique;

/// The fences that have not come back.
pub(super) struct Fences {
    inbox: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
}

/// One of them; dropping it gives it up.
pub(super) struct Fence<'a> {
    fences: &'a Fences,
    number: u64,
    passed: oneshot::Receiver<()>,
}

impl Default for Fences {
    fn default() -> Self {
        // The prefix is the usual one, which permissions are written for.
        let inbox = format!("_INBOX.{}", unique());
        Self { inbox, next: AtomicU64::new(0), waiting: Mutex::default() }
    }
}

impl Fences {
    /// What to subscribe to.
    pub(super) fn pattern(&self) -> String {
        format!("{}.*", self.inbox)
    }

    /// A new one, which is to be published on its subject.
    pub(super) fn open(&self) -> Fence<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, passed) = oneshot::channel();
        self.waiting.lock().insert(number, sender);
        Fence { fences: self, number, passed }
    }

    /// The fence of `subject` came back. Whether there was one of this subject, waited for or not.
    pub(super) fn pass(&self, subject: &str) -> bool {
        let number = subject.strip_prefix(&self.inbox).and_then(|rest| rest.strip_prefix('.'));
        let Some(number) = number.and_then(|number| number.parse().ok()) else { return false };
        if let Some(sender) = self.waiting.lock().remove(&number) {
            // Whoever waited may have left just now.
            let _ = sender.send(());
        }
        true
    }

    /// None of them will come back: the connection is lost.
    pub(super) fn fail(&self) {
        self.waiting.lock().clear();
    }
}

impl Fence<'_> {
    pub(super) fn subject(&self) -> String {
        format!("{}.{}", self.fences.inbox, self.number)
    }

    /// Waits until it comes back; `false` means that it will not.
    pub(super) async fn passed(&mut self) -> bool {
        (&mut self.passed).await.is_ok()
    }
}

impl Drop for Fence<'_> {
    fn drop(&mut self) {
        self.fences.waiting.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fence_passes_fails_or_is_given_up() {
        let fences = Fences::default();
        let (mut first, mut second, third) = (fences.open(), fences.open(), fences.open());
        assert!(fences.pass(&first.subject()));
        assert!(first.passed().await);
        drop(third);
        assert_eq!(fences.waiting.lock().len(), 1);
        fences.fail();
        assert!(!second.passed().await);
    }

    #[test]
    fn what_is_not_a_fence_does_not_pass() {
        let fences = Fences::default();
        for subject in ["", "cantina.a", &fences.pattern(), &Fences::default().open().subject()] {
            assert!(!fences.pass(subject), "{subject}");
        }
    }
}
