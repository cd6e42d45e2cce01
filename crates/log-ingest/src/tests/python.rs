//! Python at the other end: its own handlers, and ours.

use std::collections::HashSet;
use std::process::Stdio;

use super::*;

/// Runs a Python program that finds the port in its arguments.
async fn python(program: &str, address: SocketAddr) {
    let output = tokio::process::Command::new("python3")
        .args(["-c", program, &address.port().to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = soon(output).await.expect("python3 is on the PATH");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

// === Its own handlers ===

const STOCK: &str = r#"
import datetime, logging, logging.handlers, pathlib, sys, uuid
root = logging.getLogger()
root.setLevel(1)
root.addHandler(logging.handlers.HANDLER("127.0.0.1", int(sys.argv[1])))
log = logging.getLogger("cantina_os.stock")
log.info("number %d of %s", 1, ["a"])
log.log(25, "two\nlines", extra={"at": datetime.date(2026, 11, 22), "path": pathlib.Path("/x"), "id": uuid.UUID(int=5), "n": 3})
try:
    {}["missing"]
except KeyError:
    log.exception("failed")
log.warning("stack", stack_info=True)
logging.shutdown()
"#;

async fn expect_stock_records(ingest: &mut Ingest) {
    let first = ingest.record().await;
    assert_eq!(first.message, "number 1 of ['a']");
    assert_eq!((first.logger.as_str(), first.severity.level()), ("cantina_os.stock", Level::Info));
    assert_eq!(first.source.function.as_deref(), Some("<module>"));
    assert_eq!(first.source.thread.as_deref(), Some("MainThread"));
    assert!(first.source.line.is_some() && first.source.pid.is_some());
    assert!((first.received_at - first.timestamp).abs() < chrono::TimeDelta::minutes(1));
    assert!(first.fields.is_empty(), "{:?}", first.fields);
    let second = ingest.record().await;
    assert_eq!((second.message.as_str(), second.severity.number()), ("two\nlines", 25));
    let id = "00000000-0000-0000-0000-000000000005";
    let fields = json!({"at": "2026-11-22", "path": "/x", "id": id, "n": 3});
    assert_eq!(Value::Object(second.fields), fields);
    let exception = ingest.record().await.exception.unwrap();
    assert_eq!(
        (exception.kind.as_deref(), exception.message.as_deref()),
        (Some("KeyError"), Some("'missing'"))
    );
    assert!(exception.traceback.starts_with("Traceback (most recent call last):\n"));
    let stack = ingest.record().await.fields;
    assert!(stack["stack_info"].as_str().unwrap().starts_with("Stack (most recent call last):\n"));
}

#[tokio::test]
async fn the_stock_socket_handler_works() {
    let mut ingest = Ingest::start().await;
    python(&STOCK.replace("HANDLER", "SocketHandler"), ingest.address).await;
    expect_stock_records(&mut ingest).await;
    let stats = ingest.stats();
    assert_eq!((stats.frames, stats.records, stats.connections_total), (4, 4, 1));
    ingest.stop().await;
}

#[tokio::test]
async fn the_stock_datagram_handler_works() {
    let mut ingest = Ingest::start().await;
    python(&STOCK.replace("HANDLER", "DatagramHandler"), ingest.address).await;
    expect_stock_records(&mut ingest).await;
    let stats = ingest.stats();
    assert_eq!((stats.datagrams, stats.records, stats.frames), (4, 4, 0));
    ingest.stop().await;
}

#[tokio::test]
async fn a_pickled_command_is_not_run() {
    let mut ingest = Ingest::start().await;
    let directory = std::env::temp_dir().join(format!("log-ingest-run-{}", std::process::id()));
    let program = format!(
        "import logging, logging.handlers, os, sys\n\
         class Evil:\n    def __reduce__(self): return os.system, ('mkdir {}',)\n\
         log = logging.getLogger('a')\n\
         log.addHandler(logging.handlers.SocketHandler('127.0.0.1', int(sys.argv[1])))\n\
         log.error('x', extra={{'evil': Evil()}})",
        directory.display()
    );
    python(&program, ingest.address).await;
    assert_eq!(ingest.record().await.fields["evil"], json!("<posix.system>"));
    assert!(!directory.exists());
    ingest.stop().await;
}

// === Our handler ===

/// Runs a program with our package; `handler` is on the root logger. At exit it
/// would complain on stderr about what is not acknowledged.
async fn with_our_handler(program: &str, address: SocketAddr) {
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/python/src");
    let program = format!(
        "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {package:?})\n\
         import logging, threading, cantina_logging\n\
         handler = cantina_logging.install(f'127.0.0.1:{{sys.argv[1]}}', level='INFO')\n{program}"
    );
    python(&program, address).await;
}

#[tokio::test]
async fn our_handler_learns_that_everything_is_written() {
    const PROGRAM: &str = r#"
log = logging.getLogger("cantina_os.ours")
for number in range(500):
    log.info("number %d", number, extra={"n": number})
try:
    {}["missing"]
except KeyError:
    log.exception("failed")
"#;
    let mut ingest = Ingest::start().await;
    let (address, written) = (ingest.address, ingest.written.clone());
    let take = async {
        let mut ids = HashSet::new();
        for number in 0..500 {
            let record = ingest.record().await;
            assert_eq!(record.message, format!("number {number}"));
            assert_eq!(record.fields["n"], json!(number));
            assert_eq!(record.emitter.unwrap().seq, number + 1);
            assert!(ids.insert(record.entry_id.unwrap()));
            written.send_replace(Written { through: Ticket(number + 1), ..Written::default() });
        }
        let failed = ingest.record().await;
        assert_eq!(failed.exception.unwrap().kind.as_deref(), Some("KeyError"));
        assert_eq!(failed.source.function.as_deref(), Some("<module>"));
        written.send_replace(Written { through: Ticket(501), ..Written::default() });
    };
    tokio::join!(with_our_handler(PROGRAM, address), take);
    ingest.stop().await;
}

#[tokio::test]
async fn our_handler_sends_again_what_was_refused() {
    const PROGRAM: &str = "for number in range(10): logging.info('number %d', number)";
    // Long enough for a slow machine to read the acknowledgements in time.
    let closing = Duration::from_secs(1);
    let mut ingest = Ingest::start_with(Config { closing, ..Config::default() }).await;
    ingest.write(u64::MAX, 0);
    let full = Some(DropReason::IntakeFull);
    ingest.refuse([None, full, None, None, full, full, None]);
    with_our_handler(PROGRAM, ingest.address).await;
    for number in 0..10 {
        assert_eq!(ingest.message().await, format!("number {number}"));
    }
    assert_eq!(ingest.stats().refused, [(DropReason::IntakeFull, 3)]);
    ingest.stop().await;
}

#[tokio::test]
async fn our_handler_follows_the_levels() {
    const PROGRAM: &str = r#"
log = logging.getLogger("a.b")
pause = threading.Event()
while not log.isEnabledFor(logging.DEBUG):
    pause.wait(0.01)
log.debug("now")
assert not logging.getLogger("c").isEnabledFor(logging.INFO)
"#;
    let mut ingest = Ingest::start().await;
    ingest.write(u64::MAX, 0);
    ingest.levels.send_replace(Levels::new(Level::Warning).with("a.b", Level::Debug));
    with_our_handler(PROGRAM, ingest.address).await;
    assert_eq!(ingest.message().await, "now");
    ingest.stop().await;
}
