//! A supervisor, its services and what the bus hears of them, from outside.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use bus::{Bus, BusExt, Delivery, MemoryBus, Subscription, TryRecvError};
use parking_lot::Mutex;
use serde_json::Value;
use standard_service::{
    BoxError, Health, SERVICE_READY, SERVICE_STARTING, SERVICE_STATUS_REQUEST,
    SERVICE_STATUS_UPDATE, StandardService, StatusRequest, Supervisor, Tasks, async_trait,
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

/// What a service of these tests does, besides writing down that it was started and stopped.
#[derive(Default)]
struct Service {
    name: &'static str,
    seen: Seen,
    start_error: Option<&'static str>,
    stop_error: Option<&'static str>,
    start_panic: Option<&'static str>,
    /// Does not end when asked to.
    is_deaf: bool,
    /// Dropped when the task of the service ends.
    held: Option<oneshot::Sender<()>>,
    health: watch::Sender<Health>,
    tasks: Tasks,
}

/// Who was started and stopped, in order.
type Seen = Arc<Mutex<Vec<String>>>;

impl Service {
    fn new(name: &'static str, seen: &Seen) -> Self {
        Self { name, seen: Arc::clone(seen), ..Self::default() }
    }
}

#[async_trait]
impl StandardService for Service {
    fn name(&self) -> &'static str {
        self.name
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    async fn start(&mut self) -> Result<(), BoxError> {
        self.seen.lock().push(format!("start {}", self.name));
        if let Some(message) = self.start_panic {
            panic!("{message}");
        }
        if let Some(reason) = self.start_error {
            return Err(Box::new(std::io::Error::other(reason)));
        }
        let (held, is_deaf) = (self.held.take(), self.is_deaf);
        self.tasks.spawn("work", move |cancelled| async move {
            let _held = held;
            cancelled.cancelled().await;
            if is_deaf {
                std::future::pending::<()>().await;
            }
        });
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        self.tasks.stop(Duration::from_hours(1)).await?;
        self.seen.lock().push(format!("stop {}", self.name));
        self.stop_error.map_or(Ok(()), |reason| Err(reason.into()))
    }
}

/// A bus, and everything services say on it.
struct Heard {
    bus: Arc<dyn Bus>,
    starting: Subscription,
    ready: Subscription,
    status: Subscription,
}

impl Heard {
    async fn new() -> Self {
        let bus: Arc<dyn Bus> = Arc::new(MemoryBus::default());
        let room = NonZeroUsize::new(64).expect("not zero");
        Self {
            starting: bus.subscribe(SERVICE_STARTING.name(), room).await.expect("the bus is open"),
            ready: bus.subscribe(SERVICE_READY.name(), room).await.expect("the bus is open"),
            status: bus
                .subscribe(SERVICE_STATUS_UPDATE.name(), room)
                .await
                .expect("the bus is open"),
            bus,
        }
    }

    /// The next status, as `NAME STATUS SEVERITY message`.
    async fn status(&mut self) -> String {
        let Some(Delivery::Event(event)) = self.status.recv().await else { panic!("no status") };
        let status = SERVICE_STATUS_UPDATE.decode(&event).expect("a status");
        format!("{} {} {} {}", status.service_name, status.status, status.severity, status.message)
    }

    async fn ask(&self) {
        let request = StatusRequest::now("test");
        self.bus.publish_json(&SERVICE_STATUS_REQUEST, &request).await.expect("the bus is open");
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test]
async fn starts_in_order_and_stops_in_reverse() {
    let (heard, seen) = (Heard::new().await, Seen::default());
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    for name in ["first", "second", "third"] {
        supervisor.add(Service::new(name, &seen));
    }
    let started = supervisor.start_all().await.unwrap();
    assert_eq!(started.started, ["first", "second", "third"]);
    let stopped = supervisor.stop_all(soon()).await;
    assert!(stopped.is_clean(), "{stopped:?}");
    assert_eq!(stopped.stopped, ["third", "second", "first"]);
    let expected =
        ["start first", "start second", "start third", "stop third", "stop second", "stop first"];
    assert_eq!(*seen.lock(), expected);
    assert!(supervisor.stop_all(soon()).await.stopped.is_empty(), "stopping again does nothing");
}

#[tokio::test]
async fn says_what_the_contract_says_when_starting_and_stopping() {
    let mut heard = Heard::new().await;
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    supervisor.add(Service::new("logging_service", &Seen::default()));
    supervisor.start_all().await.unwrap();

    for announced in [&mut heard.starting, &mut heard.ready] {
        let Ok(Delivery::Event(event)) = announced.try_recv() else { panic!("nothing announced") };
        let payload: Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(payload.as_object().unwrap().len(), 2);
        assert_eq!(payload["service_name"], "logging_service");
        assert!(payload["timestamp"].is_string());
    }
    let Ok(Delivery::Event(event)) = heard.status.try_recv() else { panic!("no status") };
    let mut payload: Value = serde_json::from_slice(&event.payload).unwrap();
    let last_update = payload["last_update"].take();
    assert!(last_update.as_str().unwrap().contains('T'), "{last_update}");
    let expected = serde_json::json!({
        "service_name": "logging_service", "status": "RUNNING", "uptime": "0:00:00",
        "last_update": null, "message": "LoggingService started successfully", "severity": "INFO",
    });
    assert_eq!(payload, expected);

    supervisor.stop_all(soon()).await;
    assert_eq!(heard.status().await, "logging_service STOPPED INFO LoggingService stopped");
}

#[tokio::test]
async fn a_failing_service_leaves_the_others_up() {
    let (mut heard, seen) = (Heard::new().await, Seen::default());
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    supervisor.add(Service::new("first", &seen));
    supervisor.add(Service { start_error: Some("no device"), ..Service::new("broken", &seen) });
    supervisor.add(Service { start_panic: Some("oh no"), ..Service::new("buggy", &seen) });
    supervisor.add(Service::new("last", &seen));

    let report = supervisor.start_all().await.unwrap();
    assert_eq!(report.started, ["first", "last"]);
    let failed: Vec<_> =
        report.failed.iter().map(|one| (one.service, one.error.to_string())).collect();
    let expected = [("broken", "no device".to_owned()), ("buggy", "panicked: oh no".to_owned())];
    assert_eq!(failed, expected);
    assert_eq!(heard.status().await, "first RUNNING INFO First started successfully");
    assert_eq!(heard.status().await, "broken ERROR ERROR no device");
    assert_eq!(heard.status().await, "buggy ERROR ERROR panicked: oh no");
    assert_eq!(heard.status().await, "last RUNNING INFO Last started successfully");

    heard.ask().await;
    let mut online = [heard.status().await, heard.status().await];
    online.sort();
    assert_eq!(
        online,
        ["first RUNNING DEBUG First is online", "last RUNNING DEBUG Last is online"]
    );
    let stopped = supervisor.stop_all(soon()).await;
    assert_eq!(stopped.stopped, ["last", "first"]);
}

#[tokio::test]
async fn without_a_required_service_nothing_runs() {
    let (heard, seen) = (Heard::new().await, Seen::default());
    let (held, dropped) = oneshot::channel();
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    supervisor.add(Service { held: Some(held), ..Service::new("first", &seen) });
    supervisor
        .add(Service { start_error: Some("no disk"), ..Service::new("store", &seen) })
        .required();
    supervisor.add(Service::new("never", &seen));

    let error = supervisor.start_all().await.unwrap_err();
    assert_eq!(error.to_string(), "the required service `store` did not start");
    assert_eq!(error.source.to_string(), "no disk");
    assert_eq!(error.stopped.stopped, ["first"]);
    assert_eq!(*seen.lock(), ["start first", "start store", "stop first"]);
    assert!(dropped.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_deadline_holds_for_all_and_who_is_late_is_ended_and_named() {
    let (mut heard, seen) = (Heard::new().await, Seen::default());
    let (held, dropped) = oneshot::channel();
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    supervisor.add(Service { is_deaf: true, held: Some(held), ..Service::new("deaf", &seen) });
    supervisor.add(Service { is_deaf: true, ..Service::new("deafer", &seen) });
    supervisor.add(Service::new("quick", &seen));
    supervisor.start_all().await.unwrap();
    for _ in 0..3 {
        heard.status().await;
    }

    let patience = Duration::from_millis(1500);
    let before = Instant::now();
    let report = supervisor.stop_all(before + patience).await;
    // Tokio's clock has steps of a millisecond.
    assert!(before.elapsed() <= patience + Duration::from_millis(2), "{:?}", before.elapsed());
    assert_eq!((&*report.stopped, &*report.late), (&["quick"][..], &["deafer", "deaf"][..]));
    assert!(!report.is_clean());
    assert_eq!(heard.status().await, "quick STOPPED INFO Quick stopped");
    assert_eq!(heard.status().await, "deafer ERROR ERROR Deafer did not stop in time");
    assert_eq!(heard.status().await, "deaf ERROR ERROR Deaf did not stop in time");
    assert!(dropped.await.is_err(), "its task was ended");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_its_own_leaves_time_for_the_others() {
    let (heard, seen) = (Heard::new().await, Seen::default());
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    supervisor.add(Service::new("first", &seen));
    supervisor
        .add(Service { is_deaf: true, ..Service::new("deaf", &seen) })
        .stop_within(Duration::from_millis(300));
    supervisor.start_all().await.unwrap();
    let before = Instant::now();
    let report = supervisor.stop_all(before + Duration::from_millis(1500)).await;
    assert!(before.elapsed() < Duration::from_millis(310), "{:?}", before.elapsed());
    assert_eq!((report.stopped, report.late), (vec!["first"], vec!["deaf"]));
}

#[tokio::test]
async fn a_service_that_stops_badly_is_an_error_with_its_reason() {
    let (mut heard, seen) = (Heard::new().await, Seen::default());
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    supervisor.add(Service { stop_error: Some("3 entries lost"), ..Service::new("store", &seen) });
    supervisor.start_all().await.unwrap();
    heard.status().await;
    let report = supervisor.stop_all(soon()).await;
    assert_eq!(report.failed[0].service, "store");
    assert_eq!(heard.status().await, "store ERROR ERROR 3 entries lost");
}

#[tokio::test]
async fn a_change_of_health_is_published_and_answers_say_so() {
    let mut heard = Heard::new().await;
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    let service = Service::new("store", &Seen::default());
    let health = service.health.clone();
    supervisor.add(service);
    supervisor.start_all().await.unwrap();
    heard.status().await;

    health.send_replace(Health::Degraded { reason: "disk full".to_owned() });
    assert_eq!(heard.status().await, "store DEGRADED WARNING disk full");
    heard.ask().await;
    assert_eq!(heard.status().await, "store DEGRADED DEBUG Store is online");
    health.send_replace(Health::Running);
    assert_eq!(heard.status().await, "store RUNNING INFO Store recovered");
    supervisor.stop_all(soon()).await;
}

#[tokio::test]
async fn a_flood_of_requests_gets_few_answers() {
    let mut heard = Heard::new().await;
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    supervisor.add(Service::new("store", &Seen::default()));
    supervisor.start_all().await.unwrap();
    heard.status().await;
    for _ in 0..1000 {
        heard.ask().await;
    }
    assert_eq!(heard.status().await, "store RUNNING DEBUG Store is online");
    supervisor.stop_all(soon()).await;
    assert_eq!(heard.status().await, "store STOPPED INFO Store stopped");
    assert_eq!(heard.status.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn nothing_outlives_stop() {
    let (heard, seen) = (Heard::new().await, Seen::default());
    let (held, mut dropped) = oneshot::channel();
    let before = heard.bus.state().subscriptions;
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    supervisor.add(Service { held: Some(held), ..Service::new("store", &seen) });
    supervisor.start_all().await.unwrap();
    assert_eq!(heard.bus.state().subscriptions, before + 1, "someone listens for requests");
    supervisor.stop_all(soon()).await;
    assert_eq!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Closed), "the task runs");
    assert_eq!(heard.bus.state().subscriptions, before, "nobody listens for requests any more");
}

#[tokio::test]
async fn a_task_panic_is_in_the_report_of_the_stop() {
    let (mut heard, seen) = (Heard::new().await, Seen::default());
    let service = Service::new("store", &seen);
    let (running, ended) = oneshot::channel::<()>();
    service.tasks.spawn("writer", |_| async move {
        let _running = running;
        panic!("a bug")
    });
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    supervisor.add(service);
    supervisor.start_all().await.unwrap();
    assert!(ended.await.is_err());
    heard.status().await;
    let report = supervisor.stop_all(soon()).await;
    assert_eq!(report.failed[0].error.to_string(), "tasks panicked: writer (a bug)");
    assert_eq!(heard.status().await, "store ERROR ERROR tasks panicked: writer (a bug)");
}

#[tokio::test]
async fn services_run_without_a_bus_that_works() {
    let (heard, seen) = (Heard::new().await, Seen::default());
    heard.bus.close().await.unwrap();
    let mut supervisor = Supervisor::new(Arc::clone(&heard.bus));
    supervisor.add(Service::new("store", &seen));
    assert_eq!(supervisor.start_all().await.unwrap().started, ["store"]);
    assert!(supervisor.stop_all(soon()).await.is_clean());
}
