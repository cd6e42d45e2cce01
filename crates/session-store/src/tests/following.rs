//! Following the record while it is written.

use bytes::Bytes;
use log_entry::{Fields, Origin, SessionId};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{Followed, Follower, Found, Limits, Position};

const ALL: usize = usize::MAX;

/// The entry with the number `seq`, which another logging service took in.
fn collected(seq: u64) -> Line {
    let mut entry = Arc::unwrap_or_clone(entry(seq, "from elsewhere"));
    entry.origin = Some(Box::new(Origin {
        id: "bb8-00000001".into(),
        session_id: "cantina-session-20261122-160000".parse().unwrap(),
        seq,
        received_at: time(0),
    }));
    Line::entry(Arc::new(entry))
}

fn follow(follower: &mut Follower) -> Vec<Followed> {
    let mut found = Vec::new();
    follower.read(ALL, &mut found).unwrap();
    found
}

/// The numbers of the entries, collected ones as negative.
fn numbers(found: &[Followed]) -> Vec<i64> {
    let number = |followed: &Followed| match &followed.what {
        Found::Entry { json, is_collected } => {
            let entry: LogEntry = serde_json::from_slice(json).unwrap();
            assert_eq!(entry.origin.is_some(), *is_collected);
            let seq = i64::try_from(entry.seq).unwrap();
            Some(if *is_collected { -seq } else { seq })
        }
        _ => None,
    };
    found.iter().filter_map(number).collect()
}

fn removed(found: &[Followed]) -> Vec<&SessionId> {
    let session = |followed| match followed {
        &Followed { what: Found::Removed { ref session }, .. } => Some(session),
        _ => None,
    };
    found.iter().filter_map(session).collect()
}

fn total(counts: Vec<(SessionId, u64)>) -> u64 {
    counts.into_iter().map(|(_, count)| count).sum()
}

#[test]
fn an_entry_is_given_as_it_was_written_and_from_its_position_the_next() {
    let fixture = Fixture::new();
    let lines =
        [line(1, "a\nb"), repeat(1, 2), collected(3), loss(DropReason::Stopped, 1), line(4, "ä")];
    let mut writer = block_on(fixture.writer());
    block_on(writer.append(&lines)).unwrap();
    let mut follower = Follower::open(fixture.sessions(), None, writer.id().clone()).unwrap();
    let found = follow(&mut follower);
    let json = |seq, message| Found::Entry {
        json: Bytes::from(entry(seq, message).to_json()),
        is_collected: false,
    };
    assert_eq!(found[1].what, json(1, "a\nb"));
    assert_eq!(found[2].what, Found::Repeat);
    assert!(matches!(found[3].what, Found::Entry { is_collected: true, .. }));
    assert_eq!((&found[4].what, &found[5].what), (&Found::Other, &json(4, "ä")));
    for (at, followed) in found.iter().enumerate() {
        let after = Some(followed.after.clone());
        let mut again = Follower::open(fixture.sessions(), after, writer.id().clone()).unwrap();
        assert_eq!(follow(&mut again), found[at + 1..]);
    }
    assert_eq!(follow(&mut follower), [], "there is no more now");
    block_on(writer.append(&[line(5, "e")])).unwrap();
    assert_eq!(numbers(&follow(&mut follower)), [5]);
}

#[test]
fn every_entry_is_found_once_while_a_thread_writes_and_rotates() {
    const ENTRIES: i64 = 1500;
    let fixture = Fixture::new();
    let mut writer = block_on(fixture.writer());
    writer.set_rotate_bytes(1500);
    let mut follower = Follower::open(fixture.sessions(), None, writer.id().clone()).unwrap();
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for seq in 1..=ENTRIES.unsigned_abs() {
                block_on(writer.append(&[line(seq, "some text")])).unwrap();
            }
        });
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while found.last() != Some(&ENTRIES) && std::time::Instant::now() < deadline {
            let mut more = Vec::new();
            follower.read(ALL, &mut more).unwrap();
            found.extend(numbers(&more));
        }
    });
    assert!(found.iter().copied().eq(1..=ENTRIES), "{} entries", found.len());
    assert_eq!(follower.damaged(), 0);
}

#[test]
fn sessions_come_one_after_the_other_and_the_current_one_last() {
    let fixture = Fixture::new();
    let begin = |seconds| block_on(fixture.directory.create_session(&time(seconds), header()));
    let (mut first, mut second) = (begin(10), begin(20));
    // The clock was set back.
    let mut current = begin(0).unwrap();
    for (seq, writer) in [(1, &mut first), (2, &mut second)] {
        block_on(writer.as_mut().unwrap().append(&[line(seq, "x")])).unwrap();
    }
    block_on(current.append(&[line(3, "x")])).unwrap();
    let mut follower = Follower::open(fixture.sessions(), None, current.id().clone()).unwrap();
    assert_eq!(numbers(&follow(&mut follower)), [1, 2, 3]);
    block_on(current.append(&[line(4, "x")])).unwrap();
    assert_eq!(numbers(&follow(&mut follower)), [4]);
}

