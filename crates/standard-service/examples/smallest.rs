//! The smallest service there is: it starts, says that it is online when someone asks, and stops.
//!
//! Run it with `cargo run -p standard-service --example smallest`.
#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use std::{sync::Arc, time::Duration};

use bus::{Bus, BusExt, MemoryBus};
use standard_service::{
    BoxError, SERVICE_STATUS_REQUEST, SERVICE_STATUS_UPDATE, StandardService, StatusRequest,
    Supervisor, Tasks, async_trait,
};
use tokio::time::Instant;

#[derive(Default)]
struct EyeLights {
    tasks: Tasks,
}

#[async_trait]
impl StandardService for EyeLights {
    fn name(&self) -> &'static str {
        "eye_lights"
    }

    async fn start(&mut self) -> Result<(), BoxError> {
        self.tasks.spawn("blink", |cancelled| async move {
            println!("eyes: on");
            cancelled.cancelled().await;
            println!("eyes: off");
        });
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        Ok(self.tasks.stop(Duration::from_secs(1)).await?)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::default());
    let mut statuses = bus.subscribe_json(&SERVICE_STATUS_UPDATE, 16.try_into()?).await?;

    let mut supervisor = Supervisor::new(Arc::clone(&bus));
    supervisor.add(EyeLights::default());
    supervisor.start_all().await?;
    bus.publish_json(&SERVICE_STATUS_REQUEST, &StatusRequest::now("example")).await?;

    // It started, and it is online.
    for _ in 0..2 {
        if let Some(status) = statuses.recv().await.transpose()? {
            println!("{} {}: {}", status.service_name, status.status, status.message);
        }
    }

    let report = supervisor.stop_all(Instant::now() + Duration::from_secs(2)).await;
    bus.close().await?;
    while let Some(status) = statuses.recv().await.transpose()? {
        println!("{} {}: {}", status.service_name, status.status, status.message);
    }
    if report.is_clean() { Ok(()) } else { Err(format!("{report:?}").into()) }
}
