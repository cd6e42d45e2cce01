//! The recorded session, played by a real Python program: every record is in
//! the file, on the Socket.IO client, on the stream and on the screen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::oracle::Session;
use tests::{Cantina, Program, Setup, chromium, fixture};

/// The services of the recording: logger, key, display name.
const SERVICES: [(&str, &str, &str); 22] = [
    ("asyncio", "asyncio", "asyncio"),
    ("root", "system", "System"),
    ("cantina_os.main", "main", "main"),
    ("cantina_os.gpt_service", "gpt_service", "AI Assistant"),
    ("cantina_os.deepgram_direct_mic", "deepgram_direct_mic", "Voice Input"),
    ("cantina_os.timeline_executor_service", "timeline_executor_service", "Timeline Executor"),
    ("cantina_os.services.web_bridge_service", "web_bridge", "Web Bridge"),
    ("cantina_os.elevenlabs_service", "elevenlabs_service", "Speech Synthesis"),
    ("cantina_os.brain_service", "brain_service", "Brain Service"),
    ("cantina_os.eye_light_controller", "eye_light_controller", "Eye Lights"),
    ("cantina_os.MusicController", "MusicController", "Music Controller"),
    ("cantina_os.command_dispatcher", "command_dispatcher", "Command Dispatcher"),
    ("cantina_os.cached_speech_service", "cached_speech_service", "Cached Speech"),
    ("cantina_os.cli", "cli", "CLI Service"),
    ("cantina_os.yoda_mode_manager", "yoda_mode_manager", "Mode Manager"),
    ("cantina_os.intent_router_service", "intent_router_service", "Intent Router"),
    ("cantina_os.mouse_input", "mouse_input", "Mouse Input"),
    ("cantina_os.mode_command_handler", "mode_command_handler", "Mode Command Handler"),
    ("cantina_os.mode_change_sound", "mode_change_sound", "Mode Sound"),
    ("cantina_os.memory_service", "memory_service", "Memory Service"),
    ("cantina_os.debug", "debug", "Debug Service"),
    ("cantina_os.logging_service", "logging_service", "Logging Service"),
];

const TRACEBACK: &str = "\nTraceback (most recent call last):";

/// What the recording says was logged: logger, level, whole text.
fn recorded() -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(fixture("recorded-run.jsonl")).unwrap();
    let text_of = |value: &Value| value.as_str().unwrap().to_owned();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| (text_of(&line["logger"]), text_of(&line["level"]), text_of(&line["message"])))
        .collect()
}

/// What an entry says: logger, level, whole text with the traceback.
fn said(entry: &Value) -> (String, String, String) {
    let text_of = |value: &Value| value.as_str().unwrap().to_owned();
    let mut message = text_of(&entry["message"]);
    if let Some(traceback) = entry["exception"]["traceback"].as_str() {
        message = format!("{message}\n{traceback}");
    }
    (text_of(&entry["logger"]), text_of(&entry["level"]), message)
}

/// Everything is wanted, and nothing is thinned for the views.
fn setup() -> Setup {
    Setup::default().set("log_level", "DEBUG").set("rate_limit.burst", "100000")
}

/// Reads events of a Socket.IO client up to the entry with `message`.
fn entries_until(client: &mut Program, message: &str) -> Vec<Value> {
    let mut entries = Vec::new();
    client.line_where(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        if event[0] != "system_log" {
            return None;
        }
        let is_last = event[1]["data"]["message"] == message;
        entries.push(event[1].clone());
        is_last.then_some(())
    });
    entries
}

/// Reads entries that `tail` prints up to the one with `message`.
fn streamed_until(tail: &mut Program, message: &str) -> Vec<Value> {
    let mut entries = Vec::new();
    tail.line_where(|line| {
        let entry: Value = serde_json::from_str(line).unwrap();
        let is_last = entry["message"] == message;
        entries.push(entry);
        is_last.then_some(())
    });
    entries
}

