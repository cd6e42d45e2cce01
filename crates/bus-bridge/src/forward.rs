//! Entries of the session files on their way to the deployment's bus.

mod ahead;
mod forwarding;
mod reconcile;
mod shorts;
mod stopping;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Link};
use log_entry::{Timestamp, Written};
use session_store::Position;
use standard_service::chain;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backlog::{Backlog, Resumed};
use crate::bridge::Config;
use crate::cursor::{Attempt, Confirmed, Cursor};
use crate::spool::Spool;

pub use forwarding::{Forwarding, ForwardingCounts};

use ahead::Ahead;
use forwarding::Part;
use shorts::Shorts;
use stopping::{Over, Stopping};
use window::{Fate, Item};

/// Publishes every entry of the session files, in order, one after the other.
///
/// What it has in memory is the next piece of the files. Where it is in them is
/// the cursor; what it has numbered is the entries before that, published or not.
pub(crate) struct Forwarder {
    remote: Arc<dyn Bus>,
    origin: Arc<str>,
    forwarding: Forwarding,
    stopping: Stopping,
    written: watch::Receiver<Written>,
    /// `None` while a blocking thread has it.
    spool: Option<Spool>,
    cursor: Cursor,
    /// What comes after the cursor.
    queue: VecDeque<Item>,
    /// What was counted after the cursor.
    ahead: Ahead,
    shorts: Option<Shorts>,
    max_replay_bytes: u64,
    /// Which of the entries with numbers up to `arrived_through` the bus has.
    arrived: HashSet<String>,
    arrived_through: u64,
    /// The number up to which entries were shown to the dashboard before.
    shown_through: u64,
    /// Whether something may have happened to the bus.
    must_reconcile: bool,
    reconcile_failures: u32,
    /// In a row.
    read_failures: u32,
    reconnects: u64,
    /// When to look again how much waits.
    bound_due: Instant,
    /// When to count again.
    count_due: Instant,
}

/// Whether there was something to do.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Made,
    Nothing,
}

/// Why nothing can be done now.
#[derive(Debug)]
enum Trouble {
    /// The bus says that it is away.
    Away,
    /// The bus says no.
    Bus(bus::Error),
    /// The files cannot be read.
    Files(session_store::Error),
    /// There is no time left.
    Over,
}

const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);
/// What nobody allows now is rarely allowed a second later.
const MUCH_LATER: Duration = Duration::from_secs(4);
/// How often to look how the bus is while there is nothing to publish.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to count what waits.
const COUNT_EVERY: Duration = Duration::from_millis(250);
/// After so many failures a segment is given up, if there is one after it.
const READ_FAILURES_MAX: u32 = 10;
/// How often to look whether too much waits, while it is never done.
const BOUND_EVERY: Duration = Duration::from_secs(10);

// === impl Forwarder ===

impl Forwarder {
    /// Goes on where the cursor says.
    pub(crate) async fn begin(
        config: Config,
        backlog: Backlog,
        (remote, forwarding): (Arc<dyn Bus>, Forwarding),
        written: watch::Receiver<Written>,
        cancelled: CancellationToken,
    ) -> Self {
        let current = config.session.clone();
        let resumed = blocking(move || {
            let resumed = backlog.resume(&current);
            (current, resumed)
        });
        let (current, Resumed { sessions, file, cursor, removed, trouble }) = resumed.await;
        let spool = Spool::new(&sessions, &cursor.position, &current, file);
        let now = Instant::now();
        let shorts = config
            .to_dashboard
            .then(|| Shorts::new(config.rate_limit_per_service, config.rate_limit_burst));
        let mut forwarder = Self {
            reconnects: remote.state().reconnects,
            remote,
            origin: config.origin,
            forwarding,
            stopping: Stopping::new(cancelled),
            written,
            spool: Some(spool),
            shown_through: cursor.number,
            cursor,
            queue: VecDeque::new(),
            ahead: Ahead::default(),
            shorts,
            max_replay_bytes: config.max_replay_bytes,
            arrived: HashSet::new(),
            arrived_through: 0,
            must_reconcile: true,
            reconcile_failures: 0,
            read_failures: 0,
            bound_due: now,
            count_due: now,
        };
        if let Some(why) = trouble {
            warn!(why, "what was on the bus is not known: going on with the current session");
            let reason = format!("{why}: only entries of the current session are published");
            forwarder.forwarding.set_trouble(Part::Backlog, Some(reason));
        }
        forwarder.drop_from_backlog(removed);
        forwarder.save(false).await;
        forwarder
    }