#[test]
fn what_is_removed_is_told_and_counted_and_the_rest_goes_on() {
    let fixture = Fixture::new();
    let mut writers: Vec<_> = (0..4)
        .map(|n| block_on(fixture.directory.create_session(&time(n), header())).unwrap())
        .collect();
    for (seq, writer) in (1..).zip(&mut writers) {
        let lines = [line(seq * 10, "x"), collected(seq * 10 + 1), line(seq * 10 + 2, "x")];
        block_on(writer.append(&lines)).unwrap();
    }
    let ids: Vec<_> = writers.iter().map(|writer| writer.id().clone()).collect();
    let mut follower = Follower::open(fixture.sessions(), None, ids[3].clone()).unwrap();
    let mut found = Vec::new();
    follower.read(1, &mut found).unwrap();
    let after_10 = found[1].after.clone();
    assert_eq!((numbers(&found[..2]), &after_10.session), (vec![10], &ids[0]));
    let pending = fixture.sessions().pending(&after_10).unwrap();

    let limits = Limits { max_sessions: Some(2), ..Limits::default() };
    let gone = fixture.directory.retain(&limits, time(9), Some(&ids[3])).unwrap();
    assert_eq!(gone.sessions, ids[..2]);
    let rest = follow(&mut follower);
    assert_eq!(removed(&rest), [&ids[0]], "the next one was never heard of");
    assert_eq!(numbers(&rest), [30, -31, 32, 40, -41, 42]);
    let mut again = Follower::open(fixture.sessions(), Some(after_10), ids[3].clone()).unwrap();
    assert_eq!(numbers(&follow(&mut again)), [30, -31, 32, 40, -41, 42]);

    let mut lost = pending;
    lost.retain(|session| gone.sessions.contains(session));
    assert_eq!(lost.count().unwrap(), [(ids[0].clone(), 1), (ids[1].clone(), 2)]);
}

#[test]
fn removed_segments_of_the_current_session_do_not_stop_it() {
    let fixture = Fixture::new();
    let mut writer = block_on(fixture.writer());
    writer.set_rotate_bytes(1);
    for seq in 1..=5 {
        block_on(writer.append(&[line(seq, "x")])).unwrap();
    }
    let mut follower = Follower::open(fixture.sessions(), None, writer.id().clone()).unwrap();
    let mut found = Vec::new();
    follower.read(1, &mut found).unwrap();
    follower.read(1, &mut found).unwrap();
    assert_eq!(numbers(&found), [1]);
    for segment in [2, 4] {
        fs::remove_file(fixture.path(&format!("{}.{segment:04}.jsonl", writer.id()))).unwrap();
    }
    let mut rest = Vec::new();
    // A gap in the numbers is only looked into now and then.
    for _ in 0..200 {
        follower.read(ALL, &mut rest).unwrap();
    }
    assert_eq!(numbers(&rest), [3, 5]);
}

#[test]
fn a_damaged_line_hides_only_itself() {
    let fixture = Fixture::new();
    let mut writer = block_on(fixture.writer());
    block_on(writer.append(&[line(1, "a"), line(2, "b"), line(3, "c"), line(4, "d")])).unwrap();
    let path = fixture.path(&format!("{}.jsonl", writer.id()));
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|window| window == b"\"b\",").unwrap();
    bytes[at + 1] = b'x';
    // The line feed after the third.
    let ends: Vec<_> = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').collect();
    let end = ends[3].0;
    bytes[end] = b'#';
    bytes.extend_from_slice(b"{\"kind\":\"entry\",\"crc\":\"");
    fs::write(&path, &bytes).unwrap();
    let mut follower = Follower::open(fixture.sessions(), None, writer.id().clone()).unwrap();
    let found = follow(&mut follower);
    assert_eq!(numbers(&found), [1, 3, 4]);
    assert_eq!(follower.damaged(), 1);
    let after_3 = found[found.len() - 2].after.clone();
    let mut again = Follower::open(fixture.sessions(), Some(after_3), writer.id().clone()).unwrap();
    assert_eq!(numbers(&follow(&mut again)), [4]);
}

