//! Why the service cannot be opened.

/// The session directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OpenError(#[from] session_store::Error);

impl OpenError {
    /// Whether another process writes sessions into the directory.
    pub fn is_in_use(&self) -> bool {
        self.0.is_in_use()
    }
}
