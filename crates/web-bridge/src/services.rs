//! How CantinaOS's services fare, as its dashboard shows it.

use std::collections::BTreeMap;

use bus::{Event, ORIGIN};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use standard_service::{SERVICE_STATUS_UPDATE, Status};

use crate::iso_now;

/// The latest word of every service.
#[derive(Debug)]
pub(crate) struct Services {
    states: Mutex<BTreeMap<String, ServiceState>>,
}

/// One service in the dashboard's grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ServiceState {
    pub(crate) status: Light,
    pub(crate) uptime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_update: Option<String>,
}

/// The dashboard's words for a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Light {
    Online,
    Warning,
    Offline,
}

/// `system_status`: all services at once.
#[derive(Debug, Serialize)]
pub(crate) struct SystemStatus {
    cantina_os_connected: bool,
    services: BTreeMap<String, ServiceState>,
    timestamp: String,
}

/// The part of a status that is read whatever its `status` says.
#[derive(Deserialize)]
struct Named {
    service_name: String,
}

/// CantinaOS's services, offline until they are heard of.
const KNOWN: [&str; 19] = [
    "web_bridge",
    "debug",
    "logging_service",
    "yoda_mode_manager",
    "mode_command_handler",
    "memory_service",
    "mouse_input",
    "deepgram_direct_mic",
    "gpt_service",
    "intent_router_service",
    "brain_service",
    "timeline_executor_service",
    "elevenlabs_service",
    "cached_speech_service",
    "mode_change_sound",
    "MusicController",
    "eye_light_controller",
    "cli",
    "command_dispatcher",
];

/// Whose a status is that came from outside and does not say so: a service of
/// CantinaOS.
const NOBODY: &str = "unknown";
const SERVICES_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 128;

// === impl Services ===

impl Default for Services {
    fn default() -> Self {
        let states = KNOWN.map(|name| (name.to_owned(), ServiceState::unheard())).into();
        Self { states: Mutex::new(states) }
    }
}

impl Services {
    /// Takes a status in. Returns the service and its state if it can be read
    /// and there is room for it.
    pub(crate) fn update(&self, event: &Event) -> Option<(String, ServiceState)> {
        let (name, state) = read(event)?;
        // Every instance has a `logging_service`; only our own has no more to its name.
        let name = match event.headers.get(ORIGIN) {
            Some(origin) if origin != NOBODY => format!("{name}@{origin}"),
            _ => name,
        };
        let mut states = self.states.lock();
        let has_room = states.contains_key(&name) || states.len() < SERVICES_MAX;
        if !has_room || name.len() > NAME_BYTES_MAX {
            return None;
        }
        states.insert(name.clone(), state.clone());
        Some((name, state))
    }

    pub(crate) fn system_status(&self) -> SystemStatus {
        SystemStatus {
            cantina_os_connected: true,
            services: self.states.lock().clone(),
            timestamp: iso_now(),
        }
    }

    /// Services that are online, and all of them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let states = self.states.lock();
        (states.values().filter(|state| state.status == Light::Online).count(), states.len())
    }
}

fn read(event: &Event) -> Option<(String, ServiceState)> {
    if let Ok(status) = SERVICE_STATUS_UPDATE.decode(event) {
        let last_update = status.last_update.or_else(|| Some(iso_now()));
        let state =
            ServiceState { status: status.status.into(), uptime: status.uptime, last_update };
        return Some((status.service_name, state));
    }
    // A status that we do not know, of a service that we can name.
    let Named { service_name } = serde_json::from_slice(&event.payload).ok()?;
    Some((service_name, ServiceState { last_update: Some(iso_now()), ..ServiceState::unheard() }))
}

// === impl ServiceState ===

impl ServiceState {
    fn unheard() -> Self {
        Self { status: Light::Offline, uptime: "0:00:00".to_owned(), last_update: None }
    }
}

// === impl Light ===

impl From<Status> for Light {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => Self::Online,
            Status::Degraded | Status::Initializing => Self::Warning,
            Status::Starting | Status::Error | Status::Stopping | Status::Stopped => Self::Offline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(services: &Services, json: &str) -> Option<(String, Light, String)> {
        let event = Event::new(SERVICE_STATUS_UPDATE.name(), json.to_owned());
        services.update(&event).map(|(name, state)| (name, state.status, state.uptime))
    }

    #[test]
    fn another_instance_does_not_speak_for_our_services() {
        let services = Services::default();
        let said_by = |origin: &str, status: &str| {
            let json = format!(r#"{{"service_name":"logging_service","status":"{status}"}}"#);
            let event = Event::new(SERVICE_STATUS_UPDATE.name(), json);
            services.update(&event.with_header(ORIGIN, origin)).unwrap().0
        };
        assert_eq!(said_by("bar-00000001", "STOPPED"), "logging_service@bar-00000001");
        assert_eq!(said_by(NOBODY, "RUNNING"), "logging_service");
    }

    #[test]
    fn every_shape_of_a_status_is_understood() {
        let services = Services::default();
        for (json, expected) in [
            (
                r#"{"service_name":"cli","status":"RUNNING","uptime":"1:02:03","last_update":"2025-06-17T12:38:18","message":"","severity":"INFO"}"#,
                ("cli", Light::Online, "1:02:03"),
            ),
            (
                r#"{"timestamp":1750178298.5,"event_id":"x","conversation_id":null,"schema_version":"1.0","service_name":"MusicController","status":"DEGRADED","message":"","severity":null}"#,
                ("MusicController", Light::Warning, "0:00:00"),
            ),
            (
                r#"{"service_name":"memory_service","status":"running","message":"","timestamp":1.0,"severity":"info"}"#,
                ("memory_service", Light::Online, "0:00:00"),
            ),
            (
                r#"{"service_name":"debug","status":"PONDERING"}"#,
                ("debug", Light::Offline, "0:00:00"),
            ),
        ] {
            let (name, light, uptime) = update(&services, json).unwrap();
            assert_eq!((name.as_str(), light, uptime.as_str()), expected);
        }
        assert_eq!(services.counts(), (2, 19));
        assert_eq!(update(&services, "[]"), None);
    }

    #[test]
    fn services_we_did_not_know_are_added_until_there_are_too_many() {
        let services = Services::default();
        let status = |name: &str| format!(r#"{{"service_name":"{name}","status":"RUNNING"}}"#);
        for number in 0..300 {
            update(&services, &status(&format!("extra_{number}")));
        }
        assert_eq!(services.counts(), (SERVICES_MAX - 19, SERVICES_MAX));
        assert!(update(&services, &status("cli")).is_some());
        assert_eq!(update(&Services::default(), &status(&"x".repeat(129))), None);
    }

    #[test]
    fn all_known_services_are_offline_at_first() {
        let json = serde_json::to_value(Services::default().system_status()).unwrap();
        assert_eq!(json["cantina_os_connected"], true);
        assert_eq!(json["services"].as_object().unwrap().len(), 19);
        assert_eq!(json["services"]["MusicController"]["status"], "offline");
    }
}
