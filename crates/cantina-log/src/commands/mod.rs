//! What the program can do, one module each.

mod filters;
mod remote;
mod search;
mod serve;
mod sessions;
mod settings;
mod show;
mod tail;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::output::Color;
use crate::settings::{Flags, Settings, SettingsError};

/// Captures every log record of every service, keeps it, and shows it live.
#[derive(Debug, Parser)]
#[command(name = "cantina-log", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Configuration file; by default the user's own, if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the session files (setting `session_file_path`).
    #[arg(long, global = true, value_name = "DIR")]
    session_dir: Option<String>,
    /// Any setting, as `key=value`; may be given again.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Whether to colour: auto, always or never.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Print one JSON object per line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service: listeners, session files, bus, dashboard.
    Serve(serve::Serve),
    /// Show the latest entries of a running service, and follow it.
    Tail(tail::Tail),
    /// Find text in the session files, whether the service runs or not.
    Search(search::Search),
    /// List the sessions.
    Sessions(sessions::List),
    /// Print a session.
    Show(show::Show),
    /// Check session files: checksums, gaps, torn lines. Ends with 1 on damage.
    Verify(verify::Verify),
    /// Print every setting, its unit and where it came from.
    Settings(settings::Show),
}

/// A value on the command line that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Runs the command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { command, common } = cli;
    common.color.apply();
    match command {
        Command::Serve(serve) => serve.run(&common),
        Command::Tail(tail) => tail.run(&common),
        Command::Search(search) => search.run(&common),
        Command::Sessions(list) => list.run(&common),
        Command::Show(show) => show.run(&common),
        Command::Verify(verify) => verify.run(&common),
        Command::Settings(show) => show.run(&common),
    }
}

impl Common {
    /// The settings, with the flags of a command on top: flag, key and value.
    fn settings(
        &self,
        flags: impl IntoIterator<Item = (&'static str, &'static str, Option<String>)>,
    ) -> Result<Settings, anyhow::Error> {
        let mut values = Vec::new();
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| UsageError(format!("--set {pair}: expected KEY=VALUE")))?;
            values.push(("--set".to_owned(), key.to_owned(), value.to_owned()));
        }
        let own = [("--session-dir", "session_file_path", self.session_dir.clone())];
        for (flag, key, value) in own.into_iter().chain(flags) {
            values.extend(value.map(|value| (flag.to_owned(), key.to_owned(), value)));
        }
        let flags = Flags { config: self.config.clone(), values };
        let env = |name: &str| std::env::var(name).ok();
        Settings::load(&flags, env).map_err(|error: SettingsError| error.into())
    }
}
