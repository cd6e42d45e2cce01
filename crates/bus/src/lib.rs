//! CantinaOS's event bus: one trait, and the adapters that implement it.
//!
//! An [`Event`] is bytes under a topic. A [`Bus`] carries it to every
//! [`Subscription`] to that topic, and each subscription is a bounded queue of
//! its own, so nobody waits for anybody. A [`Topic`] ties a topic's name to
//! the type that travels on it as JSON, and [`BusExt`] uses it to publish,
//! subscribe and ask with types instead of bytes.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use bus::{Bus, BusExt, MemoryBus, Topic};
//!
//! const MODE: Topic<String> = Topic::new("system.mode.change");
//!
//! let bus = MemoryBus::default();
//! let mut modes = bus.subscribe_json(&MODE, 16.try_into()?).await?;
//! bus.publish_json(&MODE, &"INTERACTIVE".to_owned()).await?;
//! bus.close().await?;
//!
//! assert_eq!(modes.recv().await.transpose()?.as_deref(), Some("INTERACTIVE"));
//! assert!(modes.recv().await.is_none(), "the bus is closed and the queue is empty");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | adapter | URL for [`connect`] | where | feature |
//! |---|---|---|---|
//! | [`MemoryBus`] | `memory:` | always there, inside one process | none |
//! | `NatsBus` | `nats://host`, `tls://host` | every machine on the NATS servers; with `?stream=NAME` events are kept (JetStream) | `nats` |
//!
//! What an adapter promises is in the documentation of [`Bus`], and
//! [`conformance`](crate#testing-an-adapter) checks it promise by promise. What
//! an adapter does beyond that, it declares in its [`Capabilities`].
//!
//! # Testing an adapter
//!
//! The feature `conformance` adds the module `bus::conformance`. An adapter's
//! whole test is `bus::conformance::run(async || MyBus::connect().await).await`.
//!
//! # What this crate does not know
//!
//! What is in a payload, who publishes it, log entries, services and their
//! lifecycles. It starts no tasks in the runtime of its caller; `NatsBus` has a
//! thread of its own, which ends with it.

#[cfg(feature = "conformance")]
pub mod conformance;
mod connect;
mod contract;
mod durable;
mod error;
mod event;
mod ext;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod state;
mod subscription;
mod topic;
mod unique;

pub use connect::{ConnectError, connect};
pub use contract::Bus;
pub use durable::{Durable, EVENT_ID, Kept, ORIGIN, Reader, StoreMark};
pub use error::{BoxError, Error, PublishAllError};
pub use event::{Event, HEADERS_BYTES_MAX, Headers};
pub use ext::{BusExt, REPLY_TO, ReceiveError, RequestError, TypedSubscription};
pub use memory::MemoryBus;
#[cfg(feature = "nats")]
pub use nats::{NatsBus, NatsOptions, Storage, StreamOptions};
pub use state::{Capabilities, Link, Reach, State};
pub use subscription::{Delivery, Fed, Feed, QUEUE_BYTES_MAX, Subscription, TryRecvError, queue};
pub use topic::{DecodeError, TOPIC_BYTES_MAX, Topic, check_topic};
