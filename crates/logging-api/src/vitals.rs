//! How the logging service is, in numbers.

use std::collections::BTreeMap;

use log_entry::{Level, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// Answers how the service is. Cheap, never waits.
pub trait Vitals: Send + Sync {
    /// All counts, of one instant.
    fn stats(&self) -> Stats;

    /// Whether all is well.
    fn health(&self) -> Health;
}

/// Whether all is well, and if not, why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// One word.
    pub status: HealthStatus,
    /// What is wrong, for people.
    pub reasons: Vec<String>,
    /// The current session.
    pub session_id: SessionId,
    /// Seconds since the start.
    pub uptime_s: f64,
}

/// All is well, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// All is well.
    Ok,
    /// Something does not work; the rest goes on.
    Degraded,
}

/// The ledger. Always `received = stored + merged + filtered + Σ dropped + in_flight`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The current session.
    pub session_id: SessionId,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// The number of the latest entry.
    pub last_seq: u64,
    /// Records that reached the service.
    pub received: u64,
    /// Records that are in the session record as entries.
    pub stored: u64,
    /// Records that are in the session record as repeats of an entry.
    pub merged: u64,
    /// Records that were not wanted.
    pub filtered: u64,
    /// The same, by reason: `level`, `duplicate`.
    pub filtered_by: BTreeMap<String, u64>,
    /// Records that were lost, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Records on their way.
    pub in_flight: u64,
    /// The same counts for each service, by its key.
    pub by_service: BTreeMap<String, ServiceCounts>,
    /// What the views left out; it is in the record.
    pub views: ViewCounts,
    /// Live connections of dashboards.
    pub clients: u64,
    /// The bus.
    pub bus: BusVitals,
}

/// The counts of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCounts {
    /// Its display name.
    pub service: String,
    /// Records that the pipeline took in.
    pub received: u64,
    /// Records stored as entries.
    pub stored: u64,
    /// Records stored as repeats.
    pub merged: u64,
    /// Records that were not wanted.
    pub filtered: u64,
    /// Records that could not be written.
    pub dropped: u64,
    /// Records received, by level.
    pub by_level: BTreeMap<Level, u64>,
}

/// What the views left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewCounts {
    /// Repeats that were counted on their entry.
    pub folded: u64,
    /// Entries that were not published because their service logs too fast.
    pub rate_limited: u64,
    /// Entries that a slow reader did not get.
    pub missed: u64,
}

/// How the bus is that joins this service with others. The counts are since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusVitals {
    /// `connected`, `disconnected` or `closed`.
    pub state: String,
    /// Entries of the session record that wait to be published.
    pub backlog: u64,
    /// Since when it is disconnected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Attempts to reconnect since then.
    #[serde(default)]
    pub attempts: u64,
    /// What went wrong last, for people; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How often a lost connection came back.
    #[serde(default)]
    pub reconnects: u64,
    /// Events that were published.
    #[serde(default)]
    pub published: u64,
    /// Events that the bus refused.
    #[serde(default)]
    pub refused: u64,
    /// Events that did not reach a subscriber here.
    #[serde(default)]
    pub missed: u64,
    /// Entries that were never published, by reason: `bus_backlog` if they were
    /// removed before the bus came back, or there were too many; `too_large`.
    /// They are in the session record, or were until it was removed.
    #[serde(default)]
    pub dropped: BTreeMap<String, u64>,
    /// How often the broker had lost what it had confirmed, so that it was
    /// published again.
    #[serde(default)]
    pub regressed: u64,
    /// What this instance calls itself on the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What was passed on live, in both directions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relayed: Option<Relayed>,
    /// What was taken in from other instances, if this one collects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected: Option<Collected>,
}

/// What a collector took in from other instances. The counts are since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Entries taken in.
    pub entries: u64,
    /// The same, by host.
    pub by_host: BTreeMap<String, u64>,
    /// Entries of this very instance, which came back and were passed over.
    pub echoes: u64,
    /// Entries that had come before.
    pub doubles: u64,
    /// Events that were no entries, and were refused.
    pub malformed: u64,
    /// Entries that are missing in the numbering of their instance.
    pub missing: u64,
}

/// Live events between this program's bus and the deployment's: statuses,
/// commands, counts of repeats. The counts are since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relayed {
    /// Of ours, published on the deployment's bus.
    pub outward: u64,
    /// Of others, published on this program's bus.
    pub inward: u64,
    /// Of ours that came back, and were passed over.
    pub echoes: u64,
    /// Of ours that were not published because the bus was away, or refused
    /// them.
    pub missed: u64,
    /// Of others that were not passed on because there were too many at once.
    pub held_back: u64,
    /// Of others that were not passed on because they are too large.
    pub oversized: u64,
}
