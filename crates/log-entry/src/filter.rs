//! Which entries someone wants to see; the same question for the ring, the
//! files, the bridge and the command line.

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::{Level, LogEntry, Timestamp};

/// What a filter asks for, in the words of its user.
///
/// ```
/// use log_entry::{Filter, FilterSpec, Level};
///
/// let spec = FilterSpec {
///     level: Some(Level::Warning),
///     services: vec!["gpt*".into(), "!web_bridge".into()],
///     ..FilterSpec::default()
/// };
/// let filter = Filter::new(&spec)?;
/// assert!(!filter.is_empty());
/// # Ok::<(), log_entry::FilterError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterSpec {
    /// This level and above.
    pub level: Option<Level>,
    /// Keys or display names, in any case; `*` stands for any text, a leading
    /// `!` excludes.
    pub services: Vec<String>,
    /// Text to find in message, traceback or field values; any case, unless
    /// it holds an upper-case letter.
    pub text: Option<String>,
    /// The same as a regular expression.
    pub regex: Option<String>,
    /// Nothing logged before this.
    pub since: Option<Timestamp>,
    /// Nothing logged after this.
    pub until: Option<Timestamp>,
}

/// A compiled [`FilterSpec`].
#[derive(Debug, Clone, Default)]
pub struct Filter {
    level: Option<Level>,
    included: Vec<Regex>,
    excluded: Vec<Regex>,
    texts: Vec<Regex>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// A regular expression that cannot be used.
#[derive(Debug, Clone)]
pub struct FilterError {
    pattern: String,
    source: regex::Error,
}

// === impl Filter ===

impl Filter {
    /// Compiles `spec`.
    ///
    /// # Errors
    ///
    /// The regular expression is wrong, or too large to compile in 1 MiB.
    pub fn new(spec: &FilterSpec) -> Result<Self, FilterError> {
        let mut filter = Self {
            level: spec.level,
            since: spec.since,
            until: spec.until,
            ..Self::default()
        };
        for pattern in &spec.services {
            match pattern.strip_prefix('!') {
                Some(pattern) => filter.excluded.push(glob(pattern)?),
                None => filter.included.push(glob(pattern)?),
            }
        }
        if let Some(text) = spec.text.as_deref().filter(|text| !text.is_empty()) {
            filter.texts.push(compile(text, &regex::escape(text))?);
        }
        if let Some(pattern) = &spec.regex {
            filter.texts.push(compile(pattern, pattern)?);
        }
        Ok(filter)
    }

    /// Whether every entry passes.
    pub fn is_empty(&self) -> bool {
        self.level.is_none()
            && self.included.is_empty()
            && self.excluded.is_empty()
            && self.texts.is_empty()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// Whether `entry` passes.
    pub fn matches(&self, entry: &LogEntry) -> bool {
        let is_service = |pattern: &Regex| {
            pattern.is_match(&entry.service_key) || pattern.is_match(&entry.service)
        };
        self.level.is_none_or(|level| entry.level >= level)
            && self.since.is_none_or(|since| entry.timestamp >= since)
            && self.until.is_none_or(|until| entry.timestamp <= until)
            && (self.included.is_empty() || self.included.iter().any(is_service))
            && !self.excluded.iter().any(is_service)
            && self.texts.iter().all(|text| contains(entry, text))
    }

    /// Where in `text` the filter's texts are found, as byte ranges in order of
    /// their start; what a terminal highlights.
    pub fn highlights(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        let mut ranges: Vec<_> =
            self.texts.iter().flat_map(|regex| regex.find_iter(text)).map(|m| m.range()).collect();
        ranges.sort_by_key(|range| (range.start, range.end));
        ranges.dedup_by(|later, earlier| later.start < earlier.end);
        ranges
    }
}

fn contains(entry: &LogEntry, text: &Regex) -> bool {
    text.is_match(&entry.message)
        || entry.exception.as_ref().is_some_and(|exception| text.is_match(&exception.traceback))
        || entry.fields.values().any(|value| match value {
            serde_json::Value::String(value) => text.is_match(value),
            other => text.is_match(&other.to_string()),
        })
}

fn glob(pattern: &str) -> Result<Regex, FilterError> {
    let escaped = regex::escape(pattern).replace(r"\*", ".*");
    build(pattern, &format!("^(?s:{escaped})$"), true)
}

/// Smart case: a pattern without upper-case letters finds any case.
fn compile(pattern: &str, regex: &str) -> Result<Regex, FilterError> {
    build(pattern, regex, !pattern.chars().any(char::is_uppercase))
}

fn build(pattern: &str, regex: &str, ignore_case: bool) -> Result<Regex, FilterError> {
    RegexBuilder::new(regex)
        .case_insensitive(ignore_case)
        .size_limit(1 << 20)
        .nest_limit(50)
        .build()
        .map_err(|source| FilterError { pattern: pattern.to_owned(), source })
}

// === impl FilterError ===

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unusable pattern `{}`", self.pattern)
    }
}

impl std::error::Error for FilterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
