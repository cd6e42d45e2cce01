//! A Rust service that keeps its own log: `tracing` events in, a session file out.
//!
//! Run with `cargo run -p logging-service --example rust_service [DIRECTORY]`.

#![allow(clippy::print_stdout)]

use std::sync::Arc;

use bus::MemoryBus;
use logging_service::{Config, LoggingService};
use standard_service::{BoxError, StandardService};
use tracing_subscriber::layer::SubscriberExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "target/example-logs".to_owned());
    let config = Config { session_file_path: directory.into(), ..Config::default() };

    let mut logging = LoggingService::open(config, Arc::new(MemoryBus::default())).await?;
    let capture = tracing_capture::layer(logging.intake());
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(capture))?;

    tracing::info!("logged before the start, and kept");
    logging.start().await?;
    tracing::warn!(track = "Cantina Band", volume = 11, "the band plays too loud");
    logging.stop().await?;
    println!("kept in {}", logging.handle().session_file().display());
    Ok(())
}
