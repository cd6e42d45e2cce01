//! The routes that answer and end.

use bus::{Bus, BusExt, Event, MemoryBus};
use log_entry::Level;
use standard_service::SERVICE_STATUS_REQUEST;
use web_bridge::Config;

use crate::testkit::{Cantina, SESSION, entry_with};

#[tokio::test]
async fn health_says_what_is_wrong_and_fails_only_if_asked_strictly() {
    let cantina = Cantina::start().await;
    for route in ["/api/health", "/healthz", "/readyz"] {
        let answer = cantina.get(route).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &"ok".into()), "{route}");
        assert_eq!(cantina.get(&format!("{route}?strict=1")).await.status, 200);
    }
    *cantina.log.is_degraded.lock() = true;
    let answer = cantina.get("/readyz").await;
    let health = serde_json::json!({
        "status": "degraded", "reasons": ["disk full"], "session_id": SESSION, "uptime_s": 1.5
    });
    assert_eq!((answer.status, answer.json()), (200, health));
    assert_eq!(cantina.get("/readyz?strict=1").await.status, 503);
}

#[tokio::test]
async fn the_counts_are_told_to_people_and_to_prometheus() {
    let cantina = Cantina::start().await;
    cantina.log(1..=3).await;
    let stats = cantina.get("/api/stats").await.json();
    assert_eq!((&stats["stored"], &stats["clients"]), (&3.into(), &0.into()));
    let answer = cantina.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(answer.body.contains("\ncantina_log_stored_total 3\n"), "{}", answer.body);
}

#[tokio::test]
async fn what_cannot_be_read_from_the_bus_is_counted_as_missed() {
    let cantina = Cantina::start().await;
    cantina.bus.publish(Event::new("logging.entry", "nonsense")).await.unwrap();
    cantina.log([1]).await;
    cantina.until_stats(|stats| stats["views"]["missed"] == 1).await;
}

#[tokio::test]
async fn pages_of_entries_follow_each_other() {
    let cantina = Cantina::start().await;
    cantina.log(1..=5).await;
    let page = async |query: &str| {
        let json = cantina.get(&format!("/api/logs?{query}")).await.json();
        let entries = json["entries"].as_array().unwrap();
        let seqs: Vec<_> = entries.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
        (seqs, json["next"].as_u64())
    };
    assert_eq!(page("").await, (vec![1, 2, 3, 4, 5], None));
    assert_eq!(page("limit=2").await, (vec![4, 5], Some(4)));
    assert_eq!(page("limit=2&before=4").await, (vec![2, 3], Some(2)));
    assert_eq!(page("limit=2&after=1").await, (vec![2, 3], Some(3)));
    assert_eq!(page("after=1&before=4").await, (vec![2, 3], None));
    assert_eq!(page("around=entry-3").await, (vec![3], None));
}

#[tokio::test]
async fn entries_are_filtered() {
    let cantina = Cantina::start().await;
    cantina.log([1]).await;
    cantina.log_entry(entry_with(2, Level::Error, "it broke")).await;
    for query in ["level=error", "q=BROKE&level=warning", "regex=br.ke", "service=ai*&q=broke"] {
        let json = cantina.get(&format!("/api/logs?{query}")).await.json();
        let expected = usize::from(!query.contains("BROKE"));
        assert_eq!(json["entries"].as_array().unwrap().len(), expected, "{query}");
    }
}

#[tokio::test]
async fn sessions_are_listed_and_described() {
    let cantina = Cantina::start().await;
    cantina.log(1..=3).await;
    let sessions = cantina.get("/api/sessions").await.json();
    assert_eq!(sessions["sessions"][0]["id"], SESSION);
    let session = cantina.get(&format!("/api/sessions/{SESSION}")).await.json();
    assert_eq!((&session["entries"], &session["by_level"]["INFO"]), (&3.into(), &3.into()));
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_told_as_a_problem() {
    let cantina = Cantina::start().await;
    let other = "cantina-session-20200101-000000";
    for (target, status, detail) in [
        ("/api/nothing".to_owned(), 404, "there is nothing at `/api/nothing`"),
        ("/api/logs?level=loud".to_owned(), 400, "`level` is `loud`: "),
        ("/api/logs?limit=many".to_owned(), 400, "`limit` is `many`: expected 1 to 1000"),
        ("/api/logs?regex=%28".to_owned(), 400, "`regex`: unusable pattern `(`: "),
        ("/api/logs/stream?after=x".to_owned(), 400, "`after` is `x`: "),
        (format!("/api/logs?after={}", u64::MAX), 400, "`after` is `18446744073709551615`: "),
        (format!("/api/logs/stream?after={}", u64::MAX), 400, "`after` is `1844674407370955161"),
        (format!("/api/logs?session={other}"), 404, "no session `cantina-session-20200101-000000`"),
        ("/api/logs?around=nobody".to_owned(), 404, "no entry `nobody` in "),
        (format!("/api/sessions/{other}"), 404, "no session `"),
        ("/api/sessions/..%2F..%2Fetc".to_owned(), 404, "no session `../../etc`"),
        ("/api/sessions/%FF".to_owned(), 404, "no session `%FF`"),
    ] {
        let answer = cantina.get(&target).await;
        assert_eq!(answer.status, status, "{target}");
        let problem = answer.problem();
        assert!(problem.starts_with(detail), "{target}: {problem}");
    }
    let answer = cantina.post("/api/stats", "").await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (405, "`/api/stats` does not take POST")
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_unread() {
    let cantina = Cantina::start().await;
    let answer = cantina.ask("POST", "/api/logs", &[("Content-Length", "70000")]).await;
    assert_eq!(answer.status, 413);
    answer.problem();
}

#[tokio::test]
async fn the_page_is_there_whether_it_was_built_or_not() {
    let cantina = Cantina::start().await;
    let answer = cantina.get("/").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert!(answer.body.contains("Cantina log"));
    let etag = answer.header("etag");
    if !etag.is_empty() {
        let again = cantina.ask("GET", "/", &[("If-None-Match", etag)]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""));
    }
}

#[tokio::test]
async fn services_are_asked_for_their_status_at_the_start() {
    let bus = MemoryBus::default();
    let room = 8.try_into().unwrap();
    let mut questions = bus.subscribe_json(&SERVICE_STATUS_REQUEST, room).await.unwrap();
    let _cantina = Cantina::start_on(bus, Config::default()).await;
    assert_eq!(questions.recv().await.unwrap().unwrap().source, "web_bridge");
}
