//! Which service a logger belongs to, and what people call it.

use std::collections::HashMap;
use std::sync::Arc;

/// A service: its name on the bus, and its name for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// The name on the bus: `gpt_service`.
    pub key: Arc<str>,
    /// The name for people: `AI Assistant`.
    pub name: Arc<str>,
}

/// The table of CantinaOS's services, and the rule that finds a logger's.
///
/// ```
/// use log_entry::ServiceNames;
///
/// let names = ServiceNames::default();
/// let service = names.of("cantina_os.services.web_bridge_service");
/// assert_eq!((&*service.key, &*service.name), ("web_bridge", "Web Bridge"));
/// assert_eq!(&*names.of("httpcore.connection").key, "httpcore");
/// assert_eq!(&*names.of("root").name, "System");
/// ```
///
/// # The rule
///
/// 1. A logger with an entry of its own ([`with`](Self::with)) has that service.
/// 2. `root`, or none: `system`, "System".
/// 3. Below `cantina_os`, the last segment counts; a `_service` at its end is
///    taken off unless the service is really called so. Elsewhere (libraries,
///    Rust crates) the first segment counts, and is not changed.
/// 4. Aliases and the names for people come from the table; a key that is not
///    in the table is its own name. Unknown names are shown, never dropped.
#[derive(Debug, Clone)]
pub struct ServiceNames {
    given: HashMap<String, Service>,
    names: HashMap<&'static str, &'static str>,
    aliases: HashMap<&'static str, &'static str>,
}

/// Key on the bus, name for people, class.
const SERVICES: [(&str, &str, &str); 19] = [
    ("logging_service", "Logging Service", "LoggingService"),
    ("yoda_mode_manager", "Mode Manager", "YodaModeManagerService"),
    ("mode_command_handler", "Mode Command Handler", "ModeCommandHandlerService"),
    ("command_dispatcher", "Command Dispatcher", "CommandDispatcherService"),
    ("memory_service", "Memory Service", "MemoryService"),
    ("mouse_input", "Mouse Input", "MouseInputService"),
    ("deepgram_direct_mic", "Voice Input", "DeepgramDirectMicService"),
    ("gpt_service", "AI Assistant", "GPTService"),
    ("intent_router_service", "Intent Router", "IntentRouterService"),
    ("brain_service", "Brain Service", "BrainService"),
    ("timeline_executor_service", "Timeline Executor", "TimelineExecutorService"),
    ("elevenlabs_service", "Speech Synthesis", "ElevenLabsService"),
    ("cached_speech_service", "Cached Speech", "CachedSpeechService"),
    ("mode_change_sound", "Mode Sound", "ModeChangeSoundService"),
    ("MusicController", "Music Controller", "MusicControllerService"),
    ("eye_light_controller", "Eye Lights", "EyeLightControllerService"),
    ("web_bridge", "Web Bridge", "WebBridgeService"),
    ("debug", "Debug Service", "DebugService"),
    ("cli", "CLI Service", "CLIService"),
];

/// Other names that loggers, commands and configurations use.
const ALIASES: [(&str, &str); 13] = [
    ("validation", "web_bridge"),
    ("CommandSchemaRegistry", "web_bridge"),
    ("simple_eye_adapter", "eye_light_controller"),
    ("eye_controller", "eye_light_controller"),
    ("audio_utils", "mode_change_sound"),
    ("gpt", "gpt_service"),
    ("elevenlabs", "elevenlabs_service"),
    ("intent_router", "intent_router_service"),
    ("music_controller", "MusicController"),
    ("debug_service", "debug"),
    ("voice_input", "deepgram_direct_mic"),
    // Parts of the logging service's own program.
    ("log_ingest", "logging_service"),
    ("cantina_log", "logging_service"),
];

const SYSTEM: (&str, &str) = ("system", "System");

// === impl Service ===

impl Service {
    /// A service with these two names.
    pub fn new(key: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { key: key.into(), name: name.into() }
    }
}

