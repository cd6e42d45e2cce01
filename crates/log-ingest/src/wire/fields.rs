//! Fields in bounded number and length.

use log_entry::Fields;
use serde_json::Value;

use super::text::{NAME_BYTES_MAX, cut};

/// Fields of one record.
pub(super) const FIELDS_MAX: usize = 64;
/// One field's value, as JSON; leaves room for the mark of an emitter that
/// cuts at 8 KiB.
pub(super) const FIELD_BYTES_MAX: usize = 8 * 1024 + 256;
/// Says how many fields were too many.
pub(super) const LEFT_OUT: &str = "fields_left_out";

/// Collects the fields of one record within limits.
#[derive(Debug, Default)]
pub(super) struct BoundedFields {
    fields: Fields,
    left_out: u64,
}

// === impl BoundedFields ===

impl BoundedFields {
    /// Adds a field, cut if it is too long; the first of a name stays.
    pub(super) fn insert(&mut self, name: &str, value: Value) {
        if !self.has_room() {
            self.left_out += 1;
            return;
        }
        let name = cut(name.to_owned(), NAME_BYTES_MAX);
        self.fields.entry(name).or_insert_with(|| bounded(value));
    }

    /// Whether one more fits, so that it is worth making.
    pub(super) fn has_room(&self) -> bool {
        self.fields.len() < FIELDS_MAX
    }

    /// Counts a field that was not made because there is no room.
    pub(super) fn leave_out(&mut self) {
        self.left_out += 1;
    }

    pub(super) fn finish(mut self) -> Fields {
        if self.left_out > 0 {
            self.fields.insert(LEFT_OUT.to_owned(), self.left_out.into());
        }
        self.fields
    }
}

fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text, FIELD_BYTES_MAX)),
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            if text.len() <= FIELD_BYTES_MAX {
                value
            } else {
                Value::String(cut(text, FIELD_BYTES_MAX))
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn too_many_and_too_long_fields_are_cut_and_said() {
        let mut fields = BoundedFields::default();
        fields.insert("long", json!("x".repeat(20_000)));
        fields.insert("deep", json!([["y".repeat(20_000)]]));
        for number in 0..100 {
            fields.insert(&format!("n{number}"), json!(number));
        }
        let fields = fields.finish();
        assert_eq!(fields.len(), FIELDS_MAX + 1);
        assert_eq!(fields[LEFT_OUT], json!(38));
        for name in ["long", "deep"] {
            let text = fields[name].as_str().unwrap();
            assert!(text.ends_with("bytes in all]") && text.len() < FIELD_BYTES_MAX + 64);
        }
    }

    #[test]
    fn the_first_of_a_name_stays() {
        let mut fields = BoundedFields::default();
        fields.insert("a", json!(1));
        fields.insert("a", json!(2));
        assert_eq!(fields.finish()["a"], json!(1));
    }
}
