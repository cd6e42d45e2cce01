//! A running `cantina-log serve`.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use nats_fixture::NatsServer;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::Program;
use crate::{binary, fixture, js, oracle, python};

/// How to start one.
#[derive(Debug, Default)]
pub struct Setup {
    /// Arguments of `serve`, besides the addresses and the directory.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// The bus; the one that `CANTINA_TEST_BUS` says if this does not.
    pub bus: Option<String>,
    /// The name of the host it runs on; ours if this does not say.
    pub host: Option<String>,
    /// Where Python's handlers connect; a free port if this does not say.
    pub python: Option<String>,
}

/// A running service with a directory of its own, on free ports.
pub struct Cantina {
    /// Its directory, which outlives it.
    pub home: TempDir,
    /// Where it serves HTTP: `127.0.0.1:1234`.
    pub http: String,
    /// Where Python's handlers connect.
    pub python: String,
    program: Program,
    /// The broker, if the tests are to run on one and the setup says nothing.
    broker: Option<NatsServer>,
}

impl Setup {
    /// With an argument of `serve`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// With this address for Python's handlers.
    #[must_use]
    pub fn python(mut self, address: &str) -> Self {
        self.python = Some(address.to_owned());
        self
    }

    /// On a host of this name, as far as [`can_name_hosts`] says so.
    #[must_use]
    pub fn host(mut self, name: &str) -> Self {
        self.host = can_name_hosts().then(|| name.to_owned());
        self
    }

    /// On the bus at `url`.
    #[must_use]
    pub fn bus(mut self, url: &str) -> Self {
        self.bus = Some(url.to_owned());
        self
    }

    /// With the setting `key`.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.args.extend(["--set".to_owned(), format!("{key}={value}")]);
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it in a directory of its own, and waits until it is ready.
    pub fn start(self) -> Cantina {
        let home = tempfile::tempdir().expect("there is room for a directory");
        self.start_in(home)
    }

    /// Starts it in `home`, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not become ready.
    pub fn start_in(self, home: TempDir) -> Cantina {
        let (broker, bus) = match self.bus {
            Some(url) => (None, url),
            None => bus_of_the_run(),
        };
        let addresses = home.path().join("addresses.json");
        let mut command = match &self.host {
            Some(name) => on_host(name),
            None => Command::new(binary()),
        };
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--python-listen"])
            .arg(self.python.as_deref().unwrap_or("127.0.0.1:0"))
            .arg("--session-dir")
            .arg(home.path().join("logs"))
            .arg("--addr-file")
            .arg(&addresses)
            .args(["--bus", &bus])
            .args(&self.args)
            .env("XDG_CONFIG_HOME", home.path())
            .envs(self.env);
        let mut program = Program::start(&mut command);
        program.line_where(|line| line.starts_with("Dashboard:").then_some(()));
        let text = std::fs::read_to_string(&addresses).expect("it is written before the line");
        let addresses: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(addresses["pid"], program.pid());
        let address = |name: &str| addresses[name].as_str().expect("it is a text").to_owned();
        let (http, python) = (address("http"), address("python"));
        Cantina { home, http, python, program, broker }
    }
}

impl Cantina {
    /// One with the default settings.
    pub fn start() -> Self {
        Setup::default().start()
    }

    /// The directory of its session files.
    pub fn logs(&self) -> PathBuf {
        self.home.path().join("logs")
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// What `GET path` answers, with its status.
    ///
    /// # Panics
    ///
    /// If nothing answers.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        get(&self.http, path)
    }

