//! The settings of the bridge.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

/// The settings of the bridge, each with the default it ships with.
///
/// ```
/// use web_bridge::Config;
///
/// let config = Config { max_clients: 4, ..Config::default() };
/// assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
/// assert_eq!(config.allowed_origins, ["http://localhost:3000"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen: a loopback address, port 0 for any free port.
    pub listen: SocketAddr,
    /// Origins of other pages that may read, besides our own: scheme, host and
    /// port, exactly as a browser sends them. By default that of CantinaOS's
    /// dashboard.
    pub allowed_origins: Vec<String>,
    /// Names, besides the loopback ones, by which we may be asked: `host` for
    /// any port, or `host:port`. For a proxy in front of us.
    pub allowed_hosts: Vec<String>,
    /// Live connections (streams and Socket.IO) at a time.
    pub max_clients: usize,
    /// Connections of any kind at a time.
    pub max_connections: usize,
    /// What Socket.IO clients get for an entry.
    pub dashboard_event: DashboardEvent,
    /// How much may wait for one client before the oldest is dropped.
    pub queue: QueueLimits,
    /// How long a client may leave what we send unread before it is cut off.
    pub stall_timeout: Duration,
}

/// What Socket.IO clients get for an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DashboardEvent {
    /// `system_log` in CantinaOS's envelope, as its dashboard reads it.
    #[default]
    SystemLog,
    /// `cantina_event` as the product's requirements describe it.
    CantinaEvent,
}

/// How much may wait for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Entries.
    pub entries: usize,
    /// Bytes of JSON. One entry fits always.
    pub bytes: usize,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000),
            allowed_origins: vec!["http://localhost:3000".to_owned()],
            allowed_hosts: Vec::new(),
            max_clients: 64,
            max_connections: 256,
            dashboard_event: DashboardEvent::default(),
            queue: QueueLimits::default(),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

// === impl QueueLimits ===

impl Default for QueueLimits {
    /// Room for the bursts that the rate limits of the views let through.
    fn default() -> Self {
        Self { entries: 2048, bytes: 1 << 20 }
    }
}
