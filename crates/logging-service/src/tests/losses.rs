//! A disk that is behind, and what is said about it afterwards.

use std::collections::HashSet;
use std::pin::pin;

use log_entry::EntryId;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::service::{State, Work};

/// Batches that wait for the disk before the next is refused.
const QUEUED: u64 = crate::outputs::store::BATCHES_MAX as u64;

impl Setup {
    /// A service whose parts a test runs, each when it likes.
    pub(super) async fn taken_apart(change: impl FnOnce(&mut Config)) -> (Self, Work) {
        let mut setup = Self::opened(|config| {
            config.batch_size = 1.try_into().unwrap();
            change(config);
        })
        .await;
        let State::Opened(work) = std::mem::replace(&mut setup.logging.state, State::Ended) else {
            unreachable!("it was just opened")
        };
        (setup, *work)
    }

    fn repeats(&self) -> Vec<EntryId> {
        let repeat = |line| match line {
            ReadLine::Repeat(repeat) => Some(repeat.of),
            _ => None,
        };
        self.lines().into_iter().filter_map(repeat).collect()
    }

    fn told_losses(&self, reason: &str) -> u64 {
        let count = |line: &ReadLine| match line {
            ReadLine::Other(value) if value["kind"] == "loss" && value["reason"] == reason => {
                value["count"].as_u64()
            }
            _ => None,
        };
        self.lines().iter().filter_map(count).sum()
    }

    /// Whose records the losses in the record were, in all.
    fn told_losses_of(&self, service: &str) -> u64 {
        let count = |line: &ReadLine| match line {
            ReadLine::Other(value) => value["by_service"][service].as_u64(),
            _ => None,
        };
        self.lines().iter().filter_map(count).sum()
    }

    fn is_damaged(&self) -> bool {
        session_store::verify(self.logs.path().join("logs")).unwrap().is_damaged()
    }
}

#[tokio::test(start_paused = true)]
async fn losses_while_the_disk_was_behind_are_told_when_it_is_not() {
    let (setup, work) = Setup::taken_apart(|_| {}).await;
    (0..QUEUED + 50).for_each(|n| setup.say(&format!("line {n}")));
    let stopped = CancellationToken::new();
    let mut pipeline = pin!(work.pipeline.run(stopped.clone()));
    assert!(timeout(Duration::from_secs(5), &mut pipeline).await.is_err());
    let mut keeper = pin!(work.keeper.run(CancellationToken::new()));
    let both = async { tokio::join!(&mut pipeline, &mut keeper) };
    assert!(timeout(Duration::from_secs(5), both).await.is_err());
    setup.say("the disk is back");
    stopped.cancel();
    tokio::join!(pipeline, keeper);
    let stats = setup.logging.handle().stats();
    assert_eq!((stats.dropped["not_written"], stats.in_flight), (50, 0));
    assert_eq!(setup.told_losses("not_written"), 50);
    assert_eq!(setup.told_losses_of("gpt_service"), 50);
    assert_eq!(setup.entries().last().unwrap().message, "the disk is back");
    assert!(!setup.is_damaged(), "the missing numbers are accounted for");
}

#[tokio::test(start_paused = true)]
async fn losses_that_come_too_late_for_the_pipeline_are_told_all_the_same() {
    let (setup, work) = Setup::taken_apart(|_| {}).await;
    (0..QUEUED + 50).for_each(|n| setup.say(&format!("line {n}")));
    let stopped = CancellationToken::new();
    stopped.cancel();
    work.pipeline.run(stopped).await;
    setup.offer(info("too late"));
    work.keeper.run(CancellationToken::new()).await;
    let lost = setup.logging.handle().stats().dropped["not_written"];
    assert_eq!((setup.told_losses("not_written"), setup.told_losses("stopped")), (lost, 1));
}

#[tokio::test(start_paused = true)]
async fn no_repeat_points_at_an_entry_that_was_lost() {
    let (setup, work) = Setup::taken_apart(|_| {}).await;
    (0..QUEUED).for_each(|n| setup.say(&format!("line {n}")));
    setup.say("again");
    let stopped = CancellationToken::new();
    let mut pipeline = pin!(work.pipeline.run(stopped.clone()));
    assert!(timeout(Duration::from_secs(1), &mut pipeline).await.is_err());
    let mut keeper = pin!(work.keeper.run(CancellationToken::new()));
    let both = async { tokio::join!(&mut pipeline, &mut keeper) };
    assert!(timeout(Duration::from_secs(1), both).await.is_err());
    setup.say("again");
    setup.say("again");
    stopped.cancel();
    tokio::join!(pipeline, keeper);
    assert_eq!(setup.repeats().len(), 1);
    let ids: HashSet<_> = setup.entries().into_iter().map(|entry| entry.entry_id).collect();
    for of in setup.repeats() {
        assert!(ids.contains(&of), "{of} is repeated, but nowhere in the record");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_files_were_removed_is_kept() {
    let (setup, work) = Setup::taken_apart(|_| {}).await;
    setup.say("one");
    let stopped = CancellationToken::new();
    let mut pipeline = pin!(work.pipeline.run(stopped.clone()));
    let mut keeper = pin!(work.keeper.run(CancellationToken::new()));
    let both = async { tokio::join!(&mut pipeline, &mut keeper) };
    assert!(timeout(Duration::from_secs(5), both).await.is_err());
    std::fs::remove_dir_all(setup.logs.path().join("logs")).unwrap();
    setup.say("two");
    stopped.cancel();
    tokio::join!(pipeline, keeper);
    let entries = setup.entries();
    assert_eq!((entries.len(), &*entries[0].message), (1, "two"));
}
