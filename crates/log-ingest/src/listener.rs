//! Who may connect, and when.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use log_entry::{Levels, Written};
use socket2::SockRef;
use standard_service::Spawner;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Config;
use crate::connection::serve;
use crate::door::Door;
use crate::stats::{Counters, count};
use crate::wire::frame::Budget;

/// How long to leave the kernel alone when it has no file descriptors left,
/// and how long a connection may take to make room for another.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that is made already may take to be seen.
const LAST_WAIT: Duration = Duration::from_millis(5);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) door: Door,
    pub(crate) written: watch::Receiver<Written>,
    pub(crate) levels: watch::Receiver<Levels>,
    pub(crate) budget: Arc<Budget>,
    /// Tells idle connections that another needs the room.
    pub(crate) crowded: Notify,
}

/// A place among the connections; free again when dropped.
struct Place {
    counters: Arc<Counters>,
    _permit: OwnedSemaphorePermit,
}

/// Takes connections until `closing`, and then those that were made already.
pub(crate) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    connections: Spawner,
    closing: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(shared.config.connections_max));
    let mut was_failing = false;
    loop {
        let accepted = tokio::select! {
            () = closing.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                was_failing = false;
                admit(stream, peer, &places, &shared, &connections).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut was_failing, true) {
                    warn!(%error, "no connection can be accepted; trying on");
                }
                sleep(PAUSE).await;
            }
        }
    }
    let end = Instant::now() + PAUSE;
    while Instant::now() < end
        && let Ok(Ok((stream, peer))) = timeout(LAST_WAIT, listener.accept()).await
    {
        admit(stream, peer, &places, &shared, &connections).await;
    }
}

async fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    places: &Arc<Semaphore>,
    shared: &Arc<Shared>,
    connections: &Spawner,
) {
    let counters = &shared.door.counters;
    let Some(place) = place(places, shared).await else {
        count(&counters.connections_refused);
        let limit = shared.config.connections_max;
        warn!(%peer, limit, "a connection was turned away: there are too many");
        return;
    };
    // Without them a connection still works, only less well.
    let _ = prepare(&stream);
    let shared = Arc::clone(shared);
    connections.spawn("connection", move |stopped| async move {
        serve(stream, peer, shared, stopped).await;
        drop(place);
    });
}

async fn place(places: &Arc<Semaphore>, shared: &Shared) -> Option<Place> {
    let permit = match Arc::clone(places).try_acquire_owned() {
        Ok(permit) => permit,
        Err(_) => {
            shared.crowded.notify_waiters();
            timeout(PAUSE, Arc::clone(places).acquire_owned()).await.ok()?.ok()?
        }
    };
    Some(Place::new(permit, Arc::clone(&shared.door.counters)))
}

/// Acknowledgements are small and urgent; emitters on machines that went away
/// are noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_keepalive(true)
}

// === impl Place ===

impl Place {
    fn new(permit: OwnedSemaphorePermit, counters: Arc<Counters>) -> Self {
        count(&counters.connections_total);
        count(&counters.connections_open);
        Self { counters, _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counters.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}
