//! Starting and stopping.

use std::io::Write as _;

use super::*;

fn service(config: Config) -> LogIngest {
    let (records, _) = mpsc::channel(1);
    let (losses, _) = mpsc::channel(1);
    let sink = Arc::new(Sink { records, losses, state: Mutex::default() });
    let levels = watch::channel(Levels::default()).1;
    LogIngest::new(config, sink, levels, watch::channel(Written::default()).1)
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let ingest = Ingest::start().await;
    let mut second = service(Config { listen: ingest.address, ..Config::default() });
    let error = second.start().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&ingest.address.to_string()) && text.contains("python_listen"), "{text}");
    assert!(error.downcast::<Error>().unwrap().is_port_taken());
    assert_eq!(second.local_addr(), None);
    ingest.stop().await;
}

#[tokio::test]
async fn a_port_that_only_udp_has_is_named_too() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let listen = socket.local_addr().unwrap();
    let mut service = service(Config { listen, ..Config::default() });
    let error = service.start().await.unwrap_err();
    assert!(error.to_string().contains(&format!("{listen} (UDP)")), "{error}");
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let listen = listen.parse().unwrap();
        let error = service(Config { listen, ..Config::default() }).start().await.unwrap_err();
        assert!(error.to_string().contains(&listen.to_string()), "{error}");
        assert!(matches!(*error.downcast::<Error>().unwrap(), Error::NotLoopback { .. }));
    }
    let listen = "0.0.0.0:0".parse().unwrap();
    let mut open = service(Config { listen, allow_remote: true, ..Config::default() });
    open.start().await.unwrap();
    open.stop().await.unwrap();
}

#[tokio::test]
async fn it_runs_once() {
    let mut ingest = Ingest::start().await;
    assert!(matches!(
        *ingest.service.start().await.unwrap_err().downcast::<Error>().unwrap(),
        Error::AlreadyStarted
    ));
    ingest.service.stop().await.unwrap();
    assert!(ingest.service.start().await.is_err());
    ingest.stop().await;
}

#[tokio::test]
async fn stop_takes_what_has_arrived() {
    let mut ingest = Ingest::start().await;
    let pickle = format!("(dS'msg'\nS'a'\nsS'padding'\nS'{}'\ns.", "x".repeat(8000));
    // Without `await`, so that the listener sees none of it before it is stopped.
    let emitters: Vec<_> = (0..10)
        .map(|_| {
            let mut emitter = std::net::TcpStream::connect(ingest.address).unwrap();
            (0..5).for_each(|_| emitter.write_all(&frame(pickle.as_bytes())).unwrap());
            emitter
        })
        .collect();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..5 {
        socket.send_to(b"{\"message\": \"a\"}", ingest.address).unwrap();
    }
    soon(ingest.service.stop()).await.unwrap();
    for _ in 0..55 {
        assert_eq!(ingest.message().await, "a");
    }
    drop(emitters);
    ingest.stop().await;
}

#[tokio::test]
async fn stop_acknowledges_what_it_took() {
    let mut ingest = Ingest::start().await;
    ingest.write(1000, 0);
    let mut emitter = ingest.connect().await;
    emitter.send_json(numbered(1..=100)).await;
    soon(ingest.service.stop()).await.unwrap();
    assert_eq!(emitter.reply().await, Some(info()));
    assert_eq!(emitter.reply().await, Some(json!({"ack": 100})));
    assert_eq!(emitter.reply().await, None);
    for seq in 1..=100_u64 {
        assert_eq!(ingest.message().await, seq.to_string());
    }
    ingest.stop().await;
}
