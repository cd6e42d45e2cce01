//! From a URL to a bus.

use std::{path::PathBuf, sync::Arc};

use crate::{Bus, MemoryBus};

/// The schemes that [`connect`] knows, whether or not this build has the adapter.
const SCHEMES: &str = "memory, nats, tls";

/// Connects to the bus that `url` names, so that a deployment chooses its bus without code.
///
/// `memory:` is a new [`MemoryBus`].
/// `nats://` and `tls://` lead to NATS servers, if the feature `nats` is on; `NatsOptions` has the whole form.
/// That no server is there now is not an error: the bus goes on trying, and its [`state`](Bus::state) says so.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let bus = bus::connect("memory:").await?;
/// bus.publish(bus::Event::new("/dashboard/log", "{}")).await?;
///
/// let error = bus::connect("kafka://broker").await.err().expect("not known");
/// assert_eq!(error.to_string(), "no bus is known by the scheme `kafka` (known: memory, nats, tls)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn connect(url: &str) -> Result<Arc<dyn Bus>, ConnectError> {
    let (scheme, rest) = url.split_once(':').ok_or(ConnectError::NoScheme)?;
    match scheme.to_ascii_lowercase().as_str() {
        "memory" if matches!(rest, "" | "//") => Ok(Arc::new(MemoryBus::default())),
        "memory" => Err(ConnectError::Memory { rest: rest.to_owned() }),
        #[cfg(feature = "nats")]
        "nats" | "tls" => Ok(Arc::new(crate::NatsBus::connect(url.parse()?).await?)),
        #[cfg(not(feature = "nats"))]
        "nats" | "tls" => Err(ConnectError::NoAdapter { scheme: scheme.to_owned() }),
        _ => Err(ConnectError::UnknownScheme { scheme: scheme.to_owned() }),
    }
}

/// A URL does not lead to a bus.
///
/// No variant shows more of the URL than its scheme where the URL could hold a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no `scheme:` in front.
    #[error("the address of a bus begins with a scheme, as in `memory:` (known: {SCHEMES})")]
    NoScheme,
    /// Nothing is known by this scheme.
    #[error("no bus is known by the scheme `{}` (known: {SCHEMES})", scheme.escape_debug())]
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
    /// The scheme is known, but its adapter was not built in.
    #[error("this build has no NATS adapter, which `{scheme}:` needs")]
    NoAdapter {
        /// The scheme.
        scheme: String,
    },
    /// The bus in memory has neither a host nor options.
    #[error("`memory:` takes nothing after the colon, but got `{}`", rest.escape_debug())]
    Memory {
        /// What came after the colon.
        rest: String,
    },
    /// What comes before the options of a NATS address is not right. It may hold a password and is not shown.
    #[error("in the NATS address, {reason}")]
    Address {
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A NATS address has no such option.
    #[error("`{}` is not an option of a NATS address (known: {known})", name.escape_debug())]
    UnknownOption {
        /// The option as it was given.
        name: String,
        /// The options that there are.
        known: String,
    },
    /// An option of a NATS address is not right.
    #[error("in the NATS address, the option `{name}` {reason}")]
    Option {
        /// The option.
        name: &'static str,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A file that a NATS address names cannot be used.
    #[error("using the file `{}` of the option `{name}`", path.display())]
    File {
        /// The option.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The system has no room for the thread that a connection needs.
    #[error("starting a thread for the connection")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(url: &str, expected: &str) {
        let error = connect(url).await.err().unwrap();
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn a_wrong_address_says_what_would_be_right() {
        check(
            "localhost",
            "the address of a bus begins with a scheme, as in `memory:` (known: memory, nats, tls)",
        )
        .await;
        check("http://x", "no bus is known by the scheme `http` (known: memory, nats, tls)").await;
        check("memory://host", "`memory:` takes nothing after the colon, but got `//host`").await;
    }

    #[cfg(not(feature = "nats"))]
    #[tokio::test]
    async fn a_missing_adapter_is_named_and_the_password_is_not() {
        check(
            "nats://user:secret@host:4222",
            "this build has no NATS adapter, which `nats:` needs",
        )
        .await;
        check("tls://host", "this build has no NATS adapter, which `tls:` needs").await;
    }

    #[tokio::test]
    async fn every_memory_bus_is_a_new_one() {
        let (one, two) = (connect("memory:").await.unwrap(), connect("MEMORY://").await.unwrap());
        one.close().await.unwrap();
        assert!(two.flush().await.is_ok());
    }
}
