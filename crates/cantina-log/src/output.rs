//! Entries on a terminal, or in a pipe.

use std::io::{self, Write};
use std::str::FromStr;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use chrono::Local;
use log_entry::{Filter, Level, LogEntry, RepeatNote, TextLine, Timestamp};

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// Prints entries as lines for people, or as JSON.
pub(crate) struct Printer {
    out: AutoStream<io::StdoutLock<'static>>,
    as_json: bool,
    highlight: Filter,
}

// === impl Color ===

impl Color {
    /// Makes it hold for everything that is printed from now on.
    pub(crate) fn apply(self) {
        match self {
            Self::Auto => {}
            Self::Always => ColorChoice::Always.write_global(),
            Self::Never => ColorChoice::Never.write_global(),
        }
    }
}

impl FromStr for Color {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err("expected auto, always or never"),
        }
    }
}

// === impl Printer ===

impl Printer {
    /// A printer that marks what `highlight` looks for.
    pub(crate) fn new(as_json: bool, highlight: Filter) -> Self {
        Self { out: AutoStream::auto(io::stdout().lock()), as_json, highlight }
    }

    /// Prints an entry.
    pub(crate) fn entry(&mut self, entry: &LogEntry) -> io::Result<()> {
        if self.as_json {
            self.out.write_all(&entry.to_json())?;
            return self.out.write_all(b"\n");
        }
        let text = TextLine::new(entry, &Local).with_host().to_string();
        // Time, level and service have fixed places, up to the end of the level.
        let (head, message) = split(&text);
        let style = style(entry.level);
        write!(self.out, "{style}{head}{style:#}")?;
        self.marked(message)?;
        if entry.repeats > 0 {
            write!(self.out, " {DIM}(×{}){DIM:#}", entry.repeats + 1)?;
        }
        writeln!(self.out)
    }

    /// Prints how often the entry before has happened again.
    pub(crate) fn repeats(&mut self, count: u64, last: Timestamp) -> io::Result<()> {
        if self.as_json {
            return Ok(());
        }
        writeln!(self.out, "    {DIM}{}{DIM:#}", RepeatNote { count, last, zone: &Local })
    }

    /// Prints a remark that is no entry.
    pub(crate) fn remark(&mut self, text: &str) -> io::Result<()> {
        if self.as_json {
            return Ok(());
        }
        writeln!(self.out, "{DIM}{text}{DIM:#}")
    }

    /// Prints an object as it is, for `--json`.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    /// Prints a line for people.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Lets a reader see what was printed.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn marked(&mut self, text: &str) -> io::Result<()> {
        let mut at = 0;
        for range in self.highlight.highlights(text) {
            write!(self.out, "{}{MARK}{}{MARK:#}", &text[at..range.start], &text[range.clone()])?;
            at = range.end;
        }
        write!(self.out, "{}", &text[at..])
    }
}

const DIM: Style = Style::new().dimmed();
const MARK: Style = Style::new().bold().underline();

/// The colour of a level; CRITICAL is plain to see, but not a red screen: a
/// healthy robot logs a hundred of them.
fn style(level: Level) -> Style {
    let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
    match level {
        Level::Debug => DIM,
        Level::Info => color(AnsiColor::Green),
        Level::Warning => color(AnsiColor::Yellow),
        Level::Error => color(AnsiColor::Red),
        Level::Critical => color(AnsiColor::Magenta).bold(),
    }
}

/// A line, cut after the level.
fn split(line: &str) -> (&str, &str) {
    let end = line.find("] ").map_or(0, |end| end + 2 + 8);
    line.split_at_checked(end).unwrap_or(("", line))
}
