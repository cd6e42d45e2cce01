//! The command line, on a real session.

use std::process::Command;

use serde_json::Value;
use tests::{Program, Setup, binary};

fn objects(output: &[String]) -> Vec<Value> {
    output.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_session_is_searched_shown_and_verified() {
    let cantina = Setup::default().set("log_level", "DEBUG").start();
    let (status, _, stderr) = cantina.play("stock").end();
    assert!(status.success(), "{stderr}");
    cantina.json_where("/api/stats", |stats| {
        stats["stored"].as_u64().unwrap() + stats["merged"].as_u64().unwrap() >= 1201
    });

    // While the service runs.
    let (status, output, _) =
        cantina.command(&["search", "rate limit", "--level", "ERROR", "--json"]);
    assert!(status.success());
    let hits = objects(&output);
    assert!(!hits.is_empty());
    for hit in hits {
        assert!(hit.to_string().to_lowercase().contains("rate limit") && hit["level"] == "ERROR");
    }
    let (status, output, _) = cantina.command(&["search", "no such text anywhere"]);
    assert_eq!((status.code(), output.len()), (Some(1), 0));
    let (status, _, stderr) = cantina.command(&["search", "--regex", "a("]);
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("unusable pattern `a(`"), "{stderr}");
    let (status, _, stderr) = cantina.command(&["search", "x", "--since", "yesterday"]);
    assert_eq!(status.code(), Some(2), "{stderr}");

    let (status, output, _) = cantina.attach(&["tail", "-n", "3", "--json"]).end();
    assert!(status.success());
    assert_eq!(objects(&output).len(), 3);

    let (status, output, _) = cantina.command(&["sessions", "--json"]);
    assert!(status.success());
    let sessions = objects(&output);
    assert_eq!(sessions.len(), 1);
    let id = sessions[0]["id"].as_str().unwrap().to_owned();

    // When it has ended.
    let home = cantina.stop().home;
    let command = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(args).arg("--session-dir").arg(home.path().join("logs"));
        Program::start(command.env("XDG_CONFIG_HOME", home.path())).end()
    };
    let (status, output, _) = command(&["show", &id, "--service", "AI*", "-n", "5"]);
    assert!(status.success());
    let entries: Vec<_> = output.iter().filter(|line| line.starts_with('[')).collect();
    assert_eq!(entries.len(), 5);
    assert!(entries.iter().all(|line| line.contains("AI Assistant")), "{entries:?}");
    let (status, output, stderr) = command(&["show", "cantina-session-20000101-000000"]);
    assert!(!status.success() && output.is_empty(), "{output:?}");
    assert!(stderr.contains("cantina-session-20000101-000000"), "{stderr}");

    let (status, output, stderr) = command(&["verify"]);
    assert!(status.success(), "{output:?} {stderr}");
    let file = home.path().join("logs").join(format!("{id}.jsonl"));
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (status, output, _) = command(&["verify"]);
    assert_eq!(status.code(), Some(1), "{output:?}");
    assert!(output.iter().any(|line| line.contains("DAMAGED")), "{output:?}");
}

#[test]
fn nothing_of_an_entry_reaches_a_terminal_raw() {
    let cantina = Setup::default().start();
    let logged = cantina.python(
        "import logging, logging.handlers, sys\n\
         host, port = sys.argv[1].split(':')\n\
         logging.getLogger().addHandler(logging.handlers.SocketHandler(host, int(port)))\n\
         logging.getLogger('evil').warning(\n\
             '\\x1b]0;title\\x07 \\u202e \\x9b31m \\r\\n[2026-01-01T00:00:00] forged')\n",
    );
    assert!(logged.end().0.success());
    cantina.json_where("/api/logs?q=title", |page| !page["entries"].as_array().unwrap().is_empty());
    let (_, output, _) = cantina.command(&["show", "latest", "--service", "evil"]);
    assert_eq!(output.len(), 2, "{output:?}");
    assert!(output[1].starts_with("    [2026"), "{output:?}");
    let raw = output.concat();
    assert!(!raw.chars().any(|c| c.is_control() || c == '\u{202e}'), "{raw:?}");
}
