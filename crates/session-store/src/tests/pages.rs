//! Pages of entries, against the obvious way to make them.

use log_entry::{Filter, FilterSpec};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{Order, Query};

fn warnings() -> Filter {
    Filter::new(&FilterSpec { text: Some("b".into()), ..FilterSpec::default() }).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Entry(char),
    Repeat(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop_oneof![Just('a'), Just('b')].prop_map(Step::Entry),
        (1..15u64).prop_map(Step::Repeat)
    ]
}

fn query() -> impl Strategy<Value = Query> {
    let range = || prop::option::of(0..25u64);
    let order = prop_oneof![Just(Order::OldestFirst), Just(Order::NewestFirst)];
    let filter = prop_oneof![Just(false), Just(true)];
    (range(), range(), 1..8usize, order, filter).prop_map(|(after, before, limit, order, is_b)| {
        let filter = if is_b { warnings() } else { Filter::default() };
        Query { filter, after, before, limit, order }
    })
}

/// All that is wanted, and not only the page.
fn wanted(all: &[LogEntry], query: &Query) -> Vec<LogEntry> {
    let mut wanted: Vec<_> = all
        .iter()
        .filter(|entry| query.after.is_none_or(|after| entry.seq > after))
        .filter(|entry| query.before.is_none_or(|before| entry.seq < before))
        .filter(|entry| query.filter.matches(entry))
        .cloned()
        .collect();
    if query.order == Order::NewestFirst {
        wanted.reverse();
    }
    wanted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pages_hold_what_was_asked_for(steps in vec(step(), 0..40), query in query()) {
        block_on(async {
            let fixture = Fixture::new();
            let mut writer = fixture.writer().await;
            writer.set_rotate_bytes(3000);
            let mut all: Vec<LogEntry> = Vec::new();
            for step in steps {
                let written = match step {
                    Step::Entry(text) => {
                        let entry = entry(all.len() as u64 + 1, &text.to_string());
                        all.push(LogEntry::clone(&entry));
                        Line::entry(entry)
                    }
                    Step::Repeat(of) => {
                        let found = all.iter_mut().find(|entry| entry.seq == of);
                        found.into_iter().for_each(|entry| entry.repeats += 1);
                        repeat(of, of)
                    }
                };
                writer.append(&[written]).await.unwrap();
            }
            let mut expected = wanted(&all, &query);
            let has_more = expected.len() > query.limit;
            let all_wanted = expected.clone();
            expected.truncate(query.limit);
            let page = fixture.sessions().entries(writer.id(), &query).unwrap();
            prop_assert_eq!(&page.entries, &expected);
            prop_assert_eq!(page.next.is_some(), has_more);

            // Page after page, everything comes exactly once.
            let (mut query, mut found, mut next) = (query, page.entries, page.next);
            while let Some(seq) = next {
                match query.order {
                    Order::OldestFirst => query.after = Some(seq),
                    Order::NewestFirst => query.before = Some(seq),
                }
                let page = fixture.sessions().entries(writer.id(), &query).unwrap();
                found.extend(page.entries);
                next = page.next;
            }
            prop_assert_eq!(found, all_wanted);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn an_entry_is_shown_among_its_neighbours() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    writer.set_rotate_bytes(700);
    for seq in 1..=9 {
        writer.append(&[line(seq, "x"), repeat(seq, seq)]).await.unwrap();
    }
    let around = |seq, count| {
        let found = fixture.sessions().around(writer.id(), &id_of(seq), count).unwrap();
        found.map(|entries| {
            assert!(entries.iter().all(|entry| entry.repeats == 1));
            entries.iter().map(|entry| entry.seq).collect::<Vec<_>>()
        })
    };
    assert_eq!(around(5, 2), Some(vec![3, 4, 5, 6, 7]));
    assert_eq!(around(1, 2), Some(vec![1, 2, 3]));
    assert_eq!(around(9, 2), Some(vec![7, 8, 9]));
    assert_eq!(around(5, 0), Some(vec![5]));
    assert_eq!(around(10, 2), None);
}

#[tokio::test]
async fn a_page_says_how_much_it_passed_over() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer().await;
    writer.append(&[line(1, "a"), line(2, "b"), line(3, "c")]).await.unwrap();
    let record = fixture.path(&format!("{}.jsonl", writer.id()));
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("\"message\":\"b\"", "\"message\":\"B\"")).unwrap();
    let page = fixture.sessions().entries(writer.id(), &Query::default()).unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(page.damaged, 1);
}
