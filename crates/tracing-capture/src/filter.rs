//! Which events and spans are wanted.

use std::sync::Arc;

use log_entry::{Level, Severity};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, metadata};
use tracing_subscriber::layer::{Context, Filter};

use crate::capture::Shared;

/// Spans of this level and above are kept under every setting.
const SPAN_LEVEL: Level = Level::Info;

/// Lets through what the levels of a capture ask for; a filter of one layer
/// only.
pub(crate) struct ByLevel(pub(crate) Arc<Shared>);

/// Python's number for a level of `tracing`.
pub(crate) fn severity(level: metadata::Level) -> Severity {
    match level {
        metadata::Level::TRACE => Severity::TRACE,
        metadata::Level::DEBUG => Level::Debug.severity(),
        metadata::Level::INFO => Level::Info.severity(),
        metadata::Level::WARN => Level::Warning.severity(),
        metadata::Level::ERROR => Level::Error.severity(),
    }
}

// === impl ByLevel ===

impl ByLevel {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let threshold = self.0.levels.read().threshold(metadata.target());
        let threshold = if metadata.is_span() { threshold.min(SPAN_LEVEL) } else { threshold };
        severity(*metadata.level()).level() >= threshold
    }
}

impl<S> Filter<S> for ByLevel {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Not `always`: then `enabled` would not be called before an event, and
        // an answer that `enabled!` or `log_enabled!` got on this thread earlier
        // would still stand, and the event would be lost. (`tracing-subscriber`
        // keeps the answer per thread until an event uses it up.)
        if self.wants(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.0.levels.read().lowest().min(SPAN_LEVEL) {
            Level::Debug => LevelFilter::TRACE,
            Level::Info => LevelFilter::INFO,
            Level::Warning => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
            Level::Critical => LevelFilter::OFF,
        })
    }
}
