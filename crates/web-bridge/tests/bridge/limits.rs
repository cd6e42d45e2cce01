//! How many may come.

use web_bridge::Config;

use crate::testkit::Cantina;

#[tokio::test]
async fn beyond_the_live_connections_there_is_a_clean_refusal() {
    let cantina = Cantina::start_with(Config { max_clients: 2, ..Config::default() }).await;
    let mut stream = cantina.events("/api/logs/stream", &[]).await;
    assert_eq!(stream.next().await.unwrap().name, "session");
    let polling = "/socket.io/?EIO=4&transport=polling";
    assert_eq!(cantina.get(polling).await.status, 200);
    assert_eq!(cantina.get("/api/stats").await.json()["clients"], 2);
    for target in ["/api/logs/stream", polling] {
        let answer = cantina.get(target).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{target}");
        assert_eq!(answer.problem(), "there are 2 live connections already (`max_clients`)");
    }
    // What is not live is still answered, and a place is given back.
    assert_eq!(cantina.get("/api/logs").await.status, 200);
    drop(stream);
    cantina.until_stats(|stats| stats["clients"] == 1).await;
    assert_eq!(cantina.events("/api/logs/stream", &[]).await.status, 200);
}

#[tokio::test]
async fn beyond_the_connections_there_is_a_clean_refusal_too() {
    let cantina = Cantina::start_with(Config { max_connections: 1, ..Config::default() }).await;
    let mut stream = cantina.events("/api/logs/stream", &[]).await;
    assert_eq!(stream.next().await.unwrap().name, "session");
    let answer = cantina.get("/api/health").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
    assert_eq!(answer.problem(), "there are 1 connections already");
}
