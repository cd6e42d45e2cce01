//! Records in datagrams: nothing is acknowledged, and nothing comes twice.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use log_entry::DropReason;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::door::Losses;
use crate::listener::Shared;
use crate::stats::count;
use crate::wire::decode;
use crate::wire::frame::HEADER_BYTES;

/// No datagram is longer.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;
/// What is taken at most of those that have arrived when the service stops.
const LAST_DATAGRAMS_MAX: usize = 4096;
/// How long datagrams that are here already may take to be seen, and all of
/// them to be taken.
const LAST_WAIT: Duration = Duration::from_millis(5);
const LAST_TIME: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(100);

/// Receives until `stopped`, and then what has arrived already.
pub(crate) async fn receive(socket: UdpSocket, shared: Arc<Shared>, stopped: CancellationToken) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut was_failing = false;
    loop {
        let received = tokio::select! {
            () = stopped.cancelled() => break,
            received = socket.recv_from(&mut buffer) => received,
        };
        match received {
            Ok(datagram) => {
                was_failing = false;
                take(&buffer, datagram, &shared);
            }
            Err(error) => {
                if !std::mem::replace(&mut was_failing, true) {
                    warn!(%error, "no datagram can be received; trying on");
                }
                sleep(PAUSE).await;
            }
        }
    }
    take_the_rest(&socket, &mut buffer, &shared).await;
}

async fn take_the_rest(socket: &UdpSocket, buffer: &mut [u8], shared: &Shared) {
    let end = Instant::now() + LAST_TIME;
    for _ in 0..LAST_DATAGRAMS_MAX {
        match timeout(LAST_WAIT, socket.recv_from(buffer)).await {
            Ok(Ok(datagram)) if Instant::now() < end => take(buffer, datagram, shared),
            _ => return,
        }
    }
}

fn take(buffer: &[u8], (length, peer): (usize, SocketAddr), shared: &Shared) {
    count(&shared.door.counters.datagrams);
    let origin = format!("{peer} (UDP)");
    let mut losses = Losses::default();
    match payload(&buffer[..length]) {
        Err(reason) => losses.add(DropReason::Malformed, 1, reason),
        Ok(payload) => decode(payload, Utc::now(), &mut |verdict| match verdict {
            Ok(decoded) => {
                // A refusal is counted by the sink; nobody here can send again.
                let _ = shared.door.offer(decoded.record, &origin);
            }
            Err(refused) => losses.add(DropReason::Malformed, 1, refused.reason),
        }),
    }
    shared.door.report(&mut losses, &origin);
}

/// The payload of a datagram: after its length, or alone.
fn payload(datagram: &[u8]) -> Result<&[u8], String> {
    if let Some((header, rest)) = datagram.split_first_chunk::<HEADER_BYTES>()
        && u32::from_be_bytes(*header) as usize == rest.len()
    {
        return Ok(rest);
    }
    match datagram.first() {
        // JSON, and how a pickled dict begins in every protocol.
        Some(b'{' | b'[' | b'}' | b'(' | 0x80) => Ok(datagram),
        _ => Err(format!("a datagram of {} bytes with another length in it", datagram.len())),
    }
}

/// Binds a socket with a large buffer, as far as the kernel allows.
pub(crate) fn bind(address: SocketAddr, buffer_bytes: usize) -> io::Result<UdpSocket> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
    socket.set_recv_buffer_size(buffer_bytes)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
