//! From the dict of a `LogRecord` to a [`Record`].

use std::collections::HashMap;

use log_entry::{Exception, Level, Record, Severity, Source, Timestamp, timestamp_from_epoch};

use super::arena::{Arena, Id, Node};
use super::percent::{Args, merge};
use super::render::{Renderer, Style};
use super::{Error, TEXT_BYTES_MAX};
use crate::wire::fields::BoundedFields;
use crate::wire::text::{NAME_BYTES_MAX, cut};

/// What every `LogRecord` has. The rest is what the program passed as `extra`.
const ATTRIBUTES: [&str; 25] = [
    "name",
    "msg",
    "args",
    "levelname",
    "levelno",
    "pathname",
    "filename",
    "module",
    "exc_info",
    "exc_text",
    "stack_info",
    "lineno",
    "funcName",
    "created",
    "msecs",
    "relativeCreated",
    "thread",
    "threadName",
    "processName",
    "process",
    "taskName",
    "message",
    "asctime",
    // Python 2 and `logging.handlers.QueueHandler` bring nothing else.
    "exc_type",
    "exc_value",
];

pub(super) fn from_dict(
    arena: &Arena<'_>,
    top: Id,
    received_at: Timestamp,
) -> Result<Record, Error> {
    let Node::Dict(pairs) = arena.get(top) else { return Err(Error::NotARecord) };
    let mut dict = Dict::new(arena, pairs);
    let logger = dict.name("name").unwrap_or_else(|| "root".to_owned());
    let message = dict.message();
    let mut record = Record::new(received_at, dict.severity(), logger, message);
    record.timestamp = dict.timestamp().unwrap_or(received_at);
    record.source = dict.source();
    record.exception = dict.exception();
    dict.level_name(record.severity);
    dict.process_name();
    dict.extras();
    record.fields = dict.fields.finish();
    Ok(record)
}

struct Dict<'r, 'a> {
    shown: Renderer<'r, 'a>,
    standard: HashMap<&'static str, Id>,
    extras: Vec<(String, Id)>,
    fields: BoundedFields,
}

// === impl Dict ===

impl<'r, 'a> Dict<'r, 'a> {
    fn new(arena: &'r Arena<'a>, pairs: &[(Id, Id)]) -> Self {
        let mut shown = Renderer::new(arena);
        let (mut standard, mut extras) = (HashMap::new(), Vec::new());
        for &(key, value) in pairs {
            let name = arena
                .text(key, NAME_BYTES_MAX)
                .unwrap_or_else(|| cut(shown.text(key, Style::Str), NAME_BYTES_MAX));
            match ATTRIBUTES.iter().find(|attribute| **attribute == name) {
                Some(attribute) => drop(standard.insert(*attribute, value)),
                None => extras.push((name, value)),
            }
        }
        Self { shown, standard, extras, fields: BoundedFields::default() }
    }

    fn node(&self, attribute: &str) -> Option<&'r Node<'a>> {
        let arena = self.shown.arena();
        self.standard.get(attribute).map(|id| arena.get(*id))
    }

    fn text(&self, attribute: &str, bytes_max: usize) -> Option<String> {
        let id = self.standard.get(attribute)?;
        self.shown.arena().text(*id, bytes_max).filter(|text| !text.is_empty())
    }

    fn name(&self, attribute: &str) -> Option<String> {
        self.text(attribute, NAME_BYTES_MAX)
    }

    fn int(&self, attribute: &str) -> Option<i64> {
        self.shown.arena().small_int(*self.standard.get(attribute)?)
    }

    /// The message, with its arguments put in. Where that cannot be done, the
    /// arguments are kept beside the template.
    fn message(&mut self) -> String {
        let Some(&id) = self.standard.get("msg").or_else(|| self.standard.get("message")) else {
            return String::new();
        };
        let template = self.shown.text(id, Style::Str);
        let Some(&args) = self.standard.get("args") else { return template };
        let merged = match self.shown.arena().get(args) {
            Node::None => return template,
            Node::Tuple(items) | Node::List(items) if items.is_empty() => return template,
            Node::Tuple(items) => merge(&mut self.shown, &template, Args::InOrder(items)),
            Node::Dict(pairs) => merge(&mut self.shown, &template, Args::ByName(pairs)),
            _ => None,
        };
        merged.unwrap_or_else(|| {
            let args = self.shown.value(args);
            self.fields.insert("args", args);
            template
        })
    }

    fn severity(&self) -> Severity {
        let by_name = || self.name("levelname")?.parse::<Level>().ok();
        self.int("levelno")
            .map(Severity::new)
            .or_else(|| by_name().map(Level::severity))
            .unwrap_or(Level::Info.severity())
    }

    /// Keeps the name of a level that a program has added.
    fn level_name(&mut self, severity: Severity) {
        if let Some(name) = self.name("levelname")
            && name.parse::<Level>().is_err()
            && name != format!("Level {}", severity.number())
        {
            self.fields.insert("level_name", name.into());
        }
    }

    fn timestamp(&self) -> Option<Timestamp> {
        let seconds = match self.node("created")? {
            Node::Float(seconds) => *seconds,
            _ => self.int("created")? as f64,
        };
        timestamp_from_epoch(seconds)
    }

    fn source(&self) -> Source {
        let number = |name| self.int(name).and_then(|number| u32::try_from(number).ok());
        Source {
            file: self.name("filename").or_else(|| self.name("pathname")),
            line: number("lineno"),
            function: self.name("funcName"),
            thread: self.name("threadName"),
            task: self.name("taskName"),
            pid: number("process"),
        }
    }

    /// The traceback, with the stack below it if both were logged.
    fn exception(&mut self) -> Option<Exception> {
        let traceback = self.text("exc_text", TEXT_BYTES_MAX);
        let stack = self.text("stack_info", TEXT_BYTES_MAX);
        match (traceback, stack) {
            (Some(traceback), stack) => {
                let mut exception = Exception::from_traceback(traceback);
                if let Some(stack) = stack {
                    exception.traceback.push('\n');
                    exception.traceback.push_str(&stack);
                }
                Some(exception)
            }
            (None, stack) => {
                if let Some(stack) = stack {
                    self.fields.insert("stack_info", stack.into());
                }
                self.unformatted_exception();
                None
            }
        }
    }

    /// An exception whose sender did not format it.
    fn unformatted_exception(&mut self) {
        if let Some(&id) = self.standard.get("exc_info")
            && !matches!(self.shown.arena().get(id), Node::None | Node::Bool(false))
        {
            let value = self.shown.value(id);
            self.fields.insert("exc_info", value);
        }
    }

    fn process_name(&mut self) {
        if let Some(name) = self.name("processName").filter(|name| name != "MainProcess") {
            self.fields.insert("processName", name.into());
        }
    }

    fn extras(&mut self) {
        for (name, id) in std::mem::take(&mut self.extras) {
            if self.fields.has_room() {
                let value = self.shown.value(id);
                self.fields.insert(&name, value);
            } else {
                self.fields.leave_out();
            }
        }
    }
}
