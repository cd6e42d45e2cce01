//! The service: its listener, its connections, and their end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bus::Bus;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use logging_api::{Archive, Vitals};
use socketioxide::SocketIo;
use standard_service::{BoxError, Spawner, StandardService, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::api::router;
use crate::bridge::Bridge;
use crate::connection::Connection;
use crate::hub::Hub;
use crate::problem::Problem;
use crate::relay::Relay;
use crate::security::Access;
use crate::socketio::{StatusBoard, socket_io};
use crate::{Config, Error, NAME};

/// Serves the dashboard, the HTTP interface and the Socket.IO contract.
///
/// It binds in `start`; then [`local_addr`](Self::local_addr) says where.
/// `stop` lets every stream end in order, cuts off what has not ended soon, and
/// returns when no connection is left.
pub struct WebBridge {
    config: Config,
    bus: Arc<dyn Bus>,
    archive: Arc<dyn Archive>,
    vitals: Arc<dyn Vitals>,
    bound: watch::Sender<Option<SocketAddr>>,
    state: State,
}

enum State {
    New,
    Running(Running),
    Stopped,
}

/// What a running bridge must end.
struct Running {
    local_addr: SocketAddr,
    hub: Arc<Hub>,
    io: SocketIo,
    tasks: Tasks,
    places: Places,
    /// Ends the connections that have not ended by themselves.
    cut: CancellationToken,
}

/// How many connections there may be.
#[derive(Clone)]
struct Places {
    max: u32,
    free: Arc<Semaphore>,
    /// For those that are told that there is no place.
    refusing: Arc<Semaphore>,
}

/// Takes connections in.
struct Acceptor {
    listener: TcpListener,
    router: Router,
    places: Places,
    spawner: Spawner,
    cut: CancellationToken,
    stall_timeout: Duration,
}

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long clients may take to end in order when the bridge stops.
const GRACE: Duration = Duration::from_millis(150);
/// How long the rest may take after that.
const PATIENCE: Duration = Duration::from_millis(250);
const REFUSALS_MAX: usize = 16;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// After an error of `accept` that will last a while, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

// === impl WebBridge ===

impl WebBridge {
    /// A bridge that is not started yet.
    pub fn new(
        config: Config,
        bus: Arc<dyn Bus>,
        archive: Arc<dyn Archive>,
        vitals: Arc<dyn Vitals>,
    ) -> Self {
        let bound = watch::Sender::default();
        Self { config, bus, archive, vitals, bound, state: State::New }
    }

    /// Where it listens; none unless it runs.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Running(running) => Some(running.local_addr),
            State::New | State::Stopped => None,
        }
    }

    /// The same for whoever cannot ask, because a supervisor owns the bridge.
    pub fn bound(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.bound.subscribe()
    }

    async fn bring_up(&self) -> Result<Running, Error> {
        let listener = bind(&self.config).await?;
        let listen = self.config.listen;
        let local_addr =
            listener.local_addr().map_err(|source| Error::Listen { listen, source })?;
        let hub = Hub::new(self.config.max_clients, self.config.queue);
        let bridge = Arc::new(Bridge::new(
            self.archive.clone(),
            self.vitals.clone(),
            hub.clone(),
            self.config.dashboard_event,
        ));
        let relay = Relay::subscribe(&*self.bus, hub.clone()).await?;
        let tasks = Tasks::default();
        let (layer, io) = socket_io(bridge.clone(), tasks.spawner());
        let board = StatusBoard::subscribe(bridge.clone(), io.clone(), self.bus.clone()).await?;
        let access = Access::new(&self.config, local_addr.ip(), local_addr.port());
        let (places, cut) = (Places::new(self.config.max_connections), CancellationToken::new());
        let acceptor = Acceptor {
            listener,
            router: router(bridge, access, layer),
            places: places.clone(),
            spawner: tasks.spawner(),
            cut: cut.clone(),
            stall_timeout: self.config.stall_timeout,
        };
        tasks.spawn("relay", |cancelled| relay.run(cancelled));
        tasks.spawn("status", |cancelled| board.run(cancelled));
        tasks.spawn("accept", |cancelled| acceptor.run(cancelled));
        Ok(Running { local_addr, hub, io, tasks, places, cut })
    }
}

