//! Who starts and stops services, and says so on the bus.

use std::{error::Error, num::NonZeroUsize, sync::Arc, time::Duration};

use bus::{Bus, BusExt, Subscription, Topic};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    Announcement, BoxError, Health, SERVICE_READY, SERVICE_STARTING, SERVICE_STATUS_REQUEST,
    SERVICE_STATUS_UPDATE, ServiceStatus, Severity, StandardService, Status, Tasks,
    status::{now, uptime},
    unwind::catch_panic,
};

/// How long everything together may take to stop again after a required service did not start.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// Requests for the status that wait for one service. One answer serves all that wait.
const REQUESTS_MAX: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not zero");

/// Starts services in the order they were added, and stops them in reverse.
///
/// What it publishes for each:
///
/// | when | topic | what |
/// |---|---|---|
/// | before `start` | `service.starting` | name and time |
/// | `start` returned `Ok` | `service.status.update` | RUNNING, `LoggingService started successfully`, INFO |
/// | after that | `service.ready` | name and time |
/// | `start` returned `Err` or panicked | `service.status.update` | ERROR, the chain of causes, ERROR |
/// | someone asks on `service.status.request` | `service.status.update` | RUNNING or DEGRADED, `LoggingService is online`, DEBUG |
/// | its health changes | `service.status.update` | DEGRADED, the reason, WARNING; or RUNNING, `LoggingService recovered`, INFO |
/// | after `stop` | `service.status.update` | STOPPED, `LoggingService stopped`, INFO; or ERROR, the reason, ERROR |
///
/// A bus that does not work keeps no service from running; what could not be published is logged.
///
/// Dropping a supervisor drops its services without stopping them, which ends their [`Tasks`].
pub struct Supervisor {
    bus: Arc<dyn Bus>,
    members: Vec<Member>,
}

/// A service in a [`Supervisor`], and how it is treated.
pub struct Member {
    identity: Identity,
    /// Gone once it failed or was stopped, so that nothing of it can go on.
    service: Option<Box<dyn StandardService>>,
    phase: Phase,
    is_required: bool,
    stop_within: Option<Duration>,
    /// Answers requests and watches the health, while the service runs.
    reporter: Tasks,
}

/// Where a service is in its one life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Added,
    Starting,
    Running,
    Down,
}

/// Who is speaking in a status.
#[derive(Debug, Clone)]
struct Identity {
    name: &'static str,
    title: String,
    since: Instant,
}

/// What came of [`Supervisor::start_all`]. Every service is in one of the lists, in the order of starting.
#[derive(Debug, Default)]
pub struct StartReport {
    /// Services that run.
    pub started: Vec<&'static str>,
    /// Services that do not, and why.
    pub failed: Vec<Failure>,
}

/// What came of [`Supervisor::stop_all`]. Every service that ran is in one of the lists, in the order of stopping.
#[derive(Debug, Default)]
pub struct StopReport {
    /// Services that finished their work.
    pub stopped: Vec<&'static str>,
    /// Services that ended, but say that something went wrong.
    pub failed: Vec<Failure>,
    /// Services that did not end in time, and were ended.
    pub late: Vec<&'static str>,
}

/// A service did not do what it should, and why.
#[derive(Debug)]
pub struct Failure {
    /// The name of the service.
    pub service: &'static str,
    /// What it returned, or the text of its panic.
    pub error: BoxError,
}

/// A required service did not start. Everything that had started was stopped again.
#[derive(Debug, thiserror::Error)]
#[error("the required service `{service}` did not start")]
pub struct StartError {
    /// The name of the service.
    pub service: &'static str,
    /// What it returned, or the text of its panic.
    pub source: BoxError,
    /// How the others stopped.
    pub stopped: StopReport,
}

/// How the stopping of one service ended.
enum Stopped {
    Cleanly,
    Failed(BoxError),
    Late,
}

// === impl Supervisor ===

