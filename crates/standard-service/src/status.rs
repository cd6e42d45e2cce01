//! What services say about themselves on the bus.

use std::{str::FromStr, time::Duration};

use bus::Topic;
use chrono::{DateTime, Local, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A service begins to start.
pub const SERVICE_STARTING: Topic<Announcement> = Topic::new("service.starting");

/// A service is up, and has said so on [`SERVICE_STATUS_UPDATE`].
pub const SERVICE_READY: Topic<Announcement> = Topic::new("service.ready");

/// How a service fares: when that changes, and when someone asked.
pub const SERVICE_STATUS_UPDATE: Topic<ServiceStatus> = Topic::new("service.status.update");

/// Asks every running service for its status. Answers come on [`SERVICE_STATUS_UPDATE`].
pub const SERVICE_STATUS_REQUEST: Topic<StatusRequest> = Topic::new("service.status.request");

/// The payload of [`SERVICE_STARTING`] and [`SERVICE_READY`].
///
/// ```json
/// {"service_name": "logging_service", "timestamp": "2026-11-22T17:04:22.123456+01:00"}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The name of the service on the bus.
    pub service_name: String,
    /// When it was said; ISO 8601, ours with a zone.
    pub timestamp: String,
}

/// The payload of [`SERVICE_STATUS_REQUEST`]. Services answer whatever is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRequest {
    /// Who asks.
    pub source: String,
    /// When; ISO 8601, ours with a zone.
    pub timestamp: String,
}

/// The payload of [`SERVICE_STATUS_UPDATE`].
///
/// Written as most services of CantinaOS write it:
///
/// ```json
/// {"service_name": "logging_service", "status": "RUNNING", "uptime": "0:00:00",
///  "last_update": "2026-11-22T17:04:22.123456+01:00",
///  "message": "LoggingService started successfully", "severity": "INFO"}
/// ```
///
/// Read in every shape that is in use: `uptime` may be missing, `severity` may be missing or null, a `timestamp` (a number of seconds) may stand in for `last_update`, `status` and `severity` may be in lower case, and further fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AnyShape")]
pub struct ServiceStatus {
    /// The name of the service on the bus.
    pub service_name: String,
    /// What it is doing.
    pub status: Status,
    /// How long it has been up, as `H:MM:SS`; `0:00:00` if it does not say.
    pub uptime: String,
    /// When it said so, in ISO 8601. Ours carry a zone; those of Python's services are local time without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<String>,
    /// For people.
    pub message: String,
    /// How much people should care; [`Severity::Info`] if it does not say.
    pub severity: Severity,
}

/// Every shape of a status that is in use.
#[derive(Deserialize)]
struct AnyShape {
    service_name: String,
    status: Status,
    uptime: Option<String>,
    last_update: Option<String>,
    timestamp: Option<Timestamp>,
    message: Option<String>,
    severity: Option<Severity>,
}

/// The time of a status that has no `last_update`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Timestamp {
    Seconds(f64),
    Text(String),
}

/// What a service is doing. In JSON and `Display` in upper case; read in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE", try_from = "String")]
pub enum Status {
    /// It is being made.
    Initializing,
    /// It begins to work.
    Starting,
    /// It works.
    Running,
    /// It works, but not all of it.
    Degraded,
    /// It does not work.
    Error,
    /// It finishes its work.
    Stopping,
    /// It has ended.
    Stopped,
}

/// How much people should care about a status. In JSON and `Display` in upper case; read in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE", try_from = "String")]
pub enum Severity {
    /// Only when looking for something.
    Debug,
    /// In passing.
    Info,
    /// Soon.
    Warning,
    /// Now.
    Error,
    /// Now, and nothing else works.
    Critical,
}

/// Not a status of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a status: expected INITIALIZING, STARTING, RUNNING, DEGRADED, ERROR, STOPPING or STOPPED",
    text.escape_debug()
)]
pub struct ParseStatusError {
    /// What was found.
    pub text: String,
}

/// Not a severity of a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a severity: expected DEBUG, INFO, WARNING, ERROR or CRITICAL",
    text.escape_debug()
)]
pub struct ParseSeverityError {
    /// What was found.
    pub text: String,
}

/// The name of the class that a service would be in Python: `logging_service` is `LoggingService`.
pub fn class_name(name: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map_or(String::new(), |first| first.to_uppercase().chain(letters).collect::<String>())
    };
    name.split(['_', '-']).map(capitalised).collect()
}

/// A time up, as `H:MM:SS` with as many digits for the hours as it takes.
pub(crate) fn uptime(up: Duration) -> String {
    let seconds = up.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The time now, in ISO 8601 with the local zone.
pub(crate) fn now() -> String {
    Local::now().to_rfc3339_opts(SecondsFormat::Micros, false)
}

impl Announcement {
    /// What `service_name` says now.
    pub fn now(service_name: &str) -> Self {
        Self { service_name: service_name.to_owned(), timestamp: now() }
    }
}

impl StatusRequest {
    /// What `source` asks now.
    pub fn now(source: &str) -> Self {
        Self { source: source.to_owned(), timestamp: now() }
    }
}

impl From<AnyShape> for ServiceStatus {
    fn from(shape: AnyShape) -> Self {
        Self {
            service_name: shape.service_name,
            status: shape.status,
            uptime: shape.uptime.unwrap_or_else(|| uptime(Duration::ZERO)),
            last_update: shape.last_update.or(shape.timestamp.and_then(Timestamp::into_text)),
            message: shape.message.unwrap_or_default(),
            severity: shape.severity.unwrap_or(Severity::Info),
        }
    }
}

impl Timestamp {
    fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Seconds(seconds) => {
                let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
                let seconds = i64::try_from(since_epoch.as_secs()).ok()?;
                let time = DateTime::<Utc>::from_timestamp(seconds, since_epoch.subsec_nanos())?;
                Some(time.to_rfc3339_opts(SecondsFormat::Micros, true))
            }
        }
    }
}

