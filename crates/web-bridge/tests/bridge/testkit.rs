//! A running bridge, and clients that speak HTTP byte by byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, BusExt, MemoryBus};
use log_entry::{
    EntryId, Filter, Level, LogEntry, Origin, Record, Service, SessionId, Stamp,
    timestamp_from_epoch,
};
use logging_api::{
    Archive, ArchiveError, BusVitals, Health, HealthStatus, LOG_ENTRY, Page, Query, Range,
    SessionDetail, SessionSummary, Stats, ViewCounts, Vitals,
};
use parking_lot::Mutex;
use serde_json::Value;
use standard_service::StandardService;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use web_bridge::{Config, WebBridge};

pub(crate) const SESSION: &str = "cantina-session-20261122-160357";
/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A bridge on a free port, with an archive that tests write to.
pub(crate) struct Cantina {
    pub(crate) bridge: WebBridge,
    pub(crate) bus: MemoryBus,
    pub(crate) log: Arc<Log>,
    pub(crate) address: SocketAddr,
}

/// The archive and the vitals.
#[derive(Default)]
pub(crate) struct Log {
    entries: Mutex<Vec<LogEntry>>,
    /// While it is true, questions about entries wait for their answer.
    pub(crate) is_held: watch::Sender<bool>,
    pub(crate) is_degraded: Mutex<bool>,
}

/// An answer with a body that has an end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// An answer whose body goes on: server-sent events.
pub(crate) struct Events {
    pub(crate) status: u16,
    reader: BufReader<TcpStream>,
    text: String,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

// === impl Cantina ===

impl Cantina {
    pub(crate) async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        Self::start_on(MemoryBus::default(), config).await
    }

    pub(crate) async fn start_on(bus: MemoryBus, config: Config) -> Self {
        let log = Arc::new(Log::default());
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..config };
        let mut bridge = WebBridge::new(config, Arc::new(bus.clone()), log.clone(), log.clone());
        bridge.start().await.unwrap();
        let address = bridge.local_addr().unwrap();
        Self { bridge, bus, log, address }
    }

    /// Logs entries with these numbers: into the archive first, then on the bus.
    pub(crate) async fn log(&self, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            self.log_entry(entry(seq)).await;
        }
    }

    pub(crate) async fn log_entry(&self, entry: LogEntry) {
        self.log.entries.lock().push(entry.clone());
        self.bus.publish_json(&LOG_ENTRY, &entry).await.unwrap();
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[]).await
    }

    /// Asks on a connection of its own, as `localhost` unless `headers` say otherwise.
    pub(crate) async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut lines = vec![("Connection", "close")];
        lines.extend(headers);
        let stream = self.send(method, target, &lines, "").await;
        timeout(PATIENCE, read_answer(stream)).await.expect("an answer in time")
    }

    pub(crate) async fn post(&self, target: &str, body: &str) -> Answer {
        let length = body.len().to_string();
        let lines = [("Connection", "close"), ("Content-Length", &length)];
        let stream = self.send("POST", target, &lines, body).await;
        timeout(PATIENCE, read_answer(stream)).await.expect("an answer in time")
    }

    pub(crate) async fn events(&self, target: &str, headers: &[(&str, &str)]) -> Events {
        let mut reader = BufReader::new(self.send("GET", target, headers, "").await);
        let (status, _) = timeout(PATIENCE, read_head(&mut reader)).await.expect("a head in time");
        Events { status, reader, text: String::new() }
    }

    /// Sends a request, and reads nothing.
    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> TcpStream {
        let own = format!("localhost:{}", self.address.port());
        let has_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = [("Host", own.as_str())];
        let host = if has_host { &[][..] } else { &host };
        let lines = host.iter().chain(headers).map(|(name, value)| format!("{name}: {value}\r\n"));
        let lines: String = lines.collect();
        let request = format!("{method} {target} HTTP/1.1\r\n{lines}\r\n{body}");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Asks for the counts until they are as `is_expected` says.
    pub(crate) async fn until_stats(&self, is_expected: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let stats = self.get("/api/stats").await.json();
                if is_expected(&stats) {
                    return stats;
                }
            }
        };
        timeout(PATIENCE, asking).await.expect("the counts in time")
    }
}