/// Logs one more line from Python, which marks the end.
fn log_last(cantina: &Cantina) -> u32 {
    let program = cantina.python(
        "import logging, logging.handlers, sys, os\n\
         host, port = sys.argv[1].split(':')\n\
         handler = logging.handlers.SocketHandler(host, int(port))\n\
         logging.getLogger().addHandler(handler)\n\
         logging.getLogger('the.end').warning('the very last line')\n\
         handler.close()\n",
    );
    let pid = program.pid();
    let (status, _, stderr) = program.end();
    assert!(status.success(), "{stderr}");
    pid
}

fn play_and_check(handler: &str) {
    let cantina = setup().start();
    let mut early = cantina.node("socketio.mjs", &[]);
    early.line_where(|line| line.contains("system_status").then_some(()));
    let mut tail = cantina.attach(&["tail", "-f", "--json", "-n", "0"]);

    let player = cantina.play(handler);
    let pid = player.pid();
    let (status, _, stderr) = player.end();
    assert!(status.success(), "{stderr}");
    cantina.json_where("/api/stats", |stats| {
        let count = |name: &str| stats[name].as_u64().unwrap();
        count("stored") + count("merged") >= 1201 && count("in_flight") == 0
    });
    let last_pid = log_last(&cantina);
    let early = entries_until(&mut early, "the very last line");
    let mut late = cantina.node("socketio.mjs", &[]);
    let late = entries_until(&mut late, "the very last line");
    let streamed = streamed_until(&mut tail, "the very last line");
    let mut late_tail = cantina.attach(&["tail", "-f", "--json", "-n", "100"]);
    let late_streamed = streamed_until(&mut late_tail, "the very last line");
    let ledger = cantina.json("/api/stats");
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);

    every_record_is_in_the_file(&stopped.session, pid);
    every_service_has_its_names(&stopped.session, pid);
    the_twin_is_readable(&stopped.session);
    the_client_got_every_entry_once(&stopped.session, &early, pid, last_pid);
    the_late_client_got_the_recent_ones(&early, &late);
    the_late_stream_got_the_recent_ones(&streamed, &late_streamed);
    the_stream_got_every_entry_once(&stopped.session, &streamed, pid);
    the_ledger_adds_up(&ledger);
    the_ledger_adds_up(stopped.session.ledger());
}

#[test]
fn with_the_stock_handler() {
    play_and_check("stock");
}

#[test]
fn with_our_handler() {
    play_and_check("cantina");
}

fn every_record_is_in_the_file(session: &Session, pid: u32) {
    let stored: Vec<_> = session.of_process(pid).into_iter().map(said).collect();
    let recorded = recorded();
    assert_eq!(recorded.len(), 1201);
    for (place, (stored, recorded)) in stored.iter().zip(&recorded).enumerate() {
        assert_eq!(stored, recorded, "record {place}");
    }
    assert_eq!(stored.len(), recorded.len());
    let has_traceback = |entry: &&&Value| entry["exception"]["traceback"].is_string();
    let tracebacks = session.entries().iter().filter(has_traceback).count();
    let expected: BTreeSet<_> =
        recorded.iter().filter(|(_, _, text)| text.contains(TRACEBACK)).collect();
    assert_eq!(tracebacks, expected.len());
}

fn every_service_has_its_names(session: &Session, pid: u32) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names: BTreeMap<_, _> = session
        .of_process(pid)
        .into_iter()
        .map(|entry| {
            (text(&entry["logger"]), (text(&entry["service_key"]), text(&entry["service"])))
        })
        .collect();
    for (logger, key, name) in SERVICES {
        assert_eq!(names[logger], (key.to_owned(), name.to_owned()), "{logger}");
    }
    // `command_decorators` belongs to no service, and keeps its own name.
    assert_eq!(names.len(), SERVICES.len() + 1, "{names:?}");
}

fn the_twin_is_readable(session: &Session) {
    let mut entries = session.entries().into_iter();
    let mut lines = session.twin.lines().peekable();
    while let Some(line) = lines.next() {
        assert!(line.starts_with('['), "{line}");
        let (time, rest) = line[1..].split_once("] ").unwrap();
        assert!(time.contains('T') && time[19..].contains(['+', '-', 'Z']), "{time}");
        let (level, rest) = rest.split_at(9);
        let mut text = rest.to_owned();
        while let Some(more) = lines.next_if(|line| !line.starts_with('[')) {
            text.push('\n');
            text.push_str(more.strip_prefix("    ").unwrap_or_else(|| panic!("{more}")));
        }
        if text.contains("… repeated ") {
            continue;
        }
        let entry = entries.next().unwrap_or_else(|| panic!("no entry for {line}"));
        assert_eq!(level.trim_end(), entry["level"].as_str().unwrap());
        let service = format!("{:20} ", entry["service"].as_str().unwrap());
        assert_eq!(text, format!("{service}{}", said(entry).2), "{line}");
    }
    assert!(entries.next().is_none());
}

