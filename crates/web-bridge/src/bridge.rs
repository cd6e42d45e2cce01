//! What all routes share.

use std::sync::Arc;

use logging_api::{Archive, ArchiveError, Page, Query, Stats, Vitals};
use tokio::sync::Semaphore;

use crate::config::DashboardEvent;
use crate::hub::Hub;
use crate::services::Services;

/// Where the routes get their answers.
pub(crate) struct Bridge {
    pub(crate) archive: Arc<dyn Archive>,
    pub(crate) vitals: Arc<dyn Vitals>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) services: Services,
    pub(crate) dashboard_event: DashboardEvent,
    /// Bounds the pages that are in memory at a time.
    reads: Semaphore,
}

/// Questions to the archive at a time; further ones wait their turn.
const READS_MAX: usize = 8;

impl Bridge {
    pub(crate) fn new(
        archive: Arc<dyn Archive>,
        vitals: Arc<dyn Vitals>,
        hub: Arc<Hub>,
        dashboard_event: DashboardEvent,
    ) -> Self {
        let reads = Semaphore::new(READS_MAX);
        Self { archive, vitals, hub, services: Services::default(), dashboard_event, reads }
    }

    pub(crate) async fn entries(&self, query: Query) -> Result<Page, ArchiveError> {
        self.reading(self.archive.entries(query)).await
    }

    /// Waits for a turn, and for `answer`.
    pub(crate) async fn reading<T>(&self, answer: impl Future<Output = T>) -> T {
        let _turn = self.reads.acquire().await.expect("it is never closed");
        answer.await
    }

    /// The counts of the service, with what only the bridge knows.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.vitals.stats();
        stats.clients = self.hub.clients();
        stats.views.missed += self.hub.missed();
        stats
    }
}
