//! The whole system in one screen: the only place where parts meet.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, MemoryBus};
use log_entry::{Levels, Service, ServiceNames};
use log_ingest::LogIngest;
use logging_service::LoggingService;
use session_store::Limits;
use standard_service::{StopReport, Supervisor};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Dispatch;
use tracing_capture::{Capture, LevelsHandle};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};
use web_bridge::WebBridge;

use crate::deployment::{self, Deployment, Joined};
use crate::exit::{self, Failure};
use crate::settings::{DashboardEvent, Settings};
use crate::stderr::Stderr;

/// Everything that runs.
pub(crate) struct System {
    supervisor: Supervisor,
    /// The bus on which the parts of this program speak.
    local: Arc<dyn Bus>,
    /// The one that joins it with others, if there is one.
    deployment: Option<Arc<dyn Bus>>,
    http: watch::Receiver<Option<SocketAddr>>,
    python: watch::Receiver<Option<SocketAddr>>,
    /// What the process says of itself follows the levels of everything.
    own_levels: LevelsHandle,
    levels: watch::Receiver<Levels>,
    deadline: Duration,
}

/// What the bridge and the listener may take of the time to stop; the rest is
/// for the session files.
const STOP_DOORS_WITHIN: Duration = Duration::from_millis(550);

impl System {
    /// Joins all parts as `settings` say, and starts them.
    pub(crate) async fn start(settings: &Settings) -> anyhow::Result<Self> {
        check_ports(settings)?;
        let deployment = deployment(settings).await?;
        let local: Arc<dyn Bus> = Arc::new(MemoryBus::default());
        let logging = LoggingService::open(logging_config(settings), local.clone()).await.map_err(
            |error| {
                let code = if error.is_in_use() { exit::IN_USE } else { exit::CONFIG };
                Failure::of(code, &error.into())
            },
        )?;
        let (own, dispatch) = own_log(&logging)?;
        let logging = logging.with_dispatch(dispatch);
        let joined = match deployment {
            Some(deployment) => Some(deployment.join(&local, &logging, settings).await?),
            None => None,
        };

        let (levels, written) = (logging.levels(), logging.written());
        let handle = logging.handle();
        let vitals = joined.as_ref().map_or_else(|| handle.clone() as _, Joined::vitals);
        let ingest =
            LogIngest::new(ingest_config(settings), logging.intake(), levels.clone(), written);
        let web = WebBridge::new(web_config(settings), local.clone(), handle, vitals);
        let (http, python) = (web.bound(), ingest.bound());

        let mut supervisor = Supervisor::new(local.clone());
        let (collector, deployment) = joined.map(|joined| joined.add_to(&mut supervisor)).unzip();
        supervisor.add(logging).required();
        supervisor.add(ingest).required().stop_within(STOP_DOORS_WITHIN);
        supervisor.add(web).required().stop_within(STOP_DOORS_WITHIN);
        if let Some(collector) = collector.flatten() {
            supervisor.add(collector).stop_within(STOP_DOORS_WITHIN);
        }
        supervisor.start_all().await.map_err(|error| Failure::of(exit::CONFIG, &error.into()))?;
        let (own_levels, deadline) = (own.levels(), settings.shutdown_deadline);
        Ok(Self { supervisor, local, deployment, http, python, own_levels, levels, deadline })
    }

    /// Where the dashboard is served.
    pub(crate) fn http(&self) -> Option<SocketAddr> {
        *self.http.borrow()
    }

    /// Where Python's handlers connect.
    pub(crate) fn python(&self) -> Option<SocketAddr> {
        *self.python.borrow()
    }

    /// Lets the process's own messages follow the levels; ends with them.
    pub(crate) async fn follow_levels(&mut self) {
        loop {
            self.own_levels.set(self.levels.borrow_and_update().clone());
            if self.levels.changed().await.is_err() {
                return;
            }
        }
    }

    /// Stops everything, in reverse order, within the deadline.
    pub(crate) async fn stop(mut self) -> StopReport {
        let report = self.supervisor.stop_all(Instant::now() + self.deadline).await;
        // Whoever still holds a subscription is told that this was all.
        deployment::close(&*self.local).await;
        if let Some(bus) = self.deployment {
            deployment::close(&*bus).await;
        }
        report
    }
}