// === impl Log ===

#[async_trait]
impl Archive for Log {
    fn current(&self) -> SessionId {
        SESSION.parse().unwrap()
    }

    fn last_seq(&self) -> u64 {
        self.entries.lock().last().map_or(0, |entry| entry.seq)
    }

    async fn entries(&self, query: Query) -> Result<Page, ArchiveError> {
        if let Some(session) = query.session
            && session != self.current()
        {
            return Err(ArchiveError::NoSession(session));
        }
        self.is_held.subscribe().wait_for(|is_held| !is_held).await.expect("it is not dropped");
        let filter = Filter::new(&query.filter)?;
        let entries = self.entries.lock();
        let matching = || entries.iter().filter(|entry| filter.matches(entry)).cloned();
        let (entries, next): (Vec<_>, _) = match query.range {
            Range::Latest { before } => {
                let before = before.unwrap_or(u64::MAX);
                let all: Vec<_> = matching().filter(|entry| entry.seq < before).collect();
                let page = all[all.len().saturating_sub(query.limit)..].to_vec();
                let next = page.first().filter(|_| page.len() < all.len()).map(|entry| entry.seq);
                (page, next)
            }
            Range::After(after) => {
                let all: Vec<_> = matching().filter(|entry| entry.seq > after).collect();
                let page: Vec<_> = all.iter().take(query.limit).cloned().collect();
                let next = page.last().filter(|_| page.len() < all.len()).map(|entry| entry.seq);
                (page, next)
            }
            Range::Around(id) => match matching().find(|entry| entry.entry_id == id) {
                Some(entry) => (vec![entry], None),
                None => return Err(ArchiveError::NoEntry { entry: id, session: self.current() }),
            },
        };
        Ok(Page { session_id: self.current(), entries, next })
    }

    async fn sessions(&self) -> Result<Vec<SessionSummary>, ArchiveError> {
        Ok(vec![self.summary()])
    }

    async fn session(&self, id: &SessionId) -> Result<SessionDetail, ArchiveError> {
        if *id != self.current() {
            return Err(ArchiveError::NoSession(id.clone()));
        }
        let entries = self.last_seq();
        let by_level = [(Level::Info, entries)].into();
        Ok(SessionDetail { summary: self.summary(), entries, repeats: 0, by_level })
    }
}

impl Log {
    fn summary(&self) -> SessionSummary {
        SessionSummary {
            id: self.current(),
            started_at: None,
            ended_at: None,
            bytes: 10,
            segments: 1,
            current: true,
        }
    }
}

impl Vitals for Log {
    fn stats(&self) -> Stats {
        Stats {
            session_id: self.current(),
            uptime_s: 1.5,
            last_seq: self.last_seq(),
            received: self.last_seq(),
            stored: self.last_seq(),
            merged: 0,
            filtered: 0,
            filtered_by: BTreeMap::new(),
            dropped: BTreeMap::new(),
            in_flight: 0,
            by_service: BTreeMap::new(),
            views: ViewCounts::default(),
            clients: 0,
            bus: BusVitals { state: "connected".into(), ..BusVitals::default() },
        }
    }

    fn health(&self) -> Health {
        let (status, reasons) = if *self.is_degraded.lock() {
            (HealthStatus::Degraded, vec!["disk full".to_owned()])
        } else {
            (HealthStatus::Ok, vec![])
        };
        Health { status, reasons, session_id: self.current(), uptime_s: 1.5 }
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// What went wrong, if the answer says so as it should.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert_eq!(problem["type"], "about:blank");
        problem["detail"].as_str().unwrap().to_owned()
    }
}

