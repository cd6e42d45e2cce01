//! The lifecycle every CantinaOS service shares.
//!
//! A [`StandardService`] is started once and stopped once.
//! What it runs belongs to its [`Tasks`], so that nothing outlives its stop.
//! A [`Supervisor`] starts services in order, stops them in reverse, tells the bus about it in [`ServiceStatus`] events, and stays up when one of them fails.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use std::time::Duration;
//!
//! use standard_service::{BoxError, StandardService, Supervisor, Tasks, async_trait};
//! use tokio::time::Instant;
//!
//! #[derive(Default)]
//! struct EyeLights {
//!     tasks: Tasks,
//! }
//!
//! #[async_trait]
//! impl StandardService for EyeLights {
//!     fn name(&self) -> &'static str {
//!         "eye_lights"
//!     }
//!
//!     async fn start(&mut self) -> Result<(), BoxError> {
//!         self.tasks.spawn("blink", |cancelled| async move { cancelled.cancelled().await });
//!         Ok(())
//!     }
//!
//!     async fn stop(&mut self) -> Result<(), BoxError> {
//!         Ok(self.tasks.stop(Duration::from_secs(1)).await?)
//!     }
//! }
//!
//! let mut supervisor = Supervisor::new(bus::connect("memory:").await?);
//! supervisor.add(EyeLights::default());
//! assert_eq!(supervisor.start_all().await?.started, ["eye_lights"]);
//! assert!(supervisor.stop_all(Instant::now() + Duration::from_secs(2)).await.is_clean());
//! # Ok::<(), BoxError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
//!
//! # What this crate does not know
//!
//! What any service does, log entries, configuration, signals and exit codes.
//! It never closes the bus.

mod service;
mod status;
mod supervisor;
mod tasks;
mod unwind;

pub use async_trait::async_trait;

pub use service::{BoxError, Health, StandardService};
pub use status::{
    Announcement, ParseSeverityError, ParseStatusError, SERVICE_READY, SERVICE_STARTING,
    SERVICE_STATUS_REQUEST, SERVICE_STATUS_UPDATE, ServiceStatus, Severity, Status, StatusRequest,
    class_name,
};
pub use supervisor::{Failure, Member, StartError, StartReport, StopReport, Supervisor, chain};
pub use tasks::{Spawner, StopError, TaskPanic, Tasks};