/// Binds to a loopback address.
async fn bind(config: &Config) -> Result<TcpListener, Error> {
    Access::check(config)?;
    let listen = config.listen;
    if !listen.ip().is_loopback() {
        return Err(Error::NotLoopback { listen });
    }
    TcpListener::bind(listen).await.map_err(|source| Error::Listen { listen, source })
}

#[async_trait]
impl StandardService for WebBridge {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn start(&mut self) -> Result<(), BoxError> {
        if !matches!(self.state, State::New) {
            return Err(Error::StartedBefore.into());
        }
        let running = self.bring_up().await?;
        info!(listen = %running.local_addr, "serving");
        self.bound.send_replace(Some(running.local_addr));
        self.state = State::Running(running);
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Running(running) => running.stop().await,
            State::New | State::Stopped => Ok(()),
        }
    }
}

// === impl Running ===

impl Running {
    async fn stop(self) -> Result<(), BoxError> {
        // No more connections; those that are there finish their request.
        self.tasks.token().cancel();
        // Streams end after what is queued.
        self.hub.close();
        let ended = async {
            self.io.close().await;
            self.places.all_free().await;
        };
        let grace = timeout(GRACE, ended).await;
        self.cut.cancel();
        let deadline = Instant::now() + PATIENCE;
        if grace.is_err() && timeout_at(deadline, self.places.all_free()).await.is_err() {
            warn!(connections = self.places.taken(), "connections did not end");
        }
        Ok(self.tasks.stop(deadline - Instant::now()).await?)
    }
}

// === impl Places ===

impl Places {
    fn new(max: usize) -> Self {
        let max = u32::try_from(max).unwrap_or(u32::MAX).clamp(1, 1 << 20);
        let free = Arc::new(Semaphore::new(max as usize));
        Self { max, free, refusing: Arc::new(Semaphore::new(REFUSALS_MAX)) }
    }

    /// Waits until no connection is left.
    async fn all_free(&self) {
        self.free.acquire_many(self.max).await.map(drop).expect("it is never closed");
    }

    fn taken(&self) -> usize {
        self.max as usize - self.free.available_permits()
    }
}

// === impl Acceptor ===

impl Acceptor {
    async fn run(self, cancelled: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = cancelled.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.take_in(stream),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    debug!(%error, "accepting connections");
                    tokio::select! {
                        () = cancelled.cancelled() => return,
                        () = sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
    }

    fn take_in(&self, stream: TcpStream) {
        // Small events must not wait for more.
        stream.set_nodelay(true).ok();
        let cut = self.cut.child_token();
        if let Ok(place) = self.places.free.clone().try_acquire_owned() {
            let stream = Connection::new(stream, cut, self.stall_timeout, place);
            let router = self.router.clone();
            self.spawner.spawn("connection", |cancelled| serve(stream, router, cancelled));
        } else if let Ok(place) = self.places.refusing.clone().try_acquire_owned() {
            let stream = Connection::new(stream, cut, REFUSAL_TIMEOUT, place);
            let max = self.places.max;
            self.spawner.spawn("refusal", move |_| refuse(stream, max));
        }
    }
}

/// Whether an error of `accept` is of the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Answers the requests of one connection, until it ends or is taken over for a
/// WebSocket; when the bridge stops, until the request in hand is answered.
async fn serve(stream: Connection<TcpStream>, router: Router, cancelled: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What goes wrong with a connection is its client's affair.
        _ = connection.as_mut() => return,
        () = cancelled.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.ok();
}

/// Answers one request, whatever it is, with that there is no place.
async fn refuse(stream: Connection<TcpStream>, max: u32) {
    let answer = async |_: Request<Incoming>| -> Result<Response<Body>, Infallible> {
        let detail = format!("there are {max} connections already");
        Ok(Problem::full(detail).into_response())
    };
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    timeout(REFUSAL_TIMEOUT, connection).await.ok();
}
