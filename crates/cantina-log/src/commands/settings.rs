//! `cantina-log settings`.

use std::process::ExitCode;

use clap::Args;

use super::Common;
use crate::output::Printer;
use crate::settings::KEYS;

/// Print every setting, its unit and where it came from.
#[derive(Debug, Args)]
#[command(after_help = "Example: cantina-log settings --show-origin")]
pub(crate) struct Show {
    /// Say where each value came from.
    #[arg(long)]
    show_origin: bool,
}

impl Show {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let settings = common.settings([])?;
        let mut printer = Printer::new(common.json, log_entry::Filter::default());
        for key in KEYS {
            let (value, unit) = ((key.show)(&settings), key.unit);
            let origin = settings
                .origins
                .get(key.name)
                .map_or_else(|| "the default".to_owned(), ToString::to_string);
            if common.json {
                let (key, env) = (key.name, key.env);
                printer.json(&serde_json::json!({
                    "key": key, "value": value, "unit": unit, "env": env, "origin": origin,
                }))?;
            } else {
                let value = format!("{value} {unit}");
                let origin = if self.show_origin { origin } else { String::new() };
                printer.line(format!("{:28} {value:32} {origin}", key.name).trim_end())?;
            }
        }
        printer.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