// === impl ServiceNames ===

impl ServiceNames {
    /// With `service` for the logger of exactly this name, whatever the rule says.
    #[must_use]
    pub fn with(mut self, logger: impl Into<String>, service: Service) -> Self {
        self.given.insert(logger.into(), service);
        self
    }

    /// The service that `logger` belongs to.
    pub fn of(&self, logger: &str) -> Service {
        if let Some(service) = self.given.get(logger) {
            return service.clone();
        }
        if logger.is_empty() || logger == "root" {
            return Service::new(SYSTEM.0, SYSTEM.1);
        }
        let key = self.key_of(logger);
        let name = self.names.get(key).copied().unwrap_or(key);
        Service::new(key, name)
    }

    fn key_of<'a>(&self, logger: &'a str) -> &'a str {
        let first = logger.split(['.', ':']).next().unwrap_or(logger);
        if first != "cantina_os" {
            return self.known(first).unwrap_or(first);
        }
        let last = logger.rsplit(['.', ':']).next().unwrap_or(logger);
        let stripped = last.strip_suffix("_service").filter(|rest| !rest.is_empty());
        self.known(last)
            .or_else(|| stripped.map(|key| self.known(key).unwrap_or(key)))
            .unwrap_or(last)
    }

    /// The key of the table that `name` stands for.
    fn known(&self, name: &str) -> Option<&'static str> {
        let alias = self.aliases.get(name).copied();
        alias.or_else(|| self.names.get_key_value(name).map(|(key, _)| *key))
    }
}

impl Default for ServiceNames {
    /// CantinaOS's nineteen services.
    fn default() -> Self {
        let classes = SERVICES.iter().map(|&(key, _, class)| (class, key));
        Self {
            given: HashMap::new(),
            names: SERVICES.iter().map(|&(key, name, _)| (key, name)).collect(),
            aliases: ALIASES.into_iter().chain(classes).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(logger: &str, key: &str, name: &str) {
        assert_eq!(ServiceNames::default().of(logger), Service::new(key, name), "{logger}");
    }

    #[test]
    fn every_service_is_found_by_its_logger() {
        for (key, name, class) in SERVICES {
            let last = if key == "web_bridge" { "services.web_bridge_service" } else { key };
            check(&format!("cantina_os.{last}"), key, name);
            check(&format!("cantina_os.{class}"), key, name);
        }
    }

    #[test]
    fn the_names_that_are_traps() {
        check("cantina_os.schemas.validation", "web_bridge", "Web Bridge");
        check("cantina_os.schemas.validation.CommandSchemaRegistry", "web_bridge", "Web Bridge");
        check("cantina_os.utils.command_decorators", "command_decorators", "command_decorators");
        check("cantina_os.utils.audio_utils", "mode_change_sound", "Mode Sound");
        check("cantina_os.main", "main", "main");
        check("cantina_os.services.voice_manager_service", "voice_manager", "voice_manager");
        check("cantina_os.a.b.c.d.music_controller_service", "MusicController", "Music Controller");
        check("cantina_os", "cantina_os", "cantina_os");
        check("cantina_os._service", "_service", "_service");
    }

    #[test]
    fn libraries_keep_their_first_name() {
        check("asyncio", "asyncio", "asyncio");
        check("httpcore.connection", "httpcore", "httpcore");
        check("web_bridge::relay", "web_bridge", "Web Bridge");
        check("my_robot::eyes", "my_robot", "my_robot");
    }

    #[test]
    fn root_is_the_system() {
        check("root", "system", "System");
        check("", "system", "System");
    }

    #[test]
    fn a_configured_logger_wins() {
        let names = ServiceNames::default()
            .with("cantina_os.gpt_service", Service::new("brain", "Second Brain"));
        assert_eq!(&*names.of("cantina_os.gpt_service").name, "Second Brain");
        assert_eq!(&*names.of("cantina_os.gpt_service.http").key, "http");
    }
}
