//! The Socket.IO contract of CantinaOS's dashboard.
//!
//! Engine.IO 4 at `/socket.io/`, the namespace `/`, WebSocket and polling. A
//! client is sent `system_status`, up to 100 recent entries and then every
//! entry, as `system_log`; besides that `service_status_update`, `system_status`
//! when a service's state changes, and `system_metrics`. Of what it sends, only
//! `subscribe_events` is honoured.
//!
//! CantinaOS's dashboard knows four levels and hides what is CRITICAL. A client
//! that sends `subscribe_events`, as that dashboard does when it has connected,
//! is sent such entries as `ERROR`, with the level in `true_level`.
//!
//! What a slow client was not sent is told in `log_gap` (`reason`, `count`,
//! `after`, `before`), and to a subscribed one in a line of its own as well.

mod commands;
mod dashboard;
mod messages;
mod status;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::layer::SocketIoLayer;
use standard_service::Spawner;

use crate::bridge::Bridge;

pub(crate) use status::StatusBoard;

/// The most bytes of one message from a client.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Messages that the transport may hold for one client; the client's queue is
/// in front of it.
const TRANSPORT_MAX: usize = 128;

/// The layer that answers at `/socket.io/`, and the handle to its clients.
pub(crate) fn socket_io(bridge: Arc<Bridge>, spawner: Spawner) -> (SocketIoLayer, SocketIo) {
    let (layer, io) = SocketIo::builder()
        .max_payload(MESSAGE_BYTES_MAX as u64)
        .ws_max_message_size(MESSAGE_BYTES_MAX)
        .ws_max_frame_size(MESSAGE_BYTES_MAX)
        .max_buffer_size(TRANSPORT_MAX)
        .ping_interval(Duration::from_secs(25))
        .ping_timeout(Duration::from_secs(20))
        .connect_timeout(Duration::from_secs(10))
        .build_layer();
    io.ns("/", move |socket: SocketRef| {
        dashboard::connect(socket, &bridge, &spawner);
        ready(())
    });
    (layer, io)
}