// === impl Events ===

impl Events {
    /// The next event; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        timeout(PATIENCE, self.read()).await.expect("an event in time")
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(event) = parse_event(&block) {
                    return Some(event);
                }
            }
            let piece = read_chunk(&mut self.reader).await.filter(|piece| !piece.is_empty())?;
            self.text.push_str(&piece);
        }
    }

    /// Numbers of the entries from here on, until the one with `last`.
    pub(crate) async fn seqs_until(&mut self, last: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        while !seqs.contains(&last) {
            let event = self.next().await.expect("the stream goes on");
            assert_eq!(event.name, "entry", "{event:?}");
            seqs.extend(event.seqs());
        }
        seqs
    }
}

impl Event {
    pub(crate) fn seqs(&self) -> Vec<u64> {
        let entries = self.data.as_array().expect("entries come as an array");
        let seqs: Vec<_> = entries.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
        assert_eq!(self.id, seqs.last().copied(), "the id is the last number");
        seqs
    }
}

fn parse_event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    let id = field("id").map(|id| id.parse().unwrap());
    Some(Event { name: field("event")?, id, data: serde_json::from_str(&field("data")?).unwrap() })
}

async fn read_answer(stream: TcpStream) -> Answer {
    let mut reader = BufReader::new(stream);
    let (status, headers) = read_head(&mut reader).await;
    let mut body = String::new();
    if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        while let Some(piece) = read_chunk(&mut reader).await.filter(|piece| !piece.is_empty()) {
            body += &piece;
        }
    } else {
        reader.read_to_string(&mut body).await.unwrap();
    }
    Answer { status, headers, body }
}

/// Status and headers, names in lower case.
pub(crate) async fn read_head(
    reader: &mut BufReader<TcpStream>,
) -> (u16, BTreeMap<String, String>) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).await.unwrap() > 0, "it ended after {lines:?}");
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &String| {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        (name.to_ascii_lowercase(), value.to_owned())
    };
    (status, lines[1..].iter().map(header).collect())
}

/// The next chunk, empty at the end; none if the connection broke off.
async fn read_chunk(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut size = String::new();
    if reader.read_line(&mut size).await.ok()? == 0 {
        return None;
    }
    let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
    let mut bytes = vec![0; size + 2];
    reader.read_exact(&mut bytes).await.ok()?;
    bytes.truncate(size);
    Some(String::from_utf8(bytes).unwrap())
}

/// An INFO entry of the session.
pub(crate) fn entry(seq: u64) -> LogEntry {
    entry_with(seq, Level::Info, &format!("message {seq}"))
}

pub(crate) fn entry_with(seq: u64, level: Level, message: &str) -> LogEntry {
    let now = timestamp_from_epoch(1_795_363_462.5).unwrap();
    let record = Record::new(now, level, "cantina_os.gpt_service", message);
    let stamp = Stamp {
        seq,
        entry_id: id(seq),
        service: Service::new("gpt_service", "AI Assistant"),
        session_id: SESSION.parse().unwrap(),
        host: "r3x".into(),
    };
    LogEntry::new(record, stamp)
}

/// An entry that a collector took in, with the `seq` it has here.
pub(crate) fn entry_from(host: &str, seq: u64) -> LogEntry {
    let entry = entry(seq);
    let origin = Origin {
        id: format!("{host}-5f3a9c12").into(),
        session_id: "cantina-session-20261101-120000".parse().unwrap(),
        seq: seq + 1_000_000,
        received_at: entry.received_at,
    };
    LogEntry { host: host.into(), origin: Some(Box::new(origin)), ..entry }
}

pub(crate) fn id(seq: u64) -> EntryId {
    format!("entry-{seq}").parse().unwrap()
}

/// Waits until nobody subscribes any more, or for whatever `is_done` waits.
pub(crate) fn subscriptions(bus: &MemoryBus) -> usize {
    bus.state().subscriptions
}
