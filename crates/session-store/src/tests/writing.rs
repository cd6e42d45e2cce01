//! Where sessions go, and that what is written reads back.

use std::os::unix::fs::{MetadataExt as _, symlink};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[track_caller]
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[tokio::test]
async fn files_and_directories_are_for_their_owner_only() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    writer.append(&[line(1, "x")]).await.unwrap();
    assert_eq!(mode(fixture.directory.path()), 0o700);
    for name in [".lock", &format!("{}.jsonl", writer.id()), &format!("{}.log", writer.id())] {
        assert_eq!(mode(&fixture.path(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn sessions_of_one_second_have_different_names() {
    let fixture = Fixture::new();
    let names: Vec<_> = [fixture.writer().await, fixture.writer().await, fixture.writer().await]
        .iter()
        .map(|writer| writer.id().to_string())
        .collect();
    let name = "cantina-session-20261122-160357";
    assert_eq!(names, [name.to_owned(), format!("{name}-2"), format!("{name}-3")]);
    let listed: Vec<_> =
        fixture.sessions().list().unwrap().iter().map(|info| info.id.to_string()).collect();
    assert_eq!(listed, names);
}

#[tokio::test]
async fn a_session_is_named_in_the_zone_it_began_in() {
    let fixture = Fixture::new();
    let started = time(0).with_timezone(&chrono::FixedOffset::east_opt(3600).unwrap());
    let mut writer = fixture.directory.create_session(&started, header()).await.unwrap();
    assert_eq!(writer.id().as_str(), "cantina-session-20261122-170357");
    writer.append(&[line(1, "x")]).await.unwrap();
    let twin = fs::read_to_string(fixture.path(&format!("{}.log", writer.id()))).unwrap();
    assert!(twin.starts_with("[2026-11-22T17:03:58.000001+01:00] INFO "), "{twin}");
}

#[tokio::test]
async fn only_one_holds_a_directory_until_its_last_writer_is_gone() {
    let fixture = Fixture::new();
    let path = fixture.directory.path().to_owned();
    let error = Directory::open(&path).unwrap_err();
    assert!(error.is_in_use());
    assert_eq!(error.to_string(), format!("the session directory `{}` is in use", path.display()));
    let writer = fixture.writer().await;
    let Fixture { directory, _root } = fixture;
    drop(directory);
    assert!(Directory::open(&path).unwrap_err().is_in_use());
    drop(writer);
    Directory::open(&path).unwrap();
}

#[test]
fn what_is_no_directory_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("logs")] {
        let error = Directory::open(&path).unwrap_err();
        assert!(matches!(error, Error::OpenDirectory { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[test]
fn links_are_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let (real, link) = (root.path().join("real"), root.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    for path in [link.clone(), link.join("")] {
        let error = Directory::open(&path).unwrap_err();
        assert!(matches!(error, Error::OpenDirectory { .. }), "{error:?}");
    }
    symlink(root.path().join("elsewhere"), real.join(".lock")).unwrap();
    Directory::open(&real).unwrap_err();
    assert!(!root.path().join("elsewhere").exists());
}

#[tokio::test]
async fn a_link_in_place_of_a_session_is_left_alone() {
    let fixture = Fixture::new();
    let elsewhere = fixture.path("elsewhere");
    let name = "cantina-session-20261122-160357";
    symlink(&elsewhere, fixture.path(&format!("{name}.jsonl"))).unwrap();
    symlink(&elsewhere, fixture.path(&format!("{name}-2.log"))).unwrap();
    let writer = fixture.writer().await;
    assert_eq!(writer.id().as_str(), format!("{name}-3"));
    assert!(!elsewhere.exists());
    assert_eq!(fixture.sessions().list().unwrap().len(), 1);
}

#[tokio::test]
async fn a_large_session_goes_on_in_the_next_segment() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    writer.set_rotate_bytes(1500);
    for seq in 1..=20 {
        writer.append(&[line(seq, "x"), repeat(seq, seq)]).await.unwrap();
    }
    assert!(writer.rotation_error().is_none());
    let sessions = fixture.sessions();
    let running = sessions.list().unwrap();
    assert!(running[0].segments > 3 && running[0].ended_at.is_none());
    assert_eq!(running[0].last_at, Some(time(20)));

    let id = writer.id().clone();
    writer.close(json!({}), time(60)).await.unwrap();
    let closed = &sessions.list().unwrap()[0];
    assert_eq!((closed.started_at, closed.ended_at), (Some(time(0)), Some(time(60))));
    let lines: Vec<_> = sessions.read(&id).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(seqs(lines), (1..=20).collect::<Vec<_>>());
    let report = verify(fixture.directory.path()).unwrap();
    assert_eq!(report.files.len(), usize::try_from(closed.segments).unwrap());
    for (number, file) in report.files.iter().enumerate() {
        assert_eq!(file.findings, [], "{}", file.path.display());
        let end = if number + 1 == report.files.len() { "session_end" } else { "segment_end" };
        assert_eq!(file.kinds[end], 1, "{}", file.path.display());
        let twin = file.path.with_extension("log");
        let lines = fs::read_to_string(twin).unwrap().lines().count();
        assert_eq!(lines as u64, file.kinds["entry"]);
    }
}

#[tokio::test]
async fn a_session_goes_on_when_its_file_is_removed() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    writer.append(&[line(1, "x")]).await.unwrap();
    assert!(!writer.check().await.unwrap());
    fs::remove_file(fixture.path(&format!("{}.jsonl", writer.id()))).unwrap();
    fs::remove_file(fixture.path(&format!("{}.log", writer.id()))).unwrap();
    assert!(writer.check().await.unwrap());
    writer.append(&[line(2, "y")]).await.unwrap();
    assert!(!writer.check().await.unwrap());
    assert_eq!(seqs(read(&fixture.sessions(), &writer)), [2]);
    assert!(fixture.path(&format!("{}.0001.log", writer.id())).exists());
}

#[tokio::test]
async fn a_session_goes_on_when_its_directory_is_removed() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    fs::remove_dir_all(fixture.directory.path()).unwrap();
    assert!(writer.check().await.unwrap());
    writer.append(&[line(1, "x")]).await.unwrap();
    assert_eq!(seqs(read(&fixture.sessions(), &writer)), [1]);
    assert_eq!(mode(fixture.directory.path()), 0o700);
}

#[tokio::test]
async fn a_session_goes_on_when_its_file_is_shortened_or_replaced() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    let record = fixture.path(&format!("{}.jsonl", writer.id()));
    writer.append(&[line(1, "x"), line(2, "y")]).await.unwrap();
    fs::File::options().write(true).open(&record).unwrap().set_len(30).unwrap();
    assert!(writer.check().await.unwrap());
    writer.append(&[line(3, "z")]).await.unwrap();
    let next = fixture.path(&format!("{}.0001.jsonl", writer.id()));
    fs::rename(&next, fixture.path("taken")).unwrap();
    fs::copy(fixture.path("taken"), &next).unwrap();
    assert!(writer.check().await.unwrap());
    writer.append(&[line(4, "z")]).await.unwrap();
    assert_eq!(seqs(read(&fixture.sessions(), &writer)), [3, 4]);
    assert_eq!(fs::metadata(&record).unwrap().len(), 30, "evidence is not touched");
}

#[tokio::test]
async fn a_twin_that_cannot_be_written_is_made_up_for() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    let twin = fixture.path(&format!("{}.log", writer.id()));
    fs::create_dir(&twin).unwrap();
    writer.append(&[line(1, "one")]).await.unwrap();
    writer.append(&[line(2, "two")]).await.unwrap();
    assert_eq!(writer.twin_failures(), 2);
    assert!(matches!(writer.twin_error(), Some(Error::Create { .. })));
    fs::remove_dir(&twin).unwrap();
    writer.append(&[line(3, "three")]).await.unwrap();
    assert!(writer.twin_error().is_none());
    assert_eq!(seqs(read(&fixture.sessions(), &writer)), [1, 2, 3]);
    let text = fs::read_to_string(&twin).unwrap();
    let ends: Vec<_> = text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(ends, ["one", "two", "three"]);
}

#[tokio::test]
async fn a_twin_that_stays_broken_says_what_it_lacks() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    let twin = fixture.path(&format!("{}.log", writer.id()));
    fs::create_dir(&twin).unwrap();
    let long = "x".repeat(300_000);
    for seq in 1..=6 {
        writer.append(&[line(seq, &long)]).await.unwrap();
    }
    fs::remove_dir(&twin).unwrap();
    writer.append(&[]).await.unwrap();
    writer.append(&[line(7, "seven")]).await.unwrap();
    let text = fs::read_to_string(&twin).unwrap();
    let starts: Vec<_> =
        text.lines().map(|line| line.chars().take(23).collect::<String>()).collect();
    assert_eq!(starts[4], "    … 2 lines are missi");
    assert_eq!(text.lines().filter(|line| line.starts_with('[')).count(), 5);
}

#[tokio::test]
async fn what_is_no_single_object_does_not_get_in() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    let entry = entry(1, "x");
    for json in [&b"{\"a\":1}\n{\"kind\":\"entry\"}"[..], b"", b"{", b"[1]"] {
        writer
            .append(&[Line::Entry { entry: Arc::clone(&entry), json: json.into() }])
            .await
            .unwrap();
    }
    assert_eq!(seqs(read(&fixture.sessions(), &writer)), [1; 4]);
}

