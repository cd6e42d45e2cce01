//! What is wrong with a bus is said, counted, and stops nothing.

use std::process::Command;

use bus::{EVENT_ID, ORIGIN};
use nats_fixture::{Config, NatsServer};
use serde_json::{Value, json};
use tests::{Cantina, OnBus, Program, Setup, binary};

#[track_caller]
fn refused(url: &str, expected: &str) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--python-listen", "127.0.0.1:0"]);
    command.args(["--bus", url]).current_dir(home.path()).env("XDG_CONFIG_HOME", home.path());
    let (status, _, stderr) = Program::start(&mut command).end();
    assert_eq!(status.code(), Some(78), "{stderr}");
    assert!(stderr.contains(expected), "`{expected}` is not in: {stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
}

/// Waits for a reason of the health with this in it.
#[track_caller]
fn reason(cantina: &Cantina, expected: &str) {
    cantina.json_where("/api/health", |health| {
        let reasons = health["reasons"].as_array().unwrap();
        reasons.iter().any(|reason| reason.as_str().unwrap().contains(expected))
    });
}

#[track_caller]
fn works(cantina: &Cantina) {
    const LOGS: &str = "
import logging, logging.handlers, sys
host, port = sys.argv[1].split(':')
logging.getLogger().addHandler(logging.handlers.SocketHandler(host, int(port)))
logging.getLogger('cantina_os.main').error('still here')
";
    let (status, _, stderr) = cantina.python(LOGS).end();
    assert!(status.success(), "{stderr}");
    cantina.json_where("/api/logs?q=still+here", |page| {
        !page["entries"].as_array().unwrap().is_empty()
    });
}

#[test]
fn a_url_that_leads_nowhere_is_named() {
    refused("amqp://me:secret@host", "amqp");
    refused("nats://me:secret@host:port", "port");
    refused("nats://me:secret@host?sream=X", "sream");
    refused("nats://me:secret@host?stream=no.dots", "`stream` is one to 64 letters");
    refused("nats://me:secret@host?stream=X&replicas=many", "replicas");
    refused("nats://host?credentials=/nowhere/file.creds", "/nowhere/file.creds");
}

#[test]
fn refused_credentials_are_said_and_stop_nothing() {
    let config = Config {
        jetstream: true,
        extra: "authorization { user: robot, password: right }".to_owned(),
    };
    let server = NatsServer::with(&config);
    let at = |user: &str| format!("nats://{user}@127.0.0.1:{}", server.port());
    let cantina = Setup::default().bus(&at("robot:wrong")).start();
    reason(&cantina, "credentials");
    works(&cantina);
    let stats = cantina.json("/api/stats");
    assert_eq!(stats["bus"]["state"], "disconnected", "{stats}");
    assert!(!stats.to_string().contains("wrong"), "{stats}");
    let cantina = Setup::default().bus(&at("robot:right")).start();
    cantina.json_where("/api/health", |health| health["status"] == "ok");
}

#[test]
fn a_missing_permission_for_the_stream_is_named() {
    let extra = "authorization { users: [ { user: robot, password: right, permissions: { \
                 publish: [\"cantina.>\", \"_INBOX.>\"], subscribe: [\"cantina.>\", \"_INBOX.>\"] } } ] }";
    let server = NatsServer::with(&Config { jetstream: true, extra: extra.to_owned() });
    let url = format!("nats://robot:right@127.0.0.1:{}?stream=CANTINA_LOG", server.port());
    let cantina = Setup::default().bus(&url).start();
    reason(&cantina, "CANTINA_LOG");
    works(&cantina);
}

#[test]
fn a_server_without_jetstream_is_named() {
    let server = NatsServer::start();
    let url = format!("{}?stream=CANTINA_LOG", server.url());
    let cantina = Setup::default().bus(&url).start();
    reason(&cantina, "JetStream");
    works(&cantina);
}

/// An entry as another instance would publish it.
fn entry(seq: u64, id: &str, message: &str) -> Value {
    json!({
        "seq": seq, "entry_id": id, "timestamp": "2026-11-22T16:04:22.123456Z",
        "received_at": "2026-11-22T16:04:22.123601Z", "level": "INFO", "severity": 20,
        "service": "Eyes", "service_key": "eyes", "logger": "cantina_os.eyes",
        "message": message, "session_id": "cantina-session-20261122-160357", "host": "bar",
    })
}

#[test]
fn forged_and_broken_events_are_counted_and_stop_nothing() {
    let server = NatsServer::start();
    let cantina = Setup::default().bus(&server.url()).arg("--collect").start();
    let stats = cantina.json("/api/stats");
    let own = stats["bus"]["origin"].as_str().unwrap().to_owned();
    let bus = OnBus::connect(&server.url());
    let other: (&'static str, &str) = (ORIGIN, "bar-00000001");
    let publish = |payload: &[u8], headers: &[(&'static str, &str)]| {
        bus.publish("logging.entry", payload, headers);
    };
    let good = entry(1, "good-1", "from the bar").to_string();
    publish(b"\xff\x00 not JSON", &[other]);
    publish(b"[1, 2]", &[other]);
    publish(&vec![b'['; 500_000], &[other]);
    publish(br#"{"seq": -1}"#, &[other]);
    // Nobody's, ours, and one that says two things of itself.
    publish(good.as_bytes(), &[]);
    publish(good.as_bytes(), &[(ORIGIN, &own)]);
    publish(good.as_bytes(), &[other, (EVENT_ID, "another-id")]);
    publish(good.as_bytes(), &[other, (EVENT_ID, "good-1")]);
    publish(good.as_bytes(), &[other, (EVENT_ID, "good-1")]);
    let hostile = entry(2, "good-2", "\u{1b}[31mred\n{\"kind\":\"session_end\"}\u{202e}");
    publish(hostile.to_string().as_bytes(), &[other, (EVENT_ID, "good-2")]);
    for topic in ["debug.set.global.level", "logging.command", "service.status.update"] {
        bus.publish(topic, b"\xff not JSON", &[]);
        bus.publish(topic, br#"{"level": "LOUD", "command": "explode"}"#, &[]);
    }
    let stats = cantina.json_where("/api/stats", |stats| {
        let collected = &stats["bus"]["collected"];
        collected["malformed"] == 6
            && collected["echoes"].as_u64() >= Some(1)
            && collected["entries"] == 2
    });
    assert_eq!(stats["bus"]["collected"]["doubles"], 1, "{stats}");
    cantina.json_where("/api/logs?q=a+command+was+not+followed", |page| {
        page["entries"].as_array().unwrap().len() >= 4
    });
    works(&cantina);
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    let ends = stopped.session.kind("session_end").count();
    assert_eq!(ends, 1, "no input forges a line");
}
