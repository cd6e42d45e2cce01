//! The forwarder, with real session files and a broker that fails.

mod broker;
mod schedules;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, EVENT_ID, Event, ORIGIN};
use chrono::{DateTime, TimeDelta, Utc};
use log_entry::{Level, LogEntry, Origin, Record, Service, SessionId, Stamp, Ticket, Written};
use logging_api::{DASHBOARD_LOG, DashboardLog, ENTRY_NUMBER};
use session_store::{Directory, Header, Limits, Line, Writer};
use standard_service::{Health, Tasks};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Forwarder, Forwarding};
use crate::cursor::{Cursor, CursorFile, Loaded};
use crate::{Backlog, Config};
use broker::{Broker, Fault, PAYLOAD_MAX, header};

const BUS: &str = "test:";
const ORIGIN_ID: &str = "r3x-00000001";

/// A session directory and a bus, which outlive the programs that use them.
struct World {
    root: TempDir,
    broker: Broker,
    /// Sessions so far.
    lives: i64,
    /// The number of the next entry, in all sessions.
    next: u64,
    max_replay_bytes: u64,
    max_sessions: Option<usize>,
    rotate_bytes: u64,
}

/// One run of a program.
struct Life {
    writer: Writer<Utc>,
    written: watch::Sender<Written>,
    forwarding: Forwarding,
    tasks: Tasks,
    /// Sessions that were removed at the start.
    removed: Vec<SessionId>,
}

impl World {
    fn new() -> Self {
        Self::on(Broker::new(true))
    }

    fn on(broker: Broker) -> Self {
        let (lives, next, max_replay_bytes) = (0, 1, Config::MAX_REPLAY_BYTES);
        let (max_sessions, rotate_bytes) = (None, u64::MAX);
        let root = tempfile::tempdir().unwrap();
        Self { root, broker, lives, next, max_replay_bytes, max_sessions, rotate_bytes }
    }

    fn path(&self) -> PathBuf {
        self.root.path().join("logs")
    }

    /// Opens the directory as a logging service does, and goes on publishing.
    async fn begin(&mut self) -> Life {
        self.begin_on(BUS).await
    }

    async fn begin_on(&mut self, bus: &str) -> Life {
        self.lives += 1;
        let backlog = Backlog::take_stock(&self.path(), bus);
        let directory = Directory::open(self.path()).unwrap();
        let started = time(self.lives * 1000);
        let header = Header { host: "r3x".into(), pid: 1, version: "0".into() };
        let mut writer = directory.create_session(&started, header).await.unwrap();
        writer.set_rotate_bytes(self.rotate_bytes);
        let limits = Limits { max_sessions: self.max_sessions, ..Limits::default() };
        let removed = directory.retain(&limits, started, Some(writer.id())).unwrap().sessions;

        let (written, wake) = watch::channel(Written::default());
        let remote: Arc<dyn Bus> = Arc::new(self.broker.clone());
        let config = Config {
            session: writer.id().clone(),
            origin: ORIGIN_ID.into(),
            to_dashboard: true,
            rate_limit_per_service: 1,
            rate_limit_burst: 10,
            max_replay_bytes: self.max_replay_bytes,
        };
        let forwarding = Forwarding::new(remote.clone(), config.origin.clone(), wake.clone());
        let tasks = Tasks::default();
        let bus = (remote, forwarding.clone());
        let forwarder = Forwarder::begin(config, backlog, bus, wake, tasks.token()).await;
        tasks.spawn("forward", |_| forwarder.run());
        Life { writer, written, forwarding, tasks, removed }
    }

    /// Appends an entry for each message, and returns their ids.
    async fn write(&mut self, life: &mut Life, messages: &[&str]) -> Vec<String> {
        let entries: Vec<LogEntry> =
            messages.iter().map(|message| self.entry(life, message)).collect();
        life.append(entries.iter().cloned().map(|entry| Line::entry(Arc::new(entry)))).await;
        entries.iter().map(|entry| entry.entry_id.to_string()).collect()
    }

