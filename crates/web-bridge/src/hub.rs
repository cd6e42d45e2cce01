//! The live clients, and how many there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log_entry::LogEntry;
use logging_api::DashboardLog;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::client::{Client, Gap, LiveEntry, RepeatCount, Repeats, Wanted};
use crate::config::QueueLimits;

/// Everyone who wants live entries. The relay sends to all of them, and none
/// of them can hold it up.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Replaced as a whole, so that sending holds no lock.
    clients: Mutex<Arc<Vec<Arc<Client>>>>,
    limits: QueueLimits,
    places: Arc<Semaphore>,
    places_max: usize,
    missed: Arc<AtomicU64>,
    /// Live connections ever made.
    connected: AtomicU64,
}

/// A place among the live connections; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A client's membership in the hub; dropping it ends that.
#[derive(Debug)]
pub(crate) struct Member {
    hub: Arc<Hub>,
    client: Arc<Client>,
}

// === impl Hub ===

impl Hub {
    pub(crate) fn new(max_clients: usize, limits: QueueLimits) -> Arc<Self> {
        let places_max = max_clients.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            clients: Mutex::default(),
            limits,
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
            missed: Arc::default(),
            connected: AtomicU64::new(0),
        })
    }

    /// A place for a live connection, if one is free.
    pub(crate) fn place(&self) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        self.connected.fetch_add(1, Ordering::Relaxed);
        Some(Place { _permit: permit })
    }

    /// The most live connections.
    pub(crate) fn places_max(&self) -> usize {
        self.places_max
    }

    /// Live connections now.
    pub(crate) fn clients(&self) -> u64 {
        (self.places_max - self.places.available_permits()) as u64
    }

    /// Live connections ever made.
    pub(crate) fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Entries that all clients together were not sent because they were slow.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Counts entries that no client can be sent.
    pub(crate) fn count_missed(&self, count: u64) {
        self.missed.fetch_add(count, Ordering::Relaxed);
    }

    /// From now on, live entries are queued for a new client.
    pub(crate) fn join(self: &Arc<Self>, wanted: Wanted, repeats: Repeats) -> Member {
        let client = Arc::new(Client::new(wanted, repeats, self.limits, self.missed.clone()));
        self.change(|clients| clients.push(client.clone()));
        Member { hub: self.clone(), client }
    }

    pub(crate) fn send(&self, entry: &Arc<LiveEntry>) {
        self.for_all(|client| client.push(entry));
    }

    pub(crate) fn send_repeat(&self, count: &RepeatCount, entry: Option<&LogEntry>) {
        self.for_all(|client| client.push_repeat(count, entry));
    }

    pub(crate) fn send_summary(&self, summary: &Arc<DashboardLog>) {
        self.for_all(|client| client.push_summary(summary));
    }

    pub(crate) fn send_gap(&self, gap: &Gap) {
        self.for_all(|client| client.push_gap(gap));
    }

    /// Ends every client's queue after what is in it, and admits no more.
    pub(crate) fn close(&self) {
        self.places.close();
        self.for_all(Client::close);
    }

    fn for_all(&self, action: impl Fn(&Client)) {
        let clients = self.clients.lock().clone();
        clients.iter().for_each(|client| action(client));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Client>>)) {
        change(Arc::make_mut(&mut self.clients.lock()));
    }
}

// === impl Member ===

impl Member {
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.client.close();
        self.hub.change(|clients| clients.retain(|client| !Arc::ptr_eq(client, &self.client)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::entry;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let hub = Hub::new(1, QueueLimits::default());
        let place = hub.place();
        assert!(place.is_some());
        assert!(hub.place().is_none());
        assert_eq!(hub.clients(), 1);
        drop(place);
        assert_eq!((hub.clients(), hub.connected()), (0, 1));
        assert!(hub.place().is_some());
    }

    #[test]
    fn a_client_that_left_is_forgotten_and_the_others_go_on() {
        let hub = Hub::new(2, QueueLimits::default());
        let stays = hub.join(Wanted::default(), Repeats::Counted);
        drop(hub.join(Wanted::default(), Repeats::Counted));
        hub.send(&Arc::new(LiveEntry::new(entry(1))));
        assert_eq!(hub.clients.lock().len(), 1);
        assert_eq!(stays.client().take(10, usize::MAX).items.len(), 1);
    }
}
