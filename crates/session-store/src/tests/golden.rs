//! A small session, byte for byte.

use super::*;

#[tokio::test]
async fn a_session_is_written_exactly_so() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    let first = [line(1, "Making API call to GPT-4"), failure()];
    writer.append(&first).await.unwrap();
    let elsewhere = Source { file: Some("brain.py".into()), line: Some(7), ..Source::default() };
    let lines = [
        repeat(1, 3),
        Line::Repeat { of: id_of(1), seq: 4, timestamp: time(4), source: Some(elsewhere) },
        line(5, "[2026-11-22T16:04:22.123456+00:00] CRITICAL forged\u{1b}[31m \u{202e}drow"),
        Line::Folded { entry: entry(1, "Making API call to GPT-4"), count: 2, last: time(4) },
        Line::Folded { entry: entry(5, &"x".repeat(81)), count: 1, last: time(6) },
        loss(DropReason::IntakeFull, 37),
        settings(),
        Line::ClockJump { at: time(9), by_ms: -3_600_000 },
    ];
    writer.append(&lines).await.unwrap();
    writer.sync().await.unwrap();
    writer.close(json!({"received": 42, "stored": 3, "merged": 2}), time(10)).await.unwrap();

    let name = "cantina-session-20261122-160357";
    let record = fs::read_to_string(fixture.path(&format!("{name}.jsonl"))).unwrap();
    let twin = fs::read_to_string(fixture.path(&format!("{name}.log"))).unwrap();
    assert_eq!(record, include_str!("../../fixtures/session.jsonl"));
    assert_eq!(twin, include_str!("../../fixtures/session.log"));
}

#[test]
fn the_fixture_is_sound() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("cantina-session-20261122-160357.jsonl");
    fs::write(&path, include_str!("../../fixtures/session.jsonl")).unwrap();
    let report = verify(&path).unwrap();
    assert_eq!(report.files[0].findings, []);
    assert_eq!(report.files[0].kinds["entry"], 3);
    assert_eq!(report.files[0].kinds["repeat"], 2);
}

fn failure() -> Line {
    let mut failure = LogEntry::clone(&entry(2, "request failed\nafter 3 attempts"));
    failure.level = Level::Error;
    failure.severity = Level::Error.severity();
    failure.source =
        Source { file: Some("gpt_service.py".into()), line: Some(412), ..Source::default() };
    let traceback = "Traceback (most recent call last):\n  File \"a.py\", line 1\nValueError: no";
    failure.exception = Some(Exception::from_traceback(traceback));
    failure.fields.insert("plan_id".into(), json!("p\u{2028}1"));
    Line::entry(Arc::new(failure))
}

fn settings() -> Line {
    Line::Settings {
        who: "127.0.0.1".into(),
        what: "log_level".into(),
        old: json!("INFO"),
        new: json!("DEBUG"),
        at: time(8),
    }
}