    fn entry(&mut self, life: &Life, message: &str) -> LogEntry {
        let seq = self.next;
        self.next += 1;
        let record = Record::new(time(seq.cast_signed()), Level::Info, "a.b", message);
        let stamp = Stamp {
            seq,
            entry_id: format!("{seq:026}").parse().unwrap(),
            service: Service::new("b", "B"),
            session_id: life.writer.id().clone(),
            host: "r3x".into(),
        };
        LogEntry::new(record, stamp)
    }

    fn collected(&mut self, life: &Life) -> Line {
        let mut entry = self.entry(life, "from elsewhere");
        entry.origin = Some(Box::new(Origin {
            id: "bb8-00000001".into(),
            session_id: entry.session_id.clone(),
            seq: 1,
            received_at: time(0),
        }));
        Line::entry(Arc::new(entry))
    }

    fn cursor(&self) -> Cursor {
        match CursorFile::load(&self.path()).1 {
            Loaded::Cursor(cursor) => cursor,
            other => panic!("{other:?}"),
        }
    }
}

impl Life {
    async fn append(&mut self, lines: impl IntoIterator<Item = Line>) {
        self.writer.append(&lines.into_iter().collect::<Vec<_>>()).await.unwrap();
        self.written.send_modify(|written| written.through = Ticket(written.through.0 + 1));
    }

    /// Ends it as a supervisor does: what is written is published if it can be.
    async fn stop(self) -> Forwarding {
        self.tasks.stop(Duration::from_secs(5)).await.unwrap();
        self.forwarding
    }
}

fn time(seconds: i64) -> DateTime<Utc> {
    "2026-11-22T16:03:57Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

/// Lets everything happen that takes no longer than this.
async fn settle(seconds: u64) {
    let _ = timeout(Duration::from_secs(seconds), std::future::pending::<()>()).await;
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| header(event, ENTRY_NUMBER).parse().unwrap()).collect()
}

