//! The broker is away, and comes back: nothing is lost, and nobody here waits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use bus::{EVENT_ID, Event, Kept};
use nats_fixture::{NatsCluster, NatsServer};
use serde_json::Value;
use tests::{Cantina, OnBus, Program, Setup, oracle, py, python};

const RATE: u32 = 200;

/// Logs `count` lines at [`RATE`], acknowledged.
fn steady(address: &str, name: &str, count: u32) -> Program {
    let mut command = Command::new(python());
    command.arg(py("steady.py")).args([address, name]);
    Program::start(command.args([RATE.to_string(), count.to_string()]))
}

#[track_caller]
fn wait_for(program: &mut Program, number: u32) {
    program.line_where(|line| (line == number.to_string()).then_some(()));
}

fn id(event: &Event) -> &str {
    event.headers.get(EVENT_ID).unwrap_or_else(|| panic!("{event:?} has no id"))
}

/// Everything that is stored was published once, and in the order of the record.
#[track_caller]
fn compare(stored: &[Value], published: &[Kept]) {
    let mut count = BTreeMap::<&str, u32>::new();
    published.iter().for_each(|kept| *count.entry(id(&kept.event)).or_default() += 1);
    let doubles: Vec<_> = count.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubles.is_empty(), "{doubles:?}");
    let mut expected = BTreeSet::new();
    let ids: Vec<&str> = stored
        .iter()
        .map(|entry| entry["entry_id"].as_str().unwrap())
        // A record that was sent again after a crash can be in two sessions.
        .filter(|id| expected.insert(*id))
        .collect();
    let missing: Vec<_> = ids.iter().filter(|id| !count.contains_key(**id)).collect();
    assert!(missing.is_empty(), "{} of {} are missing", missing.len(), ids.len());
    let published: Vec<&str> = published.iter().map(|kept| id(&kept.event)).collect();
    assert_eq!(published, ids, "in the order of the record");
}

/// The lines that `name` logged are there, each once, in order.
#[track_caller]
fn check_lines(published: &[Kept], name: &str, count: u32) {
    let prefix = format!("{name} line ");
    let numbers: Vec<u32> = published
        .iter()
        .filter_map(|kept| {
            let entry: Value = serde_json::from_slice(&kept.event.payload).unwrap();
            entry["message"].as_str()?.strip_prefix(&prefix)?.parse().ok()
        })
        .collect();
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
}

/// Reads the stream until everything of the record is in it, and compares.
#[track_caller]
fn everything_was_published(url: &str, logs: &Path, name: &str, count: u32) {
    let stored = oracle::read_entries(logs);
    let wanted: BTreeSet<&str> =
        stored.iter().map(|entry| entry["entry_id"].as_str().unwrap()).collect();
    let mut reader = OnBus::connect(url).kept("logging.entry", "test");
    let published = reader.read_until(|all| {
        let there: BTreeSet<&str> = all.iter().map(|kept| id(&kept.event)).collect();
        there.is_superset(&wanted)
    });
    compare(&stored, published);
    check_lines(published, name, count);
}

/// Seconds that the nodes are away: a few in every run, and 30 where time allows.
fn outage_seconds() -> u32 {
    std::env::var("CANTINA_OUTAGE_SECONDS").map_or(4, |text| text.parse().unwrap())
}

#[test]
fn three_nodes_go_down_and_the_service_is_killed_meanwhile() {
    let mut cluster = NatsCluster::start();
    let url = format!("{}?stream=CANTINA_LOG&replicas=3", cluster.url());
    let cantina = Setup::default().bus(&url).start();
    cantina.json_where("/api/stats", |stats| stats["bus"]["state"] == "connected");
    let address = cantina.python.clone();
    let outage = outage_seconds() * RATE;
    let count = outage + 1000;
    let mut program = steady(&address, "night", count);
    let mut tail = cantina.attach(&["tail", "-f", "--json"]);

    wait_for(&mut program, 400);
    cluster.kill();
    wait_for(&mut program, 400 + outage / 2);
    // The dashboard here goes on meanwhile, and says what is the matter.
    let newest = format!("night line {}", 300 + outage / 2);
    tail.line_where(|line| line.contains(&newest).then_some(()));
    let stats = cantina.json("/api/stats");
    assert_eq!(stats["bus"]["state"], "disconnected", "{stats}");
    assert!(stats["bus"]["backlog"].as_u64().unwrap() >= u64::from(outage / 2 - 200), "{stats}");
    assert!(stats["bus"]["since"].is_string(), "{stats}");
    let health = cantina.json("/api/health");
    assert_eq!(health["status"], "degraded", "{health}");

    let home = cantina.kill();
    let cantina = Setup::default().bus(&url).python(&address).start_in(home);
    wait_for(&mut program, 400 + outage / 100 * 100);
    cluster.restart();
    program.line_where(|line| (line == "done").then_some(()));
    let stats = cantina.json_where("/api/stats", |stats| {
        stats["bus"]["state"] == "connected" && stats["bus"]["backlog"] == 0
    });
    assert_eq!(stats["bus"]["dropped"], serde_json::json!({}), "{stats}");
    assert_eq!(cantina.json("/api/health")["status"], "ok");
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    everything_was_published(&url, &stopped.home.path().join("logs"), "night", count);
}

