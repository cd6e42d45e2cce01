use std::process::Command;
use std::time::{Duration, Instant};

use log_entry::{Record, Timestamp, timestamp_from_epoch};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    timestamp_from_epoch(1_750_000_000.0).unwrap()
}

#[track_caller]
fn read(pickle: &[u8]) -> Record {
    decode(pickle, now()).unwrap_or_else(|error| panic!("{error}: {}", pickle.escape_ascii()))
}

/// What Python writes to stdout.
fn python(program: &str) -> Vec<u8> {
    let output =
        Command::new("python3").args(["-c", program]).output().expect("python3 is on the PATH");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The pickle of the dict that the expression `value` is, in `protocol`.
fn pickled(value: &str, protocol: u8) -> Vec<u8> {
    let write = "import sys, pickle; sys.stdout.buffer.write";
    python(&format!("{write}(pickle.dumps({value}, {protocol}))"))
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

struct Golden {
    name: String,
    protocol: u64,
    pickle: Vec<u8>,
    expected: Value,
}

fn golden() -> Vec<Golden> {
    String::from_utf8(python(include_str!("golden.py")))
        .unwrap()
        .lines()
        .map(|line| {
            let mut case: Value = serde_json::from_str(line).unwrap();
            Golden {
                name: case["name"].as_str().unwrap().to_owned(),
                protocol: case["protocol"].as_u64().unwrap(),
                pickle: unhex(case["pickle"].as_str().unwrap()),
                expected: case["expected"].take(),
            }
        })
        .collect()
}

#[test]
fn every_common_type_is_shown_in_every_protocol() {
    let cases = golden();
    assert!(cases.len() > 150, "{}", cases.len());
    for Golden { name, protocol, pickle, expected } in cases {
        let record = read(&pickle);
        assert_eq!(record.message, "the message", "{name}, protocol {protocol}");
        let shown = &record.fields["extra"];
        match name.as_str() {
            "an integer too large" => {
                let text = shown["n"].as_str().unwrap();
                assert!(text.starts_with("<int: 5") && text.ends_with(" bits>"), "{text}");
            }
            // Protocols below 3 write Python 2's names.
            "strangers" if protocol < 3 => {
                assert_eq!(shown[4], "<__builtin__.len>");
                assert_eq!(shown[0], expected[0]);
            }
            // 10 000 bytes of JSON are more than a field may have.
            "a long list" => {
                let text = shown.as_str().unwrap();
                assert!(text.starts_with("[0,1,2,3,") && text.ends_with("bytes in all]"));
            }
            _ => assert_eq!(*shown, expected, "{name}, protocol {protocol}"),
        }
    }
}

#[test]
fn every_attribute_of_a_record_is_read() {
    let record = read(&pickled(
        "{'name': 'a.b', 'msg': 'm', 'args': None, 'levelname': 'NOISE', 'levelno': 15, \
          'pathname': '/x/y.py', 'filename': 'y.py', 'module': 'y', 'exc_info': None, \
          'exc_text': 'Traceback (most recent call last):\\n  File \"y.py\", line 1\\nValueError: no', \
          'stack_info': 'Stack (most recent call last):\\n  here', 'lineno': 12, 'funcName': 'f', \
          'created': 1750167431.272728, 'msecs': 272.0, 'relativeCreated': 5.0, 'thread': 99, \
          'threadName': 'T', 'processName': 'Worker-1', 'process': 811, 'taskName': 'Task-1', 'x': 1}",
        1,
    ));
    assert_eq!(log_entry::format_timestamp(&record.timestamp), "2025-06-17T13:37:11.272728Z");
    assert_eq!((record.logger.as_str(), record.severity.number()), ("a.b", 15));
    let source = json!({"file": "y.py", "line": 12, "function": "f", "thread": "T", "task": "Task-1", "pid": 811});
    assert_eq!(json!(record.source), source);
    let exception = record.exception.unwrap();
    assert_eq!(exception.kind.as_deref(), Some("ValueError"));
    assert!(
        exception.traceback.ends_with("ValueError: no\nStack (most recent call last):\n  here")
    );
    let fields = json!({"level_name": "NOISE", "processName": "Worker-1", "x": 1});
    assert_eq!(Value::Object(record.fields), fields);
}

#[test]
fn a_dict_without_anything_is_a_record_still() {
    assert_eq!(read(b"}."), Record::new(now(), log_entry::Level::Info, "root", ""));
}

#[test]
fn a_stack_alone_is_a_field() {
    let record = read(&pickled("{'msg': 'm', 'stack_info': 'Stack'}", 4));
    assert_eq!((record.exception, &record.fields["stack_info"]), (None, &json!("Stack")));
}

/// Each template with its arguments, merged by Python as well.
#[test]
fn arguments_are_merged_as_python_does() {
    const CASES: &str = r#"[("%s and %r", ("a'b", "c\n")), ("%d %i %u %s", (1, -2.9, True, None)),
        ("%5d|%-5d|%05d|%+d|% d", (42, 42, -42, 42, 42)), ("%x %X %#x %o %#o", (255, 255, -255, 8, 8)),
        ("%f %.2f %10.3f %-8.1f| %e %.1E", (1.5, 2.345, 3.14159, 2.25, 12345.678, 0.00012)),
        ("%g %g %g %g %.3g %G", (1.0, 0.0001, 1e-5, 123456789.0, 1234.5, 1e-10)), ("%5s|%-5s|%.2s", ("ab", "ab", "abcd")),
        ("%*d %.*f", (5, 42, 2, 1.23456)), ("100%% %s", ("x",)), ("%c%c", ("a", 66)), ("%s", ([1, (2,), {"k": "v"}, {3}, b"b'\x00"],)),
        ("%(a)s-%(b)03d", {"a": "x", "b": 7}), ("%s %s %s %s", (1e16, 1e15, 1e-5, 0.1)), ("%ld %s", (2**70, 2**70)),
        ("%08.3f %+.1f %s", (-3.14159, 2.0, float("inf"))), ("%.5d|%05s", (42, "ab"))]"#;
    let program = format!(
        "import json, pickle\nfor template, args in {CASES}:\n    \
         data = pickle.dumps({{'msg': template, 'args': args}}, 1)\n    \
         print(json.dumps([data.hex(), template % args]))"
    );
    let lines = String::from_utf8(python(&program)).unwrap();
    assert_eq!(lines.lines().count(), 16);
    for line in lines.lines() {
        let [pickle, expected]: [String; 2] = serde_json::from_str(line).unwrap();
        let record = read(&unhex(&pickle));
        assert_eq!(record.message, expected);
        assert!(record.fields.is_empty(), "{:?}", record.fields);
    }
}

#[test]
fn arguments_that_do_not_fit_are_kept_beside_the_template() {
    for (template, args) in [
        ("%d", "('x',)"),
        ("%s", "(1, 2)"),
        ("%s %s", "(1,)"),
        ("%", "(1,)"),
        ("%q", "(1,)"),
        ("%999999999d", "(1,)"),
        ("%*d", "(999999999, 1)"),
        ("%(a)s", "{'b': 1}"),
        ("%(a", "{'b': 1}"),
    ] {
        let record = read(&pickled(&format!("{{'msg': {template:?}, 'args': {args}}}"), 1));
        assert_eq!(record.message, template);
        assert!(record.fields.contains_key("args"), "{template}");
    }
}

// === Attacks ===

/// Decodes, and expects an answer soon.
#[track_caller]
fn survive(pickle: &[u8]) -> Result<Record, Error> {
    let begun = Instant::now();
    let result = decode(pickle, now());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    if let Ok(record) = &result {
        assert!(record.bytes() < 4 << 20, "{}", record.bytes());
    }
    result
}

#[test]
fn a_call_in_a_pickle_is_shown_and_not_made() {
    let directory = std::env::temp_dir().join(format!("log-ingest-{}", std::process::id()));
    let command = format!("touch {}", directory.display());
    let pickle = format!("(dS'msg'\nS'm'\nsS'evil'\ncos\nsystem\n(S'{command}'\ntRs.");
    let record = survive(pickle.as_bytes()).unwrap();
    assert_eq!(record.fields["evil"], json!("<os.system>"));
    assert!(!directory.exists());
    // As the message itself, and instead of the dict.
    let record = survive(b"(dS'msg'\ncos\nsystem\n(S'id'\ntRs.").unwrap();
    assert_eq!(record.message, "<os.system>");
    assert_eq!(survive(b"cos\nsystem\n(S'id'\ntR."), Err(Error::NotARecord));
    // By every other way of calling.
    let calls: [&[u8]; 4] = [
        b"(ios\nsystem\n",
        b"(cos\nsystem\nS'id'\no",
        b"cos\nsystem\n)\x81",
        b"cos\nsystem\n)}\x92",
    ];
    for call in calls {
        let pickle = [b"(dS'evil'\n", call, b"s."].concat();
        let record = survive(&pickle).unwrap();
        assert_eq!(record.fields["evil"], json!("<os.system>"), "{}", call.escape_ascii());
    }
}

#[test]
fn a_memo_bomb_ends_early() {
    // Each list holds the one before ten times.
    let mut pickle = b"(dS'msg'\nS'm'\nsS'bomb'\n(lp0\n".to_vec();
    for number in 1..30 {
        pickle.extend_from_slice(b"0(");
        pickle.extend_from_slice(format!("g{}\n", number - 1).repeat(10).as_bytes());
        pickle.extend_from_slice(format!("lp{number}\n").as_bytes());
    }
    pickle.extend_from_slice(b"s.");
    let record = survive(&pickle).unwrap();
    assert_eq!(record.message, "m");
    assert!(record.fields["bomb"].to_string().len() < 9_000);
}

#[test]
fn a_text_bomb_ends_early() {
    // One long text, mentioned thousands of times, as value, key and name.
    let text = "x".repeat(500_000);
    for (form, copies) in [("(g0\n{}l", 4000), ("(g0\n{}t", 4000), ("({}d", 2000)] {
        let mentions = form.replace("{}", &"g0\n".repeat(copies));
        let pickle = format!("(dV{text}\np0\n0S'msg'\nS'm'\nsS'bomb'\n{mentions}s.");
        let record = survive(pickle.as_bytes());
        assert!(
            record.is_ok() || matches!(record, Err(Error::Stack(_) | Error::Limit { .. })),
            "{record:?}"
        );
    }
    let paths = "cpathlib\nPosixPath\n(g0\ng0\ng0\ntR".repeat(3000);
    let pickle = format!("(dV{text}\np0\n0S'msg'\nS'm'\nsS'bomb'\n({paths}ls.");
    assert_eq!(survive(pickle.as_bytes()).unwrap().message, "m");
}

#[test]
fn deep_nesting_is_shown_as_far_as_it_goes() {
    for (open, close) in [("(", "l"), ("(", "t"), ("(", "d")] {
        let depth = if close == "d" { 100 } else { 200 };
        let pickle = match close {
            "d" => format!("(dS'deep'\n{}(d{}s.", "(dS'k'\n".repeat(depth), "s".repeat(depth)),
            _ => format!("(dS'deep'\n{}{}s.", open.repeat(depth), close.repeat(depth)),
        };
        let record = survive(pickle.as_bytes()).unwrap();
        assert!(record.fields["deep"].to_string().contains('…'));
    }
    // 13 kB of lists, one inside the other: the stack of marks ends first.
    let lists = "(".repeat(6_543);
    let pickle = format!("(dS'deep'\n{lists}{}s.", "l".repeat(6_543));
    assert_eq!(survive(pickle.as_bytes()), Err(Error::Limit { what: "marks", limit: MARKS_MAX }));
    // The same without marks.
    let pickle = format!("(dS'deep'\n{}{}s.", "]".repeat(4_000), "a".repeat(3_999));
    let record = survive(pickle.as_bytes()).unwrap();
    assert!(record.fields["deep"].to_string().contains('…'));
    // Calls of calls.
    let pickle = format!("(dS'deep'\ncbuiltins\nset\n{}s.", ")R".repeat(20_000));
    assert_eq!(survive(pickle.as_bytes()).unwrap().fields["deep"], json!("<unknown>"));
}

#[test]
fn types_inside_themselves_come_to_an_end() {
    // Times whose zone is a time whose zone …; and one that is its own zone.
    let times = "cdatetime\ntime\nS'\\x01\\x02\\x03\\x00\\x00\\x01'\n".repeat(1_300)
        + "S'x'\n"
        + &"\u{86}R".repeat(1_300);
    let latin1 = |text: &str| text.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<u8>>();
    let own_zone =
        "cdatetime\ntime\n(lp0\nS'\\x01\\x02\\x03\\x00\\x00\\x01'\naRp1\n0g0\ng1\na0g1\n";
    // Ids whose number is an id.
    let id = |inner: &str| format!("cuuid\nUUID\n)R(dS'int'\n{inner}sb");
    let ids = (0..1_000).fold("I1\n".to_owned(), |inner, _| id(&inner));
    let own_number = "cuuid\nUUID\n)Rp0\n(dS'int'\ng0\nsb";
    let own_args = "cbuiltins\nset\n(lp0\nRp1\n0g0\ng1\na0g1\n";
    let own_class = "cbuiltins\ngetattr\n(lp0\nRp1\n0g0\ng1\naS'x'\na0g1\n";
    for value in [&times, own_zone, &ids, own_number, own_args, own_class] {
        let pickle = [&b"(dS'msg'\nS'm'\nsS'value'\n"[..], &latin1(value), b"s."].concat();
        match survive(&pickle) {
            Ok(record) => assert!(record.fields.contains_key("value"), "{value}"),
            Err(error) => assert!(matches!(error, Error::Limit { .. }), "{error}: {value}"),
        }
    }
}

#[test]
fn lengths_that_are_not_there_are_refused() {
    for op in [
        &b"X\xff\xff\xff\xff"[..],
        b"T\xff\xff\xff\xff",
        b"B\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\xff",
    ] {
        assert_eq!(survive(op), Err(Error::Truncated));
    }
    for op in [0x8d, 0x8e, 0x96] {
        let pickle = [&[op][..], &[0xff; 8], b"."].concat();
        assert_eq!(survive(&pickle), Err(Error::Truncated));
    }
    assert_eq!(
        survive(&[b"\x95", &[0xff; 8][..], b"}."].concat()).map(|record| record.message),
        Ok(String::new())
    );
}

#[test]
fn huge_numbers_are_measured_and_not_worked_out() {
    let mut long = b"(dS'n'\n\x8b\x00\x00\x08\x00".to_vec();
    long.extend(std::iter::repeat_n(0x7f, 0x0008_0000));
    long.extend(b"s.");
    assert_eq!(survive(&long).unwrap().fields["n"], json!("<int: 4194304 bits>"));
    for pickle in [
        format!("(dS'n'\nL{}L\ns.", "9".repeat(900_000)),
        format!("(dS'n'\nI{}\ns.", "9".repeat(900_000)),
    ] {
        assert_eq!(survive(pickle.as_bytes()).unwrap().fields["n"], json!("<int: 2989800 bits>"));
    }
}

#[test]
fn floods_meet_the_limits() {
    assert_eq!(
        survive(&b"N".repeat(1 << 20)),
        Err(Error::Limit { what: "values on the stack", limit: STACK_MAX })
    );
    assert_eq!(
        survive(&b"N0".repeat(1 << 19)),
        Err(Error::Limit { what: "opcodes", limit: OPCODES_MAX })
    );
    assert_eq!(
        survive(&b"N\x940".repeat(1 << 18)),
        Err(Error::Limit { what: "values in the memo", limit: MEMO_MAX })
    );
    assert_eq!(survive(b"Nr\x00\x00\x01\x00"), Err(Error::Argument(b'r')));
    assert_eq!(survive(b"}p99999999999\n."), Err(Error::Argument(b'p')));
    assert_eq!(survive(&[0x80, 6]), Err(Error::Argument(0x80)));
    for op in [0x97, 0x98, 0xff, 0x00] {
        assert_eq!(survive(&[op]), Err(Error::Opcode(op)));
    }
}

#[test]
fn a_pickle_that_ends_early_is_refused_wherever_it_ends() {
    for Golden { pickle, .. } in golden() {
        for end in (0..pickle.len()).step_by(7).chain([pickle.len() - 1]) {
            assert!(decode(&pickle[..end], now()).is_err());
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = decode(&bytes, now());
    }

    /// Real opcodes in any order reach further than random bytes.
    #[test]
    fn any_program_is_survived(
        ops in prop::collection::vec(prop::sample::select(&b"(.012FIJKLMNPQRSTUVXabcdegiolpqrstuhj}])GBC\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x91\x92\x93\x94"[..]), 0..60),
        operand in "[a-z0-9\n]{0,8}",
    ) {
        let mut pickle = b"}(cbuiltins\nset\n".to_vec();
        for op in ops {
            pickle.push(op);
            if b"IFLSVcigpP".contains(&op) {
                pickle.extend(operand.as_bytes());
                pickle.extend(b"\n1\n");
            }
        }
        pickle.push(b'.');
        let _ = decode(&pickle, now());
    }
}

#[test]
fn damaged_pickles_are_survived() {
    let cases = golden();
    let strategy =
        (0..cases.len(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6));
    proptest!(ProptestConfig::with_cases(3000), |((case, damage) in strategy)| {
        let mut pickle = cases[case].pickle.clone();
        for (place, byte) in damage {
            let place = place.index(pickle.len());
            pickle[place] = byte;
        }
        let _ = decode(&pickle, now());
    });
}