    /// Publishes until it is stopped, and then what is left as long as there is
    /// time.
    pub(crate) async fn run(mut self) {
        let mut delay = SOON;
        while !self.stopping.is_over() {
            match self.step().await {
                Ok(Progress::Made) => delay = SOON,
                Ok(Progress::Nothing) if self.stopping.has_begun() => break,
                Ok(Progress::Nothing) => self.idle().await,
                Err(Trouble::Over | Trouble::Bus(bus::Error::Closed)) => break,
                Err(trouble) => {
                    self.tell(&trouble);
                    if self.stopping.has_begun() {
                        break;
                    }
                    self.wait(if trouble.is_lasting() { MUCH_LATER } else { delay }).await;
                    delay = (delay * 2).min(LATER);
                }
            }
        }
        self.save(true).await;
    }

    async fn step(&mut self) -> Result<Progress, Trouble> {
        if matches!(self.remote.state().link, Link::Disconnected { .. }) {
            self.must_reconcile = true;
            return Err(Trouble::Away);
        }
        self.must_reconcile |= self.was_interrupted();
        if self.must_reconcile {
            self.start_anew();
            self.reconcile().await?;
            self.keep_to_the_bound().await?;
            self.must_reconcile = false;
        } else if self.bound_due <= Instant::now() {
            self.start_anew();
            self.keep_to_the_bound().await?;
        }
        if self.queue.is_empty() && !self.fill().await? {
            self.is_well();
            return Ok(Progress::Nothing);
        }
        let progress = self.publish().await;
        if progress.is_ok() {
            self.is_well();
            self.count_ahead().await;
        }
        progress
    }

    /// Whether the connection was lost since this was asked last.
    fn was_interrupted(&mut self) -> bool {
        let reconnects = self.remote.state().reconnects;
        std::mem::replace(&mut self.reconnects, reconnects) != reconnects
    }

    /// Forgets what was read and not published, so that it is read again.
    fn start_anew(&mut self) {
        self.queue.clear();
        let position = self.cursor.position.clone();
        self.spool().seek(position);
    }

    /// Reads what comes next. Says whether there is something.
    async fn fill(&mut self) -> Result<bool, Trouble> {
        // What is written from now on wakes us.
        let through = self.written.borrow_and_update().through;
        let steps = match self.with_spool(Spool::read).await {
            Ok(steps) => steps,
            Err(error) => return self.cannot_read(error).await,
        };
        self.read_failures = 0;
        self.forwarding.set_trouble(Part::Files, None);
        self.queue.extend(steps.into_iter().map(Item::from));
        if self.queue.is_empty() {
            // What was counted and not come upon was removed.
            let removed = self.ahead.total();
            self.ahead.clear();
            self.drop_from_backlog(removed);
            self.bound_due = Instant::now() + BOUND_EVERY;
            self.show_backlog();
            self.forwarding.caught_up(through);
            self.forwarding.set_trouble(Part::Backlog, None);
        }
        Ok(!self.queue.is_empty())
    }

    /// A segment that cannot be read for some time must not keep those after it
    /// from the bus. What of it was counted is dropped.
    async fn cannot_read(&mut self, error: session_store::Error) -> Result<bool, Trouble> {
        self.read_failures += 1;
        if self.read_failures < READ_FAILURES_MAX {
            return Err(Trouble::Files(error));
        }
        let next = self.with_spool(Spool::give_up_segment).await.map_err(Trouble::Files)?;
        let Some(next) = next else { return Err(Trouble::Files(error)) };
        warn!(error = chain(&error), "a segment cannot be read: its entries are not published");
        self.read_failures = 0;
        self.cursor.position = next;
        self.leave_sessions();
        Err(Trouble::Files(error))
    }

