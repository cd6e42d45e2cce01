//! `cantina-log serve`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use standard_service::StopReport;
use tokio::signal::unix::{SignalKind, signal};

use super::Common;
use crate::exit::{self, Failure};
use crate::settings::Settings;
use crate::wire::System;

/// Run the service.
#[derive(Debug, Args)]
#[command(after_help = "Example: cantina-log serve --listen 127.0.0.1:8000 --session-dir ./logs")]
pub(crate) struct Serve {
    /// HTTP, Socket.IO and dashboard.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Python's handlers, TCP and UDP.
    #[arg(long, value_name = "ADDRESS")]
    python_listen: Option<String>,
    /// `memory:`, or a server's URL.
    #[arg(long, value_name = "URL")]
    bus: Option<String>,
    /// Also take in the entries of other instances on the bus, and show them
    /// in this dashboard.
    #[arg(long)]
    collect: bool,
    /// The lowest level that is kept.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Write the addresses really bound to this file, once ready.
    #[arg(long, value_name = "FILE")]
    addr_file: Option<PathBuf>,
}

/// What stopping may take beyond the deadline before the process ends anyway.
const GRACE: Duration = Duration::from_millis(250);
/// What the last words may take of that.
const LAST_WORDS_TIME: Duration = Duration::from_millis(20);

impl Serve {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let settings = common.settings([
            ("--listen", "listen", self.listen),
            ("--python-listen", "python_listen", self.python_listen),
            ("--bus", "bus", self.bus),
            ("--collect", "run_as_collector", self.collect.then(|| "true".to_owned())),
            ("--log-level", "log_level", self.log_level),
        ])?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(8)
            .enable_all()
            .build()?;
        let code = runtime.block_on(serve(&settings, self.addr_file.as_deref()));
        // What is left are reads of files whose askers have gone.
        runtime.shutdown_background();
        code
    }
}

async fn serve(settings: &Settings, addr_file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut system = System::start(settings).await?;
    if let Err(error) = announce(&system, addr_file) {
        system.stop().await;
        return Err(Failure::of(exit::CONFIG, &error).into());
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
        () = system.follow_levels() => {}
    }
    watch_over_the_end(settings.shutdown_deadline + GRACE);
    Ok(verdict(&system.stop().await))
}

/// Says where we are: to people, and in the address file.
fn announce(system: &System, addr_file: Option<&Path>) -> anyhow::Result<()> {
    let (http, python) = system.http().zip(system.python()).context("a listener has no address")?;
    if let Some(path) = addr_file {
        let addresses = serde_json::json!({
            "http": http.to_string(), "python": python.to_string(), "pid": std::process::id(),
        });
        write_whole(path, &addresses.to_string())
            .with_context(|| format!("writing the address file `{}`", path.display()))?;
    }
    // The one thing a person needs to know; not a log message. A service runs
    // on although nobody reads it.
    let text = format!(
        "Dashboard:  http://{http}/\nPython:     {python}  (SocketHandler, CantinaLogHandler)\n"
    );
    let mut stdout = anstream::stdout();
    drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
    Ok(())
}

/// Writes the file so that nobody who waits for it sees half of it.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, text)?;
    std::fs::rename(&partial, path)
}

fn verdict(report: &StopReport) -> ExitCode {
    if report.is_clean() {
        return ExitCode::SUCCESS;
    }
    for failure in &report.failed {
        exit::last_words(&format_args!("stopping {}: {}", failure.service, failure.error));
    }
    for service in &report.late {
        exit::last_words(&format_args!("{service} did not stop in time"));
    }
    ExitCode::from(exit::NOT_WRITTEN)
}

/// A disk that hangs cannot be cancelled: after `patience` the process ends
/// whatever still waits.
fn watch_over_the_end(patience: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(patience);
        // What hangs may be stderr itself.
        std::thread::spawn(|| {
            exit::last_words(&"stopping took too long; something was not written");
        });
        std::thread::sleep(LAST_WORDS_TIME);
        std::process::exit(i32::from(exit::NOT_WRITTEN));
    });
}
