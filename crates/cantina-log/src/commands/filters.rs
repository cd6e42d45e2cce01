//! The filters that every command shares.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use log_entry::{Filter, FilterSpec, Level, Timestamp, format_timestamp};

use super::UsageError;

/// Which entries.
#[derive(Debug, Args)]
pub(crate) struct Filters {
    /// This level and above: DEBUG, INFO, WARNING, ERROR, CRITICAL.
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// A service by key or name; `*` stands for any text, `!NAME` excludes. May be given again.
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// A host by name, where entries of several are together; patterns as for `--service`.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Text in message, traceback or fields; any case, unless it has an upper-case letter.
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// The same as a regular expression.
    #[arg(long, value_name = "RE")]
    regex: Option<String>,
    /// Nothing before: RFC 3339, or how long ago (`10m`, `2h`, `3d`).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Nothing after: RFC 3339, or how long ago.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most so many entries, the latest ones.
    #[arg(short = 'n', long = "lines", value_name = "N")]
    pub(crate) limit: Option<usize>,
}

impl Filters {
    /// What the flags ask for.
    pub(crate) fn spec(&self) -> Result<FilterSpec, UsageError> {
        let level = self.level.as_deref().map(|level| {
            level.parse::<Level>().map_err(|error| UsageError(format!("--level: {error}")))
        });
        Ok(FilterSpec {
            level: level.transpose()?,
            services: self.service.clone(),
            hosts: self.host.clone(),
            text: self.grep.clone(),
            regex: self.regex.clone(),
            since: self.since.as_deref().map(|text| time("--since", text)).transpose()?,
            until: self.until.as_deref().map(|text| time("--until", text)).transpose()?,
        })
    }

    /// The same, compiled.
    pub(crate) fn compile(&self) -> anyhow::Result<Filter> {
        Ok(Filter::new(&self.spec()?)?)
    }

    /// As a query of `GET /api/logs`.
    pub(crate) fn query(&self) -> Result<Vec<(&'static str, String)>, UsageError> {
        let spec = self.spec()?;
        let mut query: Vec<_> =
            spec.services.into_iter().map(|service| ("service", service)).collect();
        query.extend(spec.hosts.into_iter().map(|host| ("host", host)));
        query.extend(spec.level.map(|level| ("level", level.to_string())));
        query.extend(spec.text.map(|text| ("q", text)));
        query.extend(spec.regex.map(|regex| ("regex", regex)));
        let time = |time: Timestamp| format_timestamp(&time);
        query.extend(spec.since.map(|since| ("since", time(since))));
        query.extend(spec.until.map(|until| ("until", time(until))));
        Ok(query)
    }
}

/// A point in time: RFC 3339, or a number with `s`, `m`, `h` or `d` for how
/// long ago.
fn time(flag: &str, text: &str) -> Result<Timestamp, UsageError> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let unusable = || {
        UsageError(format!("{flag} {text}: expected RFC 3339, or how long ago, such as 90s or 10m"))
    };
    let unit = text.chars().last().ok_or_else(unusable)?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| unusable())?;
    let ago = match unit {
        's' => TimeDelta::try_seconds(number),
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        _ => None,
    };
    ago.and_then(|ago| Utc::now().checked_sub_signed(ago)).ok_or_else(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Program {
        #[command(flatten)]
        filters: Filters,
    }

    #[test]
    fn hosts_and_services_are_asked_for_by_their_names() {
        let line = "x --service gpt* --host r3x --host !bb8 --level error";
        let Program { filters } = Program::parse_from(line.split(' '));
        assert_eq!(filters.spec().unwrap().hosts, ["r3x", "!bb8"]);
        let query = filters.query().unwrap();
        let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let expected = [("service", "gpt*"), ("host", "r3x"), ("host", "!bb8"), ("level", "ERROR")];
        assert_eq!(query, expected);
    }

    #[test]
    fn times_are_absolute_or_ago() {
        let absolute = time("--since", "2026-11-22T16:04:22+01:00").unwrap();
        assert_eq!(absolute.to_rfc3339(), "2026-11-22T15:04:22+00:00");
        let ago = Utc::now() - time("--since", "10m").unwrap();
        assert!((599..=601).contains(&ago.num_seconds()));
        for text in ["", "m", "10", "10y", "yesterday", "99999999999999999d", "1ä"] {
            let error = time("--since", text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--since {text}")), "{error}");
        }
    }
}
