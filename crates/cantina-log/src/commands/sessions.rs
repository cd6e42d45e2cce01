//! `cantina-log sessions`.

use std::process::ExitCode;

use chrono::Local;
use clap::Args;
use session_store::{SessionInfo, Sessions};

use super::Common;
use crate::exit;
use crate::output::Printer;

/// List the sessions, oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Example: cantina-log sessions --json")]
pub(crate) struct List {}

impl List {
    #[expect(clippy::unused_self, reason = "every command is run the same way")]
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let settings = common.settings([])?;
        let sessions = Sessions::at(&settings.session_file_path).list()?;
        let mut printer = Printer::new(common.json, log_entry::Filter::default());
        if sessions.is_empty() {
            let directory = settings.session_file_path.display();
            printer.remark(&format!("no session in `{directory}`"))?;
            return Ok(ExitCode::from(exit::NOT_FOUND));
        }
        if !common.json {
            printer.line(&format!(
                "{:35} {:19} {:>10} {:>10} {:>5}  {}",
                "SESSION", "STARTED", "DURATION", "SIZE", "FILES", "STATE"
            ))?;
        }
        for info in &sessions {
            if common.json {
                printer.json(&as_json(info))?;
            } else {
                printer.line(&row(info))?;
            }
        }
        printer.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn as_json(info: &SessionInfo) -> serde_json::Value {
    let time = |time: Option<_>| time.as_ref().map(log_entry::format_timestamp);
    serde_json::json!({
        "id": info.id,
        "started_at": time(info.started_at),
        "ended_at": time(info.ended_at),
        "last_at": time(info.last_at),
        "bytes": info.bytes,
        "segments": info.segments,
        "pinned": info.is_pinned,
    })
}

fn row(info: &SessionInfo) -> String {
    let started = info.started_at.map_or_else(String::new, |time| {
        time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
    });
    let end = info.ended_at.or(info.last_at);
    let duration = end.zip(info.started_at).map_or_else(String::new, |(end, start)| {
        let seconds = (end - start).num_seconds().max(0);
        format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    });
    let state = match (info.ended_at, info.is_pinned) {
        (Some(_), false) => "ended",
        (Some(_), true) => "ended, pinned",
        (None, false) => "open or cut off",
        (None, true) => "open or cut off, pinned",
    };
    let (id, size, files) = (info.id.as_str(), size(info.bytes), info.segments);
    format!("{id:35} {started:19} {duration:>10} {size:>10} {files:>5}  {state}")
}

fn size(bytes: u64) -> String {
    let (mut number, mut unit) = (bytes as f64, "B");
    for next in ["KiB", "MiB", "GiB"] {
        if number < 1024.0 {
            break;
        }
        (number, unit) = (number / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{number:.1} {unit}") }
}