/// Reads and shows an enum by the upper-case names of its variants.
macro_rules! by_name {
    ($type:ident, $error:ident, { $($name:literal => $variant:ident),+ $(,)? }) => {
        impl $type {
            /// The name, in upper case.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl FromStr for $type {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $(if text.eq_ignore_ascii_case($name) {
                    return Ok(Self::$variant);
                })+
                Err($error { text: text.to_owned() })
            }
        }

        impl TryFrom<String> for $type {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

by_name!(Status, ParseStatusError, {
    "INITIALIZING" => Initializing,
    "STARTING" => Starting,
    "RUNNING" => Running,
    "DEGRADED" => Degraded,
    "ERROR" => Error,
    "STOPPING" => Stopping,
    "STOPPED" => Stopped,
});

by_name!(Severity, ParseSeverityError, {
    "DEBUG" => Debug,
    "INFO" => Info,
    "WARNING" => Warning,
    "ERROR" => Error,
    "CRITICAL" => Critical,
});

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expected(status: Status, severity: Severity) -> ServiceStatus {
        ServiceStatus {
            service_name: "x".to_owned(),
            status,
            uptime: "0:00:00".to_owned(),
            last_update: Some("2025-06-17T13:37:11.500000Z".to_owned()),
            message: "hello".to_owned(),
            severity,
        }
    }

    #[track_caller]
    fn check(payload: serde_json::Value, expected: &ServiceStatus) {
        assert_eq!(serde_json::from_value::<ServiceStatus>(payload).unwrap(), *expected);
    }

    #[test]
    fn reads_all_shapes_in_use() {
        check(
            json!({"service_name": "x", "status": "RUNNING", "uptime": "12:00:01",
                   "last_update": "2025-06-17T12:38:18", "message": "hello", "severity": "ERROR"}),
            &ServiceStatus {
                uptime: "12:00:01".to_owned(),
                last_update: Some("2025-06-17T12:38:18".to_owned()),
                ..expected(Status::Running, Severity::Error)
            },
        );
        check(
            json!({"timestamp": 1_750_167_431.5, "event_id": "0b1f", "conversation_id": null,
                   "schema_version": "1.0", "service_name": "x", "status": "degraded",
                   "message": "hello", "severity": null}),
            &expected(Status::Degraded, Severity::Info),
        );
        check(
            json!({"service_name": "x", "status": "stopped", "message": "hello",
                   "timestamp": 1_750_167_431.5, "severity": "warning"}),
            &expected(Status::Stopped, Severity::Warning),
        );
    }

    #[test]
    fn a_time_out_of_range_is_no_time() {
        for timestamp in [-1.0, 1e300] {
            let payload = json!({"service_name": "x", "status": "RUNNING", "timestamp": timestamp});
            let status: ServiceStatus = serde_json::from_value(payload).unwrap();
            assert_eq!(status.last_update, None);
        }
    }

    #[test]
    fn an_unknown_status_is_an_error_that_names_it() {
        let error = "online".parse::<Status>().unwrap_err();
        assert_eq!(error, ParseStatusError { text: "online".to_owned() });
        let payload = json!({"service_name": "x", "status": "online"});
        let error = serde_json::from_value::<ServiceStatus>(payload).unwrap_err();
        assert!(error.to_string().starts_with("`online` is not a status: expected"), "{error}");
    }

    #[test]
    fn is_written_in_the_common_shape() {
        let written = serde_json::to_string(&expected(Status::Error, Severity::Debug)).unwrap();
        assert_eq!(
            written,
            r#"{"service_name":"x","status":"ERROR","uptime":"0:00:00","last_update":"2025-06-17T13:37:11.500000Z","message":"hello","severity":"DEBUG"}"#,
        );
    }

    #[test]
    fn all_names_are_read_in_both_cases_and_written_in_upper_case() {
        for name in
            ["INITIALIZING", "STARTING", "RUNNING", "DEGRADED", "ERROR", "STOPPING", "STOPPED"]
        {
            let status: Status = name.parse().unwrap();
            assert_eq!(Ok(status), name.to_lowercase().parse());
            assert_eq!(serde_json::to_value(status).unwrap(), *name);
            assert_eq!(status.to_string(), name);
        }
    }

    #[test]
    fn class_names_are_those_of_cantina_os() {
        assert_eq!(class_name("logging_service"), "LoggingService");
        assert_eq!(class_name("web_bridge"), "WebBridge");
        assert_eq!(class_name("MusicController"), "MusicController");
        assert_eq!(class_name(""), "");
    }

    #[test]
    fn uptime_has_as_many_hours_as_it_takes() {
        assert_eq!(uptime(Duration::from_millis(999)), "0:00:00");
        assert_eq!(uptime(Duration::from_secs(3661)), "1:01:01");
        assert_eq!(uptime(Duration::from_hours(100)), "100:00:00");
    }

    #[test]
    fn our_times_carry_a_zone() {
        let said = Announcement::now("x").timestamp;
        assert!(DateTime::parse_from_rfc3339(&said).is_ok(), "{said}");
    }
}