#[test]
fn the_leader_of_a_cluster_is_killed_under_load() {
    let mut cluster = NatsCluster::start();
    let url = format!("{}?stream=CANTINA_LOG&replicas=3", cluster.url());
    let cantina = Setup::default().bus(&url).start();
    cantina.json_where("/api/stats", |stats| stats["bus"]["published"].as_u64() > Some(0));
    let mut program = steady(&cantina.python, "lead", 1600);
    for round in 0..2 {
        wait_for(&mut program, 200 + 600 * round);
        let leader = leader(&cluster);
        cluster.named(&leader).kill();
        wait_for(&mut program, 500 + 600 * round);
        cluster.restart();
    }
    program.line_where(|line| (line == "done").then_some(()));
    cantina.json_where("/api/stats", |stats| stats["bus"]["backlog"] == 0);
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    everything_was_published(&url, &stopped.home.path().join("logs"), "lead", 1600);
}

/// The server that leads the stream, as Python's client sees it.
#[track_caller]
fn leader(cluster: &NatsCluster) -> String {
    const ASKS: &str = "
import asyncio, sys
import nats, nats.errors, nats.js.errors
async def main():
    bus = await nats.connect(sys.argv[1].split(','))
    stream = bus.jetstream(timeout=1)
    # While a leader is being chosen there is none, or nobody answers.
    while True:
        try:
            info = await stream.stream_info('CANTINA_LOG')
        except (nats.errors.Error, nats.js.errors.Error):
            continue
        if info.cluster.leader:
            break
    print(info.cluster.leader)
    await bus.close()
asyncio.run(main())
";
    let servers: Vec<_> = cluster.servers.iter().map(NatsServer::url).collect();
    let mut command = Command::new(python());
    let (status, lines, stderr) =
        Program::start(command.args(["-c", ASKS, &servers.join(",")])).end();
    assert!(status.success(), "{stderr}");
    lines.into_iter().next().expect("it prints a name")
}

#[test]
fn a_server_is_killed_again_and_again_under_load() {
    let mut server = NatsServer::jetstream();
    let url = format!("{}?stream=CANTINA_LOG", server.url());
    let cantina = Setup::default().bus(&url).start();
    let mut program = steady(&cantina.python, "hard", 1600);
    for round in 1..=3 {
        wait_for(&mut program, round * 400);
        server.kill();
        wait_for(&mut program, round * 400 + 100);
        server.restart();
    }
    program.line_where(|line| (line == "done").then_some(()));
    let stats = cantina.json_where("/api/stats", |stats| stats["bus"]["backlog"] == 0);
    assert!(stats["bus"]["reconnects"].as_u64() >= Some(3), "{stats}");
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    everything_was_published(&url, &stopped.home.path().join("logs"), "hard", 1600);
}

#[test]
fn a_server_that_lost_its_store_gets_everything_again() {
    let mut server = NatsServer::jetstream();
    let url = format!("{}?stream=CANTINA_LOG", server.url());
    let cantina = Setup::default().bus(&url).start();
    let mut program = steady(&cantina.python, "lost", 1000);
    wait_for(&mut program, 400);
    cantina.json_where("/api/stats", |stats| stats["bus"]["published"].as_u64() >= Some(300));
    server.kill();
    server.lose_store();
    wait_for(&mut program, 600);
    server.restart();
    program.line_where(|line| (line == "done").then_some(()));
    let stats = cantina.json_where("/api/stats", |stats| {
        stats["bus"]["state"] == "connected" && stats["bus"]["backlog"] == 0
    });
    assert_eq!(stats["bus"]["regressed"], 1, "{stats}");
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    everything_was_published(&url, &stopped.home.path().join("logs"), "lost", 1000);
}

