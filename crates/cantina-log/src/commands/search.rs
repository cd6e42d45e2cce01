//! `cantina-log search`.

use std::collections::VecDeque;
use std::process::ExitCode;

use clap::Args;
use log_entry::{Filter, FilterSpec, LogEntry, SessionId};
use session_store::{ReadLine, Sessions};

use super::filters::Filters;
use super::{Common, UsageError};
use crate::exit;
use crate::output::Printer;

/// Find text in the session files, oldest session first.
#[derive(Debug, Args)]
#[command(after_help = "Example: cantina-log search 'rate limit' --level ERROR --since 2h -C 3")]
pub(crate) struct Search {
    /// What to find; any case, unless it has an upper-case letter.
    pattern: Option<String>,
    /// Only in this session.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// So many entries after each hit.
    #[arg(short = 'A', long, value_name = "N", default_value_t = 0)]
    after_context: usize,
    /// So many entries before each hit.
    #[arg(short = 'B', long, value_name = "N", default_value_t = 0)]
    before_context: usize,
    /// So many entries around each hit.
    #[arg(short = 'C', long, value_name = "N")]
    context: Option<usize>,
    #[command(flatten)]
    filters: Filters,
}

/// Prints hits with the entries around them.
struct Context<'a> {
    printer: &'a mut Printer,
    before: VecDeque<LogEntry>,
    before_max: usize,
    after: usize,
    after_left: usize,
    last_printed: Option<u64>,
}

impl Search {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let settings = common.settings([])?;
        let sessions = Sessions::at(&settings.session_file_path);
        let mut spec = self.filters.spec()?;
        let pattern = self.pattern.clone().or(spec.text.take());
        if pattern.is_none() && spec == FilterSpec::default() {
            return Err(UsageError("search needs a pattern or a filter".into()).into());
        }
        spec.text = pattern;
        let filter = Filter::new(&spec)?;
        let mut printer = Printer::new(common.json, filter.clone());
        let mut hits = 0;
        for id in wanted(&sessions, self.session.as_deref())? {
            hits += self.search_one(&sessions, &id, &filter, &mut printer)?;
        }
        printer.flush()?;
        Ok(if hits > 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::NOT_FOUND) })
    }

    fn search_one(
        &self,
        sessions: &Sessions,
        id: &SessionId,
        filter: &Filter,
        printer: &mut Printer,
    ) -> anyhow::Result<usize> {
        if let Some(limit) = self.filters.limit {
            let query =
                session_store::Query { filter: filter.clone(), limit, ..Default::default() };
            let mut entries = sessions.entries(id, &query)?.entries;
            entries.reverse();
            entries.iter().try_for_each(|entry| printer.entry(entry))?;
            return Ok(entries.len());
        }
        let mut context = Context {
            printer,
            before: VecDeque::new(),
            before_max: self.context.unwrap_or(self.before_context),
            after: self.context.unwrap_or(self.after_context),
            after_left: 0,
            last_printed: None,
        };
        let mut hits = 0;
        for line in sessions.read(id)? {
            if let ReadLine::Entry(entry) = line? {
                let is_hit = filter.matches(&entry);
                hits += usize::from(is_hit);
                context.entry(*entry, is_hit)?;
            }
        }
        Ok(hits)
    }
}

/// The session that was asked for, or all of them.
pub(super) fn wanted(sessions: &Sessions, id: Option<&str>) -> anyhow::Result<Vec<SessionId>> {
    match id {
        Some(id) => {
            let id = id.strip_suffix(".log").or(id.strip_suffix(".jsonl")).unwrap_or(id);
            Ok(vec![id.parse().map_err(|error| UsageError(format!("{error}")))?])
        }
        None => Ok(sessions.list()?.into_iter().map(|info| info.id).collect()),
    }
}

impl Context<'_> {
    fn entry(&mut self, entry: LogEntry, is_hit: bool) -> std::io::Result<()> {
        if is_hit {
            self.separate(self.before.front().map_or(entry.seq, |first| first.seq))?;
            for earlier in std::mem::take(&mut self.before) {
                self.print(&earlier)?;
            }
            self.after_left = self.after;
            return self.print(&entry);
        }
        if self.after_left > 0 {
            self.after_left -= 1;
            return self.print(&entry);
        }
        if self.before_max > 0 {
            if self.before.len() == self.before_max {
                self.before.pop_front();
            }
            self.before.push_back(entry);
        }
        Ok(())
    }

    /// As grep does between hits that are not neighbours.
    fn separate(&mut self, next: u64) -> std::io::Result<()> {
        let has_context = self.before_max + self.after > 0;
        match self.last_printed {
            Some(last) if has_context && next > last + 1 => self.printer.remark("--"),
            _ => Ok(()),
        }
    }

    fn print(&mut self, entry: &LogEntry) -> std::io::Result<()> {
        self.last_printed = Some(entry.seq);
        self.printer.entry(entry)
    }
}
