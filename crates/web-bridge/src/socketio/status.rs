//! What all clients are sent besides entries: how the services fare.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusExt, Delivery, Subscription};
use serde::Serialize;
use socketioxide::SocketIo;
use standard_service::{SERVICE_STATUS_REQUEST, SERVICE_STATUS_UPDATE, StatusRequest};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::messages::Envelope;
use crate::bridge::Bridge;
use crate::services::ServiceState;
use crate::system::Meter;
use crate::{Error, NAME};

/// Listens to what services say about themselves, and passes it on.
pub(crate) struct StatusBoard {
    bridge: Arc<Bridge>,
    io: SocketIo,
    bus: Arc<dyn Bus>,
    statuses: Subscription,
    meter: Meter,
    /// When the dashboards are told of all services again.
    due: Instant,
    /// Live connections ever made, and now, when that was last logged.
    logged: (u64, u64),
}

/// The data of a `service_status_update`.
#[derive(Serialize)]
struct ServiceStatusUpdate<'a> {
    service: &'a str,
    status: crate::services::Light,
    data: &'a ServiceState,
}

const CAPACITY: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");
const METRICS_INTERVAL: Duration = Duration::from_secs(5);
/// All services are told again after so long without a change…
const STATUS_INTERVAL: Duration = Duration::from_mins(1);
/// …and so soon after one, since changes come in groups.
const STATUS_DELAY: Duration = Duration::from_millis(100);

impl StatusBoard {
    pub(crate) async fn subscribe(
        bridge: Arc<Bridge>,
        io: SocketIo,
        bus: Arc<dyn Bus>,
    ) -> Result<Self, Error> {
        let topic = SERVICE_STATUS_UPDATE.name();
        let statuses = bus
            .subscribe(topic, CAPACITY)
            .await
            .map_err(|source| Error::Subscribe { topic, source })?;
        let due = Instant::now() + STATUS_INTERVAL;
        Ok(Self { bridge, io, bus, statuses, meter: Meter::default(), due, logged: (0, 0) })
    }

    pub(crate) async fn run(mut self, cancelled: CancellationToken) {
        // Without an answer the services stay offline until they speak.
        self.bus.publish_json(&SERVICE_STATUS_REQUEST, &StatusRequest::now(NAME)).await.ok();
        let mut metrics = interval(METRICS_INTERVAL);
        metrics.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                status = self.statuses.recv() => match status {
                    Some(Delivery::Event(event)) => self.tell_status(&event).await,
                    Some(Delivery::Missed(_)) => {}
                    None => return,
                },
                _ = metrics.tick() => self.tell_metrics().await,
                () = sleep_until(self.due) => self.tell_all().await,
            }
        }
    }

    async fn tell_status(&mut self, event: &bus::Event) {
        let Some((service, state)) = self.bridge.services.update(event) else { return };
        let update = ServiceStatusUpdate { service: &service, status: state.status, data: &state };
        let message = Envelope::new(SERVICE_STATUS_UPDATE.name(), update);
        self.broadcast("service_status_update", &message).await;
        self.due = self.due.min(Instant::now() + STATUS_DELAY);
    }

    async fn tell_all(&mut self) {
        self.due = Instant::now() + STATUS_INTERVAL;
        self.broadcast("system_status", &self.bridge.services.system_status()).await;
    }

    async fn tell_metrics(&mut self) {
        let services = self.bridge.services.counts();
        let metrics = self.meter.measure(&self.bridge.stats(), services, Instant::now());
        self.broadcast("system_metrics", &metrics).await;
        self.log_clients();
    }

    /// Counts only, and no more often than the metrics are told, so that no
    /// coming and going of clients can fill the log.
    fn log_clients(&mut self) {
        let now = (self.bridge.hub.connected(), self.bridge.hub.clients());
        if now != self.logged {
            let connected = now.0 - self.logged.0;
            let disconnected = (self.logged.1 + connected).saturating_sub(now.1);
            info!(live = now.1, connected, disconnected, "live connections changed");
            self.logged = now;
        }
    }

    /// Sends to every client that has room for it. Who has none is told the
    /// newer state next time.
    async fn broadcast<T: Serialize>(&self, event: &str, message: &T) {
        if let Some(everyone) = self.io.of("/") {
            everyone.emit(event, message).await.ok();
        }
    }
}
