//! Start and stop.

use std::error::Error as _;
use std::sync::Arc;

use bus::MemoryBus;
use standard_service::StandardService;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use web_bridge::{Config, Error, WebBridge};

use crate::socketio::Dashboard;
use crate::testkit::{Cantina, Log, subscriptions};

async fn fails_with(config: Config) -> Error {
    let log = Arc::new(Log::default());
    let mut bridge = WebBridge::new(config, Arc::new(MemoryBus::default()), log.clone(), log);
    let error = bridge.start().await.unwrap_err();
    assert_eq!(bridge.local_addr(), None);
    *error.downcast().unwrap()
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_flag_that_helps() {
    let cantina = Cantina::start().await;
    let error = fails_with(Config { listen: cantina.address, ..Config::default() }).await;
    let expected = format!("listening on {} (`--listen` chooses another address)", cantina.address);
    assert_eq!(error.to_string(), expected);
    assert!(error.is_address_in_use() && error.source().is_some());
}

#[tokio::test]
async fn an_address_for_everyone_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8000"] {
        let error =
            fails_with(Config { listen: listen.parse().unwrap(), ..Config::default() }).await;
        assert!(matches!(error, Error::NotLoopback { .. }), "{listen}: {error}");
        assert!(error.to_string().contains("--listen 127.0.0.1"));
    }
}

#[tokio::test]
async fn a_bridge_runs_once() {
    let mut cantina = Cantina::start().await;
    assert_eq!(cantina.bridge.name(), "web_bridge");
    assert!(cantina.bridge.start().await.is_err());
    cantina.bridge.stop().await.unwrap();
    cantina.bridge.stop().await.unwrap();
    assert!(cantina.bridge.start().await.is_err());
}

#[tokio::test]
async fn stop_ends_streams_in_order_and_every_connection() {
    let mut cantina = Cantina::start().await;
    let mut stream = cantina.events("/api/logs/stream", &[]).await;
    assert_eq!(stream.next().await.unwrap().name, "session");
    let mut half = cantina.send("GET", "/api/health", &[("X-Slow", "1")], "").await;
    let _dashboard = Dashboard::connect(&cantina).await;
    let before = Instant::now();
    cantina.bridge.stop().await.unwrap();
    assert!(before.elapsed().as_secs() < 2, "{:?}", before.elapsed());
    assert_eq!(stream.next().await, None);
    half.read_to_end(&mut Vec::new()).await.ok();
    assert_eq!(subscriptions(&cantina.bus), 0);
    assert!(tokio::net::TcpStream::connect(cantina.address).await.is_err());
}
