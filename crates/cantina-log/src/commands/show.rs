//! `cantina-log show`.

use std::process::ExitCode;

use clap::Args;
use session_store::{ReadLine, Sessions};

use super::filters::Filters;
use super::{Common, search};
use crate::exit;
use crate::output::Printer;

/// Print a session.
#[derive(Debug, Args)]
#[command(after_help = "Example: cantina-log show latest --level WARNING")]
pub(crate) struct Show {
    /// The session's name, or `latest`.
    #[arg(default_value = "latest")]
    id: String,
    #[command(flatten)]
    filters: Filters,
}

impl Show {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let settings = common.settings([])?;
        let sessions = Sessions::at(&settings.session_file_path);
        let filter = self.filters.compile()?;
        let id = match self.id.as_str() {
            "latest" => search::wanted(&sessions, None)?.pop(),
            id => search::wanted(&sessions, Some(id))?.pop(),
        };
        let Some(id) = id else {
            anyhow::bail!("no session in `{}`", settings.session_file_path.display());
        };
        let mut printer = Printer::new(common.json, filter.clone());
        let mut count = 0;
        if let Some(limit) = self.filters.limit {
            let query = session_store::Query { filter, limit, ..Default::default() };
            let mut entries = sessions.entries(&id, &query)?.entries;
            entries.reverse();
            count = entries.len();
            entries.iter().try_for_each(|entry| printer.entry(entry))?;
        } else {
            for line in sessions.read(&id)? {
                match line? {
                    ReadLine::Entry(entry) if filter.matches(&entry) => {
                        count += 1;
                        printer.entry(&entry)?;
                    }
                    ReadLine::Corrupt { len, .. } | ReadLine::Torn { len, .. } => {
                        printer.remark(&format!("-- {len} bytes are damaged --"))?;
                    }
                    _ => {}
                }
            }
        }
        printer.flush()?;
        Ok(if count > 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::NOT_FOUND) })
    }
}
