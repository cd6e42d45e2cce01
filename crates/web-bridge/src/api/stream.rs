//! `/api/logs/stream`: live entries as server-sent events.
//!
//! The body is pulled: its next piece is made when the connection has room for
//! it. While a client does not read, nothing is made for it, and its queue
//! drops the oldest.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use log_entry::{FilterSpec, LogEntry, SessionId, format_timestamp};
use logging_api::{ArchiveError, Page, Query, Range};
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Answer, too_many};
use crate::bridge::Bridge;
use crate::client::{Batch, Gap, GapReason, Item, RepeatCount, Repeats};
use crate::hub::{Member, Place};
use crate::params::{StreamParams, last_event_id};

/// One client's stream.
struct Stream {
    bridge: Arc<Bridge>,
    member: Member,
    _place: Place,
    spec: FilterSpec,
    session: SessionId,
    /// The latest entry when it began: what came later is in the queue.
    reached: u64,
    /// Everything up to here was sent, or is not wanted.
    last: u64,
    next: Step,
    sent: Instant,
}

/// What the stream does next.
enum Step {
    /// Says which session it is, then what was logged lately.
    Begin {
        recent: usize,
        after: Option<u64>,
    },
    /// Sends the latest entries.
    Recent(usize),
    /// Sends what was logged since `last`, page by page.
    CatchUp,
    Live,
}

/// The data of a `session` event.
#[derive(Serialize)]
struct SessionEvent<'a> {
    session_id: &'a SessionId,
    last_seq: u64,
}

/// One item in the data of a `repeat` event.
#[derive(Serialize)]
struct RepeatEvent<'a> {
    of: &'a log_entry::EntryId,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    count: u64,
    last: String,
}

/// Events, as bytes.
#[derive(Default)]
struct Frames {
    bytes: BytesMut,
    /// The number of the last entry of the array that is being written.
    open: Option<u64>,
}

/// A quiet stream says so, that everyone between knows that it is alive.
const PING: Duration = Duration::from_secs(15);
/// Under load, events are sent together: no more often than this.
const COALESCE: Duration = Duration::from_millis(3);
const BATCH: usize = 100;
const BATCH_BYTES: usize = 256 * 1024;
const PAGE: usize = 1000;

pub(super) async fn stream(
    State(bridge): State<Arc<Bridge>>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer<Response> {
    let mut params = StreamParams::parse(&uri)?;
    let last_event_id = last_event_id(headers.get(HeaderName::from_static("last-event-id")));
    // A browser that reconnects keeps the address it began with.
    params.after = last_event_id.or(params.after);
    let place = bridge.hub.place().ok_or_else(|| too_many(&bridge))?;
    let stream = Stream::new(bridge, place, params);
    let body = Body::from_stream(unfold(stream, |mut stream| async {
        let piece = stream.piece().await?;
        Some((Ok::<_, Infallible>(piece), stream))
    }));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, body).into_response())
}

// === impl Stream ===

impl Stream {
    fn new(bridge: Arc<Bridge>, place: Place, params: StreamParams) -> Self {
        // Joining comes before any question to the archive: what is published
        // from here on is queued, what was published before is found there.
        let member = bridge.hub.join(params.wanted, Repeats::Counted);
        let session = bridge.archive.current();
        let is_ours = params.session.is_none_or(|asked| asked == session);
        let reached = bridge.archive.last_seq();
        // A cursor beyond the end is of another session as well.
        let after = params.after.filter(|&after| is_ours && after <= reached);
        let next = Step::Begin { recent: params.recent, after };
        let (spec, sent) = (params.spec, Instant::now());
        Self { bridge, member, _place: place, spec, session, reached, last: 0, next, sent }
    }

