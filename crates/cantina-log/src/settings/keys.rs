//! Every key there is.

use super::value::{Input, Setting};
use super::{Origin, Settings, SettingsError};

/// A key, and how to set and show its value.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) env: Option<&'static str>,
    pub(crate) unit: &'static str,
    pub(crate) set: fn(&mut Settings, &Input<'_>) -> Result<(), String>,
    pub(crate) show: fn(&Settings) -> String,
}

/// One row of the table: key, field, unit and environment variable.
macro_rules! key {
    ($name:literal, $field:ident, $unit:literal) => {
        key!(@row $name, $field, $unit, None)
    };
    ($name:literal, $field:ident, $unit:literal, $env:literal) => {
        key!(@row $name, $field, $unit, Some($env))
    };
    (@row $name:literal, $field:ident, $unit:literal, $env:expr) => {
        Key {
            name: $name,
            env: $env,
            unit: $unit,
            set: |settings, input| Setting::read(input).map(|value| settings.$field = value),
            show: |settings| settings.$field.show(),
        }
    };
}

/// In the order of `docs/operations.md`.
pub(crate) const KEYS: &[Key] = &[
    key!("log_level", log_level, "", "LOGGING_LEVEL"),
    key!("max_memory_logs", max_memory_logs, "entries", "MAX_MEMORY_LOGS"),
    key!("max_memory_bytes", max_memory_bytes, "bytes"),
    key!("session_file_path", session_file_path, "", "SESSION_LOG_PATH"),
    key!("enable_dashboard_streaming", enable_dashboard_streaming, ""),
    key!("file_flush_interval", file_flush_interval, "s"),
    key!("deduplication_window", deduplication_window, "s"),
    key!("max_queue_size", max_queue_size, "records"),
    key!("max_queue_bytes", max_queue_bytes, "bytes"),
    key!("batch_size", batch_size, "entries"),
    key!("listen", listen, "", "CANTINA_LOG_LISTEN"),
    key!("python_listen", python_listen, "", "CANTINA_LOG_PYTHON_LISTEN"),
    key!("bus", bus, "", "CANTINA_LOG_BUS"),
    key!("run_as_collector", run_as_collector, ""),
    key!("max_replay_bytes", max_replay_bytes, "bytes"),
    key!("retention.max_age_days", max_age_days, "days"),
    key!("retention.max_sessions", max_sessions, "sessions"),
    key!("retention.max_bytes", max_bytes, "bytes"),
    key!("rotate_bytes", rotate_bytes, "bytes"),
    key!("sync_interval", sync_interval, "s"),
    key!("shutdown_deadline", shutdown_deadline, "s"),
    key!("rate_limit.per_service", rate_limit_per_service, "entries/s"),
    key!("rate_limit.burst", rate_limit_burst, "entries"),
    key!("dashboard_event", dashboard_event, ""),
    key!("allowed_origins", allowed_origins, ""),
    key!("allowed_hosts", allowed_hosts, ""),
    key!("max_clients", max_clients, "connections"),
    key!("services", services, ""),
];

/// Keys of the product that this version has no part for, each with the one
/// value that is true of it. Any other is refused rather than ignored: who asks
/// for redaction must not believe to have it.
const LATER: [(&str, &str); 2] = [("redact", "false"), ("retention.min_free_bytes", "0")];

/// Whether `name` is such a key.
pub(super) fn is_later(name: &str) -> bool {
    LATER.iter().any(|(key, _)| *key == name)
}

/// Whether such a key asks for nothing that is not there.
pub(super) fn asks_for_nothing(name: &str, value: &Input<'_>) -> bool {
    let value = value.to_string();
    LATER.contains(&(name, value.trim_matches('`')))
}

/// The key called `name`.
pub(super) fn find(name: &str, origin: &Origin) -> Result<&'static Key, SettingsError> {
    let (key, origin) = (name.to_owned(), origin.clone());
    KEYS.iter().find(|key| key.name == name).ok_or_else(|| SettingsError::Unknown {
        nearest: nearest(name),
        key,
        origin,
    })
}

/// The known key that looks most like `name`, if any does.
fn nearest(name: &str) -> Option<String> {
    KEYS.iter()
        .map(|key| (strsim::jaro_winkler(name, key.name), key.name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key.to_owned())
}
