//! `/metrics`: the counts for Prometheus, in its text format.

use std::fmt::{self, Display, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use logging_api::{BusVitals, Collected, HealthStatus, Relayed, ServiceCounts, Stats};

use crate::bridge::Bridge;

/// Families of samples, as text.
#[derive(Default)]
struct Exposition(String);

/// A label's value, escaped.
struct Label<'a>(&'a str);

/// Services with samples of their own; the quieter ones are added up.
const SERVICES_MAX: usize = 64;
/// The same for hosts.
const HOSTS_MAX: usize = 64;
const OTHER: &str = "(other)";

pub(super) async fn metrics(State(bridge): State<Arc<Bridge>>) -> Response {
    let is_degraded = bridge.vitals.health().status != HealthStatus::Ok;
    let text = expose(&bridge.stats(), is_degraded);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn expose(stats: &Stats, is_degraded: bool) -> String {
    let mut out = Exposition::default();
    out.family("build_info", "gauge", "The version of this program.");
    out.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.single("uptime_seconds", "gauge", "Seconds since the start.", stats.uptime_s);
    out.single("degraded", "gauge", "Whether something does not work.", u8::from(is_degraded));
    expose_records(&mut out, stats);
    expose_services(&mut out, stats);
    expose_views(&mut out, stats);
    expose_bus(&mut out, &stats.bus);
    if let Some(relayed) = &stats.bus.relayed {
        expose_relayed(&mut out, relayed);
    }
    if let Some(collected) = &stats.bus.collected {
        expose_collected(&mut out, collected);
    }
    out.0
}

fn expose_records(out: &mut Exposition, stats: &Stats) {
    let counters = [
        ("received_total", "Records that reached the service.", stats.received),
        ("stored_total", "Records stored as entries.", stats.stored),
        ("merged_total", "Records stored as repeats of an entry.", stats.merged),
    ];
    for (name, help, value) in counters {
        out.single(name, "counter", help, value);
    }
    let reasons = [
        ("filtered_total", "Records that were not wanted, by reason.", &stats.filtered_by),
        ("dropped_total", "Records that were lost, by reason.", &stats.dropped),
    ];
    for (name, help, counts) in reasons {
        out.family(name, "counter", help);
        for (reason, count) in counts {
            out.sample(name, &[("reason", reason)], count);
        }
    }
    out.single("in_flight", "gauge", "Records on their way.", stats.in_flight);
    out.single("last_seq", "gauge", "The number of the latest entry.", stats.last_seq);
}

fn expose_services(out: &mut Exposition, stats: &Stats) {
    let services = loudest(stats);
    out.family(
        "service_records_total",
        "counter",
        "Records of each service, by what became of them.",
    );
    for (service, counts) in &services {
        let outcomes = [
            ("stored", counts.stored),
            ("merged", counts.merged),
            ("filtered", counts.filtered),
            ("dropped", counts.dropped),
        ];
        for (outcome, count) in outcomes {
            out.sample(
                "service_records_total",
                &[("service", service), ("outcome", outcome)],
                count,
            );
        }
    }
    out.family("service_received_total", "counter", "Records of each service, by level.");
    for (service, counts) in &services {
        for (level, count) in &counts.by_level {
            let labels = [("service", *service), ("level", level.as_str())];
            out.sample("service_received_total", &labels, count);
        }
    }
}

/// The services with the most records, and the rest as one.
fn loudest(stats: &Stats) -> Vec<(&str, ServiceCounts)> {
    let mut services: Vec<_> =
        stats.by_service.iter().map(|(key, counts)| (key.as_str(), counts.clone())).collect();
    if services.len() <= SERVICES_MAX {
        return services;
    }
    services.sort_by_key(|(key, counts)| (std::cmp::Reverse(counts.received), *key));
    let rest = services.split_off(SERVICES_MAX);
    let sum = rest.into_iter().fold(ServiceCounts::default(), |sum, (_, counts)| add(sum, &counts));
    services.push((OTHER, sum));
    services
}

fn add(mut sum: ServiceCounts, counts: &ServiceCounts) -> ServiceCounts {
    sum.received += counts.received;
    sum.stored += counts.stored;
    sum.merged += counts.merged;
    sum.filtered += counts.filtered;
    sum.dropped += counts.dropped;
    for (level, count) in &counts.by_level {
        *sum.by_level.entry(*level).or_default() += count;
    }
    sum
}

fn expose_views(out: &mut Exposition, stats: &Stats) {
    let views = stats.views;
    let name = "views_left_out_total";
    out.family(name, "counter", "Entries that the views left out; they are in the session record.");
    let reasons =
        [("folded", views.folded), ("rate_limited", views.rate_limited), ("missed", views.missed)];
    for (reason, count) in reasons {
        out.sample(name, &[("reason", reason)], count);
    }
    out.single("clients", "gauge", "Live connections of dashboards.", stats.clients);
}

fn expose_bus(out: &mut Exposition, bus: &BusVitals) {
    let is_connected = u8::from(bus.state == "connected");
    out.single("bus_connected", "gauge", "Whether the bus is there.", is_connected);
    out.single("bus_backlog", "gauge", "Entries that wait to be published.", bus.backlog);
    let counters = [
        ("bus_reconnects_total", "How often a lost connection came back.", bus.reconnects),
        ("bus_published_total", "Events that were published.", bus.published),
        ("bus_refused_total", "Events that the bus refused.", bus.refused),
        ("bus_missed_total", "Events that did not reach a subscriber here.", bus.missed),
        ("bus_regressed_total", "How often the broker lost what it confirmed.", bus.regressed),
    ];
    for (name, help, value) in counters {
        out.single(name, "counter", help, value);
    }
    let name = "bus_dropped_total";
    out.family(name, "counter", "Entries that were never published, by reason.");
    for (reason, count) in &bus.dropped {
        out.sample(name, &[("reason", reason)], count);
    }
}

fn expose_relayed(out: &mut Exposition, relayed: &Relayed) {
    let name = "bus_relayed_total";
    out.family(name, "counter", "Live events between the buses, by what became of them.");
    let fates = [
        ("outward", relayed.outward),
        ("inward", relayed.inward),
        ("echo", relayed.echoes),
        ("missed", relayed.missed),
        ("held_back", relayed.held_back),
        ("oversized", relayed.oversized),
    ];
    for (fate, count) in fates {
        out.sample(name, &[("fate", fate)], count);
    }
}

fn expose_collected(out: &mut Exposition, collected: &Collected) {
    let name = "collected_total";
    out.family(name, "counter", "Entries taken in from other instances, by host.");
    for (host, count) in busiest(collected) {
        out.sample(name, &[("host", host)], count);
    }
    let counters = [
        ("collected_echoes_total", "Entries of our own that came back.", collected.echoes),
        ("collected_doubles_total", "Entries that had come before.", collected.doubles),
        ("collected_malformed_total", "Events that were no entries.", collected.malformed),
        ("collected_missing_total", "Entries that did not come.", collected.missing),
    ];
    for (name, help, value) in counters {
        out.single(name, "counter", help, value);
    }
}

/// The hosts with the most entries, and the rest as one.
fn busiest(collected: &Collected) -> Vec<(&str, u64)> {
    let mut hosts: Vec<_> =
        collected.by_host.iter().map(|(host, count)| (host.as_str(), *count)).collect();
    if hosts.len() > HOSTS_MAX {
        hosts.sort_by_key(|(host, count)| (std::cmp::Reverse(*count), *host));
        let rest = hosts.split_off(HOSTS_MAX);
        hosts.push((OTHER, rest.into_iter().map(|(_, count)| count).sum()));
    }
    hosts
}

// === impl Exposition ===

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP cantina_log_{name} {help}"));
        self.line(format_args!("# TYPE cantina_log_{name} {kind}"));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(format_args!("cantina_log_{name} {value}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", Label(value))).collect();
        self.line(format_args!("cantina_log_{name}{{{}}} {value}", labels.join(",")));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a `String` takes everything");
    }
}