    /// The JSON that `GET path` answers.
    ///
    /// # Panics
    ///
    /// If the answer is an error or no JSON.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("it is JSON")
    }

    /// Asks `path` until the answer is `wanted`, and returns it.
    ///
    /// # Panics
    ///
    /// If it does not become so in time.
    #[track_caller]
    pub fn json_where(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.json(path);
            if wanted(&answer) {
                return answer;
            }
            assert!(start.elapsed() < crate::DEADLINE, "{path} stays {answer}");
            std::thread::yield_now();
        }
    }

    /// Plays the recorded session as fast as it goes, from a real Python
    /// program with the handler `stock` or `cantina`.
    pub fn play(&self, handler: &str) -> Program {
        let mut command = Command::new(python());
        command.arg(fixture("play.py"));
        command.args(["--address", &self.python, "--handler", handler, "--speed", "max"]);
        Program::start(&mut command)
    }

    /// Runs a Python program with the address of the listener as argument.
    pub fn python(&self, program: &str) -> Program {
        Program::start(Command::new(python()).args(["-c", program, &self.python]))
    }

    /// Runs a script of `tests/js` with the address of the dashboard and `args`.
    pub fn node(&self, script: &str, args: &[&str]) -> Program {
        let url = format!("http://{}", self.http);
        let directory = js("");
        Program::start(
            Command::new("node").arg(js(script)).arg(url).args(args).current_dir(directory),
        )
    }

    /// Runs another command of the program on this one's directory.
    pub fn command(&self, args: &[&str]) -> (ExitStatus, Vec<String>, String) {
        let mut command = Command::new(binary());
        command.args(args).arg("--session-dir").arg(self.logs());
        command.env("XDG_CONFIG_HOME", self.home.path());
        Program::start(&mut command).end()
    }

    /// Starts another command of the program against this service.
    pub fn attach(&self, args: &[&str]) -> Program {
        let url = format!("http://{}", self.http);
        let mut command = Command::new(binary());
        command.args(args).args(["--url", &url]).env("XDG_CONFIG_HOME", self.home.path());
        Program::start(&mut command)
    }

    /// Sends it a signal: `STOP` makes it hang, `CONT` lets it go on.
    pub fn signal(&self, signal: &str) {
        self.program.signal(signal);
    }

    /// Ends it as `kill -9` does, and returns its directory.
    pub fn kill(self) -> TempDir {
        self.program.signal("KILL");
        let _ = self.program.end();
        self.home
    }

    /// Sends SIGTERM and waits. Returns the session, how it ended, how long
    /// that took, and its directory.
    pub fn stop(self) -> Stopped {
        let start = Instant::now();
        self.program.signal("TERM");
        let (status, _, stderr) = self.program.end();
        let took = start.elapsed();
        drop(self.broker);
        let session = oracle::read_latest(&self.home.path().join("logs"));
        Stopped { session, status, took, stderr, home: self.home }
    }
}

/// The program on a host of another name; the process is the same.
fn on_host(name: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--uts"])
        .args(["sh", "-c", "hostname \"$0\" && exec \"$@\"", name])
        .arg(binary());
    command
}

/// Whether this machine lets a process have a host name of its own. There are
/// some that forbid it.
pub fn can_name_hosts() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--uts", "sh", "-c", "hostname other"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// The bus that `CANTINA_TEST_BUS` asks for, and the broker behind it.
fn bus_of_the_run() -> (Option<NatsServer>, String) {
    let (broker, options) = match std::env::var("CANTINA_TEST_BUS").as_deref() {
        Ok("nats") => (NatsServer::start(), ""),
        Ok("jetstream") => (NatsServer::jetstream(), "?stream=CANTINA_LOG"),
        Ok("memory") | Err(_) => return (None, "memory:".to_owned()),
        Ok(other) => panic!("CANTINA_TEST_BUS={other}: memory, nats or jetstream"),
    };
    let url = format!("{}{options}", broker.url());
    (Some(broker), url)
}

/// What is left of a service.
pub struct Stopped {
    /// Its session.
    pub session: oracle::Session,
    /// How it ended.
    pub status: ExitStatus,
    /// How long it took from SIGTERM.
    pub took: Duration,
    /// What it said on stderr.
    pub stderr: String,
    /// Its directory.
    pub home: TempDir,
}

/// What `GET path` at `address` answers, with its status.
#[track_caller]
fn get(address: &str, path: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let request = ureq::Agent::new_with_config(config).get(format!("http://{address}{path}"));
    let mut response = request.call().unwrap_or_else(|error| panic!("GET {path}: {error}"));
    let body = response.body_mut().read_to_string().expect("the answer is text");
    (response.status().as_u16(), body)
}