    /// The next bytes to send; none at the end.
    async fn piece(&mut self) -> Option<Bytes> {
        loop {
            let frames = match self.next {
                Step::Begin { recent, after } => self.begin(recent, after),
                Step::Recent(count) => self.recent(count).await,
                Step::CatchUp => self.catch_up().await,
                Step::Live => self.live().await?,
            };
            let bytes = frames.finish();
            if !bytes.is_empty() {
                self.sent = Instant::now();
                return Some(bytes);
            }
        }
    }

    fn begin(&mut self, recent: usize, after: Option<u64>) -> Frames {
        self.next = match after {
            Some(after) => {
                self.last = after;
                Step::CatchUp
            }
            None if recent > 0 => Step::Recent(recent),
            None => Step::Live,
        };
        let mut frames = Frames::default();
        frames.session(&self.session, self.reached);
        frames
    }

    async fn recent(&mut self, limit: usize) -> Frames {
        self.next = Step::Live;
        let range = Range::Latest { before: Some(self.reached + 1) };
        match self.read(range, limit).await {
            Ok(page) => self.history(&page.entries),
            Err(_) => self.unreadable(),
        }
    }

    async fn catch_up(&mut self) -> Frames {
        // What was dropped from the queue so far can be read now, because an
        // entry is in the archive before it is published.
        let lost = self.member.client().first_gap();
        let Ok(page) = self.read(Range::After(self.last), PAGE).await else {
            self.next = Step::Live;
            return self.unreadable();
        };
        let frames = self.history(&page.entries);
        if page.next.is_none() {
            if let Some(lost) = lost
                && self.member.client().first_gap() == Some(lost)
            {
                self.member.client().skip_first_gap();
            }
            // More may have been dropped meanwhile; that is read too.
            if self.member.client().first_gap().is_none() {
                self.next = Step::Live;
            }
        }
        frames
    }

    async fn read(&self, range: Range, limit: usize) -> Result<Page, ArchiveError> {
        let session = Some(self.session.clone());
        self.bridge.entries(Query { session, filter: self.spec.clone(), range, limit }).await
    }

    fn history(&mut self, entries: &[LogEntry]) -> Frames {
        let mut frames = Frames::default();
        for entry in entries.iter().filter(|entry| entry.seq > self.last) {
            frames.entry(entry.seq, &entry.to_json());
        }
        self.last = entries.last().map_or(self.last, |entry| entry.seq.max(self.last));
        frames
    }

    /// The archive cannot be read: what comes next is live, and the rest missing.
    fn unreadable(&mut self) -> Frames {
        let (after, reached) = (self.last, self.reached);
        let mut frames = Frames::default();
        if reached > after {
            let before = Some(reached + 1);
            frames.gap(&Gap { reason: GapReason::NotKept, count: reached - after, after, before });
        }
        frames
    }

    /// What is queued, or that there is nothing; none at the end.
    async fn live(&mut self) -> Option<Frames> {
        let client = self.member.client().clone();
        match timeout(PING, client.ready()).await {
            Err(_) => return Some(Frames::ping()),
            Ok(false) => return None,
            Ok(true) => {}
        }
        let due = self.sent + COALESCE;
        if due > Instant::now() {
            // Whether it is full or time is up is all the same.
            timeout_at(due, client.full(BATCH)).await.ok();
        }
        Some(self.frames(client.take(BATCH, BATCH_BYTES)))
    }

    fn frames(&mut self, batch: Batch) -> Frames {
        let mut frames = Frames::default();
        for item in batch.items {
            match item {
                Item::Entry(live) => {
                    let entry = &live.entry;
                    if entry.session_id != self.session {
                        self.session = entry.session_id.clone();
                        self.last = 0;
                        frames.session(&self.session, entry.seq);
                    }
                    if entry.seq > self.last {
                        self.last = entry.seq;
                        frames.entry(entry.seq, &live.json);
                    }
                }
                // What came from the archive meanwhile is not missing.
                Item::Gap(gap) => {
                    if let Some(gap) = gap.beyond(self.last) {
                        frames.gap(&gap);
                    }
                }
                Item::Summary(_) => {}
            }
        }
        frames.repeats(&batch.repeats);
        frames
    }
}

