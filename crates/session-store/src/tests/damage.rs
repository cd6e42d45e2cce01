//! What is left of a session after something happened to its file.

use super::*;
use crate::{FileReport, Finding};

const NAME: &str = "cantina-session-20261122-160357";

/// The bytes of a small record, and where the lines of entries 1 to 5 are.
fn sample() -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
    let fixture = Fixture::new();
    block_on(async {
        let mut writer = fixture.writer().await;
        let lines =
            [line(1, "a"), line(2, "b\nc"), line(3, "ä"), repeat(1, 3), line(4, "d"), line(5, "e")];
        writer.append(&lines).await.unwrap();
    });
    let bytes = fs::read(fixture.path(&format!("{NAME}.jsonl"))).unwrap();
    let mut start = 0;
    let mut ranges = Vec::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b"{\"kind\":\"entry\"") {
            ranges.push(start..start + line.len());
        }
        start += line.len();
    }
    assert_eq!(ranges.len(), 5);
    (bytes, ranges)
}

/// Writes a new file: file systems hurry to store one that was emptied first,
/// and the tests here write thousands.
fn rewrite(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

fn read_all(root: &Path) -> Vec<ReadLine> {
    let id = NAME.parse().unwrap();
    Sessions::at(root).read(&id).unwrap().collect::<Result<_, _>>().unwrap()
}

fn report(root: &Path) -> FileReport {
    verify(root.join(NAME)).unwrap().files.remove(0)
}

#[test]
fn whatever_is_cut_off_the_rest_is_read_and_the_cut_is_marked() {
    let (bytes, ranges) = sample();
    let root = tempfile::tempdir().unwrap();
    let record = root.path().join(format!("{NAME}.jsonl"));
    for length in 0..=bytes.len() {
        rewrite(&record, &bytes[..length]);
        let complete = |end: usize| ranges.iter().filter(|range| range.end <= end).count() as u64;
        assert_eq!(seqs(read_all(root.path())), (1..=complete(length)).collect::<Vec<_>>());

        let directory = Directory::open(root.path()).unwrap();
        let after = fs::read(&record).unwrap();
        assert!(after.starts_with(&bytes[..length]), "a file only grows");
        let start = bytes[..length].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        assert_eq!(directory.recovered().len(), usize::from(start != length));
        // A line that only lacks its line feed is complete after all.
        let lines = read_all(root.path());
        let torn = lines.iter().find_map(|line| match line {
            ReadLine::Torn { offset, len, is_marked, .. } => Some((*offset, *len, *is_marked)),
            _ => None,
        });
        let is_torn = start != length && bytes[length] != b'\n';
        assert_eq!(torn, is_torn.then_some((start as u64, (length - start) as u64, true)));
        assert_eq!(seqs(lines), (1..=complete(length + 1)).collect::<Vec<_>>());
        let report = report(root.path());
        // Without its first line, a file does not say whose it is.
        assert_eq!(report.is_damaged, is_torn && start == 0, "{length} {report:?}");

        // Nothing is left to do for the next start.
        drop(directory);
        assert!(Directory::open(root.path()).unwrap().recovered().is_empty());
        assert_eq!(fs::read(&record).unwrap(), after);
    }
}

#[test]
fn a_damaged_byte_loses_one_line_at_most() {
    let (bytes, ranges) = sample();
    let root = tempfile::tempdir().unwrap();
    let record = root.path().join(format!("{NAME}.jsonl"));
    for (at, flip) in (0..bytes.len()).flat_map(|at| [(at, 0x01), (at, 0x20), (at, 0x80)]) {
        let mut damaged = bytes.clone();
        damaged[at] ^= flip;
        rewrite(&record, &damaged);
        let hit = ranges.iter().position(|range| range.contains(&at) && at + 1 != range.end);
        let is_last = at + 1 == bytes.len();
        let kept: Vec<_> = (0..5usize)
            .filter(|&entry| Some(entry) != hit && !(is_last && entry == 4))
            .map(|entry| entry as u64 + 1)
            .collect();
        let lines = read_all(root.path());
        let bad = lines.iter().filter(|line| matches!(line, ReadLine::Corrupt { .. })).count();
        assert_eq!(seqs(lines), kept, "byte {at} by {flip:#x}");
        assert!(bad >= 1 || is_last, "byte {at} by {flip:#x}");
        assert!(report(root.path()).is_damaged, "byte {at} by {flip:#x}");
    }
}

#[test]
fn a_session_that_was_cut_twice_has_two_marks() {
    let (bytes, _) = sample();
    let root = tempfile::tempdir().unwrap();
    let record = root.path().join(format!("{NAME}.jsonl"));
    fs::write(&record, &bytes[..bytes.len() - 5]).unwrap();
    drop(Directory::open(root.path()).unwrap());
    let marked = fs::read(&record).unwrap();
    fs::write(&record, &marked[..marked.len() - 5]).unwrap();
    drop(Directory::open(root.path()).unwrap());
    let report = report(root.path());
    assert_eq!(seqs(read_all(root.path())), [1, 2, 3, 4]);
    assert_eq!(report.kinds["recovered"], 1);
    // The first cut is followed by a mark that is itself torn.
    assert_eq!(report.findings.len(), 2);
}

#[tokio::test]
async fn a_line_too_long_to_read_hides_only_itself() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    let long = "x".repeat(9 << 20);
    writer.append(&[line(1, "a"), line(2, &long), line(3, "c")]).await.unwrap();
    let lines = read(&fixture.sessions(), &writer);
    assert!(matches!(lines[2], ReadLine::Corrupt { len, .. } if len > 9 << 20));
    assert_eq!(seqs(lines), [1, 3]);
}

