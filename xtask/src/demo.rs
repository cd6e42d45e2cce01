//! `demo`: a recorded session of CantinaOS, live on the dashboard.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::command::Program;
use crate::workspace::Workspace;
use crate::{tools, ui};

/// What can be asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    once: bool,
    speed: String,
    has_player: bool,
    port: u16,
}

/// The addresses that the service listens on.
#[derive(Debug, PartialEq)]
struct Addresses {
    http: String,
    python: String,
}

const HTTP_PORT: u16 = 8000;
const PYTHON_PORT: u16 = 9020;
const LOOK_EVERY: Duration = Duration::from_millis(50);
const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(5);

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    tools::need_node()?;
    tools::need_python()?;
    println!("1 of 3: the dashboard");
    ui::build(workspace)?;
    println!("2 of 3: the program (the first time, this takes some minutes)");
    Program::cargo()
        .args("build --profile demo --locked --package cantina-log --bin cantina-log")
        // The demo needs no broker, and its client is the longest part of the build.
        .arg("--no-default-features")
        .within(workspace.root())
        .run()?;
    println!("3 of 3: a session");
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    play(workspace, options, &mut signals)
}

fn play(workspace: &Workspace, options: &Options, signals: &mut Signals) -> Result<()> {
    let (mut service, addresses, logs) = start_service(workspace, options, signals)?;
    let mut player =
        if options.has_player { Some(start_player(workspace, options, &addresses)?) } else { None };
    println!("\n  The dashboard is at  http://{}/  (Ctrl-C ends the demo)\n", addresses.http);
    let ended = watch(&mut service, player.as_mut(), signals);
    if let Some(player) = &mut player {
        player.stop()?;
    }
    let status = service.stop()?;
    ended?;
    if !status.success() {
        bail!("the service ended with {status}");
    }
    println!("\nended; the session is in {}", logs.display());
    Ok(())
}

