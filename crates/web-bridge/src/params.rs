//! What a query string asks for.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use axum::extract::Query as QueryString;
use http::Uri;
use log_entry::{EntryId, FilterSpec, SessionId, Timestamp};
use logging_api::{LIMIT_MAX, Query, Range};

use crate::client::Wanted;
use crate::problem::{Problem, with_causes};

/// The parameters of `/api/logs`.
#[derive(Debug, Clone)]
pub(crate) struct LogsParams {
    pub(crate) query: Query,
    /// With `after`: only entries before this one.
    pub(crate) before: Option<u64>,
}

/// The parameters of `/api/logs/stream`.
#[derive(Debug, Clone)]
pub(crate) struct StreamParams {
    pub(crate) spec: FilterSpec,
    pub(crate) wanted: Wanted,
    pub(crate) session: Option<SessionId>,
    pub(crate) after: Option<u64>,
    pub(crate) recent: usize,
}

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadParam(String);

/// What every query may name.
#[derive(Default)]
struct Common {
    spec: FilterSpec,
    session: Option<SessionId>,
    after: Option<u64>,
}

const LIMIT: usize = 100;
/// The largest number that every reader of JSON keeps exact; no `seq` comes near it.
const SEQ_MAX: u64 = (1 << 53) - 1;
const TEXT_MAX: usize = 1000;
/// Names in one parameter.
const NAMES_MAX: usize = 64;
const COMMON: &str = "level, service, host, q, regex, since, until, session, after";

// === impl LogsParams ===

impl LogsParams {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, BadParam> {
        let (mut common, mut before, mut around, mut limit) =
            (Common::default(), None, None, LIMIT);
        for (name, value) in pairs(uri)? {
            match name.as_str() {
                "before" => before = Some(number(&name, &value)?),
                "around" => around = Some(parse::<EntryId>(&name, &value)?),
                "limit" => limit = count(&name, &value, 1)?,
                _ => common.take(&name, &value, "before, around, limit")?,
            }
        }
        common.compile()?;
        let range = match (common.after, before, around) {
            (None, None, Some(id)) => Range::Around(id),
            (_, _, Some(_)) => {
                return Err(BadParam("`around` goes with neither `after` nor `before`".into()));
            }
            (Some(after), _, None) => Range::After(after),
            (None, before, None) => Range::Latest { before },
        };
        let before = before.filter(|_| common.after.is_some());
        let query = Query { session: common.session, filter: common.spec, range, limit };
        Ok(Self { query, before })
    }
}

// === impl StreamParams ===

impl StreamParams {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, BadParam> {
        let (mut common, mut recent) = (Common::default(), LIMIT);
        for (name, value) in pairs(uri)? {
            match name.as_str() {
                "recent" => recent = count(&name, &value, 0)?,
                _ => common.take(&name, &value, "recent")?,
            }
        }
        let wanted = common.compile()?;
        let Common { spec, session, after } = common;
        Ok(Self { spec, wanted, session, after, recent })
    }
}

// === impl Common ===

impl Common {
    fn take(&mut self, name: &str, value: &str, others: &str) -> Result<(), BadParam> {
        match name {
            "level" => self.spec.level = Some(parse(name, value)?),
            "service" => take_names(&mut self.spec.services, name, value)?,
            "host" => take_names(&mut self.spec.hosts, name, value)?,
            "q" => self.spec.text = text(name, value)?,
            "regex" => self.spec.regex = text(name, value)?,
            "since" => self.spec.since = Some(time(name, value)?),
            "until" => self.spec.until = Some(time(name, value)?),
            "session" => self.session = Some(parse(name, value)?),
            "after" => self.after = Some(number(name, value)?),
            _ => {
                let name = name.escape_debug();
                return Err(BadParam(format!(
                    "there is no parameter `{name}` here (there are: {COMMON}, {others})"
                )));
            }
        }
        Ok(())
    }

    /// Whether the filter can be used.
    fn compile(&self) -> Result<Wanted, BadParam> {
        Wanted::new(&self.spec).map_err(|error| {
            let name = if self.spec.regex.is_some() { "regex" } else { "q" };
            BadParam(format!("`{name}`: {}", with_causes(&error)))
        })
    }
}

fn take_names(names: &mut Vec<String>, name: &str, value: &str) -> Result<(), BadParam> {
    let further = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.extend(further.map(str::to_owned));
    let is_small = names.len() <= NAMES_MAX && value.len() <= TEXT_MAX;
    is_small.then_some(()).ok_or_else(|| bad(name, value, format!("at most {NAMES_MAX} names")))
}

/// The number after which an interrupted stream goes on, if `value` is one.
pub(crate) fn last_event_id(value: Option<&http::HeaderValue>) -> Option<u64> {
    value?.to_str().ok()?.trim().parse().ok().filter(|seq| *seq <= SEQ_MAX)
}

fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, BadParam> {
    let QueryString(pairs) = QueryString::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| BadParam(format!("the query string cannot be read: {error}")))?;
    let mut names = HashSet::new();
    // Of two values one would be passed over; only names add up.
    let adds_up = |name: &str| matches!(name, "service" | "host");
    match pairs.iter().find(|(name, _)| !adds_up(name) && !names.insert(name)) {
        Some((name, _)) => Err(BadParam(format!("`{}` is given twice", name.escape_debug()))),
        None => Ok(pairs),
    }
}

