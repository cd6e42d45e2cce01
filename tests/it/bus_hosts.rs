//! Several hosts on one bus, and one dashboard for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use bus::{EVENT_ID, ORIGIN};
use chrono::{SecondsFormat, TimeDelta, Utc};
use nats_fixture::NatsServer;
use serde_json::{Value, json};
use tests::{
    Cantina, Hosts, Listener, OnBus, Setup, Stopped, Watcher, can_name_hosts, chromium, oracle,
};

/// Logs a hundred lines and a traceback.
const LOGS: &str = "
import logging, logging.handlers, sys
host, port = sys.argv[1].split(':')
log = logging.getLogger('cantina_os.gpt_service')
log.setLevel(logging.INFO)
log.addHandler(logging.handlers.SocketHandler(host, int(port)))
for n in range(1, 101):
    log.info('line %d of a hundred', n)
try:
    {}['key']
except KeyError:
    log.exception('it failed')
";

fn messages<'a>(entries: impl Iterator<Item = &'a Value>) -> Vec<&'a str> {
    entries.map(|entry| entry["message"].as_str().unwrap()).collect()
}

#[track_caller]
fn log_on(cantina: &Cantina) {
    run(cantina, LOGS);
}

/// Logs as many other lines: the same ones would only be repeats.
#[track_caller]
fn log_while_away_on(cantina: &Cantina) {
    run(cantina, &LOGS.replace("of a hundred", "while away"));
}

#[track_caller]
fn run(cantina: &Cantina, program: &str) {
    let (status, _, stderr) = cantina.python(program).end();
    assert!(status.success(), "{stderr}");
}

#[track_caller]
fn hosts_are_collected(options: &str) {
    let server = NatsServer::jetstream();
    let url = format!("{}{options}", server.url());
    // Two that collect, so that there is somebody to play ping-pong with.
    let setup = |host: &str| Setup::default().bus(&url).host(host);
    let (one, two) = (setup("r3x").start(), setup("bar").arg("--collect").start());
    let collector = setup("desk").arg("--collect").start();
    let mut bus = OnBus::connect(&url).listen("logging.entry");
    let origin_of = |cantina: &Cantina| {
        let stats = cantina.json("/api/stats");
        stats["bus"]["origin"].as_str().unwrap_or_else(|| panic!("{stats}")).to_owned()
    };
    let origins = [origin_of(&one), origin_of(&two), origin_of(&collector)];
    log_on(&one);
    log_on(&two);
    for seen_by in [&two, &collector] {
        seen_by.json_where("/api/logs?limit=1000&level=ERROR", |page| {
            page["entries"].as_array().unwrap().len() == 2
        });
    }

    // The dashboard of the collector: each host as a filter, in its own order.
    for (host, origin) in [("r3x", &origins[0]), ("bar", &origins[1])] {
        let filter = if can_name_hosts() { format!("&host={host}") } else { String::new() };
        let path = format!("/api/logs?limit=1000&q=of+a+hundred{filter}");
        let page = collector.json(&path);
        let entries: Vec<&Value> = page["entries"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["origin"]["id"] == **origin)
            .collect();
        let expected: Vec<_> = (1..=100).map(|n| format!("line {n} of a hundred")).collect();
        assert_eq!(messages(entries.iter().copied()), expected);
        assert_eq!(entries[0]["service"], "AI Assistant");
        assert!(!can_name_hosts() || entries.iter().all(|entry| entry["host"] == host));
    }
    let collected = collector.json("/api/stats")["bus"]["collected"].clone();
    assert!(collected["entries"].as_u64() >= Some(202), "{collected}");
    assert!(collected["echoes"].as_u64() >= Some(1), "its own entries came back: {collected}");

    let own = |cantina: &Cantina| cantina.logs();
    let directories = [own(&one), own(&two), own(&collector)];
    let stopped = [one.stop(), two.stop(), collector.stop()];
    for (stopped, directory) in stopped.iter().zip(directories) {
        assert!(stopped.status.success(), "{} {}", directory.display(), stopped.stderr);
    }
    check_merged(&stopped[2]);
    check_published(&mut bus, &stopped, &origins);
}

/// The merged session has the others' entries whole.
#[track_caller]
fn check_merged(collector: &Stopped) {
    let merged = collector.session.entries();
    let failures: Vec<_> = merged.iter().filter(|entry| entry["message"] == "it failed").collect();
    assert_eq!(failures.len(), 2);
    for failure in failures {
        assert!(failure["exception"]["traceback"].as_str().unwrap().contains("KeyError"));
        assert!(failure["origin"]["seq"].is_u64(), "{failure}");
    }
}

