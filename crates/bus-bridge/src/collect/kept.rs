//! Collecting from a bus that keeps events until they are acknowledged.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Error, Kept, Reader};
use log_entry::Written;
use logging_api::LOG_ENTRY;
use standard_service::{Health, chain};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::acks::{Acks, Lost};
use super::earlier::{Earlier, Known};
use super::taking::{Taken, Taking};
use super::{AWAY, BATCH, Work, degrade};
use crate::patience::Backoff;

/// Reads, offers, and acknowledges what is written.
struct Following {
    remote: Arc<dyn Bus>,
    taking: Taking,
    /// Read, and not yet offered.
    waiting: VecDeque<Kept>,
    acks: Acks,
    next_ack: Instant,
    /// Whether there may be something new to acknowledge.
    is_unsettled: bool,
    written: watch::Receiver<Written>,
    /// Whether `written` may still change.
    is_writing: bool,
    backoff: Backoff,
}

/// Why a reader is not read any more.
enum End {
    /// It was asked to.
    Cancelled,
    /// What is not acknowledged has to be read again: a record was lost, or the
    /// numbers of the events do not rise.
    Again,
    /// The bus does not work.
    Bus(Error),
}

/// How often to look whether the intake has room again.
const ROOM_AFTER: Duration = Duration::from_millis(10);
/// How often to acknowledge, at the most.
pub(super) const ACK_EVERY: Duration = Duration::from_millis(50);
/// What the last records may take to the session files, once it is to end.
const LAST_ACKS_TIME: Duration = Duration::from_millis(250);

/// Until what was lost is read again: the disk may need a moment.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Collects until `cancelled`, or the bus is closed.
pub(super) async fn collect_kept(work: Work, cancelled: CancellationToken) {
    let Work { remote, mut taking, written, health, earlier } = work;
    if let Some(earlier) = earlier {
        taking.pass_over(known(earlier).await);
    }
    let mut following = Following::new(remote, taking, written);
    loop {
        let pause = match following.follow(&health, &cancelled).await {
            End::Cancelled => break,
            End::Again => AGAIN_AFTER,
            End::Bus(error) if error.is_closed() => break,
            End::Bus(error) => {
                degrade(&health, format!("{AWAY}: {}", chain(&error)));
                following.backoff.next(&error)
            }
        };
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = sleep(pause) => {}
        }
    }
    following.taking.tell_missing();
}

async fn known(earlier: Earlier) -> Known {
    let read = tokio::task::spawn_blocking(move || earlier.latest());
    match read.await {
        Ok(Ok(known)) => known,
        Ok(Err(error)) => {
            warn!(error = chain(&error), "entries may be collected twice");
            Known::default()
        }
        // The program ends.
        Err(_) => Known::default(),
    }
}

// === impl Following ===

impl Following {
    fn new(remote: Arc<dyn Bus>, taking: Taking, written: watch::Receiver<Written>) -> Self {
        Self {
            remote,
            taking,
            waiting: VecDeque::new(),
            acks: Acks::default(),
            next_ack: Instant::now(),
            is_unsettled: false,
            written,
            is_writing: true,
            backoff: Backoff::new(),
        }
    }

    /// Collects until there is a reason not to go on.
    async fn follow(
        &mut self,
        health: &watch::Sender<Health>,
        cancelled: &CancellationToken,
    ) -> End {
        let reader = tokio::select! {
            () = cancelled.cancelled() => return End::Cancelled,
            reader = self.open() => reader,
        };
        let mut reader = match reader {
            Ok(reader) => reader,
            Err(error) => return End::Bus(error),
        };
        health.send_replace(Health::Running);
        let Err(end) = self.follow_reader(&mut *reader, cancelled).await;
        if matches!(end, End::Cancelled) {
            self.finish(&mut *reader).await;
        }
        end
    }

    /// A reader that begins with the first event that is not acknowledged.
    async fn open(&mut self) -> Result<Box<dyn Reader>, Error> {
        self.waiting.clear();
        self.acks = Acks::default();
        let remote = self.remote.clone();
        let durable = remote.durable().ok_or(Error::Closed)?;
        durable.reader(LOG_ENTRY.name(), &format!("collector-{}", self.taking.origin)).await
    }

    async fn follow_reader(
        &mut self,
        reader: &mut dyn Reader,
        cancelled: &CancellationToken,
    ) -> Result<Infallible, End> {
        let mut batch = Vec::new();
        loop {
            self.offer_what_fits()?;
            let has_waiting = !self.waiting.is_empty();
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return Err(End::Cancelled),
                () = sleep_until(self.next_ack), if self.is_unsettled => {
                    self.acknowledge(reader).await?;
                }
                changed = self.written.changed(), if self.is_writing && !self.is_unsettled => {
                    self.is_writing = changed.is_ok();
                    self.is_unsettled = true;
                }
                read = reader.read(&mut batch, BATCH), if !has_waiting && self.acks.has_room() => {
                    if read.map_err(End::Bus)? == 0 {
                        return Err(End::Bus(Error::Closed));
                    }
                    self.backoff.start_anew();
                }
                () = sleep(ROOM_AFTER), if has_waiting => {}
            }
            self.waiting.extend(batch.drain(..));
        }
    }

    /// Offers what was read as long as the intake has room.
    fn offer_what_fits(&mut self) -> Result<(), End> {
        let offered = self.offer_each();
        self.taking.report();
        offered
    }

    fn offer_each(&mut self) -> Result<(), End> {
        while self.taking.has_room()
            && let Some(Kept { event, number }) = self.waiting.pop_front()
        {
            if !self.acks.is_next(number) {
                return Err(End::Again);
            }
            let ticket = match self.taking.take(&event) {
                Taken::Offered(ticket) => Some(ticket),
                Taken::PassedOver => None,
                Taken::Refused => return Err(End::Again),
            };
            self.acks.took(number, ticket);
            self.is_unsettled = true;
        }
        Ok(())
    }

    /// Acknowledges what is in the session files.
    async fn acknowledge(&mut self, reader: &mut dyn Reader) -> Result<(), End> {
        self.is_unsettled = false;
        self.next_ack = Instant::now() + ACK_EVERY;
        let written = *self.written.borrow_and_update();
        match self.acks.settle(written) {
            Ok(Some(through)) => reader.acknowledge(through).await.map_err(End::Bus),
            Ok(None) => Ok(()),
            Err(Lost) => Err(End::Again),
        }
    }

    /// Acknowledges what still gets to the session files in a moment.
    async fn finish(&mut self, reader: &mut dyn Reader) {
        let rest = async {
            // Whatever goes wrong now is given again at the next start.
            while self.acknowledge(reader).await.is_ok() && !self.acks.is_empty() {
                if self.written.changed().await.is_err() {
                    return;
                }
            }
        };
        drop(timeout(LAST_ACKS_TIME, rest).await);
    }
}
