//! Real NATS servers for tests: alone or as a cluster, on free loopback ports.
//!
//! A [`NatsServer`] is killed when it goes out of scope, and its files go with it.
//! Until then it can be killed, stopped and started again on the same port, with what it had stored or without.
//!
//! The program is the one that the environment variable `NATS_SERVER` names, or `nats-server` on the `PATH`; `cargo xtask setup` installs it.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The longest that a server may take to start or end.
const DEADLINE: Duration = Duration::from_secs(30);

/// How a server is to be.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Whether it keeps events (JetStream).
    pub jetstream: bool,
    /// More lines for its configuration file: users, TLS, limits.
    pub extra: String,
}

/// A running server, or one that was killed and may come back.
#[derive(Debug)]
pub struct NatsServer {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

/// Three servers that keep events together.
#[derive(Debug)]
pub struct NatsCluster {
    /// The servers.
    pub servers: Vec<NatsServer>,
}

// === impl NatsServer ===

impl NatsServer {
    /// A server without JetStream.
    pub fn start() -> Self {
        Self::with(&Config::default())
    }

    /// A server that keeps events.
    pub fn jetstream() -> Self {
        Self::with(&Config { jetstream: true, ..Config::default() })
    }

    /// A server as `config` says.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    pub fn with(config: &Config) -> Self {
        let mut server = Self::prepared(free_port(), config, "");
        server.restart();
        server
    }

    fn prepared(port: u16, config: &Config, cluster: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a directory");
        let mut text = format!(
            "host: 127.0.0.1\nport: {port}\nserver_name: \"n{port}\"\nmax_pending: 67108864\n{cluster}\n"
        );
        if config.jetstream {
            let store = folder.path().join("store");
            writeln!(text, "jetstream {{ store_dir: {:?} }}", store.display().to_string())
                .expect("a string takes everything");
        }
        text.push_str(&config.extra);
        fs::write(folder.path().join("server.conf"), text).expect("the directory is ours");
        Self { folder, port, child: None }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `nats://127.0.0.1:1234`
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its directory: `server.conf`, `server.log` and, with JetStream, `store`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it again where it was, and waits until it answers. A server that runs is left alone.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    pub fn restart(&mut self) {
        self.launch();
        self.wait_until_it_answers();
    }

    fn launch(&mut self) {
        if self.child.is_some() {
            return;
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("server.log"))
            .expect("the directory is ours");
        let errors = log.try_clone().expect("a file can be shared");
        let child = Command::new(program())
            .arg("--config")
            .arg(self.folder.path().join("server.conf"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("nats-server starts: `cargo xtask setup` installs it");
        self.child = Some(child);
    }

    fn wait_until_it_answers(&mut self) {
        let start = Instant::now();
        loop {
            if greeting(self.port).is_some() {
                return;
            }
            let child = self.child.as_mut().expect("it was launched");
            let ended = child.try_wait().expect("a child can be waited for");
            let has_failed = ended.is_some() || start.elapsed() > DEADLINE;
            assert!(!has_failed, "nats-server ({ended:?}) does not answer: {}", self.log());
            std::thread::yield_now();
        }
    }

    /// Ends it as `kill -9` does: at once, and whatever it was doing.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end, and waits for that.
    pub fn stop(&mut self) {
        self.signal("TERM");
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Sends it a signal: `STOP` makes it hang, `CONT` lets it go on.
    ///
    /// # Panics
    ///
    /// If there is no such signal.
    pub fn signal(&self, signal: &str) {
        let Some(pid) = self.pid() else { return };
        let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "sending {signal}");
    }

    /// Removes everything that it has stored. Only while it does not run.
    ///
    /// # Panics
    ///
    /// If it runs.
    pub fn lose_store(&mut self) {
        assert!(self.child.is_none(), "the server runs");
        let store = self.folder.path().join("store");
        if store.exists() {
            fs::remove_dir_all(store).expect("the directory is ours");
        }
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.signal("CONT");
        self.kill();
    }
}

// === impl NatsCluster ===

impl NatsCluster {
    /// Three servers with JetStream that know each other.
    ///
    /// # Panics
    ///
    /// If they do not come up.
    pub fn start() -> Self {
        let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let others: Vec<String> =
            routes.iter().map(|port| format!("nats-route://127.0.0.1:{port}")).collect();
        let config = Config { jetstream: true, ..Config::default() };
        let servers = routes
            .iter()
            .map(|route| {
                let cluster = format!(
                    "cluster {{ name: cantina, listen: \"127.0.0.1:{route}\", routes: [{}] }}",
                    others.join(", ")
                );
                NatsServer::prepared(free_port(), &config, &cluster)
            })
            .collect();
        let mut cluster = Self { servers };
        cluster.restart();
        cluster
    }

    /// Starts those that do not run, and waits until each answers. That they have chosen a leader is another matter.
    pub fn restart(&mut self) {
        self.servers.iter_mut().for_each(NatsServer::launch);
        self.servers.iter_mut().for_each(NatsServer::wait_until_it_answers);
    }

    /// Ends all of them at once.
    pub fn kill(&mut self) {
        self.servers.iter_mut().for_each(NatsServer::kill);
    }

    /// `nats://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3`
    pub fn url(&self) -> String {
        let hosts: Vec<_> =
            self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("nats://{}", hosts.join(","))
    }

    /// The server called `name`, as JetStream calls a leader.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    pub fn named(&mut self, name: &str) -> &mut NatsServer {
        let found = self.servers.iter_mut().find(|server| format!("n{}", server.port) == name);
        found.expect("it is one of the three")
    }
}

/// The line with which a server greets whoever connects.
fn greeting(port: u16) -> Option<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut reader = BufReader::new(stream).take(64 * 1024);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    // Politely, so that the server does not complain of the connection.
    let _ = reader.into_inner().into_inner().write_all(b"PING\r\n");
    line.starts_with("INFO").then_some(line)
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

fn program() -> PathBuf {
    std::env::var_os("NATS_SERVER").map_or_else(|| "nats-server".into(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_comes_back_on_its_port() {
        let mut server = NatsServer::jetstream();
        server.kill();
        assert!(greeting(server.port()).is_none());
        server.lose_store();
        server.restart();
        assert!(greeting(server.port()).is_some());
        server.stop();
        assert!(!server.is_running());
    }

    #[test]
    fn a_cluster_comes_up() {
        let mut cluster = NatsCluster::start();
        let name = format!("n{}", cluster.servers[1].port());
        let port = cluster.named(&name).port();
        assert!(cluster.url().contains(&port.to_string()));
    }
}
