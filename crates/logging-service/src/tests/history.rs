//! What was logged, at its edges.

use std::pin::pin;

use logging_api::Page;
use tokio_util::sync::CancellationToken;

use super::*;

fn query(range: Range, limit: usize) -> Query {
    Query { session: None, filter: FilterSpec::default(), range, limit }
}

fn seqs(page: &Page) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.seq).collect()
}

#[tokio::test]
async fn the_last_number_there_is_has_nothing_after_it() {
    let setup = Setup::started().await;
    setup.say("one");
    setup.written(1).await;
    assert_eq!(setup.page(Range::After(u64::MAX), 5).await, [0; 0]);
    assert_eq!(setup.page(Range::Latest { before: Some(u64::MAX) }, 5).await, [1]);
    assert_eq!(setup.page(Range::Latest { before: Some(0) }, 5).await, [0; 0]);
}

#[tokio::test]
async fn what_memory_has_is_shown_although_the_files_are_gone() {
    let setup = Setup::opened(|config| config.max_memory_logs = 10.try_into().unwrap()).await;
    let mut setup = setup;
    setup.logging.start().await.unwrap();
    (1..=30).for_each(|n| setup.say(&format!("line {n}")));
    setup.written(30).await;
    std::fs::remove_dir_all(setup.logs.path().join("logs")).unwrap();
    let latest = Range::Latest { before: None };
    assert_eq!(setup.page(latest.clone(), 10).await, (21..=30).collect::<Vec<_>>());
    assert_eq!(setup.page(latest, 20).await, (21..=30).collect::<Vec<_>>());
    assert_eq!(setup.page(Range::After(0), 20).await, (21..=30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_page_has_no_gap_while_the_files_lag_behind_memory() {
    let (setup, work) =
        Setup::taken_apart(|config| config.max_memory_logs = 10.try_into().unwrap()).await;
    (1..=30).for_each(|n| setup.say(&format!("line {n}")));
    let stopped = CancellationToken::new();
    let mut pipeline = pin!(work.pipeline.run(stopped.clone()));
    assert!(timeout(Duration::from_millis(10), &mut pipeline).await.is_err());
    let handle = setup.logging.handle();
    let (latest, after, _) = tokio::join!(
        handle.entries(query(Range::Latest { before: None }, 25)),
        handle.entries(query(Range::After(2), 25)),
        async {
            stopped.cancel();
            tokio::join!(pipeline, work.keeper.run(CancellationToken::new()))
        }
    );
    assert_eq!(seqs(&latest.unwrap()), (6..=30).collect::<Vec<_>>());
    assert_eq!(seqs(&after.unwrap()), (3..=27).collect::<Vec<_>>());
}