impl Supervisor {
    /// A supervisor without services, which speaks on `bus`.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus, members: Vec::new() }
    }

    /// Adds a service after the others. How it is treated can be set on what this returns.
    pub fn add(&mut self, service: impl StandardService + 'static) -> &mut Member {
        self.members.push_mut(Member {
            identity: Identity {
                name: service.name(),
                title: service.title(),
                since: Instant::now(),
            },
            service: Some(Box::new(service)),
            phase: Phase::Added,
            is_required: false,
            stop_within: None,
            reporter: Tasks::default(),
        })
    }

    /// Starts every service that was not started yet, one after the other.
    ///
    /// One that fails is in the report, and the next one is started all the same.
    ///
    /// If the call is dropped while it waits, [`stop_all`](Self::stop_all) also stops the service that was starting.
    ///
    /// # Errors
    ///
    /// A [`required`](Member::required) service did not start; then nothing runs, and no later service was started.
    pub async fn start_all(&mut self) -> Result<StartReport, StartError> {
        let mut report = StartReport::default();
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            if member.phase != Phase::Added {
                continue;
            }
            let (service, is_required) = (member.identity.name, member.is_required);
            match member.start(&self.bus).await {
                Ok(()) => report.started.push(service),
                Err(source) if is_required => {
                    let stopped = self.stop_all(Instant::now() + ABORT_PATIENCE).await;
                    return Err(StartError { service, source, stopped });
                }
                Err(error) => report.failed.push(Failure { service, error }),
            }
        }
        Ok(report)
    }

    /// Stops every service that runs, the last one started first; each gets what is left until `deadline`.
    ///
    /// A service that takes all of it leaves nothing for those after it; [`Member::stop_within`] keeps it from that.
    /// After the deadline the rest are still asked, and stop if they need not wait for it.
    /// A service that does not stop in time is dropped, which ends its [`Tasks`].
    pub async fn stop_all(&mut self, deadline: Instant) -> StopReport {
        let mut report = StopReport::default();
        for member in self.members.iter_mut().rev() {
            let service = member.identity.name;
            if !matches!(member.phase, Phase::Starting | Phase::Running) {
                continue;
            }
            match member.stop(&*self.bus, deadline).await {
                Stopped::Cleanly => report.stopped.push(service),
                Stopped::Failed(error) => report.failed.push(Failure { service, error }),
                Stopped::Late => report.late.push(service),
            }
        }
        report
    }
}

// === impl Member ===

impl Member {
    /// Without this service the others are of no use: if it does not start, stop them again.
    pub fn required(&mut self) -> &mut Self {
        self.is_required = true;
        self
    }

    /// Gives the service at most `patience` to stop, so that those stopped after it have something left.
    pub fn stop_within(&mut self, patience: Duration) -> &mut Self {
        self.stop_within = Some(patience);
        self
    }

    async fn start(&mut self, bus: &Arc<dyn Bus>) -> Result<(), BoxError> {
        self.phase = Phase::Starting;
        self.identity.since = Instant::now();
        say(&**bus, &SERVICE_STARTING, &Announcement::now(self.identity.name)).await;
        match self.start_service().await {
            Ok(health) => {
                self.phase = Phase::Running;
                self.report_on(bus, health).await;
                Ok(())
            }
            Err(error) => {
                self.phase = Phase::Down;
                self.service = None;
                let status = self.identity.status(Status::Error, chain(&*error), Severity::Error);
                say(&**bus, &SERVICE_STATUS_UPDATE, &status).await;
                Err(error)
            }
        }
    }

    async fn start_service(&mut self) -> Result<watch::Receiver<Health>, BoxError> {
        let service = self.service.as_mut().ok_or("the service was started before")?;
        catch_panic(service.start()).await.map_err(|message| panicked(&message))??;
        Ok(service.health())
    }

    /// Tells everyone that the service runs, and answers whoever asks from now on.
    async fn report_on(&self, bus: &Arc<dyn Bus>, health: watch::Receiver<Health>) {
        let name = self.identity.name;
        let requests = bus.subscribe(SERVICE_STATUS_REQUEST.name(), REQUESTS_MAX).await;
        let requests = requests
            .inspect_err(|error| warn!(service = name, %error, "nobody can ask for the status"))
            .ok();
        let started = format!("{} started successfully", self.identity.title);
        let status = self.identity.status(Status::Running, started, Severity::Info);
        say(&**bus, &SERVICE_STATUS_UPDATE, &status).await;
        let reporter = Reporter {
            identity: self.identity.clone(),
            bus: Arc::clone(bus),
            requests,
            health: Some(health),
            last: Health::Running,
        };
        self.reporter.spawn(format!("status of {name}"), |cancelled| reporter.run(cancelled));
        say(&**bus, &SERVICE_READY, &Announcement::now(name)).await;
    }

