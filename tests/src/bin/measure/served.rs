//! The service that is measured, and what it says of itself.

use std::thread::park_timeout;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tests::Cantina;
use ureq::Agent;

/// Asks for the ledger, over one connection.
pub(crate) struct Ledger {
    agent: Agent,
    url: String,
}

/// What became of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Stored for the service of [`SERVICE`].
    pub(crate) stored: u64,
    /// Lost, of all services, for whatever reason.
    pub(crate) dropped: u64,
    pub(crate) in_flight: u64,
}

/// The key of the service whose records [`Counts`] are of; what the logging
/// service says of itself is not among them.
pub(crate) const SERVICE: &str = "gpt_service";
/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(2);
/// For everything to arrive.
const PATIENCE: Duration = Duration::from_mins(2);

/// Whether there is a program to measure.
pub(crate) fn has_binary() -> Result<()> {
    let path = std::env::var_os("CANTINA_LOG_BIN").context(
        "CANTINA_LOG_BIN is not set: it is the program to measure, a release build of cantina-log",
    )?;
    ensure!(std::path::Path::new(&path).is_file(), "there is no program {}", path.display());
    Ok(())
}

/// Lets time pass.
pub(crate) fn pass(time: Duration) {
    pass_until(Instant::now() + time);
}

/// Lets time pass until `then`.
pub(crate) fn pass_until(then: Instant) {
    loop {
        let left = then.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        park_timeout(left);
    }
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn of(cantina: &Cantina) -> Self {
        let agent = Agent::new_with_defaults();
        Self { agent, url: format!("http://{}/api/stats", cantina.http) }
    }

    pub(crate) fn counts(&self) -> Result<Counts> {
        let text = self.agent.get(&self.url).call()?.body_mut().read_to_string()?;
        let stats: Value = serde_json::from_str(&text)?;
        let dropped = stats["dropped"].as_object().context("nothing on drops")?;
        Ok(Counts {
            // Nothing came yet, or it has a count.
            stored: stats["by_service"][SERVICE]["stored"].as_u64().unwrap_or(0),
            dropped: dropped.values().filter_map(Value::as_u64).sum(),
            in_flight: stats["in_flight"].as_u64().context("nothing is in flight, not even 0")?,
        })
    }

    /// Asks until `is_enough`, or too much time has passed.
    pub(crate) fn counts_where(&self, is_enough: impl Fn(&Counts) -> bool) -> Result<Counts> {
        let start = Instant::now();
        loop {
            let counts = self.counts()?;
            if is_enough(&counts) {
                return Ok(counts);
            }
            if start.elapsed() > PATIENCE {
                bail!("after {PATIENCE:?} there are {counts:?}");
            }
            pass(INTERVAL);
        }
    }
}
