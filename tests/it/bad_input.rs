//! What bad input gets: an error that names the culprit, or a counted refusal.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;

use tests::{Cantina, Program, binary};

/// Runs `serve` with what must make it end at once.
#[track_caller]
fn refused(args: &[&str], code: i32, expected: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.arg("serve").args(args).current_dir(home.path());
    command.env("XDG_CONFIG_HOME", home.path());
    for default in ["--listen", "--python-listen"] {
        if !args.contains(&default) {
            command.args([default, "127.0.0.1:0"]);
        }
    }
    let (status, lines, stderr) = Program::start(&mut command).end();
    assert_eq!(status.code(), Some(code), "{lines:?} {stderr}");
    for text in expected {
        assert!(stderr.contains(text), "`{text}` is not in: {stderr}");
    }
}

#[test]
fn a_setting_that_is_unknown_or_wrong_is_named() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config.toml");
    let path = config.to_str().unwrap();
    std::fs::write(&config, "log_levle = \"INFO\"\n").unwrap();
    refused(&["--config", path], 78, &["unknown setting `log_levle`", path, "`log_level`?"]);
    std::fs::write(&config, "log_level = \"loud\"\n").unwrap();
    refused(&["--config", path], 78, &["`log_level`", "loud", "DEBUG, INFO, WARNING", path]);
    refused(&["--log-level", "loud"], 78, &["--log-level", "loud", "DEBUG"]);
    refused(&["--bus", "kafka://x"], 78, &["kafka"]);
    refused(&["--listen", "0.0.0.0:0"], 78, &["0.0.0.0:0", "loopback"]);
    refused(&["--no-such-flag"], 2, &["--no-such-flag"]);
}

#[test]
fn a_port_that_is_taken_is_named_with_what_helps() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&["--listen", &address], 78, &[&address, "--listen"]);
    refused(&["--python-listen", &address], 78, &[&address, "python_listen"]);
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let path = file.to_str().unwrap();
    refused(&["--session-dir", path], 78, &[path]);
    let below = file.join("logs");
    refused(&["--session-dir", below.to_str().unwrap()], 78, &[path]);
    let cantina = Cantina::start();
    let logs = cantina.logs();
    let logs = logs.to_str().unwrap();
    refused(&["--session-dir", logs], 73, &[logs, "in use"]);
}

/// Sends bytes, and reads until the other end closes or answers nothing more.
fn send(cantina: &Cantina, bytes: &[u8]) {
    let mut stream = TcpStream::connect(&cantina.python).unwrap();
    // It may have hung up on us already, which is one of the right answers.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length, payload].concat()
}

#[test]
fn garbage_is_refused_counted_and_told_and_the_service_lives() {
    let cantina = Cantina::start();
    let proof = cantina.home.path().join("executed");
    send(&cantina, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    send(&cantina, &[0x16, 0x03, 0x01, 0x02, 0x00]);
    send(&cantina, &frame(b"neither json nor pickle"));
    send(&cantina, &frame(b"{\"message\": "));
    send(&cantina, &frame(b"{\"level\": \"INFO\"}"));
    send(&cantina, &frame(&vec![b'['; 20_000]));
    send(&cantina, &[0xff; 64]);
    let mut huge = (64_u32 << 20).to_be_bytes().to_vec();
    huge.resize(64 << 20, b'x');
    send(&cantina, &huge);
    // A pickle that would create a file, if anything in it were ever called.
    let command = format!("touch {}", proof.display());
    send(&cantina, &frame(format!("cposix\nsystem\n(V{command}\ntR.").as_bytes()));
    let stats = cantina.json_where("/api/stats", |stats| {
        stats["dropped"]["malformed"].as_u64().unwrap_or(0) >= 5
            && stats["dropped"]["oversized"].as_u64().unwrap_or(0) >= 1
    });
    assert!(!proof.exists(), "the pickle was executed");
    let logged = cantina.python(
        "import logging, logging.handlers, sys\n\
         host, port = sys.argv[1].split(':')\n\
         logging.getLogger().addHandler(logging.handlers.SocketHandler(host, int(port)))\n\
         logging.getLogger('after').error('still alive')\n",
    );
    assert!(logged.end().0.success());
    cantina.json_where("/api/logs?q=still%20alive", |page| {
        page["entries"].as_array().is_some_and(|entries| entries.len() == 1)
    });
    cantina.json_where("/api/logs?q=dropped", |page| {
        page["entries"].as_array().is_some_and(|entries| !entries.is_empty())
    });
    assert_eq!(cantina.json("/api/health")["status"], "ok");
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{stats} {}", stopped.stderr);
    let told: u64 = stopped.session.kind("loss").map(|loss| loss["count"].as_u64().unwrap()).sum();
    let dropped = stopped.session.ledger()["dropped"].as_object().unwrap();
    let dropped: u64 = dropped.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(told, dropped);
}

/// Sends a request as it stands, and returns the answer.
fn request(cantina: &Cantina, path: &str, host: &str, origin: &str) -> String {
    let mut stream = TcpStream::connect(&cantina.http).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{origin}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn foreign_hosts_and_origins_are_refused_everywhere() {
    let cantina = Cantina::start();
    let own = cantina.http.clone();
    for path in [
        "/",
        "/app.js",
        "/api/health",
        "/api/logs",
        "/api/logs/stream",
        "/socket.io/?EIO=4&transport=polling",
    ] {
        let answer = request(&cantina, path, "evil.example", "");
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
        let answer = request(&cantina, path, &own, "Origin: http://evil.example\r\n");
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
    }
    let answer = request(&cantina, "/api/health", &own, "Origin: http://localhost:3000\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut foreign = cantina.node("socketio.mjs", &["--origin", "http://evil.example"]);
    let refused = foreign.line().unwrap();
    assert!(refused.starts_with("[\"connect_error\""), "{refused}");
}
