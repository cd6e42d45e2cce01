//! Records written as JSON: one object, or an array of them.
//!
//! Only `message` is required. What cannot be used under its own name is kept
//! as a field, so that nothing an emitter said is lost.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, NaiveDateTime};
use log_entry::{
    Emitter, EntryId, Exception, Level, Record, Severity, Source, Timestamp, timestamp_from_epoch,
};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as _, Deserializer};
use serde_json::{Map, Value};

use super::fields::BoundedFields;
use super::text::{NAME_BYTES_MAX, cut};
use super::{Decoded, Refused, Verdict};

/// A message or a traceback; leaves room for the mark of an emitter that cuts
/// at 512 KiB.
const TEXT_BYTES_MAX: usize = 513 * 1024;

/// Hands each record of `payload` to `each`. A part that is no record is
/// refused alone; where the JSON itself breaks off, what came before is kept.
pub(crate) fn decode(payload: &[u8], received_at: Timestamp, each: &mut dyn FnMut(Verdict)) {
    let text = String::from_utf8_lossy(payload);
    let text = escape_lone_surrogates(&text);
    let mut take = |value| each(record(value, received_at));
    let mut json = serde_json::Deserializer::from_str(&text);
    let read = Records(&mut take).deserialize(&mut json).and_then(|()| json.end());
    if let Err(error) = read {
        each(Err(Refused::new(format!("JSON: {error}"))));
    }
}

// === The records of a payload ===

/// Reads an object, or an array element by element: a megabyte of brackets
/// never becomes a tree at once.
struct Records<'f>(&'f mut dyn FnMut(Value));

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record, or an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(value) = array.next_element()? {
            (self.0)(value);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let map = serde::de::value::MapAccessDeserializer::new(map);
        (self.0)(Value::deserialize(map).map_err(A::Error::custom)?);
        Ok(())
    }
}

/// `\ud800` without its other half is valid JSON to Python, and to nobody
/// else; it becomes the text `\ud800`.
fn escape_lone_surrogates(text: &str) -> Cow<'_, str> {
    let mut mended = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        at += found;
        match (surrogate(&text[at..]), text.get(at + 6..).and_then(surrogate)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => at += 12,
            (Some(_), _) => {
                mended.push_str(&text[copied..at]);
                mended.push('\\');
                copied = at;
                at += 6;
            }
            // The character after the backslash may be another backslash.
            (None, _) => at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if mended.is_empty() {
        return Cow::Borrowed(text);
    }
    mended.push_str(&text[copied..]);
    Cow::Owned(mended)
}

/// The surrogate whose escape `text` begins with.
fn surrogate(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    (0xd800..0xe000).contains(&number).then_some(number)
}

// === One record ===

fn record(value: Value, received_at: Timestamp) -> Verdict {
    let Value::Object(mut object) = value else {
        return Err(Refused::new(format!("a record is an object, not {}", kind(&value))));
    };
    let seq = object.get("seq").and_then(Value::as_u64);
    let Some(message) = object.remove("message") else {
        return Err(Refused { reason: "the record has no message".to_owned(), seq });
    };
    let mut fields = BoundedFields::default();
    let mut record = Record::new(received_at, Level::Info, "root", message_text(message));
    record.timestamp = timestamp(&mut object, &mut fields).unwrap_or(received_at);
    record.severity = severity(&mut object, &mut fields);
    if let Some(logger) = take_name(&mut object, "logger") {
        record.logger = logger;
    }
    record.entry_id = entry_id(&mut object, &mut fields);
    record.emitter = emitter(&mut object);
    record.host = take_name(&mut object, "host").map(Into::into);
    record.source = source(&mut object);
    record.exception = exception(&mut object);
    if let Some(Value::Object(given)) = take(&mut object, "fields", Value::is_object) {
        given.into_iter().for_each(|(name, value)| fields.insert(&name, value));
    }
    object.into_iter().for_each(|(name, value)| fields.insert(&name, value));
    record.fields = fields.finish();
    Ok(Decoded { record, seq })
}

fn message_text(message: Value) -> String {
    let text = match message {
        Value::String(text) => text,
        other => other.to_string(),
    };
    cut(text, TEXT_BYTES_MAX)
}