fn the_client_got_every_entry_once(session: &Session, frames: &[Value], pid: u32, last: u32) {
    let of = |process: &Value| *process == pid || *process == last;
    let entries: Vec<_> =
        session.entries().into_iter().filter(|entry| of(&entry["source"]["pid"])).collect();
    let id = |entry: &Value| entry["entry_id"].as_str().unwrap().to_owned();
    let ids: BTreeSet<_> = entries.iter().map(|entry| id(entry)).collect();
    let got: Vec<_> = frames.iter().filter(|frame| ids.contains(&id(&frame["data"]))).collect();
    assert_eq!(got.len(), entries.len());
    for (frame, entry) in got.iter().zip(&entries) {
        assert_eq!(frame["topic"], "/dashboard/log");
        assert_eq!(frame["validated"], false);
        assert!(frame["timestamp"].is_string());
        let keys: Vec<_> = frame.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["data", "timestamp", "topic", "validated"]);
        let data = &frame["data"];
        for name in ["timestamp", "level", "service", "session_id", "entry_id"] {
            assert_eq!(data[name], entry[name], "{name}");
        }
        assert_eq!(data["message"].as_str().unwrap(), said(entry).2);
    }
}

fn the_late_client_got_the_recent_ones(early: &[Value], late: &[Value]) {
    let id = |frame: &Value| frame["data"]["entry_id"].as_str().unwrap().to_owned();
    // Up to a hundred; a few of our own may have come after the last line.
    assert!((90..=100).contains(&late.len()), "{}", late.len());
    let early: Vec<_> =
        early.iter().filter(|frame| frame["data"]["repeats"] == 0).map(id).collect();
    let late: Vec<_> = late.iter().map(id).collect();
    assert_eq!(late, early[early.len() - late.len()..]);
}

fn the_late_stream_got_the_recent_ones(early: &[Value], late: &[Value]) {
    let seqs = |entries: &[Value]| -> Vec<_> {
        entries.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
    };
    assert!((90..=100).contains(&late.len()), "{}", late.len());
    assert_eq!(seqs(late), seqs(early)[early.len() - late.len()..]);
}

fn the_stream_got_every_entry_once(session: &Session, streamed: &[Value], pid: u32) {
    let got: Vec<_> = streamed
        .iter()
        .filter(|entry| entry["source"]["pid"] == pid)
        .map(|entry| &entry["seq"])
        .collect();
    let entries = session.entries();
    let expected: Vec<_> = entries
        .into_iter()
        .filter(|entry| entry["source"]["pid"] == pid)
        .map(|entry| &entry["seq"])
        .collect();
    assert_eq!(got, expected);
}

fn the_ledger_adds_up(ledger: &Value) {
    let count = |name: &str| ledger[name].as_u64().unwrap();
    let dropped: u64 =
        ledger["dropped"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert!(count("received") >= 1202, "{ledger}");
    assert_eq!(dropped, 0, "{ledger}");
    assert_eq!(
        count("received"),
        count("stored") + count("merged") + count("filtered") + dropped + count("in_flight"),
        "{ledger}"
    );
}

#[test]
fn on_the_screen() {
    let cantina = setup().start();
    let (status, _, stderr) = cantina.play("stock").end();
    assert!(status.success(), "{stderr}");
    let browser = chromium();
    let shots = std::env::var("CANTINA_SCREENSHOTS").unwrap_or_default();
    let args = [browser.to_str().unwrap(), &cantina.python, &shots];
    let (status, lines, stderr) = cantina.node("browser.mjs", &args).end();
    assert!(status.success(), "{}\n{stderr}", lines.join("\n"));
    assert_eq!(lines.last().map(String::as_str), Some("all seen"));
}