#[test]
fn a_line_that_is_longer_than_any_may_be_is_passed_over() {
    let fixture = Fixture::new();
    let mut writer = block_on(fixture.writer());
    block_on(writer.append(&[line(1, "a")])).unwrap();
    let path = fixture.path(&format!("{}.jsonl", writer.id()));
    let mut follower = Follower::open(fixture.sessions(), None, writer.id().clone()).unwrap();
    assert_eq!(numbers(&follow(&mut follower)), [1]);
    let add = |bytes: &[u8]| {
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
    };
    add(&vec![b'x'; 20 << 20]);
    assert_eq!(follow(&mut follower), []);
    add(b"\n");
    block_on(writer.append(&[line(2, "b")])).unwrap();
    assert_eq!(numbers(&follow(&mut follower)), [2]);
    assert_eq!(follower.damaged(), 1);
}

#[test]
fn a_segment_that_cannot_be_read_can_be_given_up() {
    let fixture = Fixture::new();
    let mut old = block_on(fixture.writer());
    block_on(old.append(&[line(1, "a")])).unwrap();
    let mut current = block_on(fixture.writer());
    block_on(current.append(&[line(2, "b")])).unwrap();
    // A directory that goes by the name of a file opens, and cannot be read.
    let path = fixture.path(&format!("{}.jsonl", old.id()));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let start = Some(Position::start_of(old.id().clone()));
    let mut follower = Follower::open(fixture.sessions(), start, current.id().clone()).unwrap();
    assert!(matches!(follower.read(ALL, &mut Vec::new()), Err(Error::Read { .. })));
    assert!(follower.give_up_segment().unwrap());
    assert_eq!(numbers(&follow(&mut follower)), [2]);
    assert!(!follower.give_up_segment().unwrap(), "there is nothing after it");
}

#[test]
fn going_back_ends_at_the_beginning_of_a_line() {
    let fixture = Fixture::new();
    let mut writers: Vec<_> = (0..2)
        .map(|n| block_on(fixture.directory.create_session(&time(n), header())).unwrap())
        .collect();
    let mut seq = 0;
    for writer in &mut writers {
        writer.set_rotate_bytes(2000);
        for _ in 0..20 {
            seq += 1;
            block_on(writer.append(&[line(seq, "some text")])).unwrap();
        }
    }
    let current = writers[1].id().clone();
    let mut follower = Follower::open(fixture.sessions(), None, current.clone()).unwrap();
    assert_eq!(numbers(&follow(&mut follower)).len(), 40);
    let (end, mut most) = (follower.position().clone(), 0);
    let whole = {
        follower.rewind(u64::MAX).unwrap();
        follower.waiting().unwrap()
    };
    for back in (0..whole + 500).step_by(97) {
        follower.seek(end.clone());
        assert_eq!(follower.waiting().unwrap(), 0);
        follower.rewind(back).unwrap();
        let waiting = follower.waiting().unwrap();
        assert!(waiting <= back, "{waiting} {back}");
        let found = numbers(&follow(&mut follower));
        assert!(found.iter().rev().copied().eq((1..=40).rev().take(found.len())), "{found:?}");
        assert!(found.len() >= most, "further back is never less");
        assert_eq!(follower.damaged(), 0);
        most = found.len();
    }
    assert_eq!(most, 40);
}

/// A text with what could be taken for an origin.
fn text() -> impl Strategy<Value = String> {
    const TRICKY: [&str; 6] =
        ["\"origin\":", "origin", "\\\"origin\"", "{\"origin\":{}}", "\u{202e}", "ä\n"];
    prop::collection::vec(prop::sample::select(&TRICKY[..]), 0..4).prop_map(|parts| parts.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), text().prop_map(Value::from)];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop::collection::vec((text(), inner), 0..3)
            .prop_map(|values| Value::Object(values.into_iter().collect()))
    })
}

/// A line, and what it is: an entry or not.
fn any_line() -> impl Strategy<Value = Line> {
    let fields = prop::collection::btree_map(text(), value(), 0..3);
    (0..5_u8, text(), fields).prop_map(|(what, message, fields)| match what {
        0 => repeat(1, 2),
        1 => loss(DropReason::Stopped, 1),
        _ => {
            let mut entry = Arc::unwrap_or_clone(entry(1, &message));
            entry.fields = fields.into_iter().collect::<Fields>();
            if what == 2 {
                let Line::Entry { entry: other, .. } = collected(1) else { unreachable!() };
                entry.origin.clone_from(&other.origin);
            }
            Line::entry(Arc::new(entry))
        }
    })
}

