//! One client, from its connection to its end.

use std::future::ready;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log_entry::{FilterSpec, Level, SessionId};
use logging_api::{DashboardLog, Query, Range};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use socketioxide::extract::{AckSender, Event, SocketRef, TryData};
use socketioxide::{SendError, SocketError};
use standard_service::Spawner;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::commands::{Budget, CommandError, wanted_level};
use super::messages::{Levels, LogMessage};
use crate::bridge::Bridge;
use crate::client::{Client, Gap, Item, Repeats, Wanted};
use crate::hub::Member;
use crate::{NAME, iso_now};

/// What a client has asked for so far.
struct Wishes {
    client: Arc<Client>,
    spec: Mutex<FilterSpec>,
    /// It has sent `subscribe_events`: it is CantinaOS's dashboard, or like it.
    is_subscribed: AtomicBool,
    subscribed: Notify,
    budget: Mutex<Budget>,
}

/// Sends one client what it is to see.
struct Pump {
    socket: SocketRef,
    bridge: Arc<Bridge>,
    member: Member,
    wishes: Arc<Wishes>,
    session: SessionId,
    last: u64,
}

/// `log_gap`: what was not sent to this client, and why.
#[derive(Serialize)]
struct LogGap<'a> {
    #[serde(flatten)]
    gap: &'a Gap,
    timestamp: String,
}

const RECENT: usize = 100;
const BATCH: usize = 64;
const BATCH_BYTES: usize = 256 * 1024;
/// CantinaOS's dashboard subscribes as soon as it is connected. The recent
/// entries wait that long for it, because what it asks for holds for them too.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_millis(200);
const RETRY_MIN: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(200);

/// Takes a client in.
pub(super) fn connect(socket: SocketRef, bridge: &Arc<Bridge>, spawner: &Spawner) {
    let member = bridge.hub.join(Wanted::default(), Repeats::Summed);
    let wishes = Arc::new(Wishes::new(member.client().clone()));
    listen(&socket, &wishes);
    socket.emit("system_status", &bridge.services.system_status()).ok();
    // What comes after this is in the queue that was just joined, however long
    // it takes until the entries before it are sent.
    let (session, last) = (bridge.archive.current(), bridge.archive.last_seq());
    let pump = Pump { socket, bridge: bridge.clone(), member, wishes, session, last };
    spawner.spawn("dashboard", |cancelled| pump.run(cancelled));
}

/// The handlers do their work before they return, so that a client's messages
/// are handled in order.
fn listen(socket: &SocketRef, wishes: &Arc<Wishes>) {
    let client = wishes.client.clone();
    socket.on_disconnect(move || {
        client.close();
        ready(())
    });
    let own = wishes.clone();
    socket.on(
        "subscribe_events",
        move |socket: SocketRef, TryData(request): TryData<Value>, ack: AckSender| {
            acknowledge(ack);
            own.subscribe(&socket, &request.unwrap_or_default());
            ready(())
        },
    );
    let own = wishes.clone();
    socket.on_fallback(move |socket: SocketRef, Event(name): Event, ack: AckSender| {
        acknowledge(ack);
        own.refuse(&socket, &CommandError::not_ours(&name));
        ready(())
    });
}

/// As the existing bridge does for every event, whatever comes of it.
fn acknowledge(ack: AckSender) {
    ack.send::<[(); 0]>(&[]).ok();
}

/// What `gap` says, as an entry of ours that is stored nowhere.
fn line_about(gap: &Gap, session_id: &SessionId) -> DashboardLog {
    let (count, level) = (gap.count, Level::Warning);
    let entry_id = format!("gap-{}-{count}", gap.after);
    DashboardLog {
        timestamp: iso_now(),
        level,
        service: "Web Bridge".to_owned(),
        message: format!("entries not shown here: {count}. They are in the session record."),
        session_id: session_id.clone(),
        entry_id: entry_id.parse().expect("letters, digits and hyphens make an id"),
        severity: level.severity(),
        seq: gap.after,
        service_key: NAME.to_owned(),
        repeats: 0,
    }
}

// === impl Wishes ===

impl Wishes {
    fn new(client: Arc<Client>) -> Self {
        Self {
            client,
            spec: Mutex::default(),
            is_subscribed: AtomicBool::new(false),
            subscribed: Notify::new(),
            budget: Mutex::new(Budget::new(Instant::now())),
        }
    }

