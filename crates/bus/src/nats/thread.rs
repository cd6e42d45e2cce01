//! The thread on which a connection lives.

use std::{io, sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, ServerAddr};
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle},
    sync::{Notify, oneshot, watch},
};
use tracing::Dispatch;

use super::{
    arrival::pass_fences,
    connection::Connection,
    options::{Login, NatsOptions},
    stream::Dial,
};
use crate::ConnectError;

/// How long a server may take to greet us.
const GREETING: Duration = Duration::from_secs(2);

/// How often a silent server is asked whether it is there. At the third question without an answer the connection counts as lost.
const QUESTIONS: Duration = Duration::from_secs(2);

/// How long looking up a name may hold up the end of the thread.
const LOOKUP: Duration = Duration::from_millis(100);

/// Runs the client library until it is stopped or dropped.
pub(super) struct Thread {
    pub(super) client: Client,
    pub(super) runtime: Handle,
    stop: Arc<Notify>,
    ended: watch::Receiver<bool>,
    join: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Thread {
    pub(super) async fn start(
        options: &NatsOptions,
        connection: Arc<Connection>,
    ) -> Result<Self, ConnectError> {
        let (servers, connect) = plain(options)?;
        let connect = watched(connect, options, &connection);
        let stop = Arc::new(Notify::new());
        let (ready, started) = oneshot::channel();
        let (end, ended) = watch::channel(false);
        let life = Life { servers, connect, connection, stop: Arc::clone(&stop) };
        let body = move || {
            life.run(ready);
            // Nobody may be waiting for it.
            let _ = end.send(true);
        };
        let no_thread = |source| ConnectError::Thread { source };
        let join = std::thread::Builder::new().name("bus-nats".to_owned()).spawn(body);
        let join = Mutex::new(Some(join.map_err(no_thread)?));
        let started = started.await.unwrap_or_else(|_| Err(io::Error::other("it has ended")));
        let (client, runtime) = started.map_err(no_thread)?;
        Ok(Self { client, runtime, stop, ended, join })
    }

    /// Ends the thread and everything on it, and waits for that.
    pub(super) async fn stop(&self) {
        self.stop.notify_one();
        let mut ended = self.ended.clone();
        // An error means that the sender is gone, and so is the thread.
        let _ = ended.wait_for(|ended| *ended).await;
        let join = self.join.lock().take();
        if let Some(join) = join {
            // It has nothing left to do, so this takes no time; and a panic in it was reported where it happened.
            let _ = join.join();
        }
    }
}

/// Nobody waits here: the thread ends by itself.
impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// What the thread needs.
struct Life {
    servers: Vec<ServerAddr>,
    connect: ConnectOptions,
    connection: Arc<Connection>,
    stop: Arc<Notify>,
}

impl Life {
    fn run(self, ready: oneshot::Sender<io::Result<(Client, Handle)>>) {
        // The client library logs every message. If that came back as an entry, one would make the next.
        let _silence = tracing::dispatcher::set_default(&Dispatch::none());
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let connection = Arc::clone(&self.connection);
        runtime.block_on(self.live(ready));
        runtime.shutdown_timeout(LOOKUP);
        connection.fences.fail();
        connection.feeds.end();
    }

    async fn live(self, ready: oneshot::Sender<io::Result<(Client, Handle)>>) {
        let runtime = Handle::current();
        let client = match self.connect.connect(self.servers).await {
            Ok(client) => client,
            Err(error) => {
                let _ = ready.send(Err(io::Error::other(error)));
                return;
            }
        };
        // Its command waits in an empty channel until there is a connection.
        if let Ok(fences) = client.subscribe(self.connection.fences.pattern()).await {
            runtime.spawn(pass_fences(fences, self.connection));
        }
        if ready.send(Ok((client, runtime))).is_ok() {
            self.stop.notified().await;
        }
    }
}

/// For connections besides the one of the thread, to the same servers with the same login.
pub(super) fn dial(options: NatsOptions) -> Dial {
    Box::new(move || Ok(plain(&options)?))
}

/// Where the servers of `options` are and how to log in.
fn plain(options: &NatsOptions) -> Result<(Vec<ServerAddr>, ConnectOptions), ConnectError> {
    let parse = |server: &String| server.parse();
    let servers = options.servers.iter().map(parse).collect::<io::Result<_>>();
    let servers =
        servers.map_err(|_| ConnectError::Address { reason: "a server has no possible name" })?;
    let connect = ConnectOptions::new()
        .connection_timeout(GREETING)
        .ping_interval(QUESTIONS)
        // What is published was checked before.
        .skip_subject_validation(true);
    let connect = match options.name.clone() {
        Some(name) => connect.name(name),
        None => connect,
    };
    Ok((servers, with_files(with_login(connect, &options.login), options)?))
}

/// Connects for ever, and tells `connection` what happens.
fn watched(
    connect: ConnectOptions,
    options: &NatsOptions,
    connection: &Arc<Connection>,
) -> ConnectOptions {
    let [events, rounds, pauses] = std::array::from_fn(|_| Arc::clone(connection));
    connect
        .retry_on_initial_connect()
        .subscription_capacity(options.arrivals_max)
        .event_callback(move |happening| {
            events.heard(&happening);
            std::future::ready(())
        })
        .reconnect_to_server_callback(move |servers, _| {
            rounds.retrying(&servers);
            // The library's own choice.
            std::future::ready(None)
        })
        .reconnect_delay_callback(move |attempt| pauses.pause(attempt))
}

fn with_login(connect: ConnectOptions, login: &Login) -> ConnectOptions {
    match login.clone() {
        Login::None => connect,
        Login::User { user, password } => connect.user_and_password(user, password),
        Login::Token(token) => connect.token(token),
    }
}

/// That a file is missing is told now. The library reads those for TLS again at every connection; the credentials stay what they are now.
fn with_files(
    mut connect: ConnectOptions,
    options: &NatsOptions,
) -> Result<ConnectOptions, ConnectError> {
    let all = [
        ("ca", &options.ca),
        ("cert", &options.cert),
        ("key", &options.key),
        ("credentials", &options.credentials),
    ];
    for (name, path) in all {
        let Some(path) = path else { continue };
        let fault = |source| ConnectError::File { name, path: path.clone(), source };
        let text = std::fs::read_to_string(path).map_err(fault)?;
        if name == "credentials" {
            connect = connect.credentials(&text).map_err(fault)?;
        }
    }
    if let Some(ca) = &options.ca {
        // Whoever says whom to trust wants no connection without it.
        connect = connect.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        connect = connect.add_client_certificate(cert.clone(), key.clone()).require_tls(true);
    }
    Ok(connect)
}