#[test]
fn a_server_that_hung_longer_than_it_remembers_ids_has_everything_once() {
    let server = NatsServer::jetstream();
    let url = format!("{}?stream=CANTINA_LOG&duplicate_window=1s", server.url());
    let cantina = Setup::default().bus(&url).start();
    let mut program = steady(&cantina.python, "hung", 2000);
    wait_for(&mut program, 300);
    // What was on its way is stored once the server goes on, and confirmed to nobody.
    server.signal("STOP");
    wait_for(&mut program, 1700);
    cantina.json_where("/api/stats", |stats| stats["bus"]["state"] == "disconnected");
    server.signal("CONT");
    program.line_where(|line| (line == "done").then_some(()));
    cantina.json_where("/api/stats", |stats| {
        stats["bus"]["state"] == "connected" && stats["bus"]["backlog"] == 0
    });
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    everything_was_published(&url, &stopped.home.path().join("logs"), "hung", 2000);
}

#[test]
fn on_core_nats_the_rest_comes_in_order_and_the_gap_can_be_counted() {
    let mut server = NatsServer::start();
    let cantina = Setup::default().bus(&server.url()).start();
    let bus = OnBus::connect(&server.url());
    let (mut listener, mut probe) = (bus.listen("logging.entry"), bus.listen("probe"));
    let mut program = steady(&cantina.python, "core", 1000);
    wait_for(&mut program, 300);
    server.kill();
    wait_for(&mut program, 600);
    // The listener is to be back first: core NATS keeps nothing for it.
    cantina.signal("STOP");
    server.restart();
    bus.publish("probe", b"{}", &[]);
    probe.next();
    cantina.signal("CONT");
    program.line_where(|line| (line == "done").then_some(()));
    let mut numbers = Vec::new();
    let mut lines = Vec::new();
    while lines.last() != Some(&1000) {
        let event = listener.next();
        numbers.push(event.headers.get("Cantina-Entry-Number").unwrap().parse::<u64>().unwrap());
        let entry: Value = serde_json::from_slice(&event.payload).unwrap();
        let line = entry["message"].as_str().unwrap().strip_prefix("core line ");
        lines.extend(line.map(|line| line.parse::<u64>().unwrap()));
    }
    assert!(lines.is_sorted_by(|one, two| one < two), "in order, none twice: {lines:?}");
    assert!(numbers.is_sorted_by(|one, two| one < two), "{numbers:?}");
    let gap: u64 = numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).sum();
    let lost = 1000 - lines.len() as u64;
    assert!(gap >= lost, "{lost} lines are missing, {gap} numbers");
    // What was logged during the outage was published after it, not lost: only
    // what was under way when the connection broke is in doubt.
    assert!(lost < 200, "{lost} lines are missing");
    let stats = cantina.json_where("/api/stats", |stats| stats["bus"]["backlog"] == 0);
    assert_eq!(stats["bus"]["dropped"], serde_json::json!({}), "{stats}");
    let newest = numbers.last().unwrap();
    assert!(*newest >= 1000, "what was logged during the outage was published too: {newest}");
    drop(cantina);
}

#[test]
fn what_retention_removed_before_the_bus_came_is_counted() {
    let mut server = NatsServer::jetstream();
    let url = format!("{}?stream=CANTINA_LOG", server.url());
    server.kill();
    let setup = || Setup::default().bus(&url).set("retention.max_sessions", "1");
    let first = setup().start();
    steady(&first.python, "first", 100).line_where(|line| (line == "done").then_some(()));
    let home = first.stop().home;
    let unpublished = oracle::read_entries(&home.path().join("logs")).len();
    assert!(unpublished >= 100, "{unpublished}");

    // Its start removes the session before.
    let second = setup().start_in(home);
    steady(&second.python, "second", 100).line_where(|line| (line == "done").then_some(()));
    server.restart();
    let stats = second.json_where("/api/stats", |stats| {
        stats["bus"]["state"] == "connected" && stats["bus"]["backlog"] == 0
    });
    assert_eq!(stats["bus"]["dropped"]["bus_backlog"], unpublished, "{stats}");
    let stopped = second.stop();
    everything_was_published(&url, &stopped.home.path().join("logs"), "second", 100);
}

#[test]
fn a_broker_that_is_not_there_keeps_nobody_from_starting() {
    let mut server = NatsServer::jetstream();
    let url = format!("{}?stream=CANTINA_LOG", server.url());
    server.kill();
    let cantina: Cantina = Setup::default().bus(&url).start();
    let mut program = steady(&cantina.python, "early", 200);
    program.line_where(|line| (line == "done").then_some(()));
    let health = cantina.json("/api/health");
    assert_eq!(health["status"], "degraded", "{health}");
    server.restart();
    cantina.json_where("/api/stats", |stats| {
        stats["bus"]["state"] == "connected" && stats["bus"]["backlog"] == 0
    });
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    everything_was_published(&url, &stopped.home.path().join("logs"), "early", 200);
}
