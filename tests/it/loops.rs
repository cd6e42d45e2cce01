//! Delivering entries must not make entries, at any level of any library.

use tests::Setup;

#[test]
fn with_everything_logged_and_many_clients_nothing_feeds_back() {
    let cantina = Setup::default().env("RUST_LOG", "trace").set("log_level", "DEBUG").start();
    let mut clients: Vec<_> = (0..4).map(|_| cantina.node("socketio.mjs", &[])).collect();
    let mut tails: Vec<_> =
        (0..4).map(|_| cantina.attach(&["tail", "-f", "--json", "-n", "0"])).collect();
    for client in &mut clients {
        client.line_where(|line| line.contains("system_status").then_some(()));
    }
    let before = cantina.json("/api/stats");
    let (status, _, stderr) = cantina.play("stock").end();
    assert!(status.success(), "{stderr}");
    let last = |line: &str| line.contains("Shutting down services").then_some(());
    clients.iter_mut().for_each(|client| client.line_where(last));
    tails.iter_mut().for_each(|tail| tail.line_where(last));
    let after = cantina.json("/api/stats");
    let stopped = cantina.stop();
    let own = stopped.session.occurrences().len() - 1201;
    // Ten a second for the time it took, a burst of ten at the start, and the
    // second that was begun.
    let seconds = after["uptime_s"].as_f64().unwrap() + stopped.took.as_secs_f64();
    let allowed = 10.0 * (seconds + 2.0);
    assert!((own as f64) <= allowed, "{own} own entries, {before} {after}");
}
