//! What a setting can be, and how it is read from a file or a text.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use log_entry::Level;
use toml::Value;

/// A value as it was given.
pub(crate) enum Input<'a> {
    /// By the file.
    Toml(&'a Value),
    /// By the environment or a flag.
    Text(&'a str),
}

/// The Socket.IO event that carries entries to CantinaOS's dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DashboardEvent {
    SystemLog,
    CantinaEvent,
}

/// The address of a bus, which may hold a password: it is shown without.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BusUrl(pub(crate) String);

/// A service that a logger was given by configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceName {
    pub(crate) key: String,
    pub(crate) name: String,
}

/// A type that a setting can have.
pub(crate) trait Setting: Sized {
    /// Reads it; the error says what was expected.
    fn read(input: &Input<'_>) -> Result<Self, String>;

    /// Shows it as a text that reads back.
    fn show(&self) -> String;
}

impl Input<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Toml(Value::String(text)) => Some(text),
            Self::Toml(_) => None,
            Self::Text(text) => Some(text),
        }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Self::Toml(value) => value.as_integer(),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Toml(Value::Float(number)) => Some(*number),
            Self::Toml(value) => value.as_integer().map(|number| number as f64),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

impl fmt::Display for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toml(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "`{text}`"),
        }
    }
}

impl Setting for Level {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        let expected = || "DEBUG, INFO, WARNING, ERROR or CRITICAL".to_owned();
        input.text().and_then(|text| text.parse().ok()).ok_or_else(expected)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for NonZeroUsize {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        let number = input.integer().and_then(|number| usize::try_from(number).ok());
        number.and_then(Self::new).ok_or_else(|| "a whole number above 0".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u64 {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        let number = input.integer().and_then(|number| Self::try_from(number).ok());
        number.ok_or_else(|| "a whole number from 0".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        let number = input.integer().and_then(|number| Self::try_from(number).ok());
        number.filter(|number| *number > 0).ok_or_else(|| "a whole number above 0".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for bool {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        match input {
            Input::Toml(Value::Boolean(value)) => Some(*value),
            Input::Text("true" | "1" | "yes" | "on") => Some(true),
            Input::Text("false" | "0" | "no" | "off") => Some(false),
            _ => None,
        }
        .ok_or_else(|| "true or false".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Seconds.
impl Setting for Duration {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        let seconds = input.number().filter(|seconds| (0.0..=86_400.0 * 366.0).contains(seconds));
        seconds.map(Self::from_secs_f64).ok_or_else(|| "a number of seconds from 0".to_owned())
    }

    fn show(&self) -> String {
        self.as_secs_f64().to_string()
    }
}

impl Setting for PathBuf {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        let text = input.text().filter(|text| !text.is_empty());
        text.map(Self::from).ok_or_else(|| "a path".to_owned())
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for SocketAddr {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        let text = input.text().map(|text| text.replace("localhost", "127.0.0.1"));
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| "an address with a port, such as 127.0.0.1:8000".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        input.text().map(str::to_owned).ok_or_else(|| "a text".to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl BusUrl {
    /// Without user and password.
    pub(crate) fn shown(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return self.0.clone() };
        let (authority, options) = rest.split_at(rest.find(['?', '/']).unwrap_or(rest.len()));
        match authority.rsplit_once('@') {
            Some((_, hosts)) => format!("{scheme}://***@{hosts}{options}"),
            None => self.0.clone(),
        }
    }
}

impl Setting for BusUrl {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        String::read(input).map(Self)
    }

    fn show(&self) -> String {
        self.shown()
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Setting for Vec<String> {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        let texts = match input {
            Input::Toml(Value::Array(values)) => {
                values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
            }
            Input::Toml(_) => None,
            Input::Text(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Some(parts.map(str::to_owned).collect())
            }
        };
        texts.ok_or_else(|| "a list of texts".to_owned())
    }

    fn show(&self) -> String {
        self.join(",")
    }
}

impl Setting for DashboardEvent {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        match input.text() {
            Some("system_log") => Ok(Self::SystemLog),
            Some("cantina_event") => Ok(Self::CantinaEvent),
            _ => Err("system_log or cantina_event".to_owned()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::SystemLog => "system_log",
            Self::CantinaEvent => "cantina_event",
        }
        .to_owned()
    }
}

/// `{ "logger" = { key = "gpt_service", name = "AI Assistant" } }`, or only the
/// key as a text.
impl Setting for BTreeMap<String, ServiceName> {
    fn read(input: &Input<'_>) -> Result<Self, String> {
        let expected = || {
            "a table of loggers, each with { key = \"gpt_service\", name = \"AI Assistant\" }"
                .to_owned()
        };
        let Input::Toml(Value::Table(table)) = input else { return Err(expected()) };
        let service = |value: &Value| match value {
            Value::String(key) => Some(ServiceName { key: key.clone(), name: key.clone() }),
            Value::Table(table) if table.keys().all(|key| key == "key" || key == "name") => {
                let key = table.get("key")?.as_str()?.to_owned();
                let name = table.get("name").map_or(Some(key.as_str()), Value::as_str)?.to_owned();
                Some(ServiceName { key, name })
            }
            _ => None,
        };
        table
            .iter()
            .map(|(logger, value)| {
                let service =
                    service(value).ok_or_else(|| format!("{} (at `{logger}`)", expected()))?;
                Ok((logger.clone(), service))
            })
            .collect()
    }

    fn show(&self) -> String {
        let pairs = self.iter().map(|(logger, service)| format!("{logger}={}", service.key));
        pairs.collect::<Vec<_>>().join(",")
    }
}
