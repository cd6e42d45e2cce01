//! The contract of CantinaOS's dashboard, over polling.

use bus::BusExt;
use log_entry::Level;
use logging_api::{DASHBOARD_LOG, DashboardLog};
use serde_json::{Value, json};
use standard_service::SERVICE_STATUS_UPDATE;
use tokio::time::timeout;
use web_bridge::{Config, DashboardEvent, QueueLimits};

use crate::testkit::{Cantina, PATIENCE, SESSION, entry, entry_with, id};

/// A client that polls.
pub(crate) struct Dashboard<'a> {
    cantina: &'a Cantina,
    target: String,
    packets: Vec<String>,
}

impl<'a> Dashboard<'a> {
    /// Connects to the namespace, and has read that it is connected.
    pub(crate) async fn connect(cantina: &'a Cantina) -> Self {
        let target = "/socket.io/?EIO=4&transport=polling".to_owned();
        let mut dashboard = Self { cantina, target, packets: Vec::new() };
        let open = dashboard.packet().await;
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        assert_eq!((&open["pingInterval"], &open["pingTimeout"]), (&json!(25000), &json!(20000)));
        assert_eq!(open["maxPayload"], 65536);
        dashboard.target = format!("{}&sid={}", dashboard.target, open["sid"].as_str().unwrap());
        dashboard.send("40").await;
        let first = dashboard.packet().await;
        assert!(first.starts_with("40{\"sid\":"), "{first}");
        dashboard
    }

    async fn send(&self, packet: &str) {
        let answer = self.cantina.post(&self.target, packet).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }

    /// The next packet that is no ping; pings are answered.
    async fn packet(&mut self) -> String {
        loop {
            if self.packets.is_empty() {
                let answer = self.cantina.get(&self.target).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                self.packets = answer.body.split('\u{1e}').map(str::to_owned).collect();
            }
            match self.packets.remove(0).as_str() {
                "2" => self.send("3").await,
                packet => return packet.to_owned(),
            }
        }
    }

    async fn event(&mut self) -> (String, Value) {
        loop {
            let packet = self.packet().await;
            if let Some(event) = packet.strip_prefix("42") {
                return serde_json::from_str(event).unwrap();
            }
        }
    }

    /// The data of the next event that `is_it`.
    pub(crate) async fn until(&mut self, is_it: impl Fn(&str, &Value) -> bool) -> Value {
        // Other events keep coming, so each question alone would be answered for ever.
        let looking = async {
            loop {
                let (name, data) = self.event().await;
                if is_it(&name, &data) {
                    return data;
                }
            }
        };
        timeout(PATIENCE, looking).await.expect("such an event in time")
    }

    async fn next(&mut self, event: &str) -> Value {
        self.until(|name, _| name == event).await
    }

    async fn logs(&mut self, count: usize) -> Vec<Value> {
        let mut logs = Vec::new();
        while logs.len() < count {
            logs.push(self.next("system_log").await["data"].take());
        }
        logs
    }

    async fn seqs(&mut self, count: usize) -> Vec<u64> {
        self.logs(count).await.iter().map(|log| log["seq"].as_u64().unwrap()).collect()
    }
}

#[tokio::test]
async fn a_client_gets_the_status_then_the_past_then_the_present() {
    let cantina = Cantina::start().await;
    cantina.log(1..=150).await;
    let mut dashboard = Dashboard::connect(&cantina).await;
    let (name, status) = dashboard.event().await;
    assert_eq!((name.as_str(), &status["cantina_os_connected"]), ("system_status", &json!(true)));
    assert_eq!(status["services"].as_object().unwrap().len(), 19);
    assert!(status["timestamp"].is_string());
    let past: Vec<_> = (51..=150).collect();
    assert_eq!(dashboard.seqs(100).await, past);
    cantina.log(151..=400).await;
    let present: Vec<_> = (151..=400).collect();
    assert_eq!(dashboard.seqs(250).await, present);
}

#[tokio::test]
async fn a_burst_while_a_client_connects_is_neither_passed_over_nor_doubled() {
    let cantina = Cantina::start().await;
    cantina.log(1..=50).await;
    let mut dashboard = Dashboard::connect(&cantina).await;
    // The recent entries wait for a subscription; meanwhile come more than are recent.
    cantina.log(51..=2050).await;
    let expected: Vec<_> = (1..=2050).collect();
    assert_eq!(dashboard.seqs(2050).await, expected);
    cantina.log([2051]).await;
    assert_eq!(dashboard.seqs(1).await, [2051]);
}