    /// Publishes the next entries, and then their short forms.
    async fn publish(&mut self) -> Result<Progress, Trouble> {
        self.enter_session();
        let window = self.window();
        let remote = self.remote.clone();
        let published = if window.events.is_empty() {
            Ok(())
        } else {
            self.attempt(window.entries).await;
            // What is published now could hide that the broker has lost as much.
            if self.was_interrupted() {
                self.must_reconcile = true;
                return Ok(Progress::Made);
            }
            self.stopping.in_time(remote.publish_all(&window.events)).await?
        };
        let (items, error) = match published {
            Ok(()) => (window.items, None),
            Err(error) => (window.sent[error.taken], Some(error.source)),
        };
        let shorts = self.pass(items);
        self.note_confirmed();
        self.save(false).await;
        let missed = self.stopping.in_time(shorts::publish(&remote, &shorts)).await?;
        self.forwarding.count(|counts| counts.missed += missed);
        match error {
            None => Ok(Progress::Made),
            Some(error) => self.refused(error),
        }
    }

    /// Notes which entries are about to be published, where it can be asked
    /// later which of them arrived.
    async fn attempt(&mut self, entries: u64) {
        if self.remote.durable().is_none() {
            return;
        }
        let through = self.cursor.number + entries;
        let attempt = self.cursor.attempt.get_or_insert_with(|| Attempt { through, since: now() });
        attempt.through = attempt.through.max(through);
        self.save(false).await;
    }

    /// Moves the cursor over the first `items` of the queue, which are in the
    /// session where it is. Gives the short forms of those that were published.
    fn pass(&mut self, items: usize) -> Vec<bus::Event> {
        let mut shorts = Vec::new();
        let payload_max = self.remote.capabilities().payload_max;
        for item in self.queue.drain(..items) {
            self.cursor.position = item.after;
            let Some(entry) = item.entry else { continue };
            self.cursor.number += 1;
            self.ahead.change(&self.cursor.position.session, -1);
            match entry.fate {
                Fate::Send if self.cursor.number > self.shown_through => {
                    let short =
                        |shorts: &mut Shorts| shorts.of(&entry.json, &self.origin, payload_max);
                    let short = self.shorts.as_mut().map(short);
                    let is_held_back = matches!(short, Some(None));
                    shorts.extend(short.flatten());
                    self.forwarding.count(|counts| {
                        counts.published += 1;
                        counts.held_back += u64::from(is_held_back);
                    });
                }
                Fate::Send => self.forwarding.count(|counts| counts.published += 1),
                Fate::Arrived => self.forwarding.count(|counts| counts.arrived += 1),
                Fate::Dropped(reason) => self.forwarding.count(|counts| {
                    *counts.dropped.entry(reason).or_default() += 1;
                }),
            }
        }
        let number = self.cursor.number;
        self.shown_through = self.shown_through.max(number);
        if self.arrived_through <= number {
            self.arrived = HashSet::new();
        }
        self.cursor.attempt.take_if(|attempt| attempt.through <= number);
        self.show_backlog();
        shorts
    }

    /// If the next item is in another session, the cursor goes there.
    fn enter_session(&mut self) {
        let Some(next) = self.queue.front().map(|item| &item.after.session) else { return };
        if *next != self.cursor.position.session {
            self.cursor.position = Position::start_of(next.clone());
            self.leave_sessions();
        }
    }

    /// Entries that were counted in the sessions before that of the cursor, and
    /// not come upon, were removed.
    fn leave_sessions(&mut self) {
        let position = self.cursor.position.clone();
        let removed = self.ahead.leave_those_before(&position.session);
        let counted_to = self.spool().counted_to().session.clone();
        if counted_to != position.session && !self.ahead.has(&counted_to) {
            self.spool().count_from(position);
            self.ahead.clear();
        }
        self.drop_from_backlog(removed);
    }

    /// Entries that will never be published, because they are gone or too many.
    fn drop_from_backlog(&mut self, entries: u64) {
        if entries == 0 {
            return;
        }
        self.cursor.number += entries;
        self.forwarding.count(|counts| {
            *counts.dropped.entry("bus_backlog").or_default() += entries;
        });
        let reason = "entries were dropped from the backlog of the bus";
        if !self.forwarding.set_trouble(Part::Backlog, Some(reason.to_owned())) {
            warn!(entries, "{reason}: they are not published");
        }
    }