fn reason(forwarding: &Forwarding) -> Option<String> {
    match &*forwarding.health().borrow() {
        Health::Running => None,
        Health::Degraded { reason } => Some(reason.clone()),
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_published_as_it_is_stored_with_its_id_origin_and_number() {
    let mut world = World::new();
    let mut life = world.begin().await;
    let entry = world.entry(&life, "hello\u{202e}");
    let json = entry.to_json();
    let foreign = world.collected(&life);
    life.append([Line::entry(Arc::new(entry)), foreign]).await;
    world.write(&mut life, &["again"]).await;
    let forwarding = life.stop().await;

    let kept = world.broker.kept();
    assert_eq!(kept.len(), 2, "what others took in first is not ours to publish");
    assert_eq!(kept[0].payload, json);
    assert_eq!(header(&kept[0], EVENT_ID), "00000000000000000000000001");
    assert_eq!(header(&kept[0], ORIGIN), ORIGIN_ID);
    assert_eq!(numbers(&kept), [1, 2]);
    let shorts = world.broker.with(|inner| inner.other.clone());
    let short: DashboardLog = DASHBOARD_LOG.decode(&shorts[0]).unwrap();
    assert_eq!((short.message.as_str(), shorts.len()), ("hello\u{202e}", 2));
    assert_eq!((forwarding.counts().published, forwarding.counts().backlog), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_written_while_the_bus_is_away_follows_in_order_also_after_a_restart() {
    let mut world = World::new();
    let mut life = world.begin().await;
    let mut ids = world.write(&mut life, &["a", "b"]).await;
    settle(1).await;
    world.broker.with(|inner| inner.is_down = true);
    ids.extend(world.write(&mut life, &["c", "d", "e"]).await);
    settle(5).await;
    assert_eq!(life.forwarding.counts().backlog, 3);
    let vitals = life.forwarding.vitals();
    assert_eq!((vitals.state.as_str(), vitals.backlog, vitals.attempts), ("disconnected", 3, 3));
    assert_eq!(reason(&life.forwarding).as_deref(), Some("the bus is away; entries wait"));
    life.stop().await;
    assert_eq!(world.broker.ids(), ids[..2]);

    let mut life = world.begin().await;
    ids.extend(world.write(&mut life, &["f"]).await);
    settle(5).await;
    assert_eq!(life.forwarding.counts().backlog, 4, "of both sessions");
    world.broker.with(|inner| inner.is_down = false);
    settle(2).await;
    assert_eq!(world.broker.ids(), ids);
    assert_eq!(numbers(&world.broker.kept()), [1, 2, 3, 4, 5, 6]);
    assert_eq!(reason(&life.forwarding), None);
    assert_eq!(life.stop().await.counts().backlog, 0);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_too_large_is_cut_and_one_that_cannot_be_is_counted() {
    let mut world = World::new();
    let mut life = world.begin().await;
    let long = "x".repeat(PAYLOAD_MAX * 3);
    let mut hopeless = world.entry(&life, "");
    hopeless.logger = "x".repeat(PAYLOAD_MAX * 3);
    life.append([Line::entry(Arc::new(hopeless))]).await;
    world.write(&mut life, &[&long, "short"]).await;
    let forwarding = life.stop().await;
    let kept = world.broker.kept();
    assert_eq!(numbers(&kept), [2, 3]);
    assert!(kept[0].payload.len() > PAYLOAD_MAX / 4);
    let cut: LogEntry = serde_json::from_slice(&kept[0].payload).unwrap();
    assert!(cut.message.ends_with("bytes more in the session record]"), "{}", cut.message);
    assert_eq!(forwarding.counts().dropped["too_large"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_said_and_tried_again_and_nothing_is_lost() {
    let mut world = World::new();
    let mut life = world.begin().await;
    settle(1).await;
    world.broker.with(|inner| inner.faults.extend([(0, Fault::Denied), (0, Fault::Denied)]));
    let ids = world.write(&mut life, &["a"]).await;
    settle(2).await;
    let told = reason(&life.forwarding).unwrap();
    assert_eq!(told, "this client may not use `logging.entry`: not you; entries wait");
    assert!(world.broker.ids().is_empty());
    settle(10).await;
    assert_eq!((world.broker.ids(), reason(&life.forwarding)), (ids, None));
    drop(life);
}

#[tokio::test(start_paused = true)]
async fn what_retention_removed_before_the_bus_came_back_is_counted_exactly() {
    let mut world = World::new();
    world.max_sessions = Some(2);
    let mut life = world.begin().await;
    world.write(&mut life, &["a"]).await;
    settle(1).await;
    world.broker.with(|inner| inner.is_down = true);
    world.write(&mut life, &["b", "c"]).await;
    let foreign = world.collected(&life);
    life.append([foreign]).await;
    life.stop().await;
    let mut life = world.begin().await;
    assert_eq!(life.removed, []);
    let mut ids = world.write(&mut life, &["d", "e", "f"]).await;
    life.stop().await;

    let mut life = world.begin().await;
    assert_eq!(life.removed.len(), 1);
    ids.extend(world.write(&mut life, &["g"]).await);
    let counts = life.forwarding.counts();
    assert_eq!(counts.dropped["bus_backlog"], 2);
    assert!(reason(&life.forwarding).unwrap().contains("dropped from the backlog"));
    world.broker.with(|inner| inner.is_down = false);
    settle(5).await;
    assert_eq!(world.broker.ids()[1..], ids);
    assert_eq!(numbers(&world.broker.kept()), [1, 4, 5, 6, 7], "readers notice the two");
    assert_eq!(reason(&life.forwarding), None);
    drop(life);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_removed_while_it_waits_is_counted_too() {
    let mut world = World::new();
    let mut life = world.begin().await;
    world.broker.with(|inner| inner.is_down = true);
    world.write(&mut life, &["a", "b"]).await;
    let old = life.writer.id().clone();
    life.stop().await;
    let mut life = world.begin().await;
    let ids = world.write(&mut life, &["c"]).await;
    settle(5).await;
    assert_eq!(life.forwarding.counts().backlog, 3);
    std::fs::remove_file(world.path().join(format!("{old}.jsonl"))).unwrap();
    world.broker.with(|inner| inner.is_down = false);
    settle(5).await;
    assert_eq!(world.broker.ids(), ids);
    assert_eq!(life.stop().await.counts().dropped["bus_backlog"], 2);
    assert_eq!(world.cursor().number, 3);
}

#[tokio::test(start_paused = true)]
async fn of_several_sessions_that_are_removed_while_they_wait_each_is_counted() {
    let mut world = World::new();
    world.broker.with(|inner| inner.is_down = true);
    let mut removed = Vec::new();
    for messages in [&["a", "b"][..], &["c"], &["d", "e", "f"]] {
        let mut life = world.begin().await;
        world.write(&mut life, messages).await;
        removed.push(world.path().join(format!("{}.jsonl", life.writer.id())));
        life.stop().await;
    }
    let mut life = world.begin().await;
    let ids = world.write(&mut life, &["g"]).await;
    settle(5).await;
    assert_eq!(life.forwarding.counts().backlog, 7);
    removed.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    world.broker.with(|inner| inner.is_down = false);
    settle(5).await;
    assert_eq!((world.broker.ids(), numbers(&world.broker.kept())), (ids, vec![7]));
    let counts = life.stop().await.counts();
    assert_eq!((counts.dropped["bus_backlog"], counts.backlog), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_removed_while_it_waits_is_counted_too() {
    let mut world = World::new();
    world.rotate_bytes = 3000;
    world.broker.with(|inner| inner.is_down = true);
    let mut life = world.begin().await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.extend(world.write(&mut life, &["x".repeat(1000).as_str()]).await);
    }
    settle(5).await;
    assert_eq!(life.forwarding.counts().backlog, 10);
    std::fs::remove_file(world.path().join(format!("{}.jsonl", life.writer.id()))).unwrap();
    world.broker.with(|inner| inner.is_down = false);
    settle(5).await;
    let kept = world.broker.ids();
    assert!((5..10).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept, ids[ids.len() - kept.len()..]);
    let counts = life.forwarding.counts();
    assert_eq!((counts.dropped["bus_backlog"], counts.backlog), (10 - kept.len() as u64, 0));
    ids.extend(world.write(&mut life, &["y"]).await);
    life.stop().await;
    assert_eq!(numbers(&world.broker.kept()).last(), Some(&11), "readers notice");
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_is_published_although_the_directory_was_taken_away() {
    let mut world = World::new();
    world.rotate_bytes = 3000;
    let mut life = world.begin().await;
    let mut ids = world.write(&mut life, &["a"]).await;
    settle(1).await;
    world.broker.with(|inner| inner.is_down = true);
    ids.extend(world.write(&mut life, &["b", "c"]).await);
    let name = format!("{}.jsonl", life.writer.id());
    std::fs::rename(world.path().join(&name), world.root.path().join("old")).unwrap();
    let long = "x".repeat(2000);
    ids.extend(world.write(&mut life, &["d", &long, &long, "e"]).await);
    settle(5).await;
    world.broker.with(|inner| inner.is_down = false);
    settle(5).await;
    assert_eq!(world.broker.ids(), ids);
    assert!(life.stop().await.counts().dropped.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_is_not_said_before_it_is_known() {
    let mut world = World::new();
    world.broker.with(|inner| inner.is_down = true);
    let mut life = world.begin().await;
    world.write(&mut life, &["a", "b"]).await;
    life.stop().await;
    // Nothing was awaited since the files were opened: the forwarder had no turn.
    let life = world.begin().await;
    assert_eq!(life.forwarding.counts().backlog, 1);
    settle(1).await;
    assert_eq!(life.forwarding.counts().backlog, 2);
    drop(life);
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_cannot_be_read_is_given_up_and_said_and_the_rest_follows() {
    let mut world = World::new();
    world.broker.with(|inner| inner.is_down = true);
    let mut life = world.begin().await;
    world.write(&mut life, &["a", "b"]).await;
    let old = world.path().join(format!("{}.jsonl", life.writer.id()));
    life.stop().await;
    let mut life = world.begin().await;
    let ids = world.write(&mut life, &["c"]).await;
    settle(2).await;
    // A directory that goes by the name of a file opens, and cannot be read.
    std::fs::remove_file(&old).unwrap();
    std::fs::create_dir(&old).unwrap();
    world.broker.with(|inner| inner.is_down = false);
    settle(1).await;
    assert!(reason(&life.forwarding).unwrap().starts_with("reading `"));
    settle(20).await;
    assert_eq!((world.broker.ids(), reason(&life.forwarding)), (ids, None));
    assert_eq!(life.stop().await.counts().dropped["bus_backlog"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_cannot_be_saved_is_said_and_stops_nothing() {
    let mut world = World::new();
    std::fs::create_dir(world.path()).unwrap();
    std::os::unix::fs::symlink("elsewhere", world.path().join(".bus-cursor")).unwrap();
    let mut life = world.begin().await;
    let ids = world.write(&mut life, &["a"]).await;
    settle(2).await;
    assert_eq!(world.broker.ids(), ids);
    let told = reason(&life.forwarding).unwrap();
    assert!(told.starts_with("saving the bus cursor: "), "{told}");
    std::fs::remove_file(world.path().join(".bus-cursor")).unwrap();
    world.write(&mut life, &["b"]).await;
    assert_eq!(reason(&life.stop().await), None);
    assert_eq!(world.cursor().number, 2);
}

#[tokio::test(start_paused = true)]
async fn more_than_may_be_replayed_is_dropped_from_the_oldest_on() {
    let mut world = World::new();
    world.max_replay_bytes = 20_000;
    world.broker.with(|inner| inner.is_down = true);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut life = world.begin().await;
        for _ in 0..5 {
            ids.extend(world.write(&mut life, &["x".repeat(2000).as_str(), "y"]).await);
        }
        life.stop().await;
    }
    world.broker.with(|inner| inner.is_down = false);
    let life = world.begin().await;
    settle(5).await;
    let kept = world.broker.ids();
    let dropped = life.stop().await.counts().dropped["bus_backlog"];
    assert_eq!(kept.len() as u64 + dropped, 30);
    assert_eq!(kept, ids[ids.len() - kept.len()..]);
    let bytes: usize = world.broker.kept().iter().map(|event| event.payload.len()).sum();
    assert!((15_000..20_000).contains(&bytes), "{bytes}");
    assert_eq!(numbers(&world.broker.kept()).first(), Some(&(dropped + 1)));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_lost_its_store_gets_again_what_it_had() {
    let mut world = World::new();
    world.rotate_bytes = 1500;
    let mut ids = Vec::new();
    let mut life = world.begin().await;
    for n in 0..10 {
        ids.extend(world.write(&mut life, &[&format!("{n}"), "x"]).await);
    }
    settle(1).await;
    life.stop().await;
    let mut life = world.begin().await;
    ids.extend(world.write(&mut life, &["y"]).await);
    settle(1).await;
    assert_eq!(world.broker.ids(), ids);
    let shorts = world.broker.with(|inner| inner.other.len());

    // Noticed without anything to publish.
    for (regressed, left) in [(1, None), (2, Some(7)), (3, Some(20)), (4, Some(0))] {
        world.broker.with(|inner| inner.lose(left));
        settle(3).await;
        assert_eq!(world.broker.ids(), ids);
        assert!(numbers(&world.broker.kept()).into_iter().eq(1..=21));
        assert_eq!(life.forwarding.counts().regressed, regressed);
    }
    let counts = life.stop().await.counts();
    assert_eq!((counts.dropped.len(), counts.backlog), (0, 0));
    assert_eq!(world.broker.with(|inner| inner.other.len()), shorts, "nobody sees it twice");
}

#[tokio::test(start_paused = true)]
async fn nothing_that_arrived_without_an_answer_is_kept_twice_even_if_its_id_is_forgotten() {
    let mut world = World::new();
    let mut life = world.begin().await;
    settle(1).await;
    world.broker.with(|inner| inner.faults.push_back((1, Fault::NoAnswer { taken: 2 })));
    let ids = world.write(&mut life, &["a", "b", "c", "d"]).await;
    // It ends before it can ask.
    let forgets = |inner: &mut broker::Inner| {
        inner.is_down = !inner.kept.is_empty();
        inner.remembered.clear();
    };
    while world.broker.ids().is_empty() {
        tokio::task::yield_now().await;
    }
    world.broker.with(forgets);
    life.stop().await;
    assert_eq!(world.broker.ids(), ids[..3]);
    assert_eq!(world.cursor().attempt.unwrap().through, 4);

    world.broker.with(|inner| inner.is_down = false);
    let life = world.begin().await;
    settle(1).await;
    assert_eq!(world.broker.ids(), ids);
    let counts = life.stop().await.counts();
    assert_eq!((counts.arrived, counts.published), (2, 1));
    assert_eq!(world.cursor().attempt, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_found_to_have_arrived_counts_as_confirmed() {
    let mut world = World::new();
    let mut life = world.begin().await;
    settle(1).await;
    world.broker.with(|inner| inner.faults.push_back((0, Fault::NoAnswer { taken: 4 })));
    let ids = world.write(&mut life, &["a", "b", "c", "d"]).await;
    settle(2).await;
    assert_eq!(life.forwarding.counts().arrived, 4);
    world.broker.with(|inner| inner.lose(Some(1)));
    settle(2).await;
    assert_eq!(world.broker.ids(), ids);
    assert_eq!(life.forwarding.counts().regressed, 1);
    drop(life);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_cannot_say_what_it_has_is_not_waited_for_for_ever() {
    let mut world = World::on(Broker::new(false));
    let mut life = world.begin().await;
    settle(1).await;
    world.broker.with(|inner| inner.faults.push_back((1, Fault::NoAnswer { taken: 1 })));
    let ids = world.write(&mut life, &["a", "b"]).await;
    settle(2).await;
    assert_eq!(world.broker.ids(), ids, "without a store, the same id is all there is");
    assert_eq!(world.broker.with(|inner| inner.asked), 0);
    drop(life);
}

#[tokio::test(start_paused = true)]
async fn the_dashboard_is_not_flooded_and_warnings_always_pass() {
    let mut world = World::new();
    let mut life = world.begin().await;
    let mut lines: Vec<LogEntry> = (0..100).map(|n| world.entry(&life, &n.to_string())).collect();
    for entry in &mut lines {
        entry.received_at = time(0);
    }
    lines[90].level = Level::Warning;
    life.append(lines.into_iter().map(|entry| Line::entry(Arc::new(entry)))).await;
    let counts = life.stop().await.counts();
    assert_eq!((counts.published, counts.held_back), (100, 89));
    let shorts = world.broker.with(|inner| inner.other.clone());
    let shown: Vec<u64> =
        shorts.iter().map(|event| DASHBOARD_LOG.decode(event).unwrap().seq).collect();
    assert_eq!(shown, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 91]);
}

#[tokio::test(start_paused = true)]
async fn without_a_cursor_it_begins_with_the_current_session_and_says_so() {
    let mut world = World::new();
    let mut life = world.begin().await;
    world.broker.with(|inner| inner.is_down = true);
    world.write(&mut life, &["a"]).await;
    life.stop().await;
    std::fs::write(world.path().join(".bus-cursor"), "{}").unwrap();
    let mut life = world.begin().await;
    let told = reason(&life.forwarding).unwrap();
    assert!(told.contains("is damaged: only entries of the current session"), "{told}");
    world.broker.with(|inner| inner.is_down = false);
    let ids = world.write(&mut life, &["b"]).await;
    settle(2).await;
    assert_eq!((world.broker.ids(), reason(&life.forwarding)), (ids, None));
    life.stop().await;

    // Another bus is not owed what this one got.
    let mut life = world.begin_on("other:").await;
    world.write(&mut life, &["c"]).await;
    life.stop().await;
    assert_eq!(numbers(&world.broker.kept()), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_one_bus_is_published_on_the_next() {
    let mut world = World::new();
    let mut life = world.begin().await;
    let mut ids = world.write(&mut life, &["a"]).await;
    settle(2).await;
    world.broker.with(|inner| inner.is_down = true);
    ids.extend(world.write(&mut life, &["b"]).await);
    life.stop().await;
    // Another server in the list, another limit of the stream: another name.
    world.broker.with(|inner| inner.is_down = false);
    let mut life = world.begin_on("other:").await;
    ids.extend(world.write(&mut life, &["c"]).await);
    let forwarding = life.stop().await;
    assert_eq!(world.broker.ids(), ids);
    assert_eq!((forwarding.counts().dropped.len(), forwarding.counts().regressed), (0, 0));
}
