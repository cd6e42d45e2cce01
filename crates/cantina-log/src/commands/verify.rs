//! `cantina-log verify`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use session_store::{FileReport, Finding};

use super::Common;
use crate::exit;
use crate::output::Printer;

/// Check session files: line checksums, sequence gaps, torn lines.
#[derive(Debug, Args)]
#[command(after_help = "Example: cantina-log verify ./logs")]
pub(crate) struct Verify {
    /// A directory or a file; by default the session directory.
    path: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let settings = common.settings([])?;
        let path = self.path.unwrap_or(settings.session_file_path);
        let report = session_store::verify(&path)?;
        let mut printer = Printer::new(common.json, log_entry::Filter::default());
        for file in &report.files {
            if common.json {
                printer.json(&as_json(file))?;
            } else {
                print(&mut printer, file)?;
            }
        }
        if report.files.is_empty() {
            printer.remark(&format!("no session in `{}`", path.display()))?;
            return Ok(ExitCode::from(exit::NOT_FOUND));
        }
        printer.flush()?;
        Ok(if report.is_damaged() { ExitCode::from(exit::NOT_FOUND) } else { ExitCode::SUCCESS })
    }
}

fn as_json(file: &FileReport) -> serde_json::Value {
    serde_json::json!({
        "path": file.path,
        "damaged": file.is_damaged,
        "lines": file.kinds,
        "findings": file.findings.iter().map(describe).collect::<Vec<_>>(),
        "more_findings": file.more,
    })
}

fn print(printer: &mut Printer, file: &FileReport) -> std::io::Result<()> {
    let lines: u64 = file.kinds.values().sum();
    let verdict = if file.is_damaged { "DAMAGED" } else { "ok" };
    printer.line(&format!("{verdict:8} {lines:>9} lines  {}", file.path.display()))?;
    for finding in &file.findings {
        printer.line(&format!("         {}", describe(finding)))?;
    }
    if file.more > 0 {
        printer.line(&format!("         and {} more", file.more))?;
    }
    Ok(())
}

fn describe(finding: &Finding) -> String {
    match finding {
        Finding::Corrupt { offset, len } => {
            format!("{len} bytes at {offset} are not as they were written")
        }
        Finding::Torn { offset, len, is_marked: true } => {
            format!("a line of {len} bytes at {offset} was cut short, and marked so (no damage)")
        }
        Finding::Torn { offset, len, is_marked: false } => {
            format!("a line of {len} bytes at {offset} was cut short")
        }
        Finding::Gap { first, last, is_accounted } => {
            let what =
                if *is_accounted { "are missing, and counted as lost" } else { "are missing" };
            format!("the numbers {first} to {last} {what}")
        }
        Finding::OutOfOrder { seq, offset } => {
            format!("the entry at {offset} has the number {seq}, which is not above the one before")
        }
        Finding::NoStart => "the file does not begin as a session does".to_owned(),
        Finding::Miscounted { what, expected, found } => {
            format!("the end counts {expected} {what}, but there are {found}")
        }
        Finding::Empty => "the file is empty (no damage)".to_owned(),
        Finding::Unreadable { reason } => format!("the file cannot be read: {reason}"),
        other => format!("{other:?}"),
    }
}