#[test]
fn holes_of_zeros_are_no_lines() {
    let (mut bytes, ranges) = sample();
    bytes[ranges[1].start + 10..ranges[3].end - 10].fill(0);
    bytes.extend([0; 5000]);
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(format!("{NAME}.jsonl")), &bytes).unwrap();
    let directory = Directory::open(root.path()).unwrap();
    assert_eq!(directory.recovered()[0].torn_bytes, 5000);
    assert_eq!(seqs(read_all(root.path())), [1, 5]);
    assert!(report(root.path()).is_damaged);
}

#[tokio::test]
async fn a_gap_is_damage_unless_the_session_says_what_it_lost() {
    for (count, is_damaged) in [(0, true), (2, true), (3, false)] {
        let fixture = Fixture::new();
        let mut writer = fixture.writer().await;
        writer.set_rotate_bytes(1);
        writer.append(&[line(1, "a")]).await.unwrap();
        writer.append(&[loss(DropReason::NotWritten, count), line(5, "b")]).await.unwrap();
        writer.append(&[loss(DropReason::IntakeFull, 100)]).await.unwrap();
        let report = verify(fixture.directory.path()).unwrap();
        let findings: Vec<_> = report.files.iter().flat_map(|file| &file.findings).collect();
        assert_eq!(findings, [&Finding::Gap { first: 2, last: 4, is_accounted: !is_damaged }]);
        assert_eq!(report.is_damaged(), is_damaged, "{count}");
    }
}

#[tokio::test]
async fn a_file_under_another_name_and_one_that_lost_lines_are_found_out() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    writer.append(&[line(1, "a"), repeat(1, 1), repeat(1, 1)]).await.unwrap();
    writer.close(json!({}), time(9)).await.unwrap();
    let text = fs::read_to_string(fixture.path(&format!("{NAME}.jsonl"))).unwrap();
    let mut without: Vec<_> = text.split_inclusive('\n').collect();
    without.remove(2);
    let other = fixture.path("cantina-session-20300101-000000.jsonl");
    fs::write(&other, without.concat()).unwrap();
    let report = verify(&other).unwrap();
    let miscounted = Finding::Miscounted { what: "repeats", expected: 2, found: 1 };
    assert_eq!(report.files[0].findings, [Finding::NoStart, miscounted]);
}

#[test]
fn what_is_no_session_cannot_be_verified_or_read() {
    let root = tempfile::tempdir().unwrap();
    for name in ["nothing", "../x.jsonl", NAME, &format!("{NAME}.jsonl"), &format!("{NAME}.log")] {
        assert!(verify(root.path().join(name)).unwrap_err().is_not_found(), "{name}");
    }
    let id = NAME.parse().unwrap();
    assert!(Sessions::at(root.path()).read(&id).unwrap_err().is_not_found());
    assert!(Sessions::at(root.path().join("none")).read(&id).unwrap_err().is_not_found());
    assert!(Sessions::at(root.path().join("none")).list().unwrap_err().is_not_found());
    assert!(!verify(root.path()).unwrap().is_damaged());
}