fn parse<T: FromStr<Err: fmt::Display>>(name: &str, value: &str) -> Result<T, BadParam> {
    value.parse().map_err(|error| bad(name, value, error))
}

fn number(name: &str, value: &str) -> Result<u64, BadParam> {
    let seq = value.parse().ok().filter(|seq| *seq <= SEQ_MAX);
    seq.ok_or_else(|| bad(name, value, "expected the `seq` of an entry"))
}

/// A number of entries; more than there can be at once are that many.
fn count(name: &str, value: &str, min: usize) -> Result<usize, BadParam> {
    match value.parse::<usize>() {
        Ok(count) if count >= min => Ok(count.min(LIMIT_MAX)),
        _ => Err(bad(name, value, format!("expected {min} to {LIMIT_MAX}"))),
    }
}

fn text(name: &str, value: &str) -> Result<Option<String>, BadParam> {
    match value {
        "" => Ok(None),
        _ if value.len() <= TEXT_MAX => Ok(Some(value.to_owned())),
        _ => Err(bad(name, value, format!("at most {TEXT_MAX} bytes"))),
    }
}

fn time(name: &str, value: &str) -> Result<Timestamp, BadParam> {
    chrono::DateTime::parse_from_rfc3339(value)
        .map(Into::into)
        .map_err(|_| bad(name, value, "expected RFC 3339, as in `2026-11-22T16:04:22Z`"))
}

fn bad(name: &str, value: &str, why: impl fmt::Display) -> BadParam {
    let shown: String = value.chars().take(80).collect();
    BadParam(format!("`{name}` is `{}`: {why}", shown.escape_debug()))
}

// === impl BadParam ===

impl From<BadParam> for Problem {
    fn from(BadParam(detail): BadParam) -> Self {
        Self::bad_request(detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_entry::Level;

    fn logs(query: &str) -> Result<LogsParams, String> {
        LogsParams::parse(&format!("/api/logs?{query}").parse().unwrap())
            .map_err(|BadParam(why)| why)
    }

    fn stream(query: &str) -> Result<StreamParams, String> {
        StreamParams::parse(&format!("/api/logs/stream?{query}").parse().unwrap())
            .map_err(|BadParam(why)| why)
    }

    #[test]
    fn an_empty_query_asks_for_the_newest_hundred() {
        let LogsParams { query, before } = logs("").unwrap();
        assert_eq!((query.limit, query.range, before), (100, Range::Latest { before: None }, None));
        assert_eq!(query.filter, FilterSpec::default());
        assert_eq!(stream("").unwrap().recent, 100);
    }

    #[test]
    fn a_filter_is_read_from_all_its_parameters() {
        let query = "level=warning&service=gpt*,!cli&service=AI%20Assistant&host=r3x,bb*&host=!bb8&q=a%2Bb&regex=x%5Cd\
                     &since=2026-11-22T16:00:00Z";
        let spec = logs(query).unwrap().query.filter;
        assert_eq!(spec.level, Some(Level::Warning));
        assert_eq!(spec.services, ["gpt*", "!cli", "AI Assistant"]);
        assert_eq!(spec.hosts, ["r3x", "bb*", "!bb8"]);
        assert_eq!((spec.text.as_deref(), spec.regex.as_deref()), (Some("a+b"), Some("x\\d")));
        assert_eq!(spec.since.unwrap().to_rfc3339(), "2026-11-22T16:00:00+00:00");
    }

    #[test]
    fn cursors_choose_the_range() {
        let range = |query: &str| logs(query).map(|params| (params.query.range, params.before));
        assert_eq!(range("after=7"), Ok((Range::After(7), None)));
        assert_eq!(range("before=7"), Ok((Range::Latest { before: Some(7) }, None)));
        assert_eq!(range("after=7&before=9"), Ok((Range::After(7), Some(9))));
        assert_eq!(range("around=abc"), Ok((Range::Around("abc".parse().unwrap()), None)));
        assert!(range("around=abc&after=1").is_err());
    }

    #[test]
    fn a_limit_beyond_the_most_is_the_most() {
        assert_eq!(logs("limit=5000").unwrap().query.limit, LIMIT_MAX);
        assert_eq!(stream("recent=0").unwrap().recent, 0);
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_value() {
        for (query, expected) in [
            ("level=loud", "`level` is `loud`: "),
            ("limit=0", "`limit` is `0`: expected 1 to 1000"),
            ("limit=-1", "`limit` is `-1`: expected 1 to 1000"),
            ("after=x", "`after` is `x`: expected the `seq` of an entry"),
            ("before=9007199254740992", "`before` is `9007199254740992`: expected the `seq`"),
            ("session=../../etc", "`session` is `../../etc`: "),
            ("since=yesterday", "`since` is `yesterday`: expected RFC 3339"),
            ("regex=(", "`regex`: unusable pattern `(`: "),
            ("levle=INFO", "there is no parameter `levle` here (there are: level, service, host, "),
            ("around=%20", "`around` is ` `: "),
            ("level=INFO&q=a&level=ERROR", "`level` is given twice"),
        ] {
            let why = logs(query).unwrap_err();
            assert!(why.starts_with(expected), "{query}: {why}");
        }
        assert!(stream("limit=5").unwrap_err().contains("recent"));
        assert!(logs(&format!("q={}", "x".repeat(1001))).is_err());
        assert!(logs(&format!("host={}", "r3x,".repeat(65))).unwrap_err().contains("64 names"));
    }
}