    /// What to do about `error`, with which the first item of the queue was
    /// not taken.
    fn refused(&mut self, error: bus::Error) -> Result<Progress, Trouble> {
        let front = self.queue.front_mut().and_then(|item| item.entry.as_mut());
        match (&error, front) {
            (bus::Error::TooLarge { limit, .. }, Some(entry)) => entry.must_fit(*limit),
            (
                bus::Error::Topic { .. } | bus::Error::Header { .. } | bus::Error::Encode { .. },
                Some(entry),
            ) => entry.fate = Fate::Dropped("refused"),
            _ => {
                self.must_reconcile = true;
                return Err(Trouble::Bus(error));
            }
        }
        Ok(Progress::Made)
    }

    fn note_confirmed(&mut self) {
        let Some(mark) = self.remote.durable().and_then(bus::Durable::confirmed) else { return };
        match &self.cursor.confirmed {
            // Something was lost in between: what exactly is asked for.
            Some(before) if mark.is_behind(&before.mark()) => self.must_reconcile = true,
            _ => self.cursor.confirmed = Some(Confirmed { store: mark.store, last: mark.last }),
        }
    }

    /// Counts some of what waits, now and then.
    async fn count_ahead(&mut self) {
        if Instant::now() < self.count_due || self.stopping.has_begun() {
            return;
        }
        self.count_due = Instant::now() + COUNT_EVERY;
        // What cannot be counted cannot be read: that is told there.
        let counts = self.with_spool(Spool::count_ahead).await.unwrap_or_default();
        for (session, count) in counts {
            self.ahead.change(&session, count.cast_signed());
        }
        self.show_backlog();
    }

    fn show_backlog(&self) {
        let queued = self.queue.iter().filter(|item| item.entry.is_some()).count() as u64;
        let backlog = self.ahead.total().max(queued);
        self.forwarding.count(|counts| counts.backlog = backlog);
    }

    /// Waits for something to publish.
    async fn idle(&mut self) {
        let look = sleep(LOOK_EVERY);
        tokio::select! {
            // Without a writer nothing more comes.
            Ok(()) = self.written.changed() => {}
            () = look => {}
            () = self.stopping.begun() => {}
        }
    }

    async fn wait(&mut self, delay: Duration) {
        let until = Instant::now() + delay;
        while Instant::now() < until && !self.stopping.has_begun() {
            self.count_ahead().await;
            tokio::select! {
                () = sleep_until(until.min(self.count_due)) => {}
                () = self.stopping.begun() => {}
            }
        }
    }

    fn is_well(&self) {
        if self.forwarding.set_trouble(Part::Bus, None) {
            info!("entries are published on the bus again");
        }
    }

    /// Says what is wrong, once.
    fn tell(&self, trouble: &Trouble) {
        let (part, reason) = match trouble {
            Trouble::Away => {
                let why = self.remote.state().trouble.map(|why| format!(": {why}"));
                (Part::Bus, format!("the bus is away{}", why.unwrap_or_default()))
            }
            Trouble::Bus(error) => (Part::Bus, chain(error)),
            Trouble::Files(error) => {
                // It came as far as the files: the bus is there.
                self.is_well();
                (Part::Files, chain(error))
            }
            Trouble::Over => return,
        };
        let is_known = self.forwarding.set_trouble(part, Some(format!("{reason}; entries wait")));
        if !is_known {
            warn!(reason, "entries wait in the session files until they can be published");
        }
    }

    async fn save(&mut self, sync: bool) {
        let cursor = self.cursor.clone();
        let saved = self.with_spool(move |spool| spool.save(&cursor, sync)).await;
        let trouble = saved.err().map(|error| format!("saving the bus cursor: {error}"));
        let is_bad = trouble.is_some();
        if !self.forwarding.set_trouble(Part::Cursor, trouble) && is_bad {
            warn!("the bus cursor cannot be saved: after a restart, entries are published again");
        }
    }

    fn spool(&mut self) -> &mut Spool {
        self.spool.as_mut().expect("it is given back after each use")
    }

    /// What `work` gives, on a thread that may block.
    async fn with_spool<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Spool) -> T + Send + 'static,
    ) -> T {
        let mut spool = self.spool.take().expect("it is given back after each use");
        let work = blocking(move || (work(&mut spool), spool));
        let (done, spool) = work.await;
        self.spool = Some(spool);
        done
    }
}

// === impl Trouble ===

impl Trouble {
    fn is_lasting(&self) -> bool {
        matches!(self, Self::Bus(error) if !error.is_temporary())
    }
}

impl From<Over> for Trouble {
    fn from(_: Over) -> Self {
        Self::Over
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic and is not aborted")
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}
