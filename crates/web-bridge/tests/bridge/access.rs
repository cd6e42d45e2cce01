//! Who may ask, on every route.

use crate::testkit::Cantina;

const ROUTES: [&str; 14] = [
    "/",
    "/app.js",
    "/app.css",
    "/api/health",
    "/healthz",
    "/readyz",
    "/api/stats",
    "/metrics",
    "/api/logs",
    "/api/logs/stream",
    "/api/sessions",
    "/api/sessions/cantina-session-20261122-160357",
    "/no/such/route",
    "/socket.io/?EIO=4&transport=polling",
];

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused_on_every_route() {
    let cantina = Cantina::start().await;
    let own = format!("localhost:{}", cantina.address.port());
    let rebound = format!("evil.example:{}", cantina.address.port());
    let foreign: [&[(&str, &str)]; 7] = [
        &[("Host", &rebound)],
        &[("Host", "localhost:1")],
        &[("Host", &own), ("Host", &own)],
        &[("Host", &own), ("Origin", "http://evil.example")],
        &[("Host", &own), ("Origin", "http://127.0.0.1:3000")],
        &[("Host", &own), ("Origin", "null")],
        &[("Host", &own), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
    ];
    for route in ROUTES {
        for headers in foreign {
            let answer = cantina.ask("GET", route, headers).await;
            assert_eq!(answer.status, 403, "{route} {headers:?}");
            answer.problem();
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{route}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{route}");
        }
    }
}

#[tokio::test]
async fn a_websocket_of_a_foreign_page_is_refused_before_it_is_one() {
    let cantina = Cantina::start().await;
    let upgrade = |origin| {
        [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Origin", origin),
        ]
    };
    let target = "/socket.io/?EIO=4&transport=websocket";
    for (origin, expected) in [("http://evil.example", 403), ("http://localhost:3000", 101)] {
        let status = cantina.events(target, &upgrade(origin)).await.status;
        assert_eq!(status, expected, "{origin}");
    }
}

#[tokio::test]
async fn our_pages_and_the_listed_ones_are_answered_and_marked() {
    let cantina = Cantina::start().await;
    let own = format!("http://localhost:{}", cantina.address.port());
    for (origin, echo) in [(own.as_str(), ""), ("http://localhost:3000", "http://localhost:3000")] {
        let answer = cantina.ask("GET", "/api/health", &[("Origin", origin)]).await;
        assert_eq!(answer.status, 200, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), echo);
        assert_eq!(answer.header("vary"), "Origin");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'; "));
    }
}

#[tokio::test]
async fn a_browser_that_asks_first_is_told_what_a_listed_page_may() {
    let cantina = Cantina::start().await;
    let ask = [("Origin", "http://localhost:3000"), ("Access-Control-Request-Method", "POST")];
    let answer = cantina.ask("OPTIONS", "/socket.io/?EIO=4", &ask).await;
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, "GET, POST"));
    let answer = cantina.ask("OPTIONS", "/api/logs", &ask).await;
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, "GET"));
    let evil = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "GET")];
    assert_eq!(cantina.ask("OPTIONS", "/api/logs", &evil).await.status, 403);
}

#[tokio::test]
async fn a_link_from_elsewhere_leads_to_the_dashboard_only() {
    let cantina = Cantina::start().await;
    let link = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    assert_eq!(cantina.ask("GET", "/", &link).await.status, 200);
    assert_eq!(cantina.ask("GET", "/api/logs", &link).await.status, 403);
}
