//! The settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where to listen, and how much to take.
///
/// ```
/// let config = log_ingest::Config::default();
/// assert_eq!(config.listen.to_string(), "127.0.0.1:9020");
/// assert!(!config.allow_remote);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// TCP and UDP; port 0 takes any that is free for both. Default
    /// `127.0.0.1:9020`, where Python's `SocketHandler` sends.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that other machines can reach. Who
    /// can connect can write entries. Default no.
    pub allow_remote: bool,
    /// The longest payload of a frame, in bytes; longer ones are passed over
    /// and counted. Default 1 MiB.
    pub frame_bytes_max: usize,
    /// Connections at a time. When one more comes, an idle one has to go, or
    /// the new one if none is idle. Default 256.
    pub connections_max: usize,
    /// What all connections together may hold of frames that are not complete,
    /// in bytes. Who exceeds it is disconnected. Default 64 MiB.
    pub partial_bytes_max: usize,
    /// How long nothing must have come for a connection to be idle. An idle
    /// one is closed only to make room: Python's own handler would lose the
    /// next record. Default 5 minutes.
    pub idle: Duration,
    /// The same for a connection on which nothing ever came. Default 10 s.
    pub first_byte: Duration,
    /// How long a frame may take from its first byte to its last. Default 10 s.
    pub frame_completion: Duration,
    /// How long a connection that is closed waits for its last
    /// acknowledgements. Default 250 ms.
    pub closing: Duration,
    /// The kernel's buffer for datagrams, in bytes, as far as it allows.
    /// Default 4 MiB.
    pub datagram_buffer_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9020)),
            allow_remote: false,
            frame_bytes_max: MIB,
            connections_max: 256,
            partial_bytes_max: 64 * MIB,
            idle: Duration::from_mins(5),
            first_byte: Duration::from_secs(10),
            frame_completion: Duration::from_secs(10),
            closing: Duration::from_millis(250),
            datagram_buffer_bytes: 4 * MIB,
        }
    }
}
