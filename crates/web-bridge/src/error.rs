//! Why the bridge cannot be started.

use std::io;
use std::net::SocketAddr;

/// Why the bridge cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Anyone in the network could read the log there.
    #[error(
        "refusing to listen on {listen}: without a token only a loopback address is allowed, such as `--listen 127.0.0.1:8000`"
    )]
    NotLoopback {
        /// Where it was to listen.
        listen: SocketAddr,
    },
    /// The port is taken, or the address is not ours.
    #[error("listening on {listen} (`--listen` chooses another address)")]
    Listen {
        /// Where it was to listen.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The bus does not let us in.
    #[error("subscribing to `{topic}`")]
    Subscribe {
        /// The topic.
        topic: &'static str,
        /// What the bus said.
        source: bus::Error,
    },
    /// A name in `allowed_hosts` or `allowed_origins` can never match.
    #[error("`{setting}` has `{value}`: expected {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// The value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// It was started before.
    #[error("a bridge runs once, and this one was started before")]
    StartedBefore,
}

impl Error {
    /// Whether another program has the port.
    pub fn is_address_in_use(&self) -> bool {
        matches!(self, Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}
