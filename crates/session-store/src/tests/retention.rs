//! What is removed, and what never is.

use std::time::Duration;

use super::*;
use crate::Limits;

/// Five closed sessions, one per second, with one entry each.
async fn five() -> (Fixture, Vec<String>) {
    let fixture = Fixture::new();
    let mut names = Vec::new();
    for seconds in 0..5 {
        let started = time(seconds);
        let mut writer = fixture.directory.create_session(&started, header()).await.unwrap();
        writer.set_rotate_bytes(1);
        names.push(writer.id().to_string());
        writer.append(&[line(1, "x")]).await.unwrap();
        writer.close(json!({}), time(seconds + 10)).await.unwrap();
    }
    (fixture, names)
}

fn left(fixture: &Fixture) -> Vec<String> {
    fixture.sessions().list().unwrap().iter().map(|info| info.id.to_string()).collect()
}

#[tokio::test]
async fn without_limits_everything_stays() {
    let (fixture, names) = five().await;
    let removed = fixture.directory.retain(&Limits::default(), time(1 << 30), None).unwrap();
    assert!(removed.sessions.is_empty());
    assert_eq!(left(&fixture), names);
}

#[tokio::test]
async fn the_oldest_go_first_and_leave_nothing() {
    let (fixture, names) = five().await;
    let limits = Limits { max_sessions: Some(2), ..Limits::default() };
    let before: u64 = fixture.sessions().list().unwrap().iter().map(|info| info.bytes).sum();
    let removed = fixture.directory.retain(&limits, time(20), None).unwrap();
    assert_eq!(left(&fixture), names[3..]);
    assert_eq!(removed.sessions.len(), 3);
    let after: u64 = fixture.sessions().list().unwrap().iter().map(|info| info.bytes).sum();
    assert_eq!(removed.bytes, before - after);
    let files = fixture.directory.path().read_dir().unwrap().count();
    assert_eq!(files, 1 + (removed.files / 3) * 2, "the lock, and the files of two sessions");
}

#[tokio::test]
async fn age_counts_from_the_last_line() {
    let (fixture, names) = five().await;
    let limits = Limits { max_age: Some(Duration::from_mins(1)), ..Limits::default() };
    fixture.directory.retain(&limits, time(10 + 60 + 2), None).unwrap();
    assert_eq!(left(&fixture), names[2..]);
    // A clock that stands before the sessions removes none.
    fixture.directory.retain(&limits, time(-1000), None).unwrap();
    assert_eq!(left(&fixture), names[2..]);
}

#[tokio::test]
async fn bytes_count_in_all_files_together() {
    let (fixture, names) = five().await;
    let one = fixture.sessions().list().unwrap()[0].bytes;
    let limits = Limits { max_bytes: Some(one * 3 + one / 2), ..Limits::default() };
    fixture.directory.retain(&limits, time(20), None).unwrap();
    assert_eq!(left(&fixture), names[2..]);
}

#[tokio::test]
async fn the_current_and_the_pinned_and_what_is_not_ours_stay() {
    let (fixture, names) = five().await;
    fs::write(fixture.path(&format!("{}.pin", names[1])), "").unwrap();
    fs::write(fixture.path(&format!("{}.jsonl", names[2])), "my own notes\n").unwrap();
    fs::write(fixture.path("notes.jsonl"), "").unwrap();
    fs::create_dir(fixture.path("cantina-session-20200101-000000.jsonl")).unwrap();
    let limits =
        Limits { max_age: Some(Duration::ZERO), max_sessions: Some(0), max_bytes: Some(0) };
    let current = names[0].parse().unwrap();
    fixture.directory.retain(&limits, time(1 << 30), Some(&current)).unwrap();
    let mut left = left(&fixture);
    left.sort();
    assert_eq!(left, names[..3]);
    assert!(fixture.path("notes.jsonl").exists());
    assert!(fixture.path("cantina-session-20200101-000000.jsonl").exists());
}