// === impl Frames ===

impl Frames {
    fn ping() -> Self {
        Self { bytes: BytesMut::from(": ping\n\n"), open: None }
    }

    fn session(&mut self, session_id: &SessionId, last_seq: u64) {
        self.event("session", &SessionEvent { session_id, last_seq });
    }

    fn gap(&mut self, gap: &Gap) {
        self.event("gap", gap);
    }

    fn repeats(&mut self, counts: &[RepeatCount]) {
        if !counts.is_empty() {
            let events: Vec<_> = counts.iter().map(RepeatEvent::from).collect();
            self.event("repeat", &events);
        }
    }

    /// Adds an entry to the array that is being written. Its JSON is one line.
    fn entry(&mut self, seq: u64, json: &[u8]) {
        let before: &[u8] = if self.open.is_some() { b"," } else { b"event: entry\ndata: [" };
        self.bytes.put_slice(before);
        self.bytes.put_slice(json);
        self.open = Some(seq);
    }

    fn event(&mut self, name: &str, data: &impl Serialize) {
        self.close();
        let data = serde_json::to_string(data).expect("our events have text keys only");
        self.bytes.put_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
    }

    fn close(&mut self) {
        if let Some(seq) = self.open.take() {
            self.bytes.put_slice(format!("]\nid: {seq}\n\n").as_bytes());
        }
    }

    fn finish(mut self) -> Bytes {
        self.close();
        self.bytes.freeze()
    }
}

// === impl RepeatEvent ===

impl<'a> From<&'a RepeatCount> for RepeatEvent<'a> {
    fn from(RepeatCount { of, seq, count, last }: &'a RepeatCount) -> Self {
        Self { of, seq: *seq, count: *count, last: format_timestamp(last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{entry, session};

    fn text(frames: Frames) -> String {
        String::from_utf8(frames.finish().to_vec()).unwrap()
    }

    #[test]
    fn entries_in_a_row_are_one_event_with_the_number_of_the_last() {
        let mut frames = Frames::default();
        frames.entry(1, b"{\"seq\":1}");
        frames.entry(2, b"{\"seq\":2}");
        frames.gap(&Gap { reason: GapReason::SlowClient, count: 3, after: 2, before: Some(6) });
        frames.entry(6, b"{\"seq\":6}");
        assert_eq!(
            text(frames),
            "event: entry\ndata: [{\"seq\":1},{\"seq\":2}]\nid: 2\n\n\
             event: gap\ndata: {\"reason\":\"slow_client\",\"count\":3,\"after\":2,\"before\":6}\n\n\
             event: entry\ndata: [{\"seq\":6}]\nid: 6\n\n"
        );
    }

    #[test]
    fn the_session_and_the_counts_are_told_in_events_of_their_own() {
        let mut frames = Frames::default();
        frames.session(&session(), 7);
        let entry = entry(2);
        let count =
            RepeatCount { of: entry.entry_id, seq: Some(9), count: 4, last: entry.timestamp };
        frames.repeats(&[count.clone(), RepeatCount { seq: None, ..count }]);
        frames.repeats(&[]);
        assert_eq!(
            text(frames),
            "event: session\ndata: {\"session_id\":\"cantina-session-20261122-160357\",\"last_seq\":7}\n\n\
             event: repeat\ndata: [{\"of\":\"entry-2\",\"seq\":9,\"count\":4,\"last\":\"2026-11-22T16:04:22.500000Z\"},\
             {\"of\":\"entry-2\",\"count\":4,\"last\":\"2026-11-22T16:04:22.500000Z\"}]\n\n"
        );
    }

    #[test]
    fn an_entry_with_line_breaks_stays_one_line() {
        let mut frames = Frames::default();
        let broken = LogEntry { message: "a\r\n\ndata: b\u{2028}".into(), ..entry(1) };
        frames.entry(1, &broken.to_json());
        let text = text(frames);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(!text.contains('\r'));
    }
}
