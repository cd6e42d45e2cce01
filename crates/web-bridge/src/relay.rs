//! From the bus to the clients: one subscriber, however many browsers there are.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use bus::{Bus, Delivery, Event, ORIGIN, Subscription};
use log_entry::EntryId;
use logging_api::{DASHBOARD_LOG, ENTRY_NUMBER, LOG_ENTRY, LOG_REPEAT, RepeatUpdate};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::client::{Gap, GapReason, LiveEntry, RepeatCount};
use crate::hub::Hub;

/// Parses each entry once and hands it to every client. It waits for the bus
/// and for nothing else.
pub(crate) struct Relay {
    hub: Arc<Hub>,
    entries: Subscription,
    repeats: Subscription,
    summaries: Subscription,
    recent: Recent,
    early: Early,
    /// Entries of other instances come here.
    collects: bool,
    /// The `seq` of the latest entry.
    last: u64,
    /// The number of the latest entry among those that were published.
    last_number: Option<u64>,
    /// Events that did not come, since the latest entry.
    missing: u64,
}

/// Entries that may be repeated, so that a count goes only to those who want
/// its entry.
#[derive(Debug, Default)]
struct Recent {
    entries: HashMap<EntryId, Arc<LiveEntry>>,
    order: VecDeque<EntryId>,
    bytes: usize,
}

/// Counts from other instances that came before their entry: they take the
/// shorter way.
#[derive(Debug, Default)]
struct Early {
    counts: HashMap<EntryId, RepeatCount>,
    order: VecDeque<EntryId>,
}

/// Events that may wait for the relay, of each topic.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");
/// Events handled before the clients' tasks get their turn.
const BATCH: usize = 128;
const RECENT_MAX: usize = 1024;
const RECENT_BYTES_MAX: usize = 512 * 1024;
const EARLY_MAX: usize = 256;

// === impl Relay ===

impl Relay {
    pub(crate) async fn subscribe(bus: &dyn Bus, hub: Arc<Hub>) -> Result<Self, Error> {
        Ok(Self {
            hub,
            entries: subscribe(bus, LOG_ENTRY.name()).await?,
            repeats: subscribe(bus, LOG_REPEAT.name()).await?,
            summaries: subscribe(bus, DASHBOARD_LOG.name()).await?,
            recent: Recent::default(),
            early: Early::default(),
            collects: false,
            last: 0,
            last_number: None,
            missing: 0,
        })
    }

    /// Relays until the bus is closed or `cancelled` is.
    pub(crate) async fn run(mut self, cancelled: CancellationToken) {
        loop {
            let (first, is_entry) = tokio::select! {
                biased;
                () = cancelled.cancelled() => return,
                entry = self.entries.recv() => (entry, true),
                repeat = self.repeats.recv() => (repeat, false),
                summary = self.summaries.recv() => (summary, false),
            };
            // Entries first: what is said about them must not overtake them.
            match first {
                Some(delivery) if is_entry => self.relay_entry(delivery),
                Some(delivery) => {
                    self.relay_entries();
                    self.relay_about(&delivery);
                }
                None => {
                    while self.relay_waiting() {}
                    return;
                }
            }
            self.relay_waiting();
            tokio::task::yield_now().await;
        }
    }

    /// Relays some of what is queued, and says whether there was anything.
    fn relay_waiting(&mut self) -> bool {
        let mut count = self.relay_entries();
        for _ in 0..BATCH {
            let next = self.repeats.try_recv().or_else(|_| self.summaries.try_recv());
            let Ok(delivery) = next else { break };
            self.relay_about(&delivery);
            count += 1;
        }
        count > 0
    }

    fn relay_entries(&mut self) -> usize {
        for count in 0..BATCH {
            let Ok(delivery) = self.entries.try_recv() else { return count };
            self.relay_entry(delivery);
        }
        BATCH
    }