/// Nobody published what another has: each event is from where it was stored first.
#[track_caller]
fn check_published(bus: &mut Listener, stopped: &[Stopped], origins: &[String]) {
    let is_own = |entry: &&Value| entry["origin"].is_null();
    let own: Vec<BTreeSet<&str>> = stopped
        .iter()
        .map(|one| one.session.kind("entry").filter(is_own).map(id).collect())
        .collect();
    let mut ids = BTreeSet::new();
    while let Some(event) = bus.next_within(Duration::from_millis(200)) {
        let entry: Value = serde_json::from_slice(&event.payload).unwrap();
        assert!(entry["origin"].is_null(), "{entry}");
        let origin = event.headers.get(ORIGIN).unwrap();
        let place = origins.iter().position(|known| known == origin).unwrap();
        assert!(own[place].contains(id(&entry)), "{origin}: {entry}");
        assert!(ids.insert(id(&entry).to_owned()), "twice: {entry}");
    }
    let stored: usize = own.iter().map(BTreeSet::len).sum();
    assert!(ids.len() <= stored && ids.len() >= 202, "{} of {stored}", ids.len());
}

fn id(entry: &Value) -> &str {
    entry["entry_id"].as_str().unwrap()
}

#[test]
fn one_dashboard_shows_all_hosts_on_core_nats() {
    hosts_are_collected("");
}

#[test]
fn one_dashboard_shows_all_hosts_on_jetstream() {
    hosts_are_collected("?stream=CANTINA_LOG");
}

