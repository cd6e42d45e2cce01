//! Finding out what the bus has, after something may have happened to it.

use std::time::{Duration, SystemTime};

use bus::{Durable, StoreMark};
use log_entry::Timestamp;
use logging_api::LOG_ENTRY;
use standard_service::chain;
use tokio::time::Instant;
use tracing::warn;

use super::{BOUND_EVERY, Forwarder, Trouble};
use crate::cursor::{Attempt, Confirmed};
use crate::spool::Back;

/// How far the clocks of the broker and of this machine may be apart.
const CLOCKS_APART: Duration = Duration::from_mins(1);
/// After so many failures it goes on without an answer: readers know entries
/// that come twice by their ids.
const FAILURES_MAX: u32 = 5;

impl Forwarder {
    /// Asks a bus that keeps events what it has, if that may be less than it
    /// had, or more than is known.
    pub(super) async fn reconcile(&mut self) -> Result<(), Trouble> {
        let remote = self.remote.clone();
        let Some(durable) = remote.durable() else { return Ok(()) };
        match self.ask(durable).await {
            Err(Trouble::Bus(error)) if !is_away(&error) => self.go_on_without(error),
            result => {
                self.reconcile_failures = 0;
                result
            }
        }
    }

    async fn ask(&mut self, durable: &dyn Durable) -> Result<(), Trouble> {
        let mark = self.in_time(durable.mark()).await?;
        match self.cursor.confirmed.as_ref().map(Confirmed::mark) {
            Some(before) if mark.is_behind(&before) => {
                self.publish_again(durable, before, mark).await
            }
            _ => self.find_arrived(durable, mark).await,
        }
    }

    /// The bus answers, but not what was asked.
    fn go_on_without(&mut self, error: bus::Error) -> Result<(), Trouble> {
        self.reconcile_failures += 1;
        if self.reconcile_failures < FAILURES_MAX {
            return Err(Trouble::Bus(error));
        }
        self.reconcile_failures = 0;
        warn!(
            error = chain(&error),
            "the bus does not say what it has: some entries may come twice"
        );
        Ok(())
    }

    /// Finds out which entries arrived whose publishing was not confirmed.
    async fn find_arrived(
        &mut self,
        durable: &dyn Durable,
        mark: StoreMark,
    ) -> Result<(), Trouble> {
        let Some(Attempt { through, since }) = self.cursor.attempt.clone() else { return Ok(()) };
        let since = SystemTime::from(since) - CLOCKS_APART;
        self.take_arrived(durable, since, mark).await?;
        self.arrived_through = through;
        Ok(())
    }

    /// Asks which entries the bus has, which counts as their confirmation.
    async fn take_arrived(
        &mut self,
        durable: &dyn Durable,
        since: SystemTime,
        mark: StoreMark,
    ) -> Result<(), Trouble> {
        let topic = LOG_ENTRY.name();
        let arrived = self.in_time(durable.ids(topic, &self.origin, since)).await?;
        // Some may have come in after the mark. If on the contrary something was
        // lost since, the older mark will tell.
        let later = self.in_time(durable.mark()).await?;
        let mark = if later.is_behind(&mark) { mark } else { later };
        self.cursor.confirmed = Some(Confirmed { store: mark.store, last: mark.last });
        self.arrived = arrived;
        Ok(())
    }

    /// The broker has lost something that it had confirmed: goes back, and finds
    /// out what is still there.
    async fn publish_again(
        &mut self,
        durable: &dyn Durable,
        before: StoreMark,
        mark: StoreMark,
    ) -> Result<(), Trouble> {
        let back = self.go_back().await?;
        let is_other = mark.store != before.store;
        let since = match back.since {
            Some(since) if !is_other => SystemTime::from(since) - CLOCKS_APART,
            _ => SystemTime::UNIX_EPOCH,
        };
        if let Err(trouble) = self.take_arrived(durable, since, mark).await {
            self.start_anew();
            return Err(trouble);
        }
        let was = self.cursor.number;
        warn!(
            entries = back.entries,
            "the bus has lost what it had: publishing again what is missing"
        );
        self.forwarding.count(|counts| {
            counts.regressed += 1;
            // Until it is counted.
            counts.backlog = back.entries;
        });
        self.ahead.clear();
        self.spool().count_from(back.position.clone());
        let through = self.cursor.attempt.take().map_or(was, |attempt| attempt.through.max(was));
        self.arrived_through = through;
        self.cursor.attempt = Some(Attempt { through, since: Timestamp::from(since) });
        self.cursor.number -= back.entries;
        self.cursor.position = back.position;
        self.save(true).await;
        self.count_due = Instant::now();
        self.count_ahead().await;
        Ok(())
    }

    /// Goes back as far as may be published again.
    async fn go_back(&mut self) -> Result<Back, Trouble> {
        let (position, entries_max) = (self.cursor.position.clone(), self.cursor.number);
        let max = self.max_replay_bytes;
        let back = self.with_spool(move |spool| {
            let bytes_max = max.saturating_sub(spool.waiting()?);
            spool.go_back(&position, bytes_max, entries_max)
        });
        back.await.map_err(Trouble::Files)
    }

    /// Passes over the oldest entries, as long as more wait than may be
    /// published.
    pub(super) async fn keep_to_the_bound(&mut self) -> Result<(), Trouble> {
        self.bound_due = Instant::now() + BOUND_EVERY;
        let max = self.max_replay_bytes;
        let waiting = self.with_spool(|spool| spool.waiting()).await.map_err(Trouble::Files)?;
        let mut surplus = waiting.saturating_sub(max);
        while surplus > 0 && !self.stopping.is_over() {
            let over = self.with_spool(move |spool| spool.pass_over(surplus)).await;
            let (read, counts, position) = over.map_err(Trouble::Files)?;
            self.cursor.position = position;
            for (session, count) in &counts {
                self.ahead.change(session, -count.cast_signed());
            }
            self.drop_from_backlog(counts.iter().map(|(_, count)| count).sum());
            self.leave_sessions();
            self.save(false).await;
            surplus = if read == 0 { 0 } else { surplus.saturating_sub(read) };
        }
        Ok(())
    }

    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, bus::Error>>,
    ) -> Result<T, Trouble> {
        self.stopping.in_time(asked).await?.map_err(Trouble::Bus)
    }
}

fn is_away(error: &bus::Error) -> bool {
    matches!(error, bus::Error::Disconnected { .. } | bus::Error::Closed)
}
