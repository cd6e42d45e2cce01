//! The settings of the logging service.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use log_entry::{Level, ServiceNames};
use session_store::Limits;

/// The settings of the logging service, each with the default it ships with.
///
/// ```
/// use logging_service::Config;
///
/// let config = Config { max_memory_logs: 50.try_into()?, ..Config::default() };
/// assert_eq!(config.deduplication_window.as_secs(), 30);
/// # Ok::<(), std::num::TryFromIntError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// Records below this are not wanted. Changes at runtime through the bus;
    /// this is only where it starts. Default `INFO`.
    pub log_level: Level,
    /// Entries kept in memory for a dashboard that connects late; the oldest
    /// go first. Default 1000.
    pub max_memory_logs: NonZeroUsize,
    /// Bytes of those entries at the most. Default 1 MiB.
    pub max_memory_bytes: usize,
    /// Directory of the session files. Default `./logs`.
    pub session_file_path: PathBuf,
    /// Whether entries are published on `/dashboard/log`. Default yes.
    pub enable_dashboard_streaming: bool,
    /// Upper limit for the time until an entry is synced to the disk.
    /// Default 5 s; `sync_interval` is what is aimed at.
    pub file_flush_interval: Duration,
    /// How long repeats of an entry are folded in the views; zero turns it
    /// off. Errors are folded for 5 s at the most. Default 30 s.
    pub deduplication_window: Duration,
    /// Records that may wait between the sources and the pipeline. Default 10,000.
    pub max_queue_size: NonZeroUsize,
    /// Bytes of those records at the most. Default 4 MiB.
    pub max_queue_bytes: NonZeroUsize,
    /// Records handled, written and published at once. Default 100.
    pub batch_size: NonZeroUsize,
    /// Size at which a session continues in the next file. Default 64 MiB.
    pub rotate_bytes: u64,
    /// What is kept of earlier sessions, decided at the start of a new one.
    /// Default 14 days, 200 sessions, 2 GiB.
    pub retention: Limits,
    /// Time after which written entries are synced to the disk. Default 1 s.
    pub sync_interval: Duration,
    /// Entries below WARNING that a service may publish per second. Default 200.
    pub rate_limit_per_service: u32,
    /// Entries below WARNING that a service may publish at once. Default 1000.
    pub rate_limit_burst: u32,
    /// Which logger belongs to which service.
    pub services: ServiceNames,
}

impl Default for Config {
    fn default() -> Self {
        let count = |n| NonZeroUsize::new(n).expect("the defaults are not zero");
        Self {
            log_level: Level::Info,
            max_memory_logs: count(1000),
            max_memory_bytes: 1 << 20,
            session_file_path: PathBuf::from("./logs"),
            enable_dashboard_streaming: true,
            file_flush_interval: Duration::from_secs(5),
            deduplication_window: Duration::from_secs(30),
            max_queue_size: count(10_000),
            max_queue_bytes: count(4 << 20),
            batch_size: count(100),
            rotate_bytes: 64 << 20,
            retention: Limits {
                max_age: Some(Duration::from_hours(14 * 24)),
                max_sessions: Some(200),
                max_bytes: Some(2 << 30),
            },
            sync_interval: Duration::from_secs(1),
            rate_limit_per_service: 200,
            rate_limit_burst: 1000,
            services: ServiceNames::default(),
        }
    }
}
