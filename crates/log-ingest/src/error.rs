//! Why listening did not begin.

use std::io;
use std::net::SocketAddr;

/// The listener did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Others could reach the address, and nobody allowed that.
    #[error(
        "listening for records on {address}, which other machines can reach: \
         choose a loopback address for `python_listen`, such as 127.0.0.1:9020"
    )]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// Another program has the port.
    #[error(
        "listening for records on {address} ({transport}), which another program uses: \
         stop it, or set `python_listen` to another port"
    )]
    PortTaken {
        /// The address that was asked for.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused the address for another reason.
    #[error("listening for records on {address} ({transport}), as `python_listen` says")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It was started before.
    #[error("starting the listener for records a second time")]
    AlreadyStarted,
}

impl Error {
    /// Whether another port would help.
    pub fn is_port_taken(&self) -> bool {
        matches!(self, Self::PortTaken { .. })
    }

    pub(crate) fn bind(address: SocketAddr, transport: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortTaken { address, transport, source },
            _ => Self::Bind { address, transport, source },
        }
    }
}
