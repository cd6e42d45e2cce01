//! The bus that joins this instance with other programs, if there is one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bus::{Bus, ConnectError};
use bus_bridge::{
    Backlog, Bridge, Collector, CollectorHandle, Config, Forwarding, Relay, RelayHandle, origin,
};
use log_entry::SessionId;
use logging_api::{Archive as _, Health, HealthStatus, Stats, Vitals};
use logging_service::{Handle, LoggingService};
use session_store::Sessions;
use standard_service::{StandardService as _, Supervisor};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::settings::Settings;

/// The deployment's bus, and what of the session files is not on it yet.
pub(crate) struct Deployment {
    bus: Arc<dyn Bus>,
    backlog: Backlog,
}

/// What joins this program's own bus with the deployment's.
pub(crate) struct Joined {
    bus: Arc<dyn Bus>,
    bridge: Bridge,
    collector: Option<Collector>,
    vitals: Arc<JoinedVitals>,
}

/// How the service is, and how its bus.
struct JoinedVitals {
    logging: Arc<Handle>,
    forwarding: Forwarding,
    relayed: RelayHandle,
    collector: Option<CollectorHandle>,
    /// Of the bridge, and of the collector if there is one.
    healths: Vec<watch::Receiver<standard_service::Health>>,
}

/// What closing the bus may take, once everything else has stopped.
const CLOSE_WITHIN: Duration = Duration::from_millis(200);

/// Whether `url` is that of a bus inside this process, which joins it with nobody.
pub(crate) fn is_alone(url: &str) -> bool {
    url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("memory:"))
}

impl Deployment {
    /// Connects, and looks how far the session files are on the bus. To be
    /// called before they are opened, because that removes old ones.
    pub(crate) async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        let bus = connect(settings).await?;
        let backlog = Backlog::take_stock(&settings.session_file_path, &settings.bus.shown());
        Ok(Self { bus, backlog })
    }

    /// Joins `local`, the bus on which `logging` speaks, with the deployment's.
    pub(crate) async fn join(
        self,
        local: &Arc<dyn Bus>,
        logging: &LoggingService,
        settings: &Settings,
    ) -> anyhow::Result<Joined> {
        let (bus, handle) = (self.bus, logging.handle());
        let directory = &settings.session_file_path;
        let origin = origin(directory)
            .with_context(|| format!("naming this instance in `{}`", directory.display()))?;
        let mut relay = Relay::subscribe(local.clone(), bus.clone(), origin.clone()).await?;
        let collector = settings.run_as_collector.then(|| {
            let (intake, written) = (logging.intake(), logging.written());
            Collector::new(bus.clone(), intake, written, origin.clone())
                .after(Sessions::at(&settings.session_file_path), handle.current())
        });
        if collector.is_some() {
            relay = relay.collecting();
        }
        let config = bridge_config(settings, handle.current(), origin);
        let bridge = Bridge::new(config, self.backlog, relay, bus.clone(), logging.written());
        let vitals = Arc::new(JoinedVitals {
            logging: handle,
            forwarding: bridge.forwarding(),
            relayed: bridge.relayed(),
            collector: collector.as_ref().map(Collector::handle),
            healths: [Some(bridge.health()), collector.as_ref().map(Collector::health)]
                .into_iter()
                .flatten()
                .collect(),
        });
        Ok(Joined { bus, bridge, collector, vitals })
    }
}

impl Joined {
    /// How the service is, and how its bus.
    pub(crate) fn vitals(&self) -> Arc<dyn Vitals> {
        self.vitals.clone()
    }

    /// Has `supervisor` start the bridge before what is added next, and stop it
    /// after that. Returns the collector, which is to be added last, so that
    /// nothing comes in any more when the rest stops, and the bus.
    pub(crate) fn add_to(self, supervisor: &mut Supervisor) -> (Option<Collector>, Arc<dyn Bus>) {
        supervisor.add(self.bridge);
        (self.collector, self.bus)
    }
}

/// Closes the deployment's bus, unless that takes too long.
pub(crate) async fn close(bus: &dyn Bus) {
    match timeout(CLOSE_WITHIN, bus.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the bus did not close"),
        Err(_) => tracing::debug!("the bus did not close in time"),
    }
}

fn bridge_config(settings: &Settings, session: SessionId, origin: Arc<str>) -> Config {
    Config {
        session,
        origin,
        to_dashboard: settings.enable_dashboard_streaming,
        rate_limit_per_service: settings.rate_limit_per_service,
        rate_limit_burst: settings.rate_limit_burst,
        max_replay_bytes: settings.max_replay_bytes,
    }
}

/// Unless the URL says otherwise, the broker keeps only entries, and no longer
/// than they are kept here.
#[cfg(feature = "nats")]
async fn connect(settings: &Settings) -> Result<Arc<dyn Bus>, ConnectError> {
    let url = &settings.bus.0;
    let scheme = url.split(':').next().unwrap_or_default();
    if !["nats", "tls"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return bus::connect(url).await;
    }
    let options: bus::NatsOptions = url.parse()?;
    let options = options
        .with_topics_if_unset(&[logging_api::LOG_ENTRY.name()])
        .with_limits_if_unset(settings.max_age(), settings.max_bytes);
    Ok(Arc::new(bus::NatsBus::connect(options).await?))
}

#[cfg(not(feature = "nats"))]
async fn connect(settings: &Settings) -> Result<Arc<dyn Bus>, ConnectError> {
    bus::connect(&settings.bus.0).await
}

impl Vitals for JoinedVitals {
    fn stats(&self) -> Stats {
        let mut bus = self.forwarding.vitals();
        bus.relayed = Some(self.relayed.counts());
        bus.collected = self.collector.as_ref().map(CollectorHandle::collected);
        Stats { bus, ..self.logging.stats() }
    }

    fn health(&self) -> Health {
        let mut health = self.logging.health();
        for part in &self.healths {
            if let standard_service::Health::Degraded { reason } = &*part.borrow() {
                health.status = HealthStatus::Degraded;
                health.reasons.push(reason.clone());
            }
        }
        health
    }
}