    async fn stop(&mut self, bus: &dyn Bus, deadline: Instant) -> Stopped {
        self.phase = Phase::Down;
        let limit = self.stop_within.map_or(deadline, |own| deadline.min(Instant::now() + own));
        let left = limit.saturating_duration_since(Instant::now());
        if let Err(error) = self.reporter.stop(left).await {
            warn!(service = self.identity.name, %error, "the status was not reported to the end");
        }
        let stopped = self.stop_service(limit).await;
        let identity = &self.identity;
        let status = match &stopped {
            Stopped::Cleanly => {
                let message = format!("{} stopped", identity.title);
                identity.status(Status::Stopped, message, Severity::Info)
            }
            Stopped::Failed(error) => {
                identity.status(Status::Error, chain(&**error), Severity::Error)
            }
            Stopped::Late => {
                let message = format!("{} did not stop in time", identity.title);
                identity.status(Status::Error, message, Severity::Error)
            }
        };
        if timeout_at(deadline, say(bus, &SERVICE_STATUS_UPDATE, &status)).await.is_err() {
            warn!(service = identity.name, "no time was left to publish the last status");
        }
        stopped
    }

    async fn stop_service(&mut self, limit: Instant) -> Stopped {
        // Taken out, so that it is dropped whatever comes of it.
        let Some(mut service) = self.service.take() else { return Stopped::Cleanly };
        match timeout_at(limit, catch_panic(service.stop())).await {
            Ok(Ok(Ok(()))) => Stopped::Cleanly,
            Ok(Ok(Err(error))) => Stopped::Failed(error),
            Ok(Err(message)) => Stopped::Failed(panicked(&message)),
            Err(_elapsed) => Stopped::Late,
        }
    }
}

// === impl Identity ===

impl Identity {
    fn status(&self, status: Status, message: String, severity: Severity) -> ServiceStatus {
        ServiceStatus {
            service_name: self.name.to_owned(),
            status,
            uptime: uptime(self.since.elapsed()),
            last_update: Some(now()),
            message,
            severity,
        }
    }
}

// === impl StopReport ===

impl StopReport {
    /// Whether every service finished its work.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.late.is_empty()
    }
}

/// Speaks for one service while it runs.
struct Reporter {
    identity: Identity,
    bus: Arc<dyn Bus>,
    /// Gone once the bus is closed.
    requests: Option<Subscription>,
    /// Gone once the service says that it will not change.
    health: Option<watch::Receiver<Health>>,
    /// The health that was published last.
    last: Health,
}

impl Reporter {
    async fn run(mut self, cancelled: CancellationToken) {
        // It may have been degraded from the start.
        self.publish_change().await;
        loop {
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return,
                is_open = changed(&mut self.health) => {
                    if !is_open {
                        self.health = None;
                    }
                    self.publish_change().await;
                }
                is_open = asked(&mut self.requests) => {
                    if is_open {
                        self.answer().await;
                    } else {
                        self.requests = None;
                    }
                }
            }
        }
    }

    async fn publish_change(&mut self) {
        let Some(health) = &mut self.health else { return };
        let health = health.borrow_and_update().clone();
        if health == self.last {
            return;
        }
        let status = match &health {
            Health::Running => {
                let message = format!("{} recovered", self.identity.title);
                self.identity.status(Status::Running, message, Severity::Info)
            }
            Health::Degraded { reason } => {
                self.identity.status(Status::Degraded, reason.clone(), Severity::Warning)
            }
        };
        self.last = health;
        say(&*self.bus, &SERVICE_STATUS_UPDATE, &status).await;
    }

    async fn answer(&self) {
        let status = match self.last {
            Health::Running => Status::Running,
            Health::Degraded { .. } => Status::Degraded,
        };
        let message = format!("{} is online", self.identity.title);
        let status = self.identity.status(status, message, Severity::Debug);
        say(&*self.bus, &SERVICE_STATUS_UPDATE, &status).await;
    }
}

/// Waits until the health changes, and says whether it can change again. Cancel safe.
async fn changed(health: &mut Option<watch::Receiver<Health>>) -> bool {
    match health {
        Some(health) => health.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// Waits until someone asks, takes all questions that wait, and says whether more can come. Cancel safe.
async fn asked(requests: &mut Option<Subscription>) -> bool {
    match requests {
        Some(requests) => {
            // What is asked is always the same, so one more than fit is enough to take them all.
            let mut all = Vec::new();
            requests.recv_many(&mut all, REQUESTS_MAX.get() + 1).await > 0
        }
        None => std::future::pending().await,
    }
}

/// Publishes, and logs if that does not work: no service depends on being heard.
async fn say<T: Serialize>(bus: &dyn Bus, topic: &Topic<T>, what: &T) {
    if let Err(error) = bus.publish_json(topic, what).await {
        warn!(topic = topic.name(), error = chain(&error), "a status was not published");
    }
}

/// An error and its causes on one line, as people read it.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn panicked(message: &str) -> BoxError {
    format!("panicked: {message}").into()
}