/// Waits for a signal, or for a program that ends.
fn watch(
    service: &mut Running,
    mut player: Option<&mut Running>,
    signals: &mut Signals,
) -> Result<()> {
    loop {
        if signals.pending().next().is_some() {
            return Ok(());
        }
        if let Some(status) = service.child.try_wait()? {
            bail!("the service ended by itself: {status}");
        }
        if let Some(status) = player.as_mut().map(|player| player.child.try_wait()).transpose()? {
            match status {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the player ended by itself: {status}"),
                None => {}
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

// === the two programs ===

/// A program that is stopped, at the latest, when this is dropped.
struct Running {
    child: Child,
}

fn start_service(
    workspace: &Workspace,
    options: &Options,
    signals: &mut Signals,
) -> Result<(Running, Addresses, PathBuf)> {
    let http = free_port(options.port);
    let python = free_port(PYTHON_PORT);
    let folder = workspace.target().join("demo-session");
    // A second demo at the same time gets a folder of its own.
    let own = if http == 0 || python == 0 { std::process::id().to_string() } else { String::new() };
    let logs = folder.join(format!("logs{own}"));
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let address_file = folder.join(format!("addresses-{}.json", std::process::id()));
    let child = Program::new(workspace.target().join("demo/cantina-log"))
        .args("serve --addr-file")
        .arg(&address_file)
        .env("CANTINA_LOG_LISTEN", format!("127.0.0.1:{http}"))
        .env("CANTINA_LOG_PYTHON_LISTEN", format!("127.0.0.1:{python}"))
        .env("CANTINA_LOG_BUS", "memory:")
        .env("SESSION_LOG_PATH", &logs)
        // Nobody's own settings: a demo is the same everywhere.
        .env("XDG_CONFIG_HOME", &folder)
        .start_apart()?;
    let mut service = Running { child };
    let addresses = wait_for(&address_file, &mut service, signals);
    // It has been read, or was never written.
    let _ = fs::remove_file(&address_file);
    Ok((service, addresses?, logs))
}

fn start_player(workspace: &Workspace, options: &Options, to: &Addresses) -> Result<Running> {
    let player = Program::new("python3")
        .arg("xtask/demo/play.py")
        .args("--handler stock --address")
        .arg(&to.python)
        .arg("--speed")
        .arg(&options.speed)
        .within(workspace.root());
    let player = if options.once { player } else { player.arg("--loop") };
    Ok(Running { child: player.start_apart()? })
}

/// The port, or 0 for any, if somebody listens on it.
fn free_port(port: u16) -> u16 {
    let address = (Ipv4Addr::LOCALHOST, port);
    if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
        return port;
    }
    println!("port {port} is taken; another one is used");
    0
}

fn wait_for(file: &Path, service: &mut Running, signals: &mut Signals) -> Result<Addresses> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Ok(json) = fs::read_to_string(file)
            && let Some(addresses) = Addresses::parse(&json)
        {
            return Ok(addresses);
        }
        if let Some(status) = service.child.try_wait()? {
            bail!("the service did not start: {status}");
        }
        if signals.pending().next().is_some() {
            bail!("interrupted while the service started");
        }
        if Instant::now() >= deadline {
            bail!("the service was not ready after {} s", START_LIMIT.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

// === impl Running ===

impl Running {
    /// Interrupts it, as Ctrl-C would, and waits for its end.
    fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        // The standard library can only kill; every shell can interrupt.
        let kill = format!("kill -INT {}", self.child.id());
        Command::new("sh").arg("-c").arg(kill).status().context("starting `sh`")?;
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        println!("a program did not end within {} s, and is killed", STOP_LIMIT.as_secs());
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It has just been seen running.
            let _ = self.stop();
        }
    }
}

// === impl Addresses ===

impl Addresses {
    /// What the service wrote, if it is complete.
    fn parse(json: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(json).ok()?;
        let address = |name: &str| value[name].as_str().map(str::to_owned);
        Some(Self { http: address("http")?, python: address("python")? })
    }
}

// === impl Options ===

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options =
            Self { once: false, speed: "5".to_owned(), has_player: true, port: HTTP_PORT };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().with_context(|| format!("`{argument}` needs a value"));
            match argument.as_str() {
                "--once" => options.once = true,
                "--no-player" => options.has_player = false,
                "--speed" => options.speed = checked_speed(value()?)?,
                "--port" => options.port = value()?.parse().context("`--port` takes a number")?,
                _ => bail!("`demo` has no option `{argument}`: see `cargo xtask help`"),
            }
        }
        Ok(options)
    }
}

fn checked_speed(text: &str) -> Result<String> {
    let is_factor = text.parse::<f64>().is_ok_and(|factor| factor > 0.0 && factor.is_finite());
    if text != "max" && !is_factor {
        bail!("`--speed` takes a factor or `max`, and not `{text}`");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_understood() {
        let options = parse("--once --speed max --port 8123").unwrap();
        let speed = "max".to_owned();
        assert_eq!(options, Options { once: true, speed, has_player: true, port: 8123 });
        assert!(!parse("--no-player").unwrap().has_player);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for wrong in ["--twice", "--speed", "--speed fast", "--speed -1", "--port many"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_that_are_not_written_completely_are_none() {
        let whole = r#"{"http": "127.0.0.1:8000", "python": "127.0.0.1:9020", "pid": 1}"#;
        assert_eq!(Addresses::parse(whole).unwrap().python, "127.0.0.1:9020");
        assert_eq!(Addresses::parse(&whole[..30]), None);
    }

    #[test]
    fn a_port_that_is_taken_is_not_used() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(free_port(taken.local_addr().unwrap().port()), 0);
    }

    #[test]
    fn a_program_ends_when_it_is_interrupted() {
        let mut running = Running { child: Program::new("sleep").arg("60").start_apart().unwrap() };
        let began = Instant::now();
        assert!(!running.stop().unwrap().success());
        assert!(began.elapsed() < STOP_LIMIT);
    }
}
