//! Real sockets, and real Python at the other end.

mod garbage;
mod lifecycle;
mod python;
mod replies;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use log_entry::{
    DropReason, Level, Levels, Loss, Offer, Record, RecordSink, Ticket, Written, format_timestamp,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use standard_service::StandardService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::wire::frame::frame;
use crate::{Config, Error, LogIngest, Stats};

const PATIENCE: Duration = Duration::from_secs(20);

/// Hands out tickets, and passes on what it gets.
struct Sink {
    records: mpsc::Sender<Record>,
    losses: mpsc::Sender<Loss>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tickets: u64,
    is_full: bool,
    /// What to answer next, instead of accepting.
    refusals: VecDeque<Option<DropReason>>,
}

impl RecordSink for Sink {
    fn offer(&self, record: Record) -> Offer {
        let mut state = self.state.lock();
        if let Some(Some(reason)) = state.refusals.pop_front() {
            return Offer::Dropped(reason);
        }
        state.tickets += 1;
        self.records.try_send(record).expect("the test takes what it sends");
        Offer::Accepted(Ticket(state.tickets))
    }

    fn has_room(&self) -> bool {
        !self.state.lock().is_full
    }

    fn report(&self, loss: Loss) {
        self.losses.try_send(loss).expect("the test takes what it sends");
    }
}

/// A listener, and everything around it.
struct Ingest {
    service: LogIngest,
    sink: Arc<Sink>,
    records: mpsc::Receiver<Record>,
    losses: mpsc::Receiver<Loss>,
    levels: watch::Sender<Levels>,
    written: watch::Sender<Written>,
    address: SocketAddr,
}

impl Ingest {
    async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    async fn start_with(config: Config) -> Self {
        let (records, received) = mpsc::channel(1 << 16);
        let (losses, lost) = mpsc::channel(1 << 16);
        let sink = Arc::new(Sink { records, losses, state: Mutex::default() });
        let (levels, levels_changed) = watch::channel(Levels::default());
        let (written, written_changed) = watch::channel(Written::default());
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..config };
        let door: Arc<dyn RecordSink> = sink.clone();
        let mut service = LogIngest::new(config, door, levels_changed, written_changed);
        service.start().await.unwrap();
        let address = service.local_addr().unwrap();
        Self { service, sink, records: received, losses: lost, levels, written, address }
    }

    async fn connect(&self) -> Emitter {
        Emitter { stream: TcpStream::connect(self.address).await.unwrap() }
    }

    async fn record(&mut self) -> Record {
        soon(self.records.recv()).await.unwrap()
    }

    async fn message(&mut self) -> String {
        self.record().await.message
    }

    async fn loss(&mut self) -> Loss {
        soon(self.losses.recv()).await.unwrap()
    }

    fn write(&self, through: u64, lost: u64) {
        self.written.send_replace(Written { through: Ticket(through), lost: Ticket(lost) });
    }

    fn refuse(&self, refusals: impl IntoIterator<Item = Option<DropReason>>) {
        self.sink.state.lock().refusals.extend(refusals);
    }

    fn set_full(&self, is_full: bool) {
        self.sink.state.lock().is_full = is_full;
    }

    fn stats(&self) -> Stats {
        self.service.stats().read()
    }

    /// Ends it, and expects that nothing was left over.
    async fn stop(mut self) {
        soon(self.service.stop()).await.unwrap();
        assert!(self.records.try_recv().is_err(), "a record nobody expected");
        assert_eq!(self.losses.try_recv().ok(), None);
        assert_eq!(self.stats().connections_open, 0);
    }
}

/// A program that sends by hand.
struct Emitter {
    stream: TcpStream,
}

impl Emitter {
    async fn send(&mut self, payload: impl AsRef<[u8]>) {
        self.stream.write_all(&frame(payload.as_ref())).await.unwrap();
    }

    async fn send_json(&mut self, value: Value) {
        self.send(value.to_string()).await;
    }

    /// The next frame; nothing if the listener has closed.
    async fn reply(&mut self) -> Option<Value> {
        let mut header = [0; 4];
        soon(self.stream.read_exact(&mut header)).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes(header) as usize];
        soon(self.stream.read_exact(&mut payload)).await.unwrap();
        Some(serde_json::from_slice(&payload).unwrap())
    }

    async fn expect_closed(&mut self) {
        let mut rest = Vec::new();
        // A reset says the same as an orderly end.
        let _ = soon(self.stream.read_to_end(&mut rest)).await;
        assert_eq!(rest, b"");
    }
}

/// Waits, but not for ever.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

fn numbered(seqs: std::ops::RangeInclusive<u64>) -> Value {
    seqs.map(|seq| json!({"message": seq.to_string(), "source_id": "s", "seq": seq})).collect()
}

fn info() -> Value {
    json!({"levels": {"root": "INFO"}})
}

/// Takes these messages, and nothing else.
async fn drain(mut ingest: Ingest, messages: &[&str]) {
    for message in messages {
        assert_eq!(ingest.message().await, *message);
    }
    ingest.stop().await;
}
