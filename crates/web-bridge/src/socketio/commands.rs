//! What clients ask for. Only `subscribe_events` is granted: whoever may read
//! the log may not, for that alone, control the robot.

use std::time::Duration;

use log_entry::Level;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::iso_now;

/// `command_error`, as the existing bridge sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CommandError {
    error: bool,
    message: String,
    command: String,
    validation_errors: Vec<String>,
    timestamp: String,
}

/// How many answers a client gets in a second.
#[derive(Debug)]
pub(super) struct Budget {
    since: Instant,
    used: u32,
}

const ANSWERS_PER_SECOND: u32 = 20;
const NAME_MAX: usize = 64;

/// The least level that a `subscribe_events` asks for: none for all.
pub(super) fn wanted_level(request: &Value) -> Result<Option<Level>, CommandError> {
    let refuse =
        |why: String| Err(CommandError::new("subscribe_events", "not understood", vec![why]));
    match request.get("filter_level") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if name.is_empty() => Ok(None),
        Some(Value::String(name)) => match name.parse() {
            Ok(level) => Ok(Some(level)),
            Err(error) => refuse(format!("filter_level: {error}")),
        },
        Some(_) => refuse("filter_level: expected the name of a level".to_owned()),
    }
}

// === impl CommandError ===

impl CommandError {
    fn new(command: &str, message: impl Into<String>, validation_errors: Vec<String>) -> Self {
        let command = command.chars().take(NAME_MAX).collect();
        Self {
            error: true,
            message: message.into(),
            command,
            validation_errors,
            timestamp: iso_now(),
        }
    }

    /// The answer to a command that only CantinaOS itself could carry out.
    pub(super) fn not_ours(command: &str) -> Self {
        let message = "this is the logging service: it shows what CantinaOS logs and passes no \
                       commands on to it";
        Self::new(command, message, Vec::new())
    }
}

// === impl Budget ===

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, used: 0 }
    }

    /// Whether there is an answer left in this second.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if now - self.since >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        self.used += 1;
        self.used <= ANSWERS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_level_is_wanted_only_if_it_is_named() {
        assert_eq!(wanted_level(&json!({"events": ["system"]})), Ok(None));
        assert_eq!(wanted_level(&json!({"filter_level": null})), Ok(None));
        assert_eq!(wanted_level(&json!({"filter_level": "warning"})), Ok(Some(Level::Warning)));
        assert_eq!(wanted_level(&json!("nonsense")), Ok(None));
        let error = wanted_level(&json!({"filter_level": "loud"})).unwrap_err();
        assert_eq!((error.error, error.command.as_str()), (true, "subscribe_events"));
        assert!(error.validation_errors[0].starts_with("filter_level: "));
        assert!(wanted_level(&json!({"filter_level": 3})).is_err());
    }

    #[test]
    fn a_flood_of_commands_is_answered_twenty_times_a_second() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert_eq!((0..100).filter(|_| budget.take(start)).count(), 20);
        assert!(budget.take(start + Duration::from_secs(1)));
    }
}
