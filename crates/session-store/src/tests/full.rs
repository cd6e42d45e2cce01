//! What happens when there is no room.

use std::process::Command;

use super::*;
use crate::file::AppendFile;
use crate::line::Batch;
use crate::segment::Segment;
use crate::{Finding, Report};

#[tokio::test]
async fn a_full_disk_says_so_and_takes_nothing() {
    let file = AppendFile::existing(Path::new("/dev/full")).await.unwrap();
    let mut segment = Segment::new(file, 0);
    let mut batch = Batch::default();
    batch.encode(&[line(1, "a"), line(2, "b")]);
    let cut = segment.append(&batch).await.unwrap_err();
    assert_eq!((cut.written, segment.bytes()), (0, 0));
    let (path, total) = (PathBuf::from("/dev/full"), 2);
    let error = Error::Append { path, written: cut.written, total, source: cut.source };
    assert!(error.is_disk_full());
    assert_eq!(error.to_string(), "appending to `/dev/full` after 0 of 2 lines");
}

#[tokio::test]
async fn a_session_goes_on_elsewhere_when_its_file_cannot_be_synced() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    writer.append(&[line(1, "a")]).await.unwrap();
    // A device without storage refuses to sync.
    writer.continue_in(AppendFile::existing(Path::new("/dev/null")).await.unwrap());
    let error = writer.sync().await.unwrap_err();
    assert!(matches!(error, Error::Sync { .. }), "{error:?}");
    writer.append(&[line(2, "b")]).await.unwrap();
    assert!(writer.unsynced() > 0);
    writer.sync().await.unwrap();
    assert_eq!(writer.unsynced(), 0);
    let lines = read(&fixture.sessions(), &writer);
    let because: Vec<_> = lines
        .iter()
        .filter_map(|line| match line {
            ReadLine::Other(start) => start["because"].as_str(),
            _ => None,
        })
        .collect();
    assert_eq!(because, ["sync_failed"]);
    assert_eq!(seqs(lines), [1, 2]);
}

/// Runs the test `name` again, in a process whose files may only have a few
/// KiB at first, with `LIMITED` set.
fn run_limited(name: &str) {
    let shell = "trap '' XFSZ; ulimit -S -f 8; exec \"$0\" \"$@\"";
    let test = format!("tests::full::{name}");
    let output = Command::new("sh")
        .args(["-c", shell])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env("LIMITED", "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}\n{errors}");
}

fn is_limited() -> bool {
    std::env::var_os("LIMITED").is_some()
}

/// Makes room, as someone does who tidies up a disk.
fn lift_the_limit() {
    let pid = std::process::id().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(status.unwrap().success());
}

/// Fills the file, and returns what did not fit of entries 1 to 20.
async fn fill(writer: &mut Writer<Utc>, record: &Path) -> Vec<Line> {
    let lines: Vec<_> = (1..=20).map(|seq| line(seq, &"x".repeat(700))).collect();
    let error = writer.append(&lines).await.unwrap_err();
    assert!(error.is_disk_full(), "{error:?}");
    let Error::Append { written, total: 20, .. } = error else { panic!("{error:?}") };
    let bytes = fs::read(record).unwrap();
    assert_eq!(bytes.split(|&byte| byte == b'\n').count(), 1 + written + 1);
    assert_ne!(bytes.last(), Some(&b'\n'), "the limit is within a line");
    assert_eq!(writer.bytes(), bytes.len() as u64);
    lines[written..].to_vec()
}

async fn check_complete(fixture: &Fixture, writer: Writer<Utc>) -> Report {
    let lines = read(&fixture.sessions(), &writer);
    assert_eq!(seqs(lines), (1..=20).collect::<Vec<_>>());
    let twin = fs::read_to_string(fixture.path(&format!("{}.log", writer.id()))).unwrap();
    assert_eq!(twin.lines().filter(|line| line.contains(" INFO ")).count(), 20);
    writer.close(json!({}), time(30)).await.unwrap();
    verify(fixture.directory.path()).unwrap()
}

#[test]
fn a_line_that_was_cut_short_is_completed_when_there_is_room() {
    if !is_limited() {
        return run_limited("a_line_that_was_cut_short_is_completed_when_there_is_room");
    }
    block_on(async {
        let fixture = Fixture::new();
        let mut writer = fixture.writer().await;
        let record = fixture.path(&format!("{}.jsonl", writer.id()));
        let rest = fill(&mut writer, &record).await;
        let full = fs::read(&record).unwrap();
        for _ in 0..3 {
            let error = writer.append(&rest).await.unwrap_err();
            assert!(matches!(error, Error::Append { written: 0, .. }), "{error:?}");
        }
        assert_eq!(fs::read(&record).unwrap(), full);
        lift_the_limit();
        writer.append(&rest).await.unwrap();
        assert_eq!(check_complete(&fixture, writer).await.files[0].findings, []);
    });
}

#[test]
fn a_line_that_was_cut_short_is_marked_when_another_comes() {
    if !is_limited() {
        return run_limited("a_line_that_was_cut_short_is_marked_when_another_comes");
    }
    block_on(async {
        let fixture = Fixture::new();
        let mut writer = fixture.writer().await;
        let record = fixture.path(&format!("{}.jsonl", writer.id()));
        let rest = fill(&mut writer, &record).await;
        let start_again = [loss(DropReason::IntakeFull, 3)];
        writer.append(&start_again).await.unwrap_err();
        lift_the_limit();
        writer.append(&start_again).await.unwrap();
        writer.append(&rest).await.unwrap();
        let report = check_complete(&fixture, writer).await;
        assert!(matches!(report.files[0].findings[..], [Finding::Torn { is_marked: true, .. }]));
        assert!(!report.is_damaged());
        assert_eq!(report.files[0].kinds["recovered"], 1);
    });
}
