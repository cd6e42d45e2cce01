//! The adapter for NATS on real servers: the conformance kit, and what goes wrong with servers.

use std::{
    collections::BTreeSet,
    fs,
    future::Future,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{Client, HeaderMap};
use bus::{
    Bus, ConnectError, Delivery, Error, Event, HEADERS_BYTES_MAX, Link, NatsBus, NatsOptions,
    REPLY_TO, Subscription, TryRecvError, conformance,
};
use nats_fixture::{Config, NatsServer};
use parking_lot::Mutex;
use tokio::time::timeout;

/// Anything that must happen happens within this.
const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(url: &str) -> NatsBus {
    connect_with(url, |options| options).await
}

async fn connect_with(url: &str, change: impl FnOnce(NatsOptions) -> NatsOptions) -> NatsBus {
    let options = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
    NatsBus::connect(change(options)).await.expect("the options can be used")
}

fn room(events: usize) -> NonZeroUsize {
    NonZeroUsize::new(events).expect("no test asks for an empty queue")
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    in_time(what, async {
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        while !is_so() {
            ticks.tick().await;
        }
    })
    .await;
}

async fn until_connected(bus: &NatsBus) {
    until("connecting", || bus.state().link == Link::Connected).await;
}

async fn until_disconnected(bus: &NatsBus) {
    until("noticing", || matches!(bus.state().link, Link::Disconnected { .. })).await;
}

async fn next(events: &mut Subscription) -> Event {
    match in_time("the next event", events.recv()).await {
        Some(Delivery::Event(event)) => event,
        other => panic!("expected an event, got {other:?}"),
    }
}

fn server_with(extra: impl Into<String>) -> NatsServer {
    NatsServer::with(&Config { jetstream: false, extra: extra.into() })
}

fn trouble(bus: &NatsBus) -> String {
    bus.state().trouble.unwrap_or_default()
}

// === The contract ===

#[tokio::test]
async fn core() {
    let server = NatsServer::start();
    conformance::run(async || connect(&server.url()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_on_several_threads() {
    let server = NatsServer::start();
    conformance::run(async || connect(&server.url()).await).await;
}

#[tokio::test]
async fn core_behind_pointers() {
    let server = NatsServer::start();
    conformance::run(async || Box::new(connect(&server.url()).await) as Box<dyn Bus>).await;
    conformance::run(async || bus::connect(&server.url()).await.unwrap()).await;
}

#[tokio::test]
async fn core_survives_a_restart_of_the_server() {
    let mut server = NatsServer::start();
    let bus = connect(&server.url()).await;
    conformance::survives_reconnect(&bus, async || {
        server.kill();
        server.restart();
    })
    .await;
    assert_eq!(bus.state().trouble, None);
}

// === Logging in ===

#[tokio::test]
async fn logs_in_with_user_and_password_or_a_token() {
    let login = "authorization { user: r3x, password: \"p@ss\" }";
    let server = server_with(login);
    let bus = connect(&format!("nats://r3x:p%40ss@127.0.0.1:{}", server.port())).await;
    assert_eq!(bus.state().link, Link::Connected);
    bus.flush().await.unwrap();

    let server = server_with("authorization { token: \"s3cret\" }");
    let bus = connect(&format!("nats://s3cret@127.0.0.1:{}", server.port())).await;
    bus.flush().await.unwrap();
}

#[tokio::test]
async fn refused_credentials_are_said_in_words_until_they_are_accepted() {
    let mut server = server_with("authorization { user: r3x, password: \"right\" }");
    let bus = connect(&format!("nats://r3x:wrong@127.0.0.1:{}", server.port())).await;
    assert!(matches!(bus.state().link, Link::Disconnected { .. }), "{bus:?}");
    let expected = format!("127.0.0.1:{}: the server refuses our credentials", server.port());
    until("the reason", || trouble(&bus) == expected).await;
    assert!(!format!("{bus:?}").contains("wrong"));

    server.kill();
    let file = server.folder().join("server.conf");
    let text = fs::read_to_string(&file).unwrap().replace("right", "wrong");
    fs::write(&file, text).unwrap();
    server.restart();
    until_connected(&bus).await;
    bus.flush().await.unwrap();
    assert_eq!(bus.state().trouble, None);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_an_error_at_once() {
    for name in ["ca", "credentials"] {
        let url = format!("nats://127.0.0.1:1?{name}=/does/not/exist");
        let error = bus::connect(&url).await.err().unwrap();
        assert!(matches!(error, ConnectError::File { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// An authority, a certificate for a server on 127.0.0.1 and one for a client, made by the usual program.
fn make_certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {new_key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"));
    for (name, address) in [("server", "IP:127.0.0.1"), ("client", "DNS:client")] {
        fs::write(folder.join("names"), format!("subjectAltName={address}\n"))
            .expect("the directory is ours");
        openssl(&format!("req -new {new_key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile names"
        ));
    }
}

#[tokio::test]
async fn tls_needs_an_authority_to_trust_and_a_certificate_to_show() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let file = |name: &str| -> PathBuf { folder.path().join(name) };
    let server = server_with(format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    ));
    let address = format!("tls://127.0.0.1:{}", server.port());
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let client = format!("cert={}&key={}", cert.display(), key.display());

    let bus = connect(&format!("{address}?ca={}&{client}", ca.display())).await;
    assert_eq!(bus.state().link, Link::Connected, "{bus:?}");
    bus.flush().await.unwrap();

    let stranger = connect(&format!("{address}?{client}")).await;
    until("the reason", || trouble(&stranger).contains("cert")).await;
    let other = address.replace("127.0.0.1", "localhost");
    let other = connect(&format!("{other}?ca={}&{client}", ca.display())).await;
    until("the reason", || trouble(&other).contains("not valid for name")).await;
    assert!(matches!(other.state().link, Link::Disconnected { .. }));
    let nobody = connect(&format!("{address}?ca={}", ca.display())).await;
    until("the reason", || !trouble(&nobody).is_empty()).await;
    assert!(matches!(nobody.state().link, Link::Disconnected { .. }));
}

#[tokio::test]
async fn a_server_without_tls_is_not_trusted_if_tls_is_asked_for() {
    let server = NatsServer::start();
    let bus = connect(&format!("tls://127.0.0.1:{}", server.port())).await;
    until("the reason", || !trouble(&bus).is_empty()).await;
    assert!(matches!(bus.state().link, Link::Disconnected { .. }));
}

// === Permissions ===

fn server_with_permissions(permissions: &str) -> NatsServer {
    server_with(format!(
        "authorization {{ users: [{{ user: u, password: p, permissions: {{ {permissions} }} }}] }}"
    ))
}

#[tokio::test]
async fn a_forbidden_topic_is_denied_and_others_are_not() {
    let server = server_with_permissions(
        "publish: { deny: [\"cantina.secret\"] }, subscribe: { deny: [\"cantina.secret\"] }",
    );
    let bus = connect(&format!("nats://u:p@127.0.0.1:{}", server.port())).await;
    let refused = bus.subscribe("secret", room(1)).await;
    let Err(Error::Denied { topic, source }) = refused else { panic!("{refused:?}") };
    assert_eq!(topic, "secret");
    assert!(source.to_string().contains("cantina.secret"), "{source}");
    assert!(trouble(&bus).contains("cantina.secret"), "{bus:?}");

    // The server says that it dropped the first one only after it was taken.
    bus.publish(Event::new("secret", "1")).await.unwrap();
    bus.flush().await.unwrap();
    let refused = bus.publish(Event::new("secret", "2")).await;
    assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");

    let mut events = bus.subscribe("open", room(1)).await.unwrap();
    bus.publish(Event::new("open", "3")).await.unwrap();
    assert_eq!(next(&mut events).await.payload, "3");
    assert_eq!((bus.state().published, bus.state().refused), (2, 1));
}

#[tokio::test]
async fn fences_work_where_they_may_not_be_published() {
    let server = server_with_permissions(
        "publish: [\"cantina.>\"], subscribe: [\"cantina.>\", \"_INBOX.>\"]",
    );
    let bus = connect(&format!("nats://u:p@127.0.0.1:{}", server.port())).await;
    let mut events = bus.subscribe("a", room(1)).await.unwrap();
    bus.publish(Event::new("a", "1")).await.unwrap();
    bus.flush().await.unwrap();
    assert_eq!(next(&mut events).await.payload, "1");
    assert_eq!(bus.state().trouble, None);
}

#[tokio::test]
async fn without_the_permission_for_fences_one_is_told() {
    let server = server_with_permissions("subscribe: [\"cantina.>\"]");
    let bus = connect(&format!("nats://u:p@127.0.0.1:{}", server.port())).await;
    let flushed = in_time("flushing", bus.flush()).await;
    assert!(matches!(flushed, Err(Error::Denied { .. })), "{flushed:?}");
    let subscribed = in_time("subscribing", bus.subscribe("a", room(1))).await;
    assert!(matches!(subscribed, Err(Error::Denied { .. })), "{subscribed:?}");
    assert!(trouble(&bus).contains("_INBOX"), "{bus:?}");
    until("leaving", || bus.state().subscriptions == 0).await;
}

// === Outages ===

#[tokio::test]
async fn without_a_server_calls_fail_at_once_until_one_comes() {
    let mut server = NatsServer::start();
    server.kill();
    let bus = connect(&server.url()).await;
    let begin = Instant::now();
    let published = bus.publish(Event::new("a", "1")).await;
    assert!(matches!(published, Err(Error::Disconnected { .. })), "{published:?}");
    let subscribed = bus.subscribe("a", room(1)).await;
    assert!(matches!(subscribed, Err(Error::Disconnected { .. })), "{subscribed:?}");
    let flushed = bus.flush().await;
    assert!(matches!(flushed, Err(Error::Transport { .. })), "{flushed:?}");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    until("the reason", || trouble(&bus).contains("refused")).await;
    until(
        "trying again",
        || matches!(bus.state().link, Link::Disconnected { attempts, .. } if attempts > 2),
    )
    .await;

    server.restart();
    until_connected(&bus).await;
    let mut events = bus.subscribe("a", room(1)).await.unwrap();
    bus.publish(Event::new("a", "2")).await.unwrap();
    assert_eq!(next(&mut events).await.payload, "2");
    let state = bus.state();
    assert_eq!((state.published, state.refused, state.reconnects), (1, 1, 0));
}

/// Publishes rising numbers until told to stop; returns how many were taken.
async fn publish_until(bus: NatsBus, topic: &str, stop: Arc<AtomicBool>) -> u64 {
    let mut taken = 0;
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let event = Event::new(topic, number.to_string());
        match in_time("publishing", bus.publish(event)).await {
            Ok(()) => taken += 1,
            Err(error) => assert!(error.is_temporary(), "{error}"),
        }
        tokio::task::yield_now().await;
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_load_ends_no_subscription_and_hangs_nothing() {
    let mut server = NatsServer::start();
    let (publisher, subscriber) = (connect(&server.url()).await, connect(&server.url()).await);
    let mut events = subscriber.subscribe("load", room(1_000_000)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    let (bus, told) = (publisher.clone(), Arc::clone(&stop));
    tasks.spawn(async move { publish_until(bus, "load", told).await });

    until("the first events", || events.queued() > 1000).await;
    for round in 1..=2 {
        server.kill();
        until_disconnected(&subscriber).await;
        server.restart();
        until_connected(&subscriber).await;
        until_connected(&publisher).await;
        let (arrived, missed) = (events.queued(), events.missed());
        until("more events", || events.queued() > arrived || events.missed() > missed).await;
        assert_eq!(subscriber.state().reconnects, round);
    }
    stop.store(true, Ordering::Relaxed);
    let taken = in_time("the publisher", tasks.join_next()).await.unwrap().unwrap();
    assert_eq!(publisher.state().published, taken);

    publisher.flush().await.unwrap();
    publisher.close().await.unwrap();
    subscriber.close().await.unwrap();
    let (mut last, mut count) = (None, 0);
    while let Some(delivery) = events.recv().await {
        let Delivery::Event(event) = delivery else { continue };
        let number: u64 = std::str::from_utf8(&event.payload).unwrap().parse().unwrap();
        assert!(last < Some(number), "{number} came after {last:?}");
        (last, count) = (Some(number), count + 1);
    }
    assert!(count > 0 && count <= taken, "{count} of {taken} arrived");
}

#[tokio::test]
async fn a_server_that_hangs_holds_nothing_up() {
    let server = NatsServer::start();
    let bus = connect(&server.url()).await;
    let mut events = bus.subscribe("a", room(10)).await.unwrap();
    server.signal("STOP");
    let limit = bus.capabilities().wait_max + Duration::from_secs(1);
    let within = async |what: &str, call: &mut (dyn Future<Output = Result<(), Error>> + Unpin)| {
        timeout(limit, call).await.unwrap_or_else(|_| panic!("{what} takes longer than {limit:?}"))
    };
    // The signal takes its time to reach every thread of the server.
    let hung = async {
        loop {
            if let Err(error) = within("flush", &mut Box::pin(bus.flush())).await {
                return error;
            }
        }
    };
    let error = in_time("hanging", hung).await;
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    // Until nothing more goes into the socket and the channel before it.
    let payload = vec![b'x'; 500_000];
    let refused = loop {
        let event = Event::new("a", payload.clone());
        if let Err(error) = within("publish", &mut Box::pin(bus.publish(event))).await {
            break error;
        }
    };
    assert!(matches!(refused, Error::Disconnected { .. }), "{refused}");
    until_disconnected(&bus).await;
    server.signal("CONT");
    until_connected(&bus).await;
    assert_eq!(bus.state().reconnects, 1);
    publish_until_it_arrives(&bus, &mut events, "back").await;
}

/// What was published before the interruption may come first.
async fn publish_until_it_arrives(bus: &NatsBus, events: &mut Subscription, payload: &str) {
    in_time("getting through", async {
        loop {
            let _ = bus.publish(Event::new("a", payload.to_owned())).await;
            while let Ok(Some(delivery)) = timeout(Duration::from_millis(20), events.recv()).await {
                if matches!(delivery, Delivery::Event(event) if event.payload == payload) {
                    return;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_server_that_is_away() {
    let mut server = NatsServer::start();
    let bus = connect(&server.url()).await;
    let mut events = bus.subscribe("a", room(1)).await.unwrap();
    server.kill();
    until_disconnected(&bus).await;
    let begin = Instant::now();
    bus.close().await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(in_time("the end", events.recv()).await, None);
    assert_eq!(bus.state().link, Link::Closed);
    bus.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_close_at_once_find_it_closed() {
    let server = NatsServer::start();
    let bus = connect(&server.url()).await;
    let mut closers = tokio::task::JoinSet::new();
    for turns in 0..50 {
        let bus = bus.clone();
        closers.spawn(async move {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            bus.close().await
        });
    }
    for closed in in_time("closing", closers.join_all()).await {
        closed.unwrap();
    }
    assert_eq!(bus.state().link, Link::Closed);
}

#[tokio::test]
async fn subscriptions_end_with_the_last_clone() {
    let server = NatsServer::start();
    let bus = connect(&server.url()).await;
    let clone = bus.clone();
    let mut events = bus.subscribe("a", room(1)).await.unwrap();
    drop(bus);
    clone.publish(Event::new("a", "still here")).await.unwrap();
    assert_eq!(next(&mut events).await.payload, "still here");
    drop(clone);
    // The feeds are closed by the thread, as the last thing it does.
    assert_eq!(in_time("the end", events.recv()).await, None);
}

#[tokio::test]
async fn one_server_of_several_is_enough() {
    let (mut first, mut second) = (NatsServer::start(), NatsServer::start());
    let url = format!("{},127.0.0.1:{}", first.url(), second.port());
    first.kill();
    let bus = connect(&url).await;
    until_connected(&bus).await;
    bus.flush().await.unwrap();
    first.restart();
    second.kill();
    until_disconnected(&bus).await;
    until_connected(&bus).await;
    bus.flush().await.unwrap();
    assert_eq!(bus.state().reconnects, 1);
}

// === Limits ===

#[tokio::test]
async fn what_arrives_too_fast_is_counted() {
    let server = NatsServer::start();
    let small = |options: NatsOptions| options.with_arrivals_max(room(4));
    let bus = connect_with(&server.url(), small).await;
    let mut events = bus.subscribe("fast", room(1000)).await.unwrap();
    let mut other = bus.subscribe("other", room(1000)).await.unwrap();
    // As one write of a foreign client, so that one read brings them all.
    let foreign = async_nats::connect(server.url()).await.unwrap();
    for number in 0..100 {
        foreign.publish("cantina.fast", number.to_string().into()).await.unwrap();
    }
    foreign.publish("cantina.other", "still here".into()).await.unwrap();
    foreign.publish("cantina.fast", "last".into()).await.unwrap();
    assert_eq!(next(&mut other).await.payload, "still here");
    // Whether or not the last one was dropped, the sum is all.
    until("all of them", || events.queued() as u64 + events.missed() == 101).await;
    let (missed, queued) = (events.missed(), events.queued());
    assert!(missed > 0, "all {queued} had room, so nothing was tested");
    assert_eq!(bus.state().missed, missed);
    assert_eq!(other.missed(), 0);
    let (mut taken, mut reported, mut due) = (0, 0, 0);
    while let Ok(delivery) = events.try_recv() {
        match delivery {
            Delivery::Missed(count) => {
                reported += count;
                due += count;
            }
            Delivery::Event(event) => {
                taken += 1;
                // The numbers missed are those that are missing here.
                let expected = if due == 100 { "last".to_owned() } else { due.to_string() };
                assert_eq!(event.payload, expected);
                due += 1;
            }
        }
    }
    assert_eq!((taken, reported), (queued, missed));
}

#[tokio::test]
async fn the_largest_headers_go_with_the_largest_payload() {
    let server = NatsServer::start();
    let bus = connect(&server.url()).await;
    let mut events = bus.subscribe("a", room(1)).await.unwrap();
    let event = Event::new("a", vec![b'x'; bus.capabilities().payload_max])
        .with_header("A", "x".repeat(HEADERS_BYTES_MAX - 1));
    bus.publish(event.clone()).await.unwrap();
    assert_eq!(next(&mut events).await, event);
    assert_eq!(bus.state().reconnects, 0, "the server took no offence");
}

#[tokio::test]
async fn the_limit_is_the_servers() {
    let server = server_with("max_payload: 10000");
    let bus = connect(&server.url()).await;
    assert!(bus.capabilities().payload_max < 10_000);
    conformance::refuses_an_oversized_payload(&bus).await;
}

// === Strangers ===

#[tokio::test]
async fn foreign_messages_are_taken_as_far_as_they_are_events() {
    let server = NatsServer::start();
    let bus = connect(&server.url()).await;
    let mut events = bus.subscribe("/dashboard/log", room(10)).await.unwrap();
    let mut all = bus.subscribe(">", room(10)).await.unwrap();
    let foreign: Client = async_nats::connect(server.url()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.append("B", "2");
    headers.append("Bell", "\u{7}");
    headers.append("A", "1");
    let subject = "cantina.dashboard.log";
    let payload = b"\xff\x00not text".as_slice();
    foreign
        .publish_with_reply_and_headers(subject, "cantina.answers.here", headers, payload.into())
        .await
        .unwrap();
    foreign.publish("cantina.größer", "no topic".into()).await.unwrap();
    foreign.publish("other.subject", "not ours".into()).await.unwrap();
    foreign.publish_with_reply("cantina.last", "_INBOX.x", "".into()).await.unwrap();
    foreign.flush().await.unwrap();

    let event = next(&mut events).await;
    assert_eq!((&*event.topic, &event.payload[..]), ("/dashboard/log", payload));
    let headers: Vec<_> = event.headers.iter().collect();
    assert_eq!(headers, [("A", "1"), ("B", "2"), (REPLY_TO, "answers.here")]);
    assert_eq!(&*next(&mut all).await.topic, "dashboard.log");
    let last = next(&mut all).await;
    assert_eq!((&*last.topic, last.headers.is_empty()), ("last", true));
    assert_eq!(all.try_recv(), Err(TryRecvError::Empty));
    bus.publish(event).await.unwrap();
}

#[tokio::test]
async fn headers_that_are_not_text_cost_a_reconnect_and_nothing_else() {
    use std::io::Write as _;

    let server = NatsServer::start();
    let bus = connect(&server.url()).await;
    let mut events = bus.subscribe("a", room(10)).await.unwrap();
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let headers = b"NATS/1.0\r\nA: \xff\xfe\r\n\r\n";
    let (size, total) = (headers.len(), headers.len() + 1);
    write!(socket, "CONNECT {{\"headers\":true}}\r\nHPUB cantina.a {size} {total}\r\n").unwrap();
    socket.write_all(headers).unwrap();
    socket.write_all(b"x\r\nPING\r\n").unwrap();
    until("reconnecting", || bus.state().reconnects == 1).await;
    until_connected(&bus).await;
    publish_until_it_arrives(&bus, &mut events, "still here").await;
}

/// How a server greets.
const INFO: &str = r#"INFO {"server_id":"x","version":"2.10.0","proto":1,"host":"x","port":1,"headers":true,"max_payload":1048576}"#;

/// Says these things to each client, one after the other, whatever the client says.
fn impostor(lines: &'static [&'static str]) -> String {
    use std::io::{Read as _, Write as _};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("nats://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            for line in lines {
                if write!(client, "{line}\r\n").is_err() || client.read(&mut [0; 4096]).is_err() {
                    break;
                }
            }
        }
    });
    url
}

#[tokio::test]
async fn what_is_no_nats_server_hangs_nothing() {
    let scripts: [&[&str]; 7] = [
        &["INFO {{{{"],
        &["HTTP/1.1 400 Bad Request"],
        &[INFO, "PONG", "MSG a 1 x"],
        &[INFO, "PONG", "HMSG a 1 5 2"],
        &[INFO, "PONG", "HMSG a 1 12 12\r\nNATS/1.0 5\r\n\r\n"],
        // At these the client library panics.
        &["-ERR"],
        &[INFO, "PONG", "-ERR"],
    ];
    for script in scripts {
        for options in ["", "?stream=LOG"] {
            let bus = connect(&(impostor(script) + options)).await;
            let until_it_is_said = async {
                let mut ticks = tokio::time::interval(Duration::from_millis(1));
                while trouble(&bus).is_empty() {
                    ticks.tick().await;
                }
                bus.publish(Event::new("a", "1")).await
            };
            let published = in_time(script[0], until_it_is_said).await;
            assert!(published.is_err() || options.is_empty(), "{script:?}");
            in_time("flushing", bus.flush()).await.unwrap_err();
            let _ = in_time("closing", bus.close()).await;
        }
    }
}

#[tokio::test]
async fn a_client_library_that_failed_is_not_connected() {
    let bus = connect(&impostor(&[INFO, "PONG", "-ERR"])).await;
    until("the reason", || trouble(&bus) == "the client library has failed").await;
    assert!(matches!(bus.state().link, Link::Disconnected { .. }), "{bus:?}");
    let published = bus.publish(Event::new("a", "1")).await;
    assert!(matches!(published, Err(Error::Disconnected { .. })), "{published:?}");
    bus.close().await.unwrap();
}

// === Silence ===

/// Notes which threads log something of the client library.
struct Listener;

static HEARD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("async_nats")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        HEARD.lock().insert(thread);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_bus_logs_nothing() {
    tracing::subscriber::set_global_default(Listener).unwrap();
    let mut server = NatsServer::start();
    let bus = connect(&server.url()).await;
    let mut events = bus.subscribe("a", room(1)).await.unwrap();
    bus.publish(Event::new("a", "1")).await.unwrap();
    next(&mut events).await;
    server.kill();
    until_disconnected(&bus).await;
    drop(events);
    bus.close().await.unwrap();
    assert!(!HEARD.lock().contains("bus-nats"), "{:?}", HEARD.lock());

    // The library by itself does log, so there was something to hear.
    server.restart();
    async_nats::connect(server.url()).await.unwrap();
    let here = std::thread::current().name().unwrap().to_owned();
    until("the library", || HEARD.lock().contains(&here)).await;
}
