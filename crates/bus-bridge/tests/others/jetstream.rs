//! The same on real servers, which keep what is published, and fail.

use std::collections::BTreeSet;
use std::sync::Arc;

use bus::{Bus, Link, NatsBus};
use log_entry::Level;
use nats_fixture::NatsServer;
use standard_service::Supervisor;

use super::instance::{DEADLINE, Idle, Instance, record, until};

/// A bus that keeps entries, and nothing else.
async fn connect(server: &NatsServer) -> Arc<dyn Bus> {
    let options: bus::NatsOptions = format!("{}?stream=LOG", server.url()).parse().unwrap();
    let options = options.with_topics_if_unset(&["logging.entry"]);
    Arc::new(NatsBus::connect(options).await.unwrap())
}

fn offer(robot: &Instance, numbers: std::ops::Range<u64>) {
    for number in numbers {
        robot.offer(record(robot.host, Level::Info, &format!("line {number}")));
    }
}

/// What an instance has of `host`, in order.
fn lines(instance: &Instance, host: &str) -> Vec<String> {
    let theirs = instance.entries().into_iter().filter(|entry| &*entry.host == host);
    theirs.map(|entry| entry.message).collect()
}

fn expected(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("line {number}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_has_also_what_was_published_while_it_was_away() {
    let server = NatsServer::jetstream();
    let (there, here) = (connect(&server).await, connect(&server).await);
    let mut robot = Instance::started("r3x", &there).await;
    offer(&robot, 0..300);
    let mut collector = Instance::collecting("base", &here).await;
    until(|| collector.collected().entries == 300).await;
    collector.stop().await;
    let first = lines(&collector, "r3x");
    offer(&robot, 300..500);
    let mut collector = collector.again(&here).await;
    until(|| collector.collected().entries >= 200).await;
    robot.stop().await;
    collector.stop().await;
    assert_eq!(first, expected(0..300));
    assert_eq!(
        lines(&collector, "r3x"),
        expected(300..500),
        "what was acknowledged is not read again"
    );
    assert_eq!(collector.collected().entries, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_under_load_costs_no_entry() {
    let mut server = NatsServer::jetstream();
    let (there, here) = (connect(&server).await, connect(&server).await);
    let mut robot = Instance::started("r3x", &there).await;
    let mut collector = Instance::collecting("base", &here).await;
    offer(&robot, 0..500);
    until(|| collector.collected().entries > 0).await;
    server.kill();
    offer(&robot, 500..1000);
    server.restart();
    offer(&robot, 1000..1500);
    until(|| collector.collected().entries == 1500).await;
    robot.stop().await;
    collector.stop().await;
    let entries = collector.entries();
    let ids: BTreeSet<_> = entries.iter().map(|entry| &entry.entry_id).collect();
    assert_eq!(ids.len(), entries.len());
    assert_eq!(lines(&collector, "r3x"), expected(0..1500));
    assert_eq!(collector.collected().missing, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_late_hears_how_the_services_are() {
    let mut server = NatsServer::start();
    server.kill();
    let options = server.url().parse().unwrap();
    let remote: Arc<dyn Bus> = Arc::new(NatsBus::connect(options).await.unwrap());
    // The instance is up when its relay hears others, which needs the server.
    let starting = Instance::started("r3x", &remote);
    let (mut robot, ()) = tokio::join!(starting, async { server.restart() });
    server.kill();
    until(|| remote.state().link != Link::Connected).await;
    let mut supervisor = Supervisor::new(Arc::new(robot.local.clone()));
    supervisor.add(Idle);
    supervisor.start_all().await.unwrap();
    until(|| robot.relayed().missed == 3).await;
    assert_eq!(robot.relayed().outward, 0);
    server.restart();
    // The status; that it was starting and is ready is no news any more.
    until(|| robot.relayed().outward == 1).await;
    supervisor.stop_all(tokio::time::Instant::now() + DEADLINE).await;
    robot.stop().await;
    assert_eq!((robot.relayed().outward, robot.relayed().missed), (2, 3));
}
