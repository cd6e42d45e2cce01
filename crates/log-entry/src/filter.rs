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
    /// Names of hosts, as patterns like those for services.
    pub hosts: Vec<String>,
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
    services: Names,
    hosts: Names,
    texts: Vec<Regex>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// Names that are wanted, and names that are not.
#[derive(Debug, Clone, Default)]
struct Names {
    included: Vec<Regex>,
    excluded: Vec<Regex>,
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
        let mut filter =
            Self { level: spec.level, since: spec.since, until: spec.until, ..Self::default() };
        filter.services = Names::new(&spec.services)?;
        filter.hosts = Names::new(&spec.hosts)?;
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
            && self.services.is_empty()
            && self.hosts.is_empty()
            && self.texts.is_empty()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// Whether `entry` passes.
    pub fn matches(&self, entry: &LogEntry) -> bool {
        self.level.is_none_or(|level| entry.level >= level)
            && self.since.is_none_or(|since| entry.timestamp >= since)
            && self.until.is_none_or(|until| entry.timestamp <= until)
            && self.services.admit(&[&entry.service_key, &entry.service])
            && self.hosts.admit(&[&entry.host])
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

// === impl Names ===

impl Names {
    fn new(patterns: &[String]) -> Result<Self, FilterError> {
        let mut names = Self::default();
        for pattern in patterns {
            match pattern.strip_prefix('!') {
                Some(pattern) => names.excluded.push(glob(pattern)?),
                None => names.included.push(glob(pattern)?),
            }
        }
        Ok(names)
    }

    fn is_empty(&self) -> bool {
        self.included.is_empty() && self.excluded.is_empty()
    }

    /// Whether what goes by all of `names` is wanted.
    fn admit(&self, names: &[&str]) -> bool {
        let is_one = |pattern: &Regex| names.iter().any(|name| pattern.is_match(name));
        (self.included.is_empty() || self.included.iter().any(is_one))
            && !self.excluded.iter().any(is_one)
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

/// Smart case: a pattern without upper-case letters finds any case. A letter
/// after a backslash is a class, not a letter.
fn compile(pattern: &str, regex: &str) -> Result<Regex, FilterError> {
    let mut is_escaped = false;
    let has_upper = regex.chars().any(|c| {
        let is_upper = c.is_uppercase() && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_upper
    });
    build(pattern, regex, !has_upper)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EntryIds, Exception, Record, ServiceNames, Stamp, timestamp_from_epoch};

    fn entry(level: Level, logger: &str, message: &str) -> LogEntry {
        let now = timestamp_from_epoch(1000.0).unwrap();
        let mut record = Record::new(now, level, logger, message);
        record.exception = Some(Exception::from_traceback("Traceback\nValueError: 429 Boom"));
        record.fields.insert("plan".into(), "p-77".into());
        record.fields.insert("port".into(), 9020.into());
        let stamp = Stamp {
            seq: 1,
            entry_id: EntryIds::new(1).next(1),
            service: ServiceNames::default().of(logger),
            session_id: "cantina-session-20261122-160357".parse().unwrap(),
            host: "r3x".into(),
        };
        LogEntry::new(record, stamp)
    }

    #[track_caller]
    fn check(spec: &FilterSpec, expected: bool) {
        let entry = entry(Level::Warning, "cantina_os.gpt_service", "Größe: Rate limit reached");
        assert_eq!(Filter::new(spec).unwrap().matches(&entry), expected, "{spec:?}");
    }

    fn services(patterns: &[&str]) -> FilterSpec {
        let services = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        FilterSpec { services, ..FilterSpec::default() }
    }

    fn hosts(patterns: &[&str]) -> FilterSpec {
        let hosts = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        FilterSpec { hosts, ..FilterSpec::default() }
    }

    fn text(text: &str) -> FilterSpec {
        FilterSpec { text: Some(text.to_owned()), ..FilterSpec::default() }
    }

    fn regex(regex: &str) -> FilterSpec {
        FilterSpec { regex: Some(regex.to_owned()), ..FilterSpec::default() }
    }

    #[test]
    fn a_level_is_a_threshold() {
        check(&FilterSpec { level: Some(Level::Warning), ..FilterSpec::default() }, true);
        check(&FilterSpec { level: Some(Level::Error), ..FilterSpec::default() }, false);
    }

    #[test]
    fn services_are_found_by_key_and_name_and_glob() {
        check(&services(&["gpt_service"]), true);
        check(&services(&["ai assistant"]), true);
        check(&services(&["gpt*", "web*"]), true);
        check(&services(&["gpt"]), false);
        check(&services(&["!gpt*"]), false);
        check(&services(&["!web*"]), true);
        check(&services(&["*", "!AI*"]), false);
        check(&services(&["a.c"]), false);
    }

    #[test]
    fn hosts_are_found_by_name_and_glob() {
        check(&hosts(&["R3X"]), true);
        check(&hosts(&["bb8", "r*"]), true);
        check(&hosts(&["bb8"]), false);
        check(&hosts(&["!r3x"]), false);
        check(&hosts(&["!bb8"]), true);
        check(&hosts(&["gpt_service"]), false);
        check(&FilterSpec { services: vec!["cli".into()], ..hosts(&["r3x"]) }, false);
        assert!(!Filter::new(&hosts(&["!bb8"])).unwrap().is_empty());
    }

    #[test]
    fn text_is_found_in_message_traceback_and_fields_with_smart_case() {
        for found in ["rate LIMIT", "Rate limit", "größe", "boom", "Boom", "p-77", "9020", ""] {
            check(&text(found), !found.contains("LIMIT"));
        }
        check(&text("rate limit"), true);
        check(&text("r.te"), false);
    }

    #[test]
    fn a_regular_expression_is_found_too() {
        check(&regex("rate.+reached$"), true);
        check(&regex(r"\bRATE\b"), false);
        check(&regex(r"\S+ limit"), true);
    }

    #[test]
    fn times_are_bounds_that_belong_to_it() {
        let at = |seconds| timestamp_from_epoch(seconds);
        check(&FilterSpec { since: at(1000.0), until: at(1000.0), ..FilterSpec::default() }, true);
        check(&FilterSpec { since: at(1001.0), ..FilterSpec::default() }, false);
        check(&FilterSpec { until: at(999.0), ..FilterSpec::default() }, false);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let error = Filter::new(&regex("a(")).unwrap_err();
        assert_eq!(error.to_string(), "unusable pattern `a(`");
        assert!(std::error::Error::source(&error).is_some());
        assert!(Filter::new(&regex(&"(a{1000}){1000}".repeat(3))).is_err());
        assert!(Filter::new(&regex(&"(".repeat(60))).is_err());
    }

    #[test]
    fn hits_are_marked_without_overlap() {
        let filter = Filter::new(&FilterSpec {
            text: Some("ab".into()),
            regex: Some("bc|d".into()),
            ..FilterSpec::default()
        });
        assert_eq!(filter.unwrap().highlights("abcd ab"), [0..2, 3..4, 5..7]);
    }
}
