//! From events to records.

use std::sync::Arc;
use std::time::Duration;

use bus::{Event, ORIGIN};
use chrono::Utc;
use log_entry::{DropReason, Loss, Offer, RecordSink, Ticket};
use tokio::time::Instant;
use tracing::warn;

use super::CollectorHandle;
use super::earlier::Known;
use super::entry::{Foreign, Unusable};
use super::publishers::{Place, Publishers};

/// Offers entries of others to the intake, and counts everything.
pub(super) struct Taking {
    sink: Arc<dyn RecordSink>,
    /// This instance.
    pub(super) origin: Arc<str>,
    publishers: Publishers,
    /// What need not be taken in again.
    known: Known,
    handle: CollectorHandle,
    /// What is to be reported, by the latest of each kind.
    losses: Vec<Loss>,
    missing: Missing,
}

/// Entries that did not come, and were not told of yet.
#[derive(Default)]
struct Missing {
    count: u64,
    told: Option<Instant>,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is a record now, with this ticket.
    Offered(Ticket),
    /// It is not wanted, or will never be a record.
    PassedOver,
    /// The intake refused it.
    Refused,
}

/// Hosts that are counted by name; they come from outside, so their number
/// must have a bound.
const HOSTS_MAX: usize = 512;
const OTHER: &str = "(other)";
/// Text about the sender of what is no entry, in characters.
const SENDER_MAX: usize = 64;
const TELL_MISSING_EVERY: Duration = Duration::from_secs(10);

// === impl Taking ===

impl Taking {
    pub(super) fn new(
        sink: Arc<dyn RecordSink>,
        origin: Arc<str>,
        handle: CollectorHandle,
    ) -> Self {
        let (publishers, missing) = (Publishers::default(), Missing::default());
        let (known, losses) = (Known::default(), Vec::new());
        Self { sink, origin, publishers, known, handle, losses, missing }
    }

    /// From now on passes over what is `known`.
    pub(super) fn pass_over(&mut self, known: Known) {
        self.known = known;
    }

    pub(super) fn has_room(&self) -> bool {
        self.sink.has_room()
    }

    /// Offers `event` to the intake if it is an entry of another instance.
    pub(super) fn take(&mut self, event: &Event) -> Taken {
        match Foreign::read(event, &self.origin) {
            Ok(foreign) => self.offer(foreign),
            Err(Unusable::Echo) => {
                self.handle.count(|collected| collected.echoes += 1);
                Taken::PassedOver
            }
            Err(Unusable::Oversized(bytes)) => {
                self.lose(event, DropReason::Oversized, format!("an entry of {bytes} bytes"))
            }
            Err(Unusable::Malformed(why)) => self.lose(event, DropReason::Malformed, why),
        }
    }

    fn offer(&mut self, foreign: Foreign<'_>) -> Taken {
        let Foreign { origin, number, entry } = &foreign;
        let (origin, number) = (self.publishers.name(origin), *number);
        let (session, seq, host) = (entry.session_id.clone(), entry.seq, entry.host.clone());
        if self.known.has(&origin, &entry.entry_id) {
            self.publishers.note(&origin, number, &session, seq);
            self.handle.count(|collected| collected.doubles += 1);
            return Taken::PassedOver;
        }
        // Also a double is offered: it may have been lost the first time, and
        // only the pipeline knows what it has.
        match self.sink.offer(foreign.into_record(origin.clone(), Utc::now())) {
            Offer::Accepted(ticket) => {
                let place = self.publishers.note(&origin, number, &session, seq);
                self.count(&place, &host);
                Taken::Offered(ticket)
            }
            Offer::Dropped(_) => Taken::Refused,
        }
    }

    fn count(&mut self, place: &Place, host: &str) {
        self.handle.count(|collected| {
            collected.missing = collected.missing.saturating_add(place.missing);
            if place.is_double {
                collected.doubles += 1;
                return;
            }
            collected.entries += 1;
            let by_host = &mut collected.by_host;
            let has_own = by_host.contains_key(host) || by_host.len() < HOSTS_MAX;
            *by_host.entry(if has_own { host } else { OTHER }.to_owned()).or_default() += 1;
        });
        self.missing.count = self.missing.count.saturating_add(place.missing);
        if self.missing.told.is_none_or(|told| told.elapsed() >= TELL_MISSING_EVERY) {
            self.tell_missing();
        }
    }

    fn lose(&mut self, event: &Event, reason: DropReason, detail: String) -> Taken {
        self.handle.count(|collected| collected.malformed += 1);
        let sender = event.headers.get(ORIGIN).unwrap_or("nobody");
        let sender: String = sender.chars().take(SENDER_MAX).collect();
        let origin = format!("{sender} on the bus");
        match self.losses.iter_mut().find(|loss| loss.reason == reason) {
            Some(loss) => *loss = Loss { count: loss.count + 1, origin, detail, reason },
            None => self.losses.push(Loss { reason, count: 1, origin, detail }),
        }
        Taken::PassedOver
    }

    /// Reports what was no entry; the sink tells of it, once a second at the
    /// most.
    pub(super) fn report(&mut self) {
        self.losses.drain(..).for_each(|loss| self.sink.report(loss));
    }

    /// Tells of entries that did not come, if there are such.
    pub(super) fn tell_missing(&mut self) {
        if self.missing.count > 0 {
            let missing = std::mem::take(&mut self.missing.count);
            self.missing.told = Some(Instant::now());
            warn!(missing, "entries of other instances did not arrive");
        }
    }
}
