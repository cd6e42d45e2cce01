//! A Python program on the same bus: the example of the documentation.

use std::process::Command;

use nats_fixture::NatsServer;
use tests::{Program, Setup, example, python};

/// Logs one line whenever it reads one.
const LOGS: &str = "
import logging, logging.handlers, sys
host, port = sys.argv[1].split(':')
log = logging.getLogger('cantina_os.gpt_service')
log.setLevel(logging.DEBUG)
log.addHandler(logging.handlers.SocketHandler(host, int(port)))
for line in sys.stdin:
    log.debug('quietly: %s', line.strip())
    log.warning('loudly: %s', line.strip())
";

#[test]
fn the_example_sees_entries_and_services_and_sets_the_level() {
    let server = NatsServer::start();
    let cantina = Setup::default().bus(&server.url()).start();
    let mut example = Program::start(
        Command::new(python()).arg(example("on_the_bus.py")).args([&server.url(), "DEBUG"]),
    );
    example.line_where(|line| (line == "connected").then_some(()));

    // What it asked for is done and said, in whatever order.
    let mut due = vec!["everything is logged from DEBUG on", "logging_service is RUNNING"];
    example.line_where(|line| {
        due.retain(|expected| *expected != line);
        due.is_empty().then_some(())
    });

    let mut logger = cantina.python(LOGS);
    let mut stdin = logger.stdin();
    std::io::Write::write_all(&mut stdin, b"one\n").unwrap();
    example.line_where(|line| (line == "DEBUG    AI Assistant: quietly: one").then_some(()));
    example.line_where(|line| (line == "WARNING  AI Assistant: loudly: one").then_some(()));

    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{}", stopped.stderr);
    example.line_where(|line| (line == "logging_service is STOPPED").then_some(()));
    let settings: Vec<_> = stopped.session.kind("settings").collect();
    assert_eq!(settings.len(), 1, "{settings:?}");
    assert_eq!(settings[0]["new"]["global"], "DEBUG");
}
