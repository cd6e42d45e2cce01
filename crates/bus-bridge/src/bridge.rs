//! The service that joins this program's bus with the deployment's.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::Bus;
use log_entry::{SessionId, Written};
use standard_service::{BoxError, Health, StandardService, Tasks};
use tokio::sync::watch;

use crate::backlog::Backlog;
use crate::forward::{Forwarder, Forwarding};
use crate::{Relay, RelayHandle};

/// The settings of a [`Bridge`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The session that is being written.
    pub session: SessionId,
    /// What this instance calls itself: see [`origin`](crate::origin()).
    pub origin: Arc<str>,
    /// Whether the short form of entries is published on `/dashboard/log`.
    pub to_dashboard: bool,
    /// Short forms below WARNING that a service may publish per second.
    pub rate_limit_per_service: u32,
    /// Short forms below WARNING that a service may publish at once.
    pub rate_limit_burst: u32,
    /// Bytes of the session record that may wait for the bus; what is older is
    /// not published, and counted. Also how far it goes back if the broker has
    /// lost something. [`MAX_REPLAY_BYTES`](Self::MAX_REPLAY_BYTES) is a good
    /// choice.
    pub max_replay_bytes: u64,
}

/// Publishes what is in the session files on the deployment's bus, and passes
/// on what is said live.
///
/// It is started before what it serves and stopped after it, so that the last
/// entries are published too.
pub struct Bridge {
    forwarding: Forwarding,
    relayed: RelayHandle,
    state: State,
    tasks: Tasks,
}

enum State {
    Made(Box<Parts>),
    Started,
}

struct Parts {
    config: Config,
    backlog: Backlog,
    remote: Arc<dyn Bus>,
    written: watch::Receiver<Written>,
    relay: Relay,
}

/// What forwarder and relay may take to end. They have deadlines of their own;
/// only a disk or a bus that hangs makes them miss those.
const PATIENCE: Duration = Duration::from_millis(600);

// === impl Config ===

impl Config {
    /// 256 MiB.
    pub const MAX_REPLAY_BYTES: u64 = 256 << 20;
}

// === impl Bridge ===

impl Bridge {
    /// Joins `local` with `remote`. `backlog` was taken before the session began;
    /// `written` changes whenever more of it is in the files.
    pub fn new(
        config: Config,
        backlog: Backlog,
        relay: Relay,
        remote: Arc<dyn Bus>,
        written: watch::Receiver<Written>,
    ) -> Self {
        let forwarding = Forwarding::new(remote.clone(), config.origin.clone(), written.clone());
        let relayed = relay.handle();
        let parts = Parts { config, backlog, remote, written, relay };
        Self { forwarding, relayed, state: State::Made(Box::new(parts)), tasks: Tasks::default() }
    }

    /// How far the session record is on the bus.
    pub fn forwarding(&self) -> Forwarding {
        self.forwarding.clone()
    }

    /// What was passed on live.
    pub fn relayed(&self) -> RelayHandle {
        self.relayed.clone()
    }
}

#[async_trait]
impl StandardService for Bridge {
    fn name(&self) -> &'static str {
        "bus_bridge"
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.forwarding.health()
    }

    async fn start(&mut self) -> Result<(), BoxError> {
        let State::Made(parts) = std::mem::replace(&mut self.state, State::Started) else {
            return Err("the bridge was started before".into());
        };
        let Parts { config, backlog, remote, written, relay } = *parts;
        let bus = (remote, self.forwarding.clone());
        self.tasks.spawn("forward", |cancelled| async move {
            Forwarder::begin(config, backlog, bus, written, cancelled).await.run().await;
        });
        self.tasks.spawn("relay", |cancelled| relay.run(cancelled));
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        self.state = State::Started;
        Ok(self.tasks.stop(PATIENCE).await?)
    }
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge").field("forwarding", &self.forwarding).finish_non_exhaustive()
    }
}