// === impl Label ===

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::stats;
    use log_entry::Level;

    fn counts(received: u64) -> ServiceCounts {
        let by_level = [(Level::Info, received)].into();
        ServiceCounts { received, stored: received, by_level, ..ServiceCounts::default() }
    }

    /// Entries of so many hosts.
    fn collected(hosts: u64) -> Collected {
        let by_host = (0..hosts).map(|number| (format!("host-{number}"), number)).collect();
        Collected { by_host, echoes: 5, ..Collected::default() }
    }

    #[test]
    fn every_family_is_explained_once_and_every_sample_belongs_to_one() {
        let mut stats = stats();
        stats.by_service.insert("cli".into(), counts(3));
        stats.bus.dropped.insert("bus_backlog".into(), 7);
        stats.bus.collected = Some(collected(3));
        let text = expose(&stats, true);
        let mut families = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, _) = rest.split_once(' ').unwrap();
                assert!(!families.contains(&name), "{name} comes twice");
                families.push(name);
            } else if !line.starts_with('#') {
                let end = line.find(['{', ' ']).unwrap();
                assert_eq!(families.last(), Some(&&line[..end]), "{line}");
            }
        }
        assert!(text.contains("cantina_log_degraded 1\n"));
        assert!(text.contains("cantina_log_dropped_total{reason=\"malformed\"} 0\n"));
        assert!(text.contains("cantina_log_bus_dropped_total{reason=\"bus_backlog\"} 7\n"));
        assert!(text.contains("cantina_log_collected_total{host=\"host-2\"} 2\n"));
        assert!(text.contains("cantina_log_collected_echoes_total 5\n"));
        assert!(
            text.contains(
                "cantina_log_service_records_total{service=\"cli\",outcome=\"stored\"} 3\n"
            )
        );
        assert!(
            text.contains("cantina_log_service_received_total{service=\"cli\",level=\"INFO\"} 3\n")
        );
    }

    #[test]
    fn the_number_of_services_is_bounded_and_nothing_is_left_out() {
        let mut stats = stats();
        for number in 0..100 {
            stats.by_service.insert(format!("service_{number}"), counts(number));
        }
        let services = loudest(&stats);
        assert_eq!(services.len(), SERVICES_MAX + 1);
        assert_eq!(services.last().unwrap().0, OTHER);
        assert_eq!(
            services.iter().map(|(_, counts)| counts.received).sum::<u64>(),
            (0..100).sum::<u64>()
        );
    }

    #[test]
    fn who_does_not_collect_has_no_families_for_it() {
        let text = expose(&stats(), false);
        assert!(text.contains("cantina_log_bus_connected 1\n") && !text.contains("collected"));
    }

    #[test]
    fn the_number_of_hosts_is_bounded_and_nothing_is_left_out() {
        let collected = collected(100);
        let hosts = busiest(&collected);
        assert_eq!((hosts.len(), hosts.last().unwrap().0), (HOSTS_MAX + 1, OTHER));
        assert_eq!(hosts.iter().map(|(_, count)| count).sum::<u64>(), (0..100).sum::<u64>());
    }

    #[test]
    fn a_name_cannot_end_its_label() {
        assert_eq!(Label("a\"} 1\n\\").to_string(), "a\\\"} 1\\n\\\\");
    }
}