/// The bytes of the segments of a record, written as it is always written.
fn record(lines: &[Line], rotate_bytes: u64) -> (SessionId, Vec<Vec<u8>>) {
    let fixture = Fixture::new();
    let mut writer = block_on(fixture.writer());
    writer.set_rotate_bytes(rotate_bytes);
    for line in lines {
        block_on(writer.append(std::slice::from_ref(line))).unwrap();
    }
    let segments = (0..).map_while(|number| {
        let name = if number == 0 { String::new() } else { format!(".{number:04}") };
        fs::read(fixture.path(&format!("{}{name}.jsonl", writer.id()))).ok()
    });
    (writer.id().clone(), segments.collect())
}

/// What is in a record, read by parsing all of it.
fn naive(segments: &[Vec<u8>]) -> Vec<(Value, bool)> {
    let lines = segments.iter().flat_map(|bytes| bytes.split(|&byte| byte == b'\n'));
    let entries = lines.filter_map(|line| {
        let mut value: Value = serde_json::from_slice(line).ok()?;
        if value["kind"] != "entry" {
            return None;
        }
        let entry: LogEntry = serde_json::from_slice(line).unwrap();
        let object = value.as_object_mut().unwrap();
        object.remove("kind");
        object.remove("crc");
        Some((value, entry.origin.is_some()))
    });
    entries.collect()
}

/// Where the files are cut into pieces that appear one by one: pairs of a
/// segment and its new content. The next segment appears before the last line
/// of the one before.
fn pieces(segments: &[Vec<u8>], mut cuts: impl Iterator<Item = usize>) -> Vec<(usize, Vec<u8>)> {
    let mut pieces = Vec::new();
    for (number, bytes) in segments.iter().enumerate() {
        let last_line = bytes[..bytes.len() - 1].iter().rposition(|&b| b == b'\n').unwrap() + 1;
        let is_last = number + 1 == segments.len();
        let body = if is_last { bytes.len() } else { last_line };
        let mut at = 0;
        while at < body {
            let end = (at + cuts.next().unwrap()).min(body);
            pieces.push((number, bytes[at..end].to_vec()));
            at = end;
        }
        if !is_last {
            pieces.push((number + 1, Vec::new()));
            let (start, end) = bytes[body..].split_at((bytes.len() - body) / 2);
            pieces.extend([(number, start.to_vec()), (number, end.to_vec())]);
        }
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_half_line_is_ever_read_and_none_is_missed(
        lines in prop::collection::vec(any_line(), 1..40),
        rotate_bytes in 500..20_000_u64,
        cuts in prop::collection::vec(1..700_usize, 1..30),
        reads in prop::collection::vec(1..5000_usize, 1..20),
        restarts in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let (id, segments) = record(&lines, rotate_bytes);
        let root = tempfile::tempdir().unwrap();
        let sessions = || Sessions::at(root.path());
        let mut follower = Follower::open(sessions(), None, id.clone()).unwrap();
        let mut counter = Follower::open(sessions(), None, id.clone()).unwrap();
        let (mut found, mut counted) = (Vec::new(), 0);
        let (mut reads, mut restarts) = (reads.into_iter().cycle(), restarts.into_iter().cycle());
        for (number, piece) in pieces(&segments, cuts.into_iter().cycle()) {
            let name = if number == 0 { String::new() } else { format!(".{number:04}") };
            let path = root.path().join(format!("{id}{name}.jsonl"));
            let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            std::io::Write::write_all(&mut file, &piece).unwrap();
            follower.read(reads.next().unwrap(), &mut found).unwrap();
            prop_assert_eq!(follower.damaged(), 0);
            counted += total(counter.count(reads.next().unwrap()).unwrap().1);
            if restarts.next().unwrap() {
                let at = follower.position().clone();
                follower = Follower::open(sessions(), Some(at), id.clone()).unwrap();
            }
        }
        while follower.read(1000, &mut found).unwrap() > 0 {}
        counted += total(counter.count(ALL).unwrap().1);
        let entries: Vec<_> = found.iter().filter_map(|followed| match &followed.what {
            Found::Entry { json, is_collected } => {
                Some((serde_json::from_slice::<Value>(json).unwrap(), *is_collected))
            }
            _ => None,
        }).collect();
        let naive = naive(&segments);
        prop_assert_eq!(&entries, &naive);
        let own = naive.iter().filter(|(_, is_collected)| !is_collected).count() as u64;
        prop_assert_eq!(counted, own);
        let pending = |from: &Position| total(sessions().pending(from).unwrap().count().unwrap());
        prop_assert_eq!(pending(&Position::start_of(id.clone())), own);
        // From anywhere, what is pending is what is still to come.
        let mut left = own;
        for followed in &found {
            left -= u64::from(matches!(followed.what, Found::Entry { is_collected: false, .. }));
            prop_assert_eq!(pending(&followed.after), left);
        }
    }
}