#[test]
fn a_collector_that_was_away_gets_what_was_logged_meanwhile() {
    let server = NatsServer::jetstream();
    let url = format!("{}?stream=CANTINA_LOG", server.url());
    let robot = Setup::default().bus(&url).host("r3x").start();
    let collector = || Setup::default().bus(&url).host("desk").arg("--collect");
    let first = collector().start();
    log_on(&robot);
    let count =
        |wanted: usize| move |page: &Value| page["entries"].as_array().unwrap().len() == wanted;
    first.json_where("/api/logs?level=ERROR", count(1));
    // Killed, not stopped: what it had not acknowledged comes again, and once.
    let home = first.kill();
    log_while_away_on(&robot);
    let second = collector().start_in(home);
    second.json_where("/api/logs?limit=1000&q=while+away", count(100));
    let stopped = second.stop();
    let mut ids = BTreeSet::new();
    for entry in oracle::read_entries(&stopped.home.path().join("logs")) {
        assert!(ids.insert(id(&entry).to_owned()), "twice: {entry}");
    }
    let missing: Vec<_> = robot.json("/api/logs?limit=1000")["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| !ids.contains(entry["entry_id"].as_str().unwrap()))
        .map(ToString::to_string)
        .collect();
    // What the robot said after the collector had stopped is not its fault.
    assert!(missing.len() <= 1, "{missing:?}");
}

/// Every entry of every host is stored, each once, and each host's in order.
/// Says how many entries of the collector itself are among them.
#[track_caller]
fn check_stored(logs: &Path, hosts: &Hosts) -> u64 {
    let (mut latest, mut own) = (BTreeMap::<String, u64>::new(), 0);
    oracle::each_entry(logs, |entry| {
        let Some(origin) = entry["origin"]["id"].as_str() else {
            own += 1;
            return;
        };
        let latest = latest.entry(origin.to_owned()).or_default();
        assert_eq!(entry["origin"]["seq"].as_u64(), Some(*latest + 1), "of {origin}: {entry}");
        *latest += 1;
    });
    let all = (0..hosts.count).map(|host| (Hosts::origin(host), hosts.entries_each()));
    assert_eq!(latest, all.collect());
    own
}

#[test]
fn ten_hosts_publish_twenty_thousand_entries_a_second_and_none_is_lost() {
    let server = NatsServer::jetstream();
    let url = format!("{}?stream=CANTINA_LOG", server.url());
    let hosts = Hosts { url: url.clone(), count: 10, rate: 2000, seconds: 3 };
    let collector = Setup::default().bus(&url).host("desk").arg("--collect").start();
    collector.json_where("/api/stats", |stats| stats["bus"]["state"] == "connected");
    let begin = Instant::now();
    let dashboard = Watcher::start(&collector, begin);
    let published = hosts.start(begin).finish();
    assert!(published.iter().all(|host| host.repeated == 0), "{published:?}");
    let stats = collector.json_where("/api/stats", |stats| {
        stats["bus"]["collected"]["entries"] == hosts.entries() && stats["in_flight"] == 0
    });
    let collected = &stats["bus"]["collected"];
    let lost = [&collected["missing"], &collected["doubles"], &collected["malformed"]];
    assert!(lost.iter().all(|count| **count == 0), "{stats}");
    assert_eq!(stats["dropped"], serde_json::json!({}), "{stats}");
    assert!(collected["by_host"]["host07"] == hosts.entries_each(), "{stats}");
    dashboard.wait_for(hosts.entries(), Duration::from_secs(5));
    let stopped = collector.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    let watched = dashboard.finish();
    let own = check_stored(&stopped.home.path().join("logs"), &hosts);
    // The dashboard shows each, or says how many it does not; of those that it
    // does not, some may be the collector's own.
    let accounted = watched.accounted();
    let expected = hosts.entries()..=hosts.entries() + own;
    assert!(expected.contains(&accounted), "{accounted} of {expected:?}: {:?}", watched.gaps);
    assert_eq!(watched.disorder, 0);
}

/// Publishes a dozen entries as a host does whose clock is `ahead` of ours.
fn publish_ahead(url: &str, host: &str, ahead: TimeDelta) {
    let bus = OnBus::connect(url);
    for seq in 1..=12 {
        let id = format!("01KAPT2F4V{seq:016}");
        let now = (Utc::now() + ahead).to_rfc3339_opts(SecondsFormat::Micros, true);
        let entry = json!({
            "seq": seq, "entry_id": id, "timestamp": now, "received_at": now, "level": "INFO",
            "severity": 20, "service": "Stage Lights", "service_key": "stage_lights",
            "logger": "cantina_os.stage_lights", "message": format!("cue {seq} of the show"),
            "session_id": "cantina-session-20261122-160357", "host": host,
        });
        let headers = [(ORIGIN, "kiosk-00000001"), (EVENT_ID, id.as_str())];
        bus.publish("logging.entry", entry.to_string().as_bytes(), &headers);
    }
}

/// What a service says of itself: its host, and what it is called on the bus.
fn host_and_origin(cantina: &Cantina) -> (String, String) {
    let page = cantina.json_where("/api/logs?limit=1", |page| page["entries"][0].is_object());
    let stats = cantina.json("/api/stats");
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{stats}")).to_owned();
    (text(&page["entries"][0]["host"]), text(&stats["bus"]["origin"]))
}

#[test]
fn hosts_clocks_and_the_bus_are_on_the_screen() {
    let mut server = NatsServer::jetstream();
    let url = format!("{}?stream=CANTINA_LOG", server.url());
    let setup = |host: &str| Setup::default().bus(&url).host(host);
    let (one, two) = (setup("r3x").start(), setup("bar").start());
    let desk = setup("desk").arg("--collect").start();
    // Where hosts cannot be named, these have the same name.
    let (hosts, origins): (BTreeSet<_>, Vec<_>) =
        [&one, &two].map(host_and_origin).into_iter().unzip();
    log_on(&one);
    log_on(&two);
    publish_ahead(&url, "kiosk", TimeDelta::seconds(40));
    desk.json_where("/api/stats", |stats| {
        stats["bus"]["collected"]["entries"].as_u64() >= Some(2 * 101 + 12)
    });

    let plan = json!({ "hosts": hosts, "origins": origins, "fast": "kiosk" }).to_string();
    let browser = chromium();
    let shots = std::env::var("CANTINA_SCREENSHOTS").unwrap_or_default();
    let mut page = desk.node("hosts.mjs", &[browser.to_str().unwrap(), &plan, &shots]);
    let mut lines = Vec::new();
    while let Some(line) = page.line() {
        match line.as_str() {
            "the bus may go" => {
                server.kill();
                [&one, &two, &desk].into_iter().for_each(log_while_away_on);
            }
            "the bus may come back" => server.restart(),
            _ => {}
        }
        lines.push(line);
    }
    let (status, _, stderr) = page.end();
    assert!(status.success(), "{}\n{stderr}", lines.join("\n"));
    assert_eq!(lines.last().map(String::as_str), Some("all seen"));
}