#[test]
fn writing_can_be_done_by_any_thread() {
    fn check<T: Send>(_: impl FnOnce(Writer<chrono::Local>, Directory) -> T) {}
    check(|mut writer, directory| async move {
        let _ = directory.create_session(&chrono::Local::now(), header()).await;
        let _ = writer.append(&[]).await;
        let _ = writer.sync().await;
        let _ = writer.check().await;
        writer.close(json!({}), time(0)).await
    });
}

/// What may stand in a message, with all that could end a line or forge one.
fn message() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(\n|\r|\u{2028}|\u{1b}|[a-z\"\\\\{}\\[\\]:,]|\\{\"kind\":\"entry\",|,\"crc\":\"00000000\"\\})*",
        Just("x".repeat(70_000)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_reads_back(
        batches in vec(vec(message(), 0..5), 0..6),
        rotate_bytes in prop_oneof![Just(400u64), Just(1 << 20)],
    ) {
        block_on(async {
            let fixture = Fixture::new();
            let mut writer = fixture.writer().await;
            writer.set_rotate_bytes(rotate_bytes);
            let mut expected = Vec::new();
            for batch in &batches {
                let new: Vec<_> =
                    (expected.len() as u64 + 1..).zip(batch).map(|(seq, text)| entry(seq, text)).collect();
                let lines: Vec<_> = new.iter().cloned().map(Line::entry).collect();
                writer.append(&lines).await.unwrap();
                expected.extend(new.iter().map(|entry| LogEntry::clone(entry)));
            }
            let id = writer.id().clone();
            prop_assert_eq!(
                writer.bytes(),
                verify(fixture.directory.path()).unwrap().files.iter()
                    .map(|file| fs::metadata(&file.path).unwrap().len()).sum::<u64>()
            );
            writer.close(json!({}), time(0)).await.unwrap();
            let report = verify(fixture.directory.path()).unwrap();
            prop_assert!(report.files.iter().all(|file| file.findings.is_empty()), "{:?}", report);
            let found = fixture.sessions().read(&id).unwrap().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(entries(found), expected.clone());
            let twins = fixture.directory.path().read_dir().unwrap().map(|file| file.unwrap().path());
            let starts = twins
                .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
                .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(|line| line.starts_with('[')).collect::<Vec<_>>())
                .filter(|is_start| *is_start)
                .count();
            prop_assert_eq!(starts, expected.len());
            Ok(())
        })?;
    }
}
