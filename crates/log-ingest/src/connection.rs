//! One connection, from its first byte to its last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use log_entry::{DropReason, Offer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::acks::{Acks, Lost};
use crate::door::Losses;
use crate::listener::Shared;
use crate::replies::Replies;
use crate::stats::count;
use crate::wire::frame::{Frames, NoBudget, Piece};
use crate::wire::{Encoding, Verdict, decode};

const CHUNK_BYTES: usize = 16 * 1024;
/// What is taken at most of the bytes that have arrived when the service stops.
const LAST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long bytes that are here already may take to be seen, and all of them
/// to be taken.
const LAST_BYTES_WAIT: Duration = Duration::from_millis(5);
const LAST_BYTES_TIME: Duration = Duration::from_millis(100);
/// How long to leave an emitter waiting before looking again for room.
const ROOM_AFTER: Duration = Duration::from_millis(2);
/// How often to acknowledge, at the most: emitters wait for none of them, and
/// each costs both ends a wake-up.
const ACK_EVERY: Duration = Duration::from_millis(10);
/// A deadline that never comes.
const NEVER: Duration = Duration::from_hours(24 * 365);

/// Serves a connection until it ends, or `stopped`.
pub(crate) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    stopped: CancellationToken,
) {
    debug!(%peer, "an emitter connected");
    let (reader, writer) = stream.split();
    let mut connection = Connection::new(reader, writer, peer, shared);
    let end = connection.run(stopped).await;
    connection.finish(end).await;
    debug!(%peer, ?end, "an emitter is gone");
}

struct Connection<'s> {
    reader: ReadHalf<'s>,
    writer: WriteHalf<'s>,
    chunk: Vec<u8>,
    origin: String,
    shared: Arc<Shared>,
    inbox: Inbox,
    replies: Replies,
    last_read: Instant,
    has_read: bool,
    frame_deadline: Option<Instant>,
    next_ack: Instant,
}

/// What has been received, and what became of it.
struct Inbox {
    frames: Frames,
    acks: Acks,
    losses: Losses,
    /// Whether the emitter has sent JSON, and so understands answers.
    is_json: bool,
    /// Frames so far, whole or passed over.
    pieces: u64,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The emitter closed it, or it broke.
    Closed,
    /// What comes cannot be understood any more.
    Unusable,
    /// A record has to be sent again.
    SendAgain,
    /// Others need the room.
    MakeRoom,
    /// The service stops.
    Stopped,
}

// === impl Connection ===

impl<'s> Connection<'s> {
    fn new(
        reader: ReadHalf<'s>,
        writer: WriteHalf<'s>,
        peer: SocketAddr,
        shared: Arc<Shared>,
    ) -> Self {
        let frames = Frames::new(shared.config.frame_bytes_max, Arc::clone(&shared.budget));
        let inbox = Inbox {
            frames,
            acks: Acks::default(),
            losses: Losses::default(),
            is_json: false,
            pieces: 0,
        };
        Self {
            reader,
            writer,
            chunk: vec![0; CHUNK_BYTES],
            origin: peer.to_string(),
            shared,
            inbox,
            replies: Replies::default(),
            last_read: Instant::now(),
            has_read: false,
            frame_deadline: None,
            next_ack: Instant::now(),
        }
    }

    /// Lets the kernel confirm at once what was read. Python's `SocketHandler`
    /// leaves Nagle's algorithm on: its next record would wait up to 40 ms for
    /// a delayed confirmation.
    fn confirm_at_once(&self) {
        #[cfg(any(target_os = "android", target_os = "linux"))]
        // If the kernel will not, records come a little later.
        let _ = socket2::SockRef::from(self.reader.as_ref()).set_tcp_quickack(true);
    }

