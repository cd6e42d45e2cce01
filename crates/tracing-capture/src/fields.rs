//! The fields of events and spans, as JSON.

use std::error::Error;
use std::fmt;

use log_entry::Fields;
use serde_json::Value;
use tracing::field::{Field, Visit};

use crate::text;

/// Fields of one event and its spans, or of one span, that are kept.
pub(crate) const FIELDS_MAX: usize = 64;

/// Causes of one error that are followed; an error may name itself as its cause.
const CAUSES_MAX: usize = 32;

/// Up to [`FIELDS_MAX`] fields, and how many there were beyond.
#[derive(Debug, Default)]
pub(crate) struct BoundedFields {
    fields: Fields,
    dropped: u64,
}

/// Whose fields are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A `tracing` event: `message` is its text.
    Event,
    /// A record of the `log` crate: as an event, and `log.*` is metadata.
    LogRecord,
    /// A span: all fields are fields.
    Span,
}

/// Collects the fields it visits.
pub(crate) struct FieldVisitor {
    origin: Origin,
    pub(crate) message: Option<String>,
    pub(crate) fields: BoundedFields,
}

// === impl BoundedFields ===

impl BoundedFields {
    /// Adds a field, in the place of an older one with its name.
    fn insert_with(&mut self, name: &str, value: impl FnOnce() -> Value) {
        if let Some(older) = self.fields.get_mut(name) {
            *older = value();
        } else if self.fields.len() < FIELDS_MAX {
            self.fields.insert(name.to_owned(), value());
        } else {
            self.dropped += 1;
        }
    }

    /// Adds the fields of `newer`, in the place of older ones with their names.
    pub(crate) fn replace_from(&mut self, newer: Self) {
        for (name, value) in newer.fields {
            self.insert_with(&name, || value);
        }
        self.dropped += newer.dropped;
    }

    /// Adds the fields of `outer` whose names are not taken.
    pub(crate) fn add_from(&mut self, outer: &Self) {
        for (name, value) in &outer.fields {
            if !self.fields.contains_key(name) {
                self.insert_with(name, || value.clone());
            }
        }
        self.dropped += outer.dropped;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The fields, with the count of dropped ones if there are any.
    pub(crate) fn into_fields(mut self) -> Fields {
        if self.dropped > 0 {
            self.fields.insert("fields_dropped".to_owned(), self.dropped.into());
        }
        self.fields
    }
}

impl fmt::Display for BoundedFields {
    /// `name=value name=value`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.fields.iter().enumerate() {
            let gap = if number == 0 { "" } else { " " };
            write!(f, "{gap}{name}={value}")?;
        }
        Ok(())
    }
}

// === impl FieldVisitor ===

impl FieldVisitor {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, message: None, fields: BoundedFields::default() }
    }

    fn put(&mut self, field: &Field, value: impl FnOnce() -> Value) {
        let name = field.name();
        match self.origin {
            Origin::Event | Origin::LogRecord if name == "message" => {
                self.message = Some(match value() {
                    Value::String(message) => message,
                    other => other.to_string(),
                });
            }
            Origin::LogRecord if name.starts_with("log.") => {}
            // A raw identifier is a field's way to be called like a keyword.
            _ => self.fields.insert_with(name.strip_prefix("r#").unwrap_or(name), value),
        }
    }
}

impl Visit for FieldVisitor {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, || value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, || value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN and no infinity.
        self.put(field, || match serde_json::Number::from_f64(value) {
            Some(number) => Value::Number(number),
            None => Value::String(value.to_string()),
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, || value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, || text::copy(value).into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, || text::render(format_args!("{}", Chain(value))).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, || text::render(format_args!("{value:?}")).into());
    }
}

/// An error with its causes: `saving the song: disk full`.
struct Chain<'a>(&'a (dyn Error + 'static));

// === impl Chain ===

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut causes = std::iter::successors(self.0.source(), |&cause| cause.source());
        for cause in causes.by_ref().take(CAUSES_MAX) {
            write!(f, ": {cause}")?;
        }
        if causes.next().is_some() { f.write_str(": …") } else { Ok(()) }
    }
}
