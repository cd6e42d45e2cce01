//! How the service is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bus::{Bus, Link};
use log_entry::{DropReason, SessionId};
use logging_api::{BusVitals, Health, HealthStatus, Stats, Vitals};
use parking_lot::RwLock;
use session_store::Sessions;
use standard_service::BoxError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ledger::Ledger;
use crate::outputs::store::FilesHealth;
use crate::recent::Recent;

/// Answers what was logged ([`Archive`](logging_api::Archive)) and how the
/// service is ([`Vitals`]), also after it has stopped.
pub struct Handle {
    pub(crate) session_id: SessionId,
    pub(crate) sessions: Sessions,
    pub(crate) recent: Arc<RwLock<Recent>>,
    /// The number of the last entry in the files.
    pub(crate) reached: watch::Receiver<u64>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) files: FilesHealth,
    pub(crate) is_working: Arc<AtomicBool>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) started: Instant,
}

impl Handle {
    /// The readable file of the session, or its first part.
    pub fn session_file(&self) -> PathBuf {
        self.sessions.path().join(format!("{}.log", self.session_id))
    }

    /// Whether everything that was accepted is in the session files.
    pub(crate) fn verdict(&self) -> Result<(), BoxError> {
        let counts = self.ledger.snapshot();
        let lost = counts.dropped.get(&DropReason::NotWritten).copied().unwrap_or(0);
        match self.files.reason() {
            _ if lost > 0 => {
                Err(format!("{lost} records were accepted but could not be written").into())
            }
            Some(reason) => Err(reason.into()),
            None => Ok(()),
        }
    }

    fn uptime_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

impl Vitals for Handle {
    fn stats(&self) -> Stats {
        let counts = self.ledger.snapshot();
        debug_assert!(counts.adds_up(), "the ledger does not add up: {counts:?}");
        let bus = self.bus.state();
        Stats {
            session_id: self.session_id.clone(),
            uptime_s: self.uptime_s(),
            last_seq: self.recent.read().last_seq(),
            received: counts.received,
            stored: counts.stored,
            merged: counts.merged,
            filtered: counts.filtered_total(),
            filtered_by: counts.filtered_by_name(),
            dropped: counts.dropped_by_name(),
            in_flight: counts.in_flight,
            by_service: counts
                .services
                .iter()
                .map(|(key, counts)| (key.to_string(), counts.clone()))
                .collect(),
            views: counts.views,
            clients: 0,
            bus: BusVitals {
                state: bus.link.to_string(),
                backlog: bus.backlog,
                published: bus.published,
                refused: bus.refused,
                missed: bus.missed,
                ..BusVitals::default()
            },
        }
    }

    fn health(&self) -> Health {
        let mut reasons: Vec<String> = self.files.reason().into_iter().collect();
        if !self.is_working.load(Ordering::Relaxed) {
            reasons.push("the logging service has stopped".to_owned());
        }
        if self.bus.state().link != Link::Connected {
            reasons.push("the bus is away".to_owned());
        }
        let status = if reasons.is_empty() { HealthStatus::Ok } else { HealthStatus::Degraded };
        Health { status, reasons, session_id: self.session_id.clone(), uptime_s: self.uptime_s() }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("session_id", &self.session_id).finish_non_exhaustive()
    }
}
