//! What a service is.

use async_trait::async_trait;
use tokio::sync::watch;

use crate::class_name;

/// Why a service did not start or stop. Nobody branches on it; its chain of causes is shown to people.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A part of CantinaOS that is started once and stopped once.
///
/// To run it again, make a new one.
/// A service starts no thread or task before `start`; those it starts belong to its [`Tasks`](crate::Tasks).
#[async_trait]
pub trait StandardService: Send {
    /// The name on the bus and in logs, for example `logging_service`.
    fn name(&self) -> &'static str;

    /// The name in messages for people, for example `LoggingService`.
    fn title(&self) -> String {
        class_name(self.name())
    }

    /// How the service fares while it runs; every change is published. Asked for once, after `start`.
    ///
    /// A service that can be degraded keeps the other end of a `watch` channel; the default never is.
    fn health(&self) -> watch::Receiver<Health> {
        watch::channel(Health::Running).1
    }

    /// Brings the service up, and returns once it is ready to work.
    ///
    /// On `Err`, nothing of the service runs.
    /// A service that was started before returns `Err`.
    /// If the call is dropped while it waits, `stop` must still bring down what was up.
    async fn start(&mut self) -> Result<(), BoxError>;

    /// Finishes the work in hand and brings the service down.
    ///
    /// When this returns, with `Ok` or `Err`, nothing of the service runs.
    /// Stopping a service that was never started, or is stopped already, does nothing.
    /// If the call is dropped while it waits, the service is dropped next, and that ends what is left.
    async fn stop(&mut self) -> Result<(), BoxError>;
}

/// How a running service fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Health {
    /// It does all of its work.
    #[default]
    Running,
    /// It works, but not all of it.
    Degraded {
        /// What does not work, for people: `disk full: keeping entries in memory`.
        reason: String,
    },
}
