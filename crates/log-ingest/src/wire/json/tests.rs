use log_entry::{Fields, format_timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    timestamp_from_epoch(1_750_000_000.0).unwrap()
}

fn all(payload: &[u8]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    decode(payload, now(), &mut |verdict| verdicts.push(verdict));
    verdicts
}

#[track_caller]
fn one(value: &Value) -> Decoded {
    let mut verdicts = all(value.to_string().as_bytes());
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0).unwrap()
}

fn fields(value: Value) -> Fields {
    serde_json::from_value(value).unwrap()
}

#[test]
fn every_part_of_a_record_is_read() {
    let Decoded { record, seq } = one(&json!({
        "timestamp": 1_750_167_431.272_728, "level": "WARNING", "severity": 35,
        "logger": "cantina_os.gpt_service", "message": "slow", "source_id": "r3x-1", "seq": 17,
        "entry_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "host": "r3x", "fields": {"plan_id": "p"},
        "exception": {"type": "ValueError", "message": "no", "traceback": "Traceback …"},
        "source": {"file": "a.py", "line": 4, "function": "f", "thread": "T", "task": null, "pid": 8},
        "color": "red",
    }));
    assert_eq!(format_timestamp(&record.timestamp), "2025-06-17T13:37:11.272728Z");
    assert_eq!((record.received_at, record.severity.number(), seq), (now(), 35, Some(17)));
    assert_eq!(
        (record.logger.as_str(), record.message.as_str()),
        ("cantina_os.gpt_service", "slow")
    );
    assert_eq!(record.entry_id.unwrap().to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert_eq!(record.emitter, Some(Emitter { source_id: "r3x-1".into(), seq: 17 }));
    assert_eq!(record.host.as_deref(), Some("r3x"));
    let text = |text: &str| Some(text.to_owned());
    let source = Source {
        file: text("a.py"),
        line: Some(4),
        function: text("f"),
        thread: text("T"),
        task: None,
        pid: Some(8),
    };
    assert_eq!(record.source, source);
    let exception = Exception {
        kind: text("ValueError"),
        message: text("no"),
        traceback: "Traceback …".to_owned(),
    };
    assert_eq!(record.exception, Some(exception));
    assert_eq!(record.fields, fields(json!({"plan_id": "p", "color": "red"})));
}

#[test]
fn a_message_is_enough() {
    let Decoded { record, seq } = one(&json!({"message": "m"}));
    assert_eq!((record, seq), (Record::new(now(), Level::Info, "root", "m"), None));
}

#[test]
fn a_message_that_is_no_text_is_shown_as_json() {
    assert_eq!(one(&json!({"message": {"a": [1, null]}})).record.message, r#"{"a":[1,null]}"#);
    assert_eq!(one(&json!({"message": null})).record.message, "null");
}

#[test]
fn times_are_read_as_people_write_them() {
    for text in [
        "2025-06-17T13:37:11.272728Z",
        "2025-06-17T15:37:11.272728+02:00",
        "2025-06-17T13:37:11.272728",
        "2025-06-17 13:37:11,272728",
    ] {
        let time = one(&json!({"message": "", "timestamp": text})).record.timestamp;
        assert_eq!(format_timestamp(&time), "2025-06-17T13:37:11.272728Z", "{text}");
    }
    for odd in [json!("noon"), json!(1e300), json!([1])] {
        let record = one(&json!({"message": "", "timestamp": odd})).record;
        assert_eq!(record.timestamp, now());
        assert_eq!(record.fields["given_timestamp"], odd);
    }
}

#[test]
fn levels_are_names_or_numbers() {
    let severity = |value: Value| one(&value).record.severity.number();
    assert_eq!(severity(json!({"message": "", "level": "error"})), 40);
    assert_eq!(severity(json!({"message": "", "level": 31})), 31);
    assert_eq!(severity(json!({"message": "", "level": "25"})), 25);
    assert_eq!(severity(json!({"message": "", "severity": 12.0})), 12);
    let record = one(&json!({"message": "", "level": "LOUD"})).record;
    assert_eq!(record.severity.number(), 20);
    assert_eq!(record.fields, fields(json!({"level_name": "LOUD"})));
}

#[test]
fn what_cannot_be_used_is_kept_as_a_field() {
    let given = json!({
        "message": "", "entry_id": "not an id", "source_id": "s", "logger": 5, "source": "here",
        "exception": 7, "fields": [1], "level": true,
    });
    let Decoded { record, .. } = one(&given);
    assert_eq!((record.entry_id, record.emitter), (None, None));
    let kept = json!({
        "given_entry_id": "not an id", "source_id": "s", "logger": 5, "source": "here",
        "exception": 7, "fields": [1], "level": true,
    });
    assert_eq!(record.fields, fields(kept));
}

#[test]
fn a_bad_record_does_not_take_the_others_with_it() {
    let verdicts = all(br#"[{"message": "a"}, {"seq": 4}, 5, {"message": "b"}]"#);
    let messages: Vec<_> = verdicts
        .iter()
        .filter_map(|verdict| Some(&verdict.as_ref().ok()?.record.message))
        .collect();
    assert_eq!(messages, ["a", "b"]);
    let refused: Vec<_> = verdicts.iter().filter_map(|verdict| verdict.as_ref().err()).collect();
    assert_eq!(*refused[0], Refused { reason: "the record has no message".into(), seq: Some(4) });
    assert_eq!(refused[1].reason, "a record is an object, not a number");
}

#[test]
fn what_came_before_broken_json_is_kept() {
    for rest in [&b", {\"message\""[..], b", nonsense]", b"] {}"] {
        let verdicts = all(&[br#"[{"message": "a"}"#, rest].concat());
        assert_eq!(verdicts[0].as_ref().unwrap().record.message, "a");
        assert!(verdicts[1].as_ref().unwrap_err().reason.starts_with("JSON: "));
        assert_eq!(verdicts.len(), 2);
    }
}

#[test]
fn lone_surrogates_and_broken_utf_8_are_shown() {
    let message = |json: &[u8]| all(json).remove(0).unwrap().record.message;
    assert_eq!(
        message(br#"{"message": "a\ud800b \ud83d\ude00 \\ud800 \udc00"}"#),
        "a\\ud800b 😀 \\ud800 \\udc00"
    );
    assert_eq!(message(b"{\"message\": \"a\xffb\"}"), "a\u{fffd}b");
}

#[test]
fn deep_nesting_is_refused() {
    let verdicts = all("[".repeat(1 << 20).as_bytes());
    assert!(verdicts[0].as_ref().unwrap_err().reason.contains("recursion limit"));
}

#[test]
fn every_text_is_bounded() {
    let long = "ä".repeat(400_000);
    let Decoded { record, .. } = one(&json!({
        "message": long, "logger": long, "host": long, "exception": long,
        "source": {"file": long}, "field": long, "source_id": long, "seq": 1,
    }));
    assert!(record.message.len() < TEXT_BYTES_MAX + 64);
    assert!(record.exception.unwrap().traceback.len() < TEXT_BYTES_MAX + 64);
    for name in [&record.logger, record.source.file.as_ref().unwrap()] {
        assert!(name.len() < NAME_BYTES_MAX + 64);
    }
    assert!(record.emitter.unwrap().source_id.len() < NAME_BYTES_MAX + 64);
    assert!(record.fields["field"].as_str().unwrap().len() < 9_000);
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "[\\[\\]{}\":,\\\\ud8c0a1e\\.-]{0,60}") {
        all(text.as_bytes());
    }

    #[test]
    fn mending_surrogates_changes_nothing_else(text in any::<String>()) {
        let json = json!([text]).to_string();
        prop_assert_eq!(escape_lone_surrogates(&json), json.as_str());
    }
}
