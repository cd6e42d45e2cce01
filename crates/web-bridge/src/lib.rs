//! Serves the dashboard, the HTTP interface and the Socket.IO contract.
//!
//! A [`WebBridge`] takes entries from the bus and hands them to browsers: to
//! ours as server-sent events, to CantinaOS's as Socket.IO events. What was
//! logged before it asks of an [`Archive`](logging_api::Archive), how the
//! service is of its [`Vitals`](logging_api::Vitals). A [`Config`] says where it
//! listens and who may ask.
//!
//! ```no_run
//! # async fn serve(
//! #     bus: std::sync::Arc<dyn bus::Bus>,
//! #     archive: std::sync::Arc<dyn logging_api::Archive>,
//! #     vitals: std::sync::Arc<dyn logging_api::Vitals>,
//! # ) -> Result<(), standard_service::BoxError> {
//! use standard_service::StandardService;
//! use web_bridge::{Config, WebBridge};
//!
//! let config = Config { listen: "127.0.0.1:0".parse()?, ..Config::default() };
//! let mut bridge = WebBridge::new(config, bus, archive, vitals);
//! bridge.start().await?;
//! assert!(bridge.local_addr().is_some_and(|address| address.port() != 0));
//! bridge.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a client can rely on
//!
//! * **Each entry once, in order**, on every connection, also where the past
//!   meets the present.
//! * **A gap is told**: what a slow client was not sent is counted and named by
//!   its place, and can be asked for.
//! * **Nobody waits for anybody.** A client that does not read costs a bounded
//!   queue, and is cut off in the end.
//! * **Only our own pages and the listed ones** may ask, on every route.
//! * **Nothing outlives `stop`**: no task and no connection.
//!
//! # What this crate does not know
//!
//! Files, the ring, deduplication and levels at runtime. It never logs about an
//! entry, and never changes one.

mod api;
mod assets;
mod bridge;
mod client;
mod config;
mod connection;
mod error;
#[cfg(test)]
mod fixture;
mod hub;
mod params;
mod problem;
mod relay;
mod security;
mod server;
mod services;
mod socketio;
mod system;

pub use config::{Config, DashboardEvent, QueueLimits};
pub use error::Error;
pub use server::WebBridge;

/// The service's name on the bus.
const NAME: &str = "web_bridge";

/// The time now, as CantinaOS writes it, with the zone.
fn iso_now() -> String {
    chrono::Local::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, false)
}