    /// Relays what is said about entries. A count that did not come is made up
    /// for by the next one.
    fn relay_about(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Event(event) if *event.topic == *LOG_REPEAT.name() => {
                self.relay_repeat(event);
            }
            Delivery::Event(event) => self.relay_summary(event),
            Delivery::Missed(_) => {}
        }
    }

    fn relay_entry(&mut self, delivery: Delivery) {
        let event = match delivery {
            Delivery::Event(event) => event,
            Delivery::Missed(count) => {
                self.missing += count;
                return;
            }
        };
        // What cannot be read is missing as well.
        let Ok(entry) = LOG_ENTRY.decode(&event) else {
            self.missing += 1;
            return;
        };
        let entry = Arc::new(LiveEntry::new(entry));
        self.tell_missing(entry.entry.seq, number(&event));
        self.last = entry.entry.seq;
        self.hub.send(&entry);
        if entry.entry.origin.is_some() {
            self.collects = true;
            if let Some(count) = self.early.take(&entry.entry.entry_id) {
                self.hub.send_repeat(&count, Some(&entry.entry));
            }
        }
        self.recent.add(entry);
    }

    /// Tells of entries that did not come before the one with the `seq` `next`.
    /// Its number also knows of those that were lost before they reached the
    /// bus, which has counted them.
    fn tell_missing(&mut self, next: u64, number: Option<u64>) {
        let missing = std::mem::take(&mut self.missing);
        self.hub.count_missed(missing);
        let last_number = std::mem::replace(&mut self.last_number, number);
        let skipped = number.zip(last_number).map(|(number, last)| number.saturating_sub(last + 1));
        let count = skipped.unwrap_or(missing);
        if count > 0 {
            let gap =
                Gap { reason: GapReason::NotKept, count, after: self.last, before: Some(next) };
            self.hub.send_gap(&gap);
        }
    }

    fn relay_repeat(&mut self, event: &Event) {
        let Ok(RepeatUpdate { of, seq, count, last, .. }) = LOG_REPEAT.decode(event) else {
            return;
        };
        let entry = self.recent.entries.get(&of);
        if !comes_from_elsewhere(event) {
            let count = RepeatCount { of, seq: Some(seq), count, last };
            return self.hub.send_repeat(&count, entry.map(|entry| &entry.entry));
        }
        // The `seq` counts in a session over there, and means nothing here.
        let count = RepeatCount { of, seq: None, count, last };
        if entry.is_some() || self.collects {
            self.hub.send_repeat(&count, entry.map(|entry| &entry.entry));
        }
        if entry.is_none() && self.collects {
            self.early.keep(count);
        }
    }

    /// Of the short forms only the lines that end a window: the others are
    /// relayed as entries. Those from elsewhere only where their entries are.
    fn relay_summary(&self, event: &Event) {
        if (self.collects || !comes_from_elsewhere(event))
            && let Ok(line) = DASHBOARD_LOG.decode(event)
            && line.repeats > 0
        {
            self.hub.send_summary(&Arc::new(line));
        }
    }
}

/// Whether another instance published it, and it was brought onto our bus.
fn comes_from_elsewhere(event: &Event) -> bool {
    event.headers.get(ORIGIN).is_some()
}

/// The number of an entry among those that were published, if it was given.
fn number(event: &Event) -> Option<u64> {
    event.headers.get(ENTRY_NUMBER)?.parse().ok()
}

async fn subscribe(bus: &dyn Bus, topic: &'static str) -> Result<Subscription, Error> {
    bus.subscribe(topic, CAPACITY).await.map_err(|source| Error::Subscribe { topic, source })
}

// === impl Recent ===

impl Recent {
    fn add(&mut self, entry: Arc<LiveEntry>) {
        let id = entry.entry.entry_id.clone();
        self.bytes += entry.json.len();
        if let Some(other) = self.entries.insert(id.clone(), entry) {
            self.bytes -= other.json.len();
        } else {
            self.order.push_back(id);
        }
        while self.order.len() > RECENT_MAX || self.bytes > RECENT_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            let oldest = self.entries.remove(&oldest);
            self.bytes -= oldest.map_or(0, |entry| entry.json.len());
        }
    }
}

// === impl Early ===

