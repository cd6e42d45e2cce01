//! `cantina-log tail`.

use std::process::ExitCode;

use clap::Args;

use super::Common;
use super::filters::Filters;
use super::remote::{Remote, Told};
use crate::exit;
use crate::output::Printer;

/// Show the latest entries of a running service, and follow it.
#[derive(Debug, Args)]
#[command(after_help = "Example: cantina-log tail -f --service 'AI Assistant' --level WARNING")]
pub(crate) struct Tail {
    /// Go on with new entries as they come.
    #[arg(short = 'f', long)]
    follow: bool,
    /// The service's address; by default the one of the setting `listen`.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    filters: Filters,
}

/// Entries shown before following, unless `-n` says otherwise.
const LATEST: usize = 10;

impl Tail {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let settings = common.settings([])?;
        let base = self.url.clone().unwrap_or_else(|| format!("http://{}", settings.listen));
        let remote = Remote::new(&base);
        let limit = self.filters.limit.unwrap_or(LATEST).to_string();
        let mut query = self.filters.query()?;
        let mut printer = Printer::new(common.json, self.filters.compile()?);
        if self.follow {
            query.push(("recent", limit));
            return follow(&remote, &query, &mut printer);
        }
        query.push(("limit", limit));
        let entries = remote.entries(&query)?;
        entries.iter().try_for_each(|entry| printer.entry(entry))?;
        printer.flush()?;
        Ok(if entries.is_empty() { ExitCode::from(exit::NOT_FOUND) } else { ExitCode::SUCCESS })
    }
}

fn follow(
    remote: &Remote,
    query: &[(&'static str, String)],
    printer: &mut Printer,
) -> anyhow::Result<ExitCode> {
    let mut last = None;
    for told in remote.stream(query)? {
        match told? {
            Told::Session(id) => printer.remark(&format!("-- {id} --"))?,
            Told::Entries(entries) => {
                last = entries.last().map(|entry| entry.entry_id.clone());
                entries.iter().try_for_each(|entry| printer.entry(entry))?;
            }
            // A count makes sense only right below its entry.
            Told::Repeats(repeats) => {
                for repeat in repeats.iter().filter(|repeat| last.as_ref() == Some(&repeat.of)) {
                    printer.repeats(repeat.count, repeat.last)?;
                }
            }
            Told::Gap(gap) => {
                printer.remark(&format!("-- {} entries not sent: {} --", gap.count, gap.reason))?;
            }
        }
        printer.flush()?;
    }
    printer.remark("-- the service has stopped --")?;
    Ok(ExitCode::SUCCESS)
}