fn timestamp(object: &mut Map<String, Value>, fields: &mut BoundedFields) -> Option<Timestamp> {
    let given = object.remove("timestamp").filter(|value| !value.is_null())?;
    let time = match &given {
        Value::Number(seconds) => seconds.as_f64().and_then(timestamp_from_epoch),
        Value::String(text) => parse_time(text.trim()),
        _ => None,
    };
    if time.is_none() {
        fields.insert("given_timestamp", given);
    }
    time
}

/// RFC 3339, also as Python and people write it: a space for the `T`, a comma
/// before the fraction, and no zone for UTC.
fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.replacen(' ', "T", 1).replacen(',', ".", 1);
    if let Ok(time) = DateTime::parse_from_rfc3339(&text) {
        return Some(time.to_utc());
    }
    NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f").ok().map(|time| time.and_utc())
}

/// A number says more than a name, so it wins; a name that is none of the
/// known ones is kept as a field.
fn severity(object: &mut Map<String, Value>, fields: &mut BoundedFields) -> Severity {
    let number = take(object, "severity", |value| whole_number(value).is_some())
        .or_else(|| take(object, "level", |value| whole_number(value).is_some()))
        .as_ref()
        .and_then(whole_number);
    let level = match take(object, "level", Value::is_string) {
        Some(Value::String(name)) => name.parse::<Level>().ok().or_else(|| {
            fields.insert("level_name", name.into());
            None
        }),
        _ => None,
    };
    number.map_or_else(|| level.unwrap_or(Level::Info).severity(), Severity::new)
}

fn whole_number(value: &Value) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a level of 20.5 is 20, and `as` saturates"
    )]
    let from_float = |value: &Value| value.as_f64().map(|number| number as i64);
    match value {
        Value::Number(_) => value.as_i64().or_else(|| from_float(value)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn entry_id(object: &mut Map<String, Value>, fields: &mut BoundedFields) -> Option<EntryId> {
    let given = object.remove("entry_id").filter(|value| !value.is_null())?;
    let id = given.as_str().and_then(|text| text.parse().ok());
    if id.is_none() {
        fields.insert("given_entry_id", given);
    }
    id
}

/// Needs both; one alone stays where it is, and becomes a field.
fn emitter(object: &mut Map<String, Value>) -> Option<Emitter> {
    let seq = object.get("seq").and_then(Value::as_u64)?;
    let source_id = take_name(object, "source_id")?.into();
    object.remove("seq");
    Some(Emitter { source_id, seq })
}

fn source(object: &mut Map<String, Value>) -> Source {
    let Some(Value::Object(mut given)) = take(object, "source", Value::is_object) else {
        return Source::default();
    };
    let number = |value: Option<Value>| value?.as_u64().and_then(|number| number.try_into().ok());
    Source {
        file: take_name(&mut given, "file"),
        line: number(given.remove("line")),
        function: take_name(&mut given, "function"),
        thread: take_name(&mut given, "thread"),
        task: take_name(&mut given, "task"),
        pid: number(given.remove("pid")),
    }
}

/// `{type, message, traceback}`, or the traceback alone.
fn exception(object: &mut Map<String, Value>) -> Option<Exception> {
    match take(object, "exception", |value| value.is_object() || value.is_string())? {
        Value::Object(mut given) => {
            let mut text = |name| take_text(&mut given, name, TEXT_BYTES_MAX);
            let (kind, message) = (text("type"), text("message"));
            let exception =
                Exception { kind, message, traceback: text("traceback").unwrap_or_default() };
            (exception != Exception::default()).then_some(exception)
        }
        Value::String(text) => {
            (!text.is_empty()).then(|| Exception::from_traceback(cut(text, TEXT_BYTES_MAX)))
        }
        _ => None,
    }
}

/// Takes a value out if it is `wanted`; another stays, to become a field.
fn take(
    object: &mut Map<String, Value>,
    name: &str,
    wanted: impl FnOnce(&Value) -> bool,
) -> Option<Value> {
    if object.get(name).is_some_and(|value| value.is_null() || wanted(value)) {
        object.remove(name).filter(|value| !value.is_null())
    } else {
        None
    }
}

fn take_text(object: &mut Map<String, Value>, name: &str, bytes_max: usize) -> Option<String> {
    match take(object, name, Value::is_string)? {
        Value::String(text) if !text.is_empty() => Some(cut(text, bytes_max)),
        _ => None,
    }
}

fn take_name(object: &mut Map<String, Value>, name: &str) -> Option<String> {
    take_text(object, name, NAME_BYTES_MAX)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
