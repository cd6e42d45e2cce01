//! The figures in the four cards of CantinaOS's dashboard.

use std::collections::VecDeque;
use std::time::Duration;

use log_entry::Level;
use logging_api::Stats;
use serde::Serialize;
use tokio::time::Instant;

/// `system_metrics`, in the dashboard's names. What is unknown is absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemMetrics {
    /// Records a minute, over the last minute.
    events_per_minute: f64,
    /// The part of them at ERROR and above, in percent.
    error_rate: f64,
    uptime: String,
    active_services: usize,
    total_services: usize,
    /// Of this process, in MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_memory: Option<f64>,
    /// Of this process, in percent of one processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_usage: Option<f64>,
}

/// Watches how the counts change.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    samples: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    received: u64,
    errors: u64,
    cpu: Option<Duration>,
}

const WINDOW: Duration = Duration::from_mins(1);

// === impl Meter ===

impl Meter {
    /// The figures at `now`; those that are differences, over the last minute.
    pub(crate) fn measure(
        &mut self,
        stats: &Stats,
        (active_services, total_services): (usize, usize),
        now: Instant,
    ) -> SystemMetrics {
        let (memory, cpu) = usage();
        let sample = Sample { at: now, received: stats.received, errors: errors(stats), cpu };
        self.samples.push_back(sample);
        while self.samples.get(1).is_some_and(|next| now - next.at >= WINDOW) {
            self.samples.pop_front();
        }
        let first = self.samples.front().copied().unwrap_or(sample);
        let seconds = (sample.at - first.at).as_secs_f64();
        let received = sample.received.saturating_sub(first.received);
        let errors = sample.errors.saturating_sub(first.errors);
        let cpu = first.cpu.zip(cpu).map(|(first, last)| last.saturating_sub(first).as_secs_f64());
        SystemMetrics {
            events_per_minute: tenths(per(received as f64 * 60.0, seconds)),
            error_rate: tenths(per(errors as f64 * 100.0, received as f64)),
            uptime: hours(stats.uptime_s),
            active_services,
            total_services,
            total_memory: memory.map(|bytes| tenths(bytes as f64 / 1e6)),
            cpu_usage: cpu.map(|used| tenths(per(used * 100.0, seconds))),
        }
    }
}

fn per(count: f64, whole: f64) -> f64 {
    if whole > 0.0 { count / whole } else { 0.0 }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn errors(stats: &Stats) -> u64 {
    let levels = stats.by_service.values().flat_map(|counts| &counts.by_level);
    levels.filter(|(level, _)| **level >= Level::Error).map(|(_, count)| count).sum()
}

/// `H:MM:SS`, as all of CantinaOS writes it.
fn hours(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Bytes in memory and processor time of this process, where the system says.
fn usage() -> (Option<u64>, Option<Duration>) {
    let read = |name| std::fs::read_to_string(name).ok();
    let memory = read("/proc/self/status").and_then(|status| resident(&status));
    let cpu = read("/proc/self/stat").and_then(|stat| processor_time(&stat));
    (memory, cpu)
}

/// `VmRSS:     5124 kB` of `/proc/self/status`, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The 14th and 15th field of `/proc/self/stat`, in hundredths of a second.
/// The second is the program's name in brackets, which may hold anything.
fn processor_time(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(Duration::from_millis((user + system) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::stats;
    use std::collections::BTreeMap;

    #[test]
    fn rates_are_of_the_last_minute() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let mut now = stats();
        let mut measure = |seconds, received, errors| {
            now.received = received;
            let by_level =
                BTreeMap::from([(Level::Info, received - errors), (Level::Critical, errors)]);
            now.by_service.entry("cli".into()).or_default().by_level = by_level;
            let metrics = meter.measure(&now, (3, 19), start + Duration::from_secs(seconds));
            (metrics.events_per_minute, metrics.error_rate)
        };
        assert_eq!(measure(0, 100, 100), (0.0, 0.0));
        assert_eq!(measure(30, 200, 150), (200.0, 50.0));
        assert_eq!(measure(60, 200, 150), (100.0, 50.0));
        assert_eq!(measure(90, 200, 150), (0.0, 0.0));
    }

    #[test]
    fn the_dashboards_names_are_used() {
        let metrics = Meter::default().measure(&stats(), (3, 19), Instant::now());
        let json = serde_json::to_value(&metrics).unwrap();
        assert_eq!((&json["uptime"], &json["activeServices"]), (&"1:01:01".into(), &3.into()));
        assert!(json.get("eventsPerMinute").is_some() && json.get("errorRate").is_some());
    }

    #[test]
    fn the_systems_files_are_read_as_they_are_written() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    5124 kB\nVmData: 1 kB\n"), Some(5124 * 1024));
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(processor_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(processor_time("nonsense"), None);
    }
}
