//! The settings: defaults, then the file, then the environment, then flags.

mod file;
mod keys;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log_entry::Level;

pub(crate) use self::keys::KEYS;
use self::value::Input;

/// Every setting of the program. `docs/operations.md` says what each is worth.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) log_level: Level,
    pub(crate) max_memory_logs: NonZeroUsize,
    pub(crate) max_memory_bytes: NonZeroUsize,
    pub(crate) session_file_path: PathBuf,
    pub(crate) enable_dashboard_streaming: bool,
    pub(crate) file_flush_interval: Duration,
    pub(crate) deduplication_window: Duration,
    pub(crate) max_queue_size: NonZeroUsize,
    pub(crate) max_queue_bytes: NonZeroUsize,
    pub(crate) batch_size: NonZeroUsize,
    pub(crate) listen: SocketAddr,
    pub(crate) python_listen: SocketAddr,
    pub(crate) bus: BusUrl,
    pub(crate) run_as_collector: bool,
    pub(crate) max_replay_bytes: u64,
    pub(crate) max_age_days: u64,
    pub(crate) max_sessions: NonZeroUsize,
    pub(crate) max_bytes: u64,
    pub(crate) rotate_bytes: u64,
    pub(crate) sync_interval: Duration,
    pub(crate) shutdown_deadline: Duration,
    pub(crate) rate_limit_per_service: u32,
    pub(crate) rate_limit_burst: u32,
    pub(crate) dashboard_event: DashboardEvent,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) max_clients: NonZeroUsize,
    pub(crate) services: BTreeMap<String, ServiceName>,
    /// Where each value came from that is not the default, by key.
    pub(crate) origins: BTreeMap<&'static str, Origin>,
}

use self::value::ServiceName;
pub(crate) use self::value::{BusUrl, DashboardEvent};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    File(PathBuf),
    Environment(&'static str),
    Flag(String),
}

/// A setting that cannot be used; names the culprit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("reading the configuration `{}`", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration `{}` is not TOML", path.display())]
    Syntax { path: PathBuf, source: toml::de::Error },
    #[error("unknown setting `{key}` in {origin}{}", suggestion(nearest.as_deref()))]
    Unknown { key: String, origin: Origin, nearest: Option<String> },
    #[error("`{key}` in {origin} is not available in this version")]
    NotYet { key: String, origin: Origin },
    #[error("{origin}: `{key}` = {value}: expected {expected}")]
    Value { key: &'static str, origin: Origin, value: String, expected: String },
}

/// What the command line says about settings.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// Flag, key and value, in the order they were given.
    pub(crate) values: Vec<(String, String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        let count = |n| NonZeroUsize::new(n).expect("the defaults are not zero");
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            log_level: Level::Info,
            max_memory_logs: count(1000),
            max_memory_bytes: count(1 << 20),
            session_file_path: PathBuf::from("./logs"),
            enable_dashboard_streaming: true,
            file_flush_interval: Duration::from_secs(5),
            deduplication_window: Duration::from_secs(30),
            max_queue_size: count(10_000),
            max_queue_bytes: count(4 << 20),
            batch_size: count(100),
            listen: loopback(8000),
            python_listen: loopback(9020),
            bus: BusUrl("memory:".to_owned()),
            run_as_collector: false,
            max_replay_bytes: 256 << 20,
            max_age_days: 14,
            max_sessions: count(200),
            max_bytes: 2 << 30,
            rotate_bytes: 64 << 20,
            sync_interval: Duration::from_secs(1),
            shutdown_deadline: Duration::from_millis(1500),
            rate_limit_per_service: 200,
            rate_limit_burst: 1000,
            dashboard_event: DashboardEvent::SystemLog,
            allowed_origins: vec!["http://localhost:3000".to_owned()],
            allowed_hosts: Vec::new(),
            max_clients: count(64),
            services: BTreeMap::new(),
            origins: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Reads the settings from the file, the environment (asked by `env`) and
    /// the flags, each overriding the ones before.
    ///
    /// # Errors
    ///
    /// The first setting that is unknown or cannot be used.
    pub(crate) fn load(
        flags: &Flags,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(path) = file::path(flags.config.as_deref(), &env) {
            settings.apply_file(&path)?;
        }
        for key in KEYS {
            if let Some((name, text)) = key.env.and_then(|name| Some((name, env(name)?))) {
                settings.apply(key.name, &Input::Text(&text), Origin::Environment(name))?;
            }
        }
        for (flag, key, text) in &flags.values {
            settings.apply(key, &Input::Text(text), Origin::Flag(flag.clone()))?;
        }
        Ok(settings)
    }

    /// How old a session may become.
    pub(crate) fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age_days.saturating_mul(24 * 60 * 60))
    }

    fn apply_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        for (key, value) in file::read(path)? {
            self.apply(&key, &Input::Toml(&value), Origin::File(path.to_owned()))?;
        }
        Ok(())
    }

    fn apply(
        &mut self,
        name: &str,
        input: &Input<'_>,
        origin: Origin,
    ) -> Result<(), SettingsError> {
        if keys::is_later(name) {
            let key = name.to_owned();
            let is_fine = keys::asks_for_nothing(name, input);
            return if is_fine { Ok(()) } else { Err(SettingsError::NotYet { key, origin }) };
        }
        let key = keys::find(name, &origin)?;
        (key.set)(self, input).map_err(|expected| SettingsError::Value {
            key: key.name,
            origin: origin.clone(),
            value: input.to_string(),
            expected,
        })?;
        self.origins.insert(key.name, origin);
        Ok(())
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "`{}`", path.display()),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::Flag(flag) => write!(f, "the flag {flag}"),
        }
    }
}

#[cfg(test)]
mod tests;
