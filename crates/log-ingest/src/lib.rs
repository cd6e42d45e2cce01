//! Receives records from other programs, Python's logging first.
//!
//! [`LogIngest`] listens on one port, TCP and UDP.
//! Each connection carries *frames*; each frame holds one *record* or several, as JSON or as the pickle of Python's own handlers; each record goes to a [`RecordSink`](log_entry::RecordSink).
//! What is no record is reported to the sink as a [`Loss`](log_entry::Loss), so everything that arrives is counted somewhere.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use std::sync::Arc;
//!
//! use log_entry::{Levels, Loss, Offer, Record, RecordSink, Ticket, Written};
//! use log_ingest::{Config, LogIngest};
//! use standard_service::StandardService;
//! use tokio::{io::AsyncWriteExt, net::TcpStream, sync::{mpsc, watch}};
//!
//! struct Messages(mpsc::Sender<String>);
//!
//! impl RecordSink for Messages {
//!     fn offer(&self, record: Record) -> Offer {
//!         self.0.try_send(record.message).expect("there is room for one");
//!         Offer::Accepted(Ticket(1))
//!     }
//!     fn report(&self, loss: Loss) {
//!         panic!("{loss:?}");
//!     }
//! }
//!
//! let (messages, mut received) = mpsc::channel(1);
//! let (_levels, levels) = watch::channel(Levels::default());
//! let (_written, written) = watch::channel(Written::default());
//! let config = Config { listen: "127.0.0.1:0".parse()?, ..Config::default() };
//! let mut ingest = LogIngest::new(config, Arc::new(Messages(messages)), levels, written);
//! ingest.start().await?;
//!
//! let mut program = TcpStream::connect(ingest.local_addr().expect("started")).await?;
//! program.write_all(b"\x00\x00\x00\x15{\"message\": \"hello\"} ").await?;
//! assert_eq!(received.recv().await.as_deref(), Some("hello"));
//! ingest.stop().await?;
//! # Ok::<(), standard_service::BoxError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
//!
//! # The wire
//!
//! A frame is a length and a payload. The length is four bytes, big-endian:
//!
//! ```text
//! 00 00 00 15  {"message": "hello"}␠
//! ```
//!
//! * A payload that begins with `{` or `[` is JSON: a record, or an array of records. Only `message` is required:
//!
//!   ```json
//!   {"timestamp": 1750167431.272728, "level": "INFO", "severity": 20,
//!    "logger": "cantina_os.gpt_service", "message": "Received API response",
//!    "source_id": "r3x:811:5f0a", "seq": 17, "entry_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
//!    "source": {"file": "gpt_service.py", "line": 412, "function": "ask", "thread": "MainThread", "task": null, "pid": 811},
//!    "exception": {"type": "ValueError", "message": "no", "traceback": "Traceback (most recent call last):\n…"},
//!    "fields": {"plan_id": "p-1"}}
//!   ```
//!
//!   `timestamp` is seconds after the epoch or RFC 3339. What is unknown or unusable is kept as a field.
//! * Any other payload is the pickle of a `LogRecord.__dict__`, as `logging.handlers.SocketHandler` sends it.
//!   It is read as data: nothing in it is ever looked up or called.
//! * A datagram is one frame, or one payload alone.
//!
//! Back, on connections that send JSON, come frames of the same shape:
//!
//! ```json
//! {"ack": 17}
//! {"levels": {"root": "INFO", "cantina_os.gpt_service": "DEBUG"}}
//! ```
//!
//! # Contract
//!
//! * **Acknowledged means written.** `{"ack": n}` says that every record of this connection with a `seq` up to `n` is written. What can never become a record is reported as lost and acknowledged too, because sending it again would not help. Only the newest `n` is sent.
//! * **What could not be taken comes again.** If the sink refuses a record of a JSON connection, or a record was lost before it was written, the connection is closed after what came before is acknowledged. The emitter connects and sends again.
//! * **Python's own handlers are not loss-free.** They ask for no acknowledgement; what the sink refuses of theirs is dropped, and counted by the sink. Nothing is ever written back to them.
//! * **Only who can wait is left waiting.** While the sink has no room, connections that send JSON are not read: their emitters keep what is not acknowledged. All others are always read. Nobody waits for a peer that does not read.
//! * **Everything has a limit**, and every limit is in [`Config`] or in the documentation of the decoders. A frame above `frame_bytes_max` is passed over and counted; one above 64 MiB, HTTP and TLS end the connection.
//! * **Levels** are sent after the first JSON frame and at each change.
//! * **Only this machine**: an address that others can reach is refused unless [`Config::allow_remote`] is set.
//!
//! # What this crate does not know
//!
//! What is behind the sink: queues, files, sessions, the bus. It never decides whether a record is wanted.

mod acks;
mod config;
mod connection;
mod datagrams;
mod door;
mod error;
mod listener;
mod replies;
mod service;
mod stats;
mod wire;

pub use config::Config;
pub use error::Error;
pub use service::LogIngest;
pub use stats::{Stats, StatsReader};

#[cfg(test)]
mod tests;