impl Early {
    /// Keeps `count` until its entry comes, or too many others have come.
    fn keep(&mut self, count: RepeatCount) {
        let id = count.of.clone();
        if self.counts.insert(id.clone(), count).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > EARLY_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.counts.remove(&oldest);
        }
    }

    fn take(&mut self, id: &EntryId) -> Option<RepeatCount> {
        let count = self.counts.remove(id)?;
        self.order.retain(|other| other != id);
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Item, Repeats, Wanted};
    use crate::config::QueueLimits;
    use crate::fixture::{entry, entry_from};
    use bus::{BusExt, MemoryBus, Topic};
    use log_entry::{FilterSpec, Level};
    use logging_api::DashboardLog;

    async fn relay(bus: &MemoryBus) -> (Relay, Arc<Hub>) {
        let hub = Hub::new(8, QueueLimits::default());
        (Relay::subscribe(bus, hub.clone()).await.unwrap(), hub)
    }

    /// Relays what is on the bus until it is closed.
    async fn finish(relay: Relay, bus: MemoryBus) {
        bus.close().await.unwrap();
        relay.run(CancellationToken::new()).await;
    }

    fn counts(of: u64) -> RepeatUpdate {
        let entry = entry(of);
        RepeatUpdate { of: entry.entry_id, seq: 9, count: 3, last: entry.timestamp, closed: false }
    }

    #[tokio::test]
    async fn every_client_gets_every_entry_it_wants_in_order() {
        let bus = MemoryBus::default();
        let (relay, hub) = relay(&bus).await;
        let all = hub.join(Wanted::default(), Repeats::Counted);
        let errors = FilterSpec { level: Some(Level::Error), ..FilterSpec::default() };
        let none = hub.join(Wanted::new(&errors).unwrap(), Repeats::Counted);
        for seq in 1..=3 {
            bus.publish_json(&LOG_ENTRY, &entry(seq)).await.unwrap();
        }
        finish(relay, bus).await;
        let seqs: Vec<_> = all
            .client()
            .take(10, usize::MAX)
            .items
            .into_iter()
            .map(|item| match item {
                Item::Entry(entry) => entry.entry.seq,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seqs, [1, 2, 3]);
        assert!(none.client().take(10, usize::MAX).items.is_empty());
    }

    #[tokio::test]
    async fn what_the_bus_lost_is_a_gap_for_everyone() {
        let bus = MemoryBus::default();
        let (relay, hub) = relay(&bus).await;
        let member = hub.join(Wanted::default(), Repeats::Counted);
        for seq in 1..=u64::try_from(CAPACITY.get()).unwrap() + 2 {
            bus.publish_json(&LOG_ENTRY, &entry(seq)).await.unwrap();
        }
        finish(relay, bus).await;
        // The client's own queue is smaller than the bus's: its gap swallows the other.
        let batch = member.client().take(10, usize::MAX);
        let Some(Item::Gap(gap)) = batch.items.first() else { panic!("{batch:?}") };
        let Some(Item::Entry(next)) = batch.items.get(1) else { panic!("{batch:?}") };
        assert_eq!((gap.after, gap.before), (0, Some(next.entry.seq)));
        assert_eq!(gap.count, next.entry.seq - 1);
        assert_eq!(hub.missed(), gap.count);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_missing() {
        let bus = MemoryBus::default();
        let (relay, hub) = relay(&bus).await;
        let member = hub.join(Wanted::default(), Repeats::Counted);
        bus.publish(Event::new(LOG_ENTRY.name(), "{}")).await.unwrap();
        bus.publish_json(&LOG_ENTRY, &entry(5)).await.unwrap();
        finish(relay, bus).await;
        let batch = member.client().take(10, usize::MAX);
        assert!(matches!(
            &batch.items[0],
            Item::Gap(Gap { reason: GapReason::NotKept, count: 1, after: 0, before: Some(5) })
        ));
    }

    #[tokio::test]
    async fn what_was_lost_before_the_bus_is_a_gap_too() {
        let bus = MemoryBus::default();
        let (relay, hub) = relay(&bus).await;
        let member = hub.join(Wanted::default(), Repeats::Counted);
        // Numbers 3 to 5 were lost; the `seq` in between belong to repeats.
        for (number, seq) in [(1, 10), (2, 20), (6, 60)] {
            let event = LOG_ENTRY.encode(&entry(seq)).unwrap();
            let event = event.with_header(ENTRY_NUMBER, number.to_string());
            bus.publish(event).await.unwrap();
        }
        finish(relay, bus).await;
        let items = member.client().take(10, usize::MAX).items;
        assert!(matches!(
            &items[..],
            [
                Item::Entry(_),
                Item::Entry(_),
                Item::Gap(Gap {
                    reason: GapReason::NotKept,
                    count: 3,
                    after: 20,
                    before: Some(60)
                }),
                Item::Entry(_),
            ]
        ));
        assert_eq!(hub.missed(), 0, "who lost them has counted them");
    }

    #[tokio::test]
    async fn repeats_are_counted_for_one_client_and_summed_up_for_the_other() {
        let bus = MemoryBus::default();
        let (relay, hub) = relay(&bus).await;
        let counted = hub.join(Wanted::default(), Repeats::Counted);
        let summed = hub.join(Wanted::default(), Repeats::Summed);
        let short = DashboardLog::from(&entry(1));
        let sum = DashboardLog { repeats: 3, ..short.clone() };
        bus.publish_json(&LOG_ENTRY, &entry(1)).await.unwrap();
        bus.publish_json(&DASHBOARD_LOG, &short).await.unwrap();
        bus.publish_json(&LOG_REPEAT, &counts(1)).await.unwrap();
        bus.publish_json(&DASHBOARD_LOG, &sum).await.unwrap();
        finish(relay, bus).await;
        let batch = counted.client().take(10, usize::MAX);
        assert_eq!((batch.items.len(), batch.repeats[0].count), (1, 3));
        let batch = summed.client().take(10, usize::MAX);
        assert!(matches!(&batch.items[1], Item::Summary(line) if **line == sum));
        assert!(batch.items.len() == 2 && batch.repeats.is_empty());
    }

    /// `payload` as it comes from another instance.
    async fn from_elsewhere<T: serde::Serialize>(bus: &MemoryBus, topic: &Topic<T>, payload: &T) {
        let event = topic.encode(payload).unwrap().with_header(ORIGIN, "bb8-00c0ffee");
        bus.publish(event).await.unwrap();
    }

    #[tokio::test]
    async fn a_count_from_elsewhere_has_no_number_of_ours() {
        let bus = MemoryBus::default();
        let (relay, hub) = relay(&bus).await;
        let member = hub.join(Wanted::default(), Repeats::Counted);
        let others = FilterSpec { hosts: vec!["!bb8".into()], ..FilterSpec::default() };
        let other = hub.join(Wanted::new(&others).unwrap(), Repeats::Counted);
        bus.publish_json(&LOG_ENTRY, &entry_from("bb8", 1)).await.unwrap();
        from_elsewhere(&bus, &LOG_REPEAT, &counts(1)).await;
        finish(relay, bus).await;
        let batch = member.client().take(10, usize::MAX);
        assert_eq!((batch.repeats[0].seq, batch.repeats[0].count), (None, 3));
        let batch = other.client().take(10, usize::MAX);
        assert!(batch.items.is_empty() && batch.repeats.is_empty(), "{batch:?}");
    }

    #[tokio::test]
    async fn a_count_that_overtook_its_entry_is_told_after_it() {
        let bus = MemoryBus::default();
        let (mut relay, hub) = relay(&bus).await;
        let member = hub.join(Wanted::default(), Repeats::Counted);
        for (seq, count) in [(1, None), (2, Some(2))] {
            if let Some(of) = count {
                from_elsewhere(&bus, &LOG_REPEAT, &counts(of)).await;
                relay.relay_waiting();
                // Who knows the entry already has the count; who does not passes it over.
                assert_eq!(member.client().take(10, usize::MAX).repeats.len(), 1);
            }
            bus.publish_json(&LOG_ENTRY, &entry_from("bb8", seq)).await.unwrap();
            relay.relay_waiting();
            let batch = member.client().take(10, usize::MAX);
            assert_eq!((batch.items.len(), batch.repeats.len()), (1, usize::from(count.is_some())));
        }
        assert!(relay.early.order.is_empty() && relay.early.counts.is_empty());
    }

    #[tokio::test]
    async fn what_is_said_of_entries_elsewhere_is_not_relayed_where_they_do_not_come() {
        let bus = MemoryBus::default();
        let (relay, hub) = relay(&bus).await;
        let counted = hub.join(Wanted::default(), Repeats::Counted);
        let summed = hub.join(Wanted::default(), Repeats::Summed);
        bus.publish_json(&LOG_ENTRY, &entry(1)).await.unwrap();
        from_elsewhere(&bus, &LOG_REPEAT, &counts(7)).await;
        let line = DashboardLog { repeats: 3, ..DashboardLog::from(&entry(7)) };
        from_elsewhere(&bus, &DASHBOARD_LOG, &line).await;
        finish(relay, bus).await;
        for member in [counted, summed] {
            let batch = member.client().take(10, usize::MAX);
            assert_eq!((batch.items.len(), batch.repeats.len()), (1, 0), "{batch:?}");
        }
    }

    #[test]
    fn counts_without_an_entry_are_bounded() {
        let mut early = Early::default();
        let count = |of| {
            let RepeatUpdate { of, count, last, .. } = counts(of);
            RepeatCount { of, seq: None, count, last }
        };
        for seq in 0..1000 {
            early.keep(count(seq));
            early.keep(count(seq));
        }
        assert_eq!((early.order.len(), early.counts.len()), (EARLY_MAX, EARLY_MAX));
        assert!(early.take(&count(0).of).is_none());
        assert!(early.take(&count(999).of).is_some());
        assert_eq!((early.order.len(), early.counts.len()), (EARLY_MAX - 1, EARLY_MAX - 1));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut recent = Recent::default();
        for seq in 0..2000 {
            recent.add(Arc::new(LiveEntry::new(entry(seq))));
        }
        assert!(recent.order.len() <= RECENT_MAX && recent.bytes <= RECENT_BYTES_MAX);
        assert_eq!(recent.order.len(), recent.entries.len());
        let bytes: usize = recent.entries.values().map(|entry| entry.json.len()).sum();
        assert_eq!(bytes, recent.bytes);
    }
}
