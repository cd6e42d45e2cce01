//! Whatever happens, and in whatever order, every entry is on the bus once or
//! counted.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    /// So many entries, with other lines between.
    Write(usize),
    Fault(usize, Fault),
    Down,
    Up,
    /// The broker forgets ids: more time passes than it remembers them.
    Forget,
    LoseTail(usize),
    LoseStore,
    Wait(u64),
    /// The program ends, in order or not, and starts again.
    Restart {
        is_crash: bool,
    },
}

/// What was written: ids by session, in order.
type Model = BTreeMap<SessionId, Vec<String>>;

#[derive(Default)]
struct Outcome {
    model: Model,
    removed: HashSet<SessionId>,
    dropped: u64,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Lost),
        (0..300_usize).prop_map(|taken| Fault::NoAnswer { taken }),
        Just(Fault::Slow),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1..20_usize).prop_map(Action::Write),
        1 => (250..600_usize).prop_map(Action::Write),
        4 => (0..300_usize, fault()).prop_map(|(at, fault)| Action::Fault(at, fault)),
        2 => Just(Action::Down),
        3 => Just(Action::Up),
        1 => Just(Action::Forget),
        1 => (0..100_usize).prop_map(Action::LoseTail),
        1 => Just(Action::LoseStore),
        4 => (0..4_u64).prop_map(Action::Wait),
        3 => any::<bool>().prop_map(|is_crash| Action::Restart { is_crash }),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Runs `actions` until the program ends; whether they went that far.
async fn live(
    world: &mut World,
    actions: &mut impl Iterator<Item = Action>,
    outcome: &mut Outcome,
) -> bool {
    let mut life = world.begin().await;
    outcome.removed.extend(life.removed.iter().cloned());
    let mut is_crash = false;
    let ended = loop {
        let Some(action) = actions.next() else { break false };
        match action {
            Action::Write(count) => {
                let messages: Vec<String> = (0..count).map(|n| n.to_string()).collect();
                let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
                let ids = world.write(&mut life, &messages).await;
                let foreign = world.collected(&life);
                life.append([foreign]).await;
                outcome.model.entry(life.writer.id().clone()).or_default().extend(ids);
            }
            Action::Restart { is_crash: crash } => {
                is_crash = crash;
                break true;
            }
            Action::Wait(seconds) => settle(seconds).await,
            other => world.broker.with(|inner| apply(inner, &other)),
        }
    };
    if !ended {
        // In the end all is well.
        world.broker.with(|inner| {
            (inner.is_down, _) = (false, inner.faults.drain(..).count());
            inner.reconnect();
        });
        settle(10).await;
    }
    let forwarding = if is_crash { life.forwarding.clone() } else { life.stop().await };
    let dropped = forwarding.counts().dropped;
    assert!(dropped.keys().all(|reason| *reason == "bus_backlog"), "{dropped:?}");
    outcome.dropped += dropped.values().sum::<u64>();
    ended
}

fn apply(inner: &mut broker::Inner, action: &Action) {
    match action {
        Action::Fault(at, fault) => inner.faults.push_back((*at, *fault)),
        Action::Down => inner.is_down = true,
        Action::Up => {
            inner.is_down = false;
            inner.reconnect();
        }
        Action::Forget => inner.remembered.clear(),
        Action::LoseTail(count) => {
            let left = inner.kept.len().saturating_sub(*count);
            inner.lose(Some(left));
        }
        Action::LoseStore => inner.lose(None),
        Action::Write(_) | Action::Wait(_) | Action::Restart { .. } => unreachable!(),
    }
}

fn check(world: &World, outcome: &Outcome, is_certain: bool, is_in_order: bool) {
    let kept = world.broker.kept();
    let places: HashMap<&str, usize> =
        kept.iter().enumerate().map(|(at, event)| (header(event, EVENT_ID), at)).collect();
    assert_eq!(places.len(), kept.len(), "an entry is kept twice");
    let numbers = numbers(&kept);
    let (mut missing, mut missing_and_never_kept, mut total) = (0, 0, 0);
    let (mut last, mut last_number) = (None, 0);
    for (session, ids) in &outcome.model {
        total += ids.len() as u64;
        for id in ids {
            let Some(&at) = places.get(id.as_str()) else {
                assert!(outcome.removed.contains(session), "{id} of {session} is missing");
                missing += 1;
                let was_kept = world.broker.with(|inner| inner.ever_kept.contains(id));
                missing_and_never_kept += u64::from(!was_kept);
                continue;
            };
            assert!(!is_in_order || last < Some(at), "{id} is out of order");
            assert!(numbers[at] > last_number, "{id} has a number that does not rise");
            (last, last_number) = (Some(at), numbers[at]);
        }
    }
    assert_eq!(world.cursor().number, total, "each entry has one number");
    assert!(missing_and_never_kept <= outcome.dropped, "something was lost and not counted");
    if is_certain {
        assert_eq!(missing, outcome.dropped);
    }
}

fn run(actions: Vec<Action>, rotate_bytes: u64, max_sessions: Option<usize>) {
    // What a broker has lost comes after what came meanwhile.
    let is_loss = |action: &Action| matches!(action, Action::LoseTail(_) | Action::LoseStore);
    // What was kept, or may have been, and is removed here before that is known,
    // is counted as dropped.
    let is_unsure = |action: &Action| {
        matches!(
            action,
            Action::Fault(_, Fault::NoAnswer { .. }) | Action::Restart { is_crash: true }
        )
    };
    let is_in_order = !actions.iter().any(is_loss);
    let is_certain = is_in_order && !actions.iter().any(is_unsure);
    let (mut world, mut outcome) = (World::new(), Outcome::default());
    (world.rotate_bytes, world.max_sessions) = (rotate_bytes, max_sessions);
    let mut actions = actions.into_iter();
    // A runtime that is dropped waits for what still writes.
    while runtime().block_on(live(&mut world, &mut actions, &mut outcome)) {}
    check(&world, &outcome, is_certain, is_in_order);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_entry_is_kept_once_in_order_or_counted(
        actions in prop::collection::vec(action(), 1..40),
        rotate_bytes in prop_oneof![Just(u64::MAX), 500..50_000_u64],
        max_sessions in prop_oneof![Just(None), (1..4_usize).prop_map(Some)],
    ) {
        run(actions, rotate_bytes, max_sessions);
    }
}
