//! The service: both sockets under one lifecycle.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use log_entry::{Levels, RecordSink, Written};
use standard_service::{BoxError, StandardService, Tasks, async_trait};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::door::Door;
use crate::listener::{Shared, accept};
use crate::stats::StatsReader;
use crate::wire::frame::Budget;
use crate::{Config, Error, datagrams};

/// What a connection may take to end, beyond its last acknowledgements.
const STOP_PATIENCE: Duration = Duration::from_millis(250);

/// How often to look for a port that is free for TCP and UDP alike.
const PORT_ATTEMPTS: usize = 16;

/// Listens for records of other programs. The example is at the top of the
/// [crate].
#[derive(Debug)]
pub struct LogIngest {
    shared: Arc<Shared>,
    stats: StatsReader,
    tasks: Tasks,
    bound: watch::Sender<Option<SocketAddr>>,
    /// Tells the listener to let nobody in any more.
    closing: CancellationToken,
    /// Ends when the listener has.
    closed: Option<oneshot::Receiver<Infallible>>,
}

// === impl LogIngest ===

impl LogIngest {
    /// A listener that hands records to `sink`, tells emitters which `levels`
    /// are wanted, and acknowledges what is `written`. It begins at `start`.
    pub fn new(
        config: Config,
        sink: Arc<dyn RecordSink>,
        levels: watch::Receiver<Levels>,
        written: watch::Receiver<Written>,
    ) -> Self {
        let stats = StatsReader::default();
        let budget = Arc::new(Budget::new(config.partial_bytes_max));
        let door = Door::new(sink, Arc::clone(stats.counters()));
        let shared = Shared { config, door, written, levels, budget, crowded: Notify::new() };
        Self {
            shared: Arc::new(shared),
            stats,
            tasks: Tasks::default(),
            bound: watch::Sender::default(),
            closing: CancellationToken::new(),
            closed: None,
        }
    }

    /// Where it listens, once started: TCP and UDP.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        *self.bound.borrow()
    }

    /// The same for whoever cannot ask, because a supervisor owns the service.
    pub fn bound(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.bound.subscribe()
    }

    /// What arrived so far, for whoever wants to read it again and again.
    pub fn stats(&self) -> StatsReader {
        self.stats.clone()
    }

    async fn bind(&self) -> Result<(TcpListener, UdpSocket, SocketAddr), Error> {
        let Config { listen, allow_remote, datagram_buffer_bytes, .. } = self.shared.config;
        if !allow_remote && !listen.ip().to_canonical().is_loopback() {
            return Err(Error::NotLoopback { address: listen });
        }
        let mut attempts = PORT_ATTEMPTS;
        loop {
            let tcp = |error| Error::bind(listen, "TCP", error);
            let listener = TcpListener::bind(listen).await.map_err(tcp)?;
            let address = listener.local_addr().map_err(tcp)?;
            match datagrams::bind(address, datagram_buffer_bytes) {
                Ok(socket) => return Ok((listener, socket, address)),
                // The system chose a port that is free for TCP only.
                Err(_) if listen.port() == 0 && attempts > 0 => attempts -= 1,
                Err(error) => return Err(Error::bind(listen, "UDP", error)),
            }
        }
    }
}

#[async_trait]
impl StandardService for LogIngest {
    fn name(&self) -> &'static str {
        "log_ingest"
    }

    async fn start(&mut self) -> Result<(), BoxError> {
        if self.local_addr().is_some() {
            return Err(Error::AlreadyStarted.into());
        }
        let (listener, socket, address) = self.bind().await?;
        let shared = Arc::clone(&self.shared);
        let (connections, closing) = (self.tasks.spawner(), self.closing.clone());
        let (open, closed) = oneshot::channel();
        self.closed = Some(closed);
        self.tasks.spawn("accept", |_| async move {
            accept(listener, shared, connections, closing).await;
            drop(open);
        });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn("datagrams", |stopped| datagrams::receive(socket, shared, stopped));
        self.bound.send_replace(Some(address));
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        self.closing.cancel();
        if let Some(closed) = self.closed.take() {
            // Who has connected already is still let in, and asked to end below.
            let _ = timeout(STOP_PATIENCE, closed).await;
        }
        Ok(self.tasks.stop(self.shared.config.closing + STOP_PATIENCE).await?)
    }
}