#[tokio::test]
async fn what_is_logged_while_the_past_is_read_is_shown_after_it() {
    let cantina = Cantina::start().await;
    cantina.log(1..=120).await;
    cantina.log.is_held.send_replace(true);
    let mut dashboard = Dashboard::connect(&cantina).await;
    dashboard.send(r#"42["subscribe_events",{"events":["system"]}]"#).await;
    cantina.log(121..=400).await;
    cantina.log.is_held.send_replace(false);
    let expected: Vec<_> = (21..=400).collect();
    assert_eq!(dashboard.seqs(380).await, expected);
}

#[tokio::test]
async fn an_entry_comes_in_the_envelope() {
    let cantina = Cantina::start().await;
    let mut dashboard = Dashboard::connect(&cantina).await;
    cantina.log([7]).await;
    let mut message = dashboard.next("system_log").await;
    assert!(message.as_object_mut().unwrap().remove("timestamp").unwrap().is_string());
    let data = json!({
        "timestamp": "2026-11-22T16:04:22.500000Z", "level": "INFO", "service": "AI Assistant",
        "message": "message 7", "session_id": SESSION, "entry_id": "entry-7",
        "severity": 20, "seq": 7, "service_key": "gpt_service", "repeats": 0,
    });
    assert_eq!(message, json!({"topic": "/dashboard/log", "data": data, "validated": false}));
}

#[tokio::test]
async fn a_dashboard_that_subscribes_gets_what_it_can_show() {
    let cantina = Cantina::start().await;
    cantina.log([1]).await;
    cantina.log_entry(entry_with(2, Level::Critical, "old")).await;
    let mut plain = Dashboard::connect(&cantina).await;
    assert_eq!(plain.logs(2).await[1]["level"], "CRITICAL");
    let mut dashboard = Dashboard::connect(&cantina).await;
    dashboard
        .send(r#"427["subscribe_events",{"events":["system"],"filter_level":"WARNING"}]"#)
        .await;
    cantina.log([3]).await;
    cantina.log_entry(entry_with(4, Level::Critical, "new")).await;
    for (log, message) in dashboard.logs(2).await.iter().zip(["old", "new"]) {
        assert_eq!((&log["level"], &log["true_level"]), (&json!("ERROR"), &json!("CRITICAL")));
        assert_eq!((&log["message"], &log["severity"]), (&json!(message), &json!(50)));
    }
}

#[tokio::test]
async fn every_event_is_acknowledged_and_commands_are_refused() {
    let cantina = Cantina::start().await;
    let mut dashboard = Dashboard::connect(&cantina).await;
    for (packet, command) in [
        (r#"423["system_command",{"action":"restart"}]"#, "system_command"),
        (r#"423["command",{"command":"dj start"}]"#, "command"),
        (r#"423["whatever"]"#, "whatever"),
    ] {
        dashboard.send(packet).await;
        let mut acknowledged = false;
        let error = loop {
            let packet = dashboard.packet().await;
            acknowledged |= packet == "433[]";
            if let Some(event) = packet.strip_prefix("42[\"command_error\",") {
                break serde_json::from_str::<Value>(event.strip_suffix(']').unwrap()).unwrap();
            }
        };
        assert!(acknowledged, "{command}");
        assert_eq!((&error["error"], &error["command"]), (&json!(true), &json!(command)));
        assert_eq!(error["validation_errors"], json!([]));
        assert!(error["message"].as_str().unwrap().starts_with("this is the logging service"));
    }
    dashboard.send(r#"42["subscribe_events",{"filter_level":"loud"}]"#).await;
    let error = dashboard.next("command_error").await;
    assert_eq!(error["command"], "subscribe_events");
}

#[tokio::test]
async fn the_end_of_a_window_of_repeats_is_a_line() {
    let cantina = Cantina::start().await;
    let mut dashboard = Dashboard::connect(&cantina).await;
    cantina.log([1]).await;
    let short = DashboardLog::from(&entry(1));
    let line = DashboardLog { repeats: 4, seq: 9, entry_id: id(99), ..short.clone() };
    cantina.bus.publish_json(&DASHBOARD_LOG, &short).await.unwrap();
    cantina.bus.publish_json(&DASHBOARD_LOG, &line).await.unwrap();
    let logs = dashboard.logs(2).await;
    assert_eq!((&logs[0]["entry_id"], &logs[0]["repeats"]), (&json!("entry-1"), &json!(0)));
    assert_eq!((&logs[1]["entry_id"], &logs[1]["repeats"]), (&json!("entry-99"), &json!(4)));
}

#[tokio::test]
async fn the_state_of_a_service_is_told_at_once_and_with_all_others() {
    let cantina = Cantina::start().await;
    let mut dashboard = Dashboard::connect(&cantina).await;
    let status = r#"{"service_name":"gpt_service","status":"DEGRADED","uptime":"0:01:00"}"#;
    let status = serde_json::from_str(status).unwrap();
    cantina.bus.publish_json(&SERVICE_STATUS_UPDATE, &status).await.unwrap();
    let update = dashboard.next("service_status_update").await;
    assert_eq!(update["topic"], "service.status.update");
    assert_eq!(
        (&update["data"]["service"], &update["data"]["status"]),
        (&json!("gpt_service"), &json!("warning"))
    );
    assert_eq!(update["data"]["data"]["uptime"], "0:01:00");
    let all = dashboard.next("system_status").await;
    assert_eq!(all["services"]["gpt_service"]["status"], "warning");
}

#[tokio::test]
async fn the_figures_of_the_cards_come_bare() {
    let cantina = Cantina::start().await;
    let mut dashboard = Dashboard::connect(&cantina).await;
    let metrics = dashboard.next("system_metrics").await;
    assert_eq!(metrics["uptime"], "0:00:01");
    assert_eq!((&metrics["activeServices"], &metrics["totalServices"]), (&json!(0), &json!(19)));
    assert!(metrics["eventsPerMinute"].is_number() && metrics["errorRate"].is_number());
}

#[tokio::test]
async fn the_other_event_can_be_chosen() {
    let dashboard_event = DashboardEvent::CantinaEvent;
    let cantina = Cantina::start_with(Config { dashboard_event, ..Config::default() }).await;
    let mut dashboard = Dashboard::connect(&cantina).await;
    cantina.log([1]).await;
    let message = dashboard.next("cantina_event").await;
    assert_eq!(message["event"], "cantina_event");
    assert_eq!(
        (&message["data"]["topic"], &message["data"]["seq"]),
        (&json!("system_log"), &json!(1))
    );
}

#[tokio::test]
async fn only_the_one_namespace_and_the_one_protocol_are_spoken() {
    let cantina = Cantina::start().await;
    for target in ["/socket.io/?EIO=3&transport=polling", "/socket.io/?transport=polling"] {
        assert_eq!(cantina.get(target).await.status, 400, "{target}");
    }
    let mut dashboard = Dashboard::connect(&cantina).await;
    dashboard.send("40/admin,").await;
    while !dashboard.packet().await.starts_with("44/admin,") {}
}

#[tokio::test]
async fn a_client_that_does_not_poll_is_told_what_it_missed() {
    let queue = QueueLimits { entries: 100, bytes: 1 << 20 };
    let cantina = Cantina::start_with(Config { queue, ..Config::default() }).await;
    let mut dashboard = Dashboard::connect(&cantina).await;
    dashboard.send(r#"42["subscribe_events",{"events":["system"]}]"#).await;
    // The first is sent, so the client's own queue is in use.
    cantina.log([1]).await;
    assert_eq!(dashboard.seqs(1).await, [1]);
    for seq in 2..=1000 {
        cantina.log([seq]).await;
        tokio::task::yield_now().await;
    }
    cantina.until_stats(|stats| stats["views"]["missed"].as_u64() > Some(0)).await;
    let (mut last, mut gaps) = (1, 0);
    while last < 1000 {
        let (name, data) = dashboard.event().await;
        if name == "log_gap" {
            let number = |name: &str| data[name].as_u64().unwrap();
            assert_eq!((number("after"), number("before") - number("count") - 1), (last, last));
            last = number("before") - 1;
            gaps += 1;
            let line = dashboard.logs(1).await.remove(0);
            assert_eq!(
                (&line["service"], &line["level"]),
                (&json!("Web Bridge"), &json!("WARNING"))
            );
        } else if name == "system_log" {
            last += 1;
            assert_eq!(data["data"]["seq"], last);
        }
    }
    assert!(gaps > 0);
}

#[tokio::test]
async fn a_websocket_that_does_not_read_is_cut_off() {
    let stall_timeout = std::time::Duration::from_millis(200);
    let cantina = Cantina::start_with(Config { stall_timeout, ..Config::default() }).await;
    let upgrade = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let target = "/socket.io/?EIO=4&transport=websocket";
    let mut stream = cantina.send("GET", target, &upgrade, "").await;
    // One frame of text, masked with zeros: `40`.
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"\x81\x82\0\0\0\x0040").await.unwrap();
    cantina.until_stats(|stats| stats["clients"] == 1).await;
    let text = "x".repeat(100_000);
    let mut seq = 0;
    let cut_off = async {
        loop {
            seq += 1;
            cantina.log_entry(entry_with(seq, Level::Info, &text)).await;
            if cantina.get("/api/stats").await.json()["clients"] == 0 {
                return;
            }
        }
    };
    timeout(std::time::Duration::from_secs(20), cut_off).await.expect("it is cut off");
    drop(stream);
}
