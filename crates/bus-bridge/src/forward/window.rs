//! Which entries are published next, and in which form.

use std::borrow::Cow;

use bus::{EVENT_ID, Event, ORIGIN};
use bytes::Bytes;
use log_entry::LogEntry;
use logging_api::{ENTRY_NUMBER, LOG_ENTRY};
use serde::Deserialize;
use session_store::Position;

use super::Forwarder;
use crate::spool::Step;

/// A step through the record, of which the entry, if any, is to be published.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) entry: Option<Entry>,
    pub(super) after: Position,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) json: Bytes,
    /// The bytes that the bus takes, as it has turned out.
    payload_max: usize,
    pub(super) fate: Fate,
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is to be published.
    Send,
    /// The bus has it.
    Arrived,
    /// It is never published, and why.
    Dropped(&'static str),
}

/// What is published at once, of the first items of the queue.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) events: Vec<Event>,
    /// For each event, the index of its item.
    pub(super) sent: Vec<usize>,
    /// How many items.
    pub(super) items: usize,
    /// How many of them are entries.
    pub(super) entries: u64,
}

/// Entries that are published at once.
const ENTRIES_MAX: u64 = 256;

impl Forwarder {
    /// The next entries, all of the session in which the cursor is.
    pub(super) fn window(&mut self) -> Window {
        let payload_max = self.remote.capabilities().payload_max;
        let mut window = Window::default();
        for item in &mut self.queue {
            if item.after.session != self.cursor.position.session || window.entries == ENTRIES_MAX {
                break;
            }
            if let Some(entry) = &mut item.entry {
                window.entries += 1;
                let number = self.cursor.number + window.entries;
                let has = |id: &str| number <= self.arrived_through && self.arrived.contains(id);
                if let Some(id) = entry.decide(payload_max, has) {
                    let event = Event::new(LOG_ENTRY.name(), entry.json.clone())
                        .with_header(EVENT_ID, id)
                        .with_header(ORIGIN, &*self.origin)
                        .with_header(ENTRY_NUMBER, number.to_string());
                    window.events.push(event);
                    window.sent.push(window.items);
                }
            }
            window.items += 1;
        }
        window
    }
}

// === impl Item ===

impl From<Step> for Item {
    fn from(Step { entry, after }: Step) -> Self {
        let entry = entry.map(|json| Entry { json, payload_max: usize::MAX, fate: Fate::Send });
        Self { entry, after }
    }
}

// === impl Entry ===

impl Entry {
    /// It was refused because it has more than `limit` bytes.
    pub(super) fn must_fit(&mut self, limit: usize) {
        if limit < self.payload_max && limit < self.json.len() {
            self.payload_max = limit;
        } else {
            self.fate = Fate::Dropped("too_large");
        }
    }

    /// Decides what becomes of it, and cuts it if it must be. Its id, if it is
    /// to be published.
    fn decide(&mut self, payload_max: usize, has: impl FnOnce(&str) -> bool) -> Option<String> {
        if let Fate::Dropped(_) = self.fate {
            return None;
        }
        let Some(id) = id(&self.json) else {
            self.fate = Fate::Dropped("malformed");
            return None;
        };
        if has(&id) {
            self.fate = Fate::Arrived;
            return None;
        }
        let payload_max = payload_max.min(self.payload_max);
        if self.json.len() > payload_max {
            match cut(&self.json, payload_max) {
                Some(json) => self.json = json,
                None => {
                    self.fate = Fate::Dropped("too_large");
                    return None;
                }
            }
        }
        self.fate = Fate::Send;
        Some(id)
    }
}

fn id(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Outline<'a> {
        #[serde(borrow)]
        entry_id: Cow<'a, str>,
    }
    serde_json::from_slice::<Outline<'_>>(json).ok().map(|outline| outline.entry_id.into_owned())
}

fn cut(json: &[u8], bytes_max: usize) -> Option<Bytes> {
    let entry: LogEntry = serde_json::from_slice(json).ok()?;
    Some(entry.cut(bytes_max)?.to_json().into())
}