/// The bus that joins this instance with others, unless it is to be alone.
async fn deployment(settings: &Settings) -> Result<Option<Deployment>, Failure> {
    if !deployment::is_alone(&settings.bus.0) {
        let connected = Deployment::connect(settings).await;
        return connected.map(Some).map_err(|error| Failure::of(exit::CONFIG, &error.into()));
    }
    // Only to hear what is wrong with it, if anything is.
    bus::connect(&settings.bus.0)
        .await
        .map_err(|error| Failure::of(exit::CONFIG, &error.into()))?;
    if settings.run_as_collector {
        let text = "`--collect` (or `run_as_collector`) takes in what other instances publish: \
                    it needs a bus that reaches them, such as `--bus nats://host:4222`";
        return Err(Failure::of(exit::CONFIG, &anyhow::anyhow!(text)));
    }
    Ok(None)
}

/// Finds out that a port is taken before a session is begun for nothing: a
/// program that is restarted again and again would push old sessions out.
fn check_ports(settings: &Settings) -> Result<(), Failure> {
    let ports = [
        (settings.listen, "listen", "--listen"),
        (settings.python_listen, "python_listen", "--python-listen"),
    ];
    for (address, key, flag) in ports {
        let taken = std::net::TcpListener::bind(address).err();
        if let Some(error) = taken.filter(|error| error.kind() == ErrorKind::AddrInUse) {
            let what = format!("{address} is taken: `{flag}` (or `{key}`) chooses another address");
            return Err(Failure::of(exit::CONFIG, &anyhow::Error::new(error).context(what)));
        }
    }
    Ok(())
}

/// The dispatcher of the whole process: what we say of ourselves goes to
/// stderr (as `RUST_LOG` says, else warnings) and, by the service's own narrow
/// door, into the record.
fn own_log(logging: &LoggingService) -> std::io::Result<(Capture, Dispatch)> {
    let own = Capture::new(logging.own_sink());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let stderr = fmt::layer().with_writer(Stderr::new()?).with_target(true).with_filter(filter);
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(own.layer()).with(stderr));
    // It fails only if it was set before, and this process sets it once.
    let _ = tracing::dispatcher::set_global_default(dispatch.clone());
    Ok((own, dispatch))
}

fn logging_config(settings: &Settings) -> logging_service::Config {
    let services = settings.services.iter();
    logging_service::Config {
        log_level: settings.log_level,
        max_memory_logs: settings.max_memory_logs,
        max_memory_bytes: settings.max_memory_bytes.get(),
        session_file_path: settings.session_file_path.clone(),
        enable_dashboard_streaming: settings.enable_dashboard_streaming,
        file_flush_interval: settings.file_flush_interval,
        deduplication_window: settings.deduplication_window,
        max_queue_size: settings.max_queue_size,
        max_queue_bytes: settings.max_queue_bytes,
        batch_size: settings.batch_size,
        rotate_bytes: settings.rotate_bytes,
        retention: Limits {
            max_age: Some(settings.max_age()),
            max_sessions: Some(settings.max_sessions.get()),
            max_bytes: Some(settings.max_bytes),
        },
        sync_interval: settings.sync_interval,
        rate_limit_per_service: settings.rate_limit_per_service,
        rate_limit_burst: settings.rate_limit_burst,
        services: services.fold(ServiceNames::default(), |names, (logger, service)| {
            names.with(logger, Service::new(service.key.as_str(), service.name.as_str()))
        }),
    }
}

fn ingest_config(settings: &Settings) -> log_ingest::Config {
    log_ingest::Config { listen: settings.python_listen, ..log_ingest::Config::default() }
}

fn web_config(settings: &Settings) -> web_bridge::Config {
    web_bridge::Config {
        listen: settings.listen,
        allowed_origins: settings.allowed_origins.clone(),
        allowed_hosts: settings.allowed_hosts.clone(),
        max_clients: settings.max_clients.get(),
        dashboard_event: match settings.dashboard_event {
            DashboardEvent::SystemLog => web_bridge::DashboardEvent::SystemLog,
            DashboardEvent::CantinaEvent => web_bridge::DashboardEvent::CantinaEvent,
        },
        ..web_bridge::Config::default()
    }
}