    fn subscribe(&self, socket: &SocketRef, request: &Value) {
        match wanted_level(request) {
            Ok(level) => self.want(FilterSpec { level, ..FilterSpec::default() }),
            Err(error) => self.refuse(socket, &error),
        }
        self.is_subscribed.store(true, Ordering::Relaxed);
        self.subscribed.notify_one();
    }

    fn want(&self, spec: FilterSpec) {
        let wanted = Wanted::new(&spec).expect("a filter without patterns can always be used");
        self.client.set_wanted(wanted);
        *self.spec.lock() = spec;
    }

    fn refuse(&self, socket: &SocketRef, error: &CommandError) {
        if self.budget.lock().take(Instant::now()) {
            socket.emit("command_error", error).ok();
        }
    }

    fn levels(&self) -> Levels {
        if self.is_subscribed.load(Ordering::Relaxed) { Levels::UpToError } else { Levels::AllFive }
    }
}

// === impl Pump ===

impl Pump {
    async fn run(mut self, cancelled: CancellationToken) {
        let ended = cancelled.run_until_cancelled(self.pump()).await;
        if ended.is_some() {
            // The client is gone, or its queue was closed: so is the connection.
            self.socket.disconnect().ok();
        }
    }

    async fn pump(&mut self) {
        timeout(SUBSCRIBE_PATIENCE, self.wishes.subscribed.notified()).await.ok();
        if self.send_recent().await.is_break() {
            return;
        }
        let client = self.member.client().clone();
        while client.ready().await {
            for item in client.take(BATCH, BATCH_BYTES).items {
                if self.send_item(item).await.is_break() {
                    return;
                }
            }
        }
    }

    async fn send_recent(&mut self) -> ControlFlow<()> {
        let filter = self.wishes.spec.lock().clone();
        let session = Some(self.session.clone());
        let range = Range::Latest { before: Some(self.last + 1) };
        let query = Query { session, filter, range, limit: RECENT };
        // If the past cannot be read, the present still can.
        let Ok(page) = self.bridge.entries(query).await else { return ControlFlow::Continue(()) };
        for entry in page.entries {
            self.send_log(&DashboardLog::from(&entry)).await?;
        }
        ControlFlow::Continue(())
    }

    async fn send_item(&mut self, item: Item) -> ControlFlow<()> {
        match item {
            Item::Entry(live) => {
                if live.entry.session_id != self.session {
                    self.session = live.entry.session_id.clone();
                    self.last = 0;
                }
                if live.entry.seq <= self.last {
                    return ControlFlow::Continue(());
                }
                self.last = live.entry.seq;
                self.send_log(live.short()).await
            }
            Item::Summary(line) => self.send_log(&line).await,
            Item::Gap(gap) => match gap.beyond(self.last) {
                Some(gap) => self.send_gap(&gap).await,
                None => ControlFlow::Continue(()),
            },
        }
    }

    async fn send_log(&self, log: &DashboardLog) -> ControlFlow<()> {
        let (event, message) =
            LogMessage::new(log, self.wishes.levels(), self.bridge.dashboard_event);
        self.send(event, &message).await
    }

    /// CantinaOS's dashboard knows no gaps, so it is sent a line as well.
    async fn send_gap(&self, gap: &Gap) -> ControlFlow<()> {
        self.send("log_gap", &LogGap { gap, timestamp: iso_now() }).await?;
        match self.wishes.levels() {
            Levels::AllFive => ControlFlow::Continue(()),
            Levels::UpToError => self.send_log(&line_about(gap, &self.session)).await,
        }
    }

    /// Sends as soon as the transport has room. Meanwhile the queue takes in
    /// what comes, and drops the oldest if it must.
    async fn send<T: Serialize>(&self, event: &str, message: &T) -> ControlFlow<()> {
        let mut wait = RETRY_MIN;
        loop {
            match self.socket.emit(event, message) {
                Ok(()) => return ControlFlow::Continue(()),
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {}
                Err(SendError::Serialize(_)) => {
                    self.bridge.hub.count_missed(1);
                    return ControlFlow::Continue(());
                }
                Err(SendError::Socket(_)) => return ControlFlow::Break(()),
            }
            if self.wishes.client.is_closed() {
                return ControlFlow::Break(());
            }
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }
}