    async fn run(&mut self, stopped: CancellationToken) -> End {
        let shared = Arc::clone(&self.shared);
        let (mut written, mut levels) = (shared.written.clone(), shared.levels.clone());
        let (mut has_written, mut has_levels) = (true, true);
        loop {
            let is_json = self.inbox.is_json;
            let deadline = self.frame_deadline.unwrap_or_else(|| Instant::now() + NEVER);
            let has_acks = !self.inbox.acks.is_empty();
            let is_ack_time = Instant::now() >= self.next_ack;
            // Only those are slowed down that keep what is not acknowledged.
            let must_wait = is_json && !shared.door.has_room();
            let step = tokio::select! {
                () = stopped.cancelled() => return self.read_the_rest().await,
                read = self.reader.read(&mut self.chunk), if !must_wait => self.received(&read),
                () = sleep(ROOM_AFTER), if must_wait => {
                    self.waited();
                    Ok(())
                }
                sent = self.writer.write(self.replies.bytes()), if !self.replies.is_empty() => {
                    self.sent(&sent)
                }
                changed = written.changed(), if has_written && has_acks && is_ack_time => {
                    has_written = changed.is_ok();
                    self.settle()
                }
                () = sleep_until(self.next_ack), if has_acks && !is_ack_time => self.settle(),
                changed = levels.changed(), if has_levels && is_json => {
                    has_levels = changed.is_ok();
                    self.replies.set_levels(levels.borrow_and_update().clone());
                    Ok(())
                }
                () = sleep_until(deadline), if self.frame_deadline.is_some() => self.too_slow(),
                () = shared.crowded.notified(), if self.may_be_idle() => self.make_room(),
            };
            if self.inbox.is_json && !is_json {
                self.replies.set_levels(levels.borrow_and_update().clone());
            }
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// What a read brought.
    fn received(&mut self, read: &io::Result<usize>) -> Result<(), End> {
        let count = match *read {
            Ok(0) | Err(_) => return Err(self.closed()),
            Ok(count) => count,
        };
        self.confirm_at_once();
        self.last_read = Instant::now();
        self.has_read = true;
        let before = self.inbox.pieces;
        let result = self.inbox.take(&self.chunk[..count], &self.shared, &self.origin);
        self.shared.door.report(&mut self.inbox.losses, &self.origin);
        // The clock runs from the first byte of the frame that is underway.
        let begun = self.frame_deadline.filter(|_| self.inbox.pieces == before);
        let deadline = begun.unwrap_or(self.last_read + self.shared.config.frame_completion);
        self.frame_deadline = self.inbox.frames.is_inside().then_some(deadline);
        result.and(self.settle())
    }

    /// The emitter could not go on, which must not count against it.
    fn waited(&mut self) {
        self.frame_deadline = self.frame_deadline.map(|deadline| deadline + ROOM_AFTER);
    }

    fn sent(&mut self, sent: &io::Result<usize>) -> Result<(), End> {
        match sent {
            Ok(count) if *count > 0 => {
                self.replies.sent(*count);
                Ok(())
            }
            _ => Err(self.closed()),
        }
    }

    /// Acknowledges what is written, if it is time for that.
    fn settle(&mut self) -> Result<(), End> {
        if Instant::now() < self.next_ack {
            return Ok(());
        }
        let written = *self.shared.written.borrow();
        match self.inbox.acks.settle(written) {
            Ok(Some(seq)) => {
                self.replies.acknowledge(seq);
                self.next_ack = Instant::now() + ACK_EVERY;
            }
            Ok(None) => {}
            Err(Lost) => return Err(End::SendAgain),
        }
        Ok(())
    }

    fn too_slow(&mut self) -> Result<(), End> {
        let limit = self.shared.config.frame_completion;
        self.lose_partial(&format!("a frame did not end within {limit:?}"));
        Err(End::Unusable)
    }

    fn closed(&mut self) -> End {
        self.lose_partial("the connection ended inside a frame");
        End::Closed
    }

    /// Counts a frame that will never be whole. An emitter that knows
    /// acknowledgements still has what was in it.
    fn lose_partial(&mut self, why: &str) {
        let frames = &self.inbox.frames;
        let is_json =
            self.inbox.is_json || Encoding::of(frames.partial_payload()) == Encoding::Json;
        if frames.is_inside() && !is_json {
            self.inbox.losses.add(DropReason::Malformed, 1, why);
            self.shared.door.report(&mut self.inbox.losses, &self.origin);
        }
    }

    fn idle_after(&self) -> Duration {
        let config = &self.shared.config;
        if self.has_read { config.idle } else { config.first_byte }
    }

    /// Whether it may have to make room; one in the middle of a frame has its
    /// own deadline.
    fn may_be_idle(&self) -> bool {
        self.frame_deadline.is_none()
    }

    fn make_room(&self) -> Result<(), End> {
        if self.last_read.elapsed() >= self.idle_after() { Err(End::MakeRoom) } else { Ok(()) }
    }

    /// Takes what had arrived when the service was told to stop.
    async fn read_the_rest(&mut self) -> End {
        let end = Instant::now() + LAST_BYTES_TIME;
        for _ in 0..LAST_BYTES_MAX / CHUNK_BYTES {
            if Instant::now() > end {
                break;
            }
            match timeout(LAST_BYTES_WAIT, self.reader.read(&mut self.chunk)).await {
                Ok(read) => {
                    if let Err(end) = self.received(&read) {
                        return end;
                    }
                }
                Err(_nothing_more) => break,
            }
        }
        End::Stopped
    }

    // --- The end ---

    /// Sends the last acknowledgements, and lets the emitter read them.
    async fn finish(&mut self, end: End) {
        if end == End::Closed || !self.inbox.is_json {
            return;
        }
        let closing = self.shared.config.closing;
        let (pause, deadline) = (Instant::now() + closing / 2, Instant::now() + closing);
        let farewell = async {
            self.last_replies().await?;
            if end == End::SendAgain {
                // Whoever comes again should not come at once.
                sleep_until(pause).await;
            }
            self.writer.shutdown().await?;
            // Closing with bytes unread would make the kernel throw away what
            // the emitter has not read yet.
            let linger = if end == End::Stopped { LAST_BYTES_TIME.min(closing) } else { closing };
            let rest = async {
                while self.reader.read(&mut self.chunk).await? > 0 {}
                io::Result::Ok(())
            };
            timeout(linger, rest).await?
        };
        // Whatever goes wrong here, the emitter sends again.
        let _ = timeout_at(deadline, farewell).await;
    }

    async fn last_replies(&mut self) -> io::Result<()> {
        let mut written = self.shared.written.clone();
        loop {
            self.next_ack = Instant::now();
            let is_settled = self.settle().is_err() || self.inbox.acks.is_empty();
            while !self.replies.is_empty() {
                let count = self.writer.write(self.replies.bytes()).await?;
                self.replies.sent(count);
            }
            if is_settled || written.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

// === impl Inbox ===

impl Inbox {
    /// Takes bytes in, and every record that they complete.
    fn take(&mut self, bytes: &[u8], shared: &Shared, origin: &str) -> Result<(), End> {
        let Self { frames, acks, losses, is_json, pieces } = self;
        if frames.feed(bytes) == Err(NoBudget) {
            if !*is_json {
                losses.add(DropReason::Oversized, 1, "too many frames are underway at once");
            }
            return Err(End::SendAgain);
        }
        while let Some(piece) = frames.next() {
            *pieces += 1;
            match piece {
                Piece::Payload(payload) => {
                    count(&shared.door.counters.frames);
                    *is_json |= Encoding::of(payload) == Encoding::Json;
                    take_payload(payload, shared, origin, acks, losses)?;
                }
                Piece::Oversized { announced } => {
                    let limit = shared.config.frame_bytes_max;
                    let detail = format!("a frame of {announced} bytes; the limit is {limit}");
                    losses.add(DropReason::Oversized, 1, detail);
                }
                Piece::Unusable(why) => {
                    losses.add(why.reason(), 1, why.to_string());
                    return Err(End::Unusable);
                }
            }
        }
        Ok(())
    }
}

/// Offers every record of a payload to the sink.
fn take_payload(
    payload: &[u8],
    shared: &Shared,
    origin: &str,
    acks: &mut Acks,
    losses: &mut Losses,
) -> Result<(), End> {
    let can_send_again = Encoding::of(payload) == Encoding::Json;
    let mut result = Ok(());
    decode(payload, Utc::now(), &mut |verdict: Verdict| {
        if result.is_err() {
            return;
        }
        match verdict {
            Ok(decoded) => {
                let offer = shared.door.offer(decoded.record, origin);
                result = settle_offer(offer, decoded.seq, can_send_again, acks);
            }
            Err(refused) => {
                losses.add(DropReason::Malformed, 1, refused.reason);
                if let Some(seq) = refused.seq {
                    acks.passed_over(seq);
                }
            }
        }
    });
    result
}

/// Notes what became of a record. One that was refused for now must not be
/// passed by those after it.
fn settle_offer(
    offer: Offer,
    seq: Option<u64>,
    can_send_again: bool,
    acks: &mut Acks,
) -> Result<(), End> {
    match (offer, seq) {
        (Offer::Accepted(ticket), Some(seq)) => acks.accepted(seq, ticket),
        (Offer::Dropped(DropReason::Malformed | DropReason::Oversized), Some(seq)) => {
            acks.passed_over(seq);
        }
        (Offer::Dropped(_), Some(_)) if can_send_again => return Err(End::SendAgain),
        (Offer::Accepted(_) | Offer::Dropped(_), _) => {}
    }
    Ok(())
}
