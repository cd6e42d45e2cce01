//! Who may ask: the outermost layer, in front of every route.
//!
//! The bridge listens on loopback, where every web page that the user opens can
//! reach it too. So a request is answered only if it asks for one of our names
//! (a page that rebinds its own name to 127.0.0.1 does not), and, if a browser
//! says which page it comes from, only for our own pages and the listed ones.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Method, StatusCode, Uri};

use crate::problem::Problem;
use crate::{Config, Error};

/// The most bytes a request may carry.
pub(crate) const BODY_BYTES_MAX: u64 = 64 * 1024;

/// The names and origins that are ours or allowed.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    port: u16,
    /// Names for the loopback, good with our port only.
    own: Vec<String>,
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Where an admitted request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Caller {
    /// A program, or one of our own pages.
    Own,
    /// A page of a listed origin.
    Listed(HeaderValue),
}

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

// === impl Access ===

impl Access {
    /// The rules for a bridge bound to `ip` and `port`.
    pub(crate) fn new(config: &Config, ip: IpAddr, port: u16) -> Self {
        let bound = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let own = ["localhost", "127.0.0.1", "[::1]", &bound].map(str::to_owned).to_vec();
        let hosts = config.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { port, own, hosts, origins: config.allowed_origins.clone() }
    }

    /// Whether every name in `config` can match at all.
    pub(crate) fn check(config: &Config) -> Result<(), Error> {
        let refuse = |setting, value: &String, expected| {
            Err(Error::Setting { setting, value: value.clone(), expected })
        };
        let is_name = |host: &str| !host.is_empty() && !host.contains(['/', '*', '@', ' ']);
        if let Some(host) = config.allowed_hosts.iter().find(|host| !is_name(host)) {
            return refuse("allowed_hosts", host, "`host` or `host:port`");
        }
        let is_origin = |origin: &str| {
            origin
                .split_once("://")
                .is_some_and(|(scheme, host)| matches!(scheme, "http" | "https") && is_name(host))
        };
        match config.allowed_origins.iter().find(|origin| !is_origin(origin)) {
            Some(origin) => refuse("allowed_origins", origin, "`http://host:port`, without a path"),
            None => Ok(()),
        }
    }

    fn admit(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Caller, Problem> {
        self.check_host(uri, headers)?;
        let Some(origin) = only(headers, &header::ORIGIN)? else {
            return check_site(method, uri, headers).map(|()| Caller::Own);
        };
        if self.is_own_origin(origin) {
            return Ok(Caller::Own);
        }
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if self.origins.iter().any(|allowed| allowed == origin) && (reads || is_socket_io(uri)) {
            let echo = HeaderValue::from_str(origin).expect("it came as a header");
            return Ok(Caller::Listed(echo));
        }
        Err(Problem::forbidden(format!(
            "pages of `{}` may not use this service; `allowed_origins` lists those that may",
            origin.escape_debug()
        )))
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let host = only(headers, &header::HOST)?;
        let host = host.ok_or_else(|| Problem::forbidden("the request has no `Host`"))?;
        if uri.authority().is_some_and(|asked| !asked.as_str().eq_ignore_ascii_case(host)) {
            return Err(Problem::forbidden("`Host` and the request's target disagree"));
        }
        if self.is_own_host(host) || self.is_allowed_host(host) {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "this service is not `{}`; `allowed_hosts` lists the names it answers to",
            host.escape_debug()
        )))
    }

    fn is_own_host(&self, host: &str) -> bool {
        let (name, port) = split_port(host);
        let port_is_ours = match port {
            Some(port) => port == self.port.to_string(),
            None => self.port == 80,
        };
        port_is_ours && self.own.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    fn is_allowed_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.hosts.iter().any(|allowed| *allowed == host || allowed == split_port(&host).0)
    }

    fn is_own_origin(&self, origin: &str) -> bool {
        match origin.split_once("://") {
            Some(("http", host)) => self.is_own_host(host) || self.is_allowed_host(host),
            Some(("https", host)) => self.is_allowed_host(host),
            _ => false,
        }
    }
}

/// Without an `Origin`, a browser still says whether another site's page asks.
/// Only following a link to the dashboard is allowed then.
fn check_site(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let is = |name, value: &str| headers.get(name).is_some_and(|found| found == value);
    let is_foreign = is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site");
    let is_link = *method == Method::GET
        && uri.path() == "/"
        && is("sec-fetch-mode", "navigate")
        && is("sec-fetch-dest", "document");
    if is_foreign && !is_link {
        return Err(Problem::forbidden("pages of other sites may not use this service"));
    }
    Ok(())
}

/// The value of a header that must not come twice.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Problem::forbidden(format!("the request has more than one `{name}`")));
    }
    value
        .map(|value| value.to_str())
        .transpose()
        .map_err(|_| Problem::forbidden(format!("the request's `{name}` is no text")))
}

/// `[::1]:8000` → `[::1]` and `8000`.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

pub(crate) fn is_socket_io(uri: &Uri) -> bool {
    uri.path()
        .strip_prefix("/socket.io")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The layer: answers a request that may not pass, and marks every response.
pub(crate) async fn guard(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let admitted = access.admit(request.method(), request.uri(), request.headers());
    let (mut response, caller) = match admitted {
        Err(problem) => (problem.into_response(), Caller::Own),
        Ok(caller) if is_too_large(request.headers()) => (too_large().into_response(), caller),
        Ok(caller) if is_preflight(&request) => (preflight(request.uri(), &caller), caller),
        Ok(caller) => (next.run(request).await, caller),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Caller::Listed(origin) = caller {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

fn is_too_large(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).is_some_and(|length: u64| length > BODY_BYTES_MAX)
}

fn too_large() -> Problem {
    let detail = format!("a request may carry {BODY_BYTES_MAX} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a browser that asks before it asks.
fn preflight(uri: &Uri, caller: &Caller) -> Response {
    if *caller == Caller::Own {
        return StatusCode::NO_CONTENT.into_response();
    }
    let methods = if is_socket_io(uri) { "GET, POST" } else { "GET" };
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type, last-event-id"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(config: &Config) -> Access {
        Access::new(config, [127, 0, 0, 1].into(), 8000)
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    /// Admitted as whom, or the refusal.
    fn admit(
        method: &Method,
        target: &str,
        lines: &[(&'static str, &str)],
    ) -> Result<Caller, String> {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, value.parse().unwrap());
        }
        access(&Config { allowed_hosts: vec!["r3x.local".into()], ..Config::default() })
            .admit(method, &target.parse().unwrap(), &map)
            .map_err(|problem| problem.detail)
    }

    #[test]
    fn only_our_own_names_are_answered_to() {
        for host in [
            "localhost:8000",
            "127.0.0.1:8000",
            "[::1]:8000",
            "LocalHost:8000",
            "r3x.local",
            "R3X.local:443",
        ] {
            assert_eq!(admit(&Method::GET, "/", &[("host", host)]), Ok(Caller::Own), "{host}");
        }
        for host in [
            "localhost",
            "localhost:80",
            "localhost:8001",
            "evil.example:8000",
            "localhost.:8000",
            "127.0.0.1.evil.example:8000",
            "r3x.local.evil.example",
            "user@localhost:8000",
            "",
            ":8000",
            "localhost:8000:8000",
            "[::1]",
            "::1:8000",
        ] {
            let refused = admit(&Method::GET, "/", &[("host", host)]);
            assert!(refused.is_err(), "{host} was admitted");
        }
        let missing = admit(&Method::GET, "/", &[]);
        assert_eq!(missing, Err("the request has no `Host`".into()));
        let twice =
            admit(&Method::GET, "/", &[("host", "localhost:8000"), ("host", "localhost:8000")]);
        assert_eq!(twice, Err("the request has more than one `host`".into()));
    }

    #[test]
    fn the_target_must_agree_with_the_host() {
        let host = [("host", "localhost:8000")];
        assert!(admit(&Method::GET, "http://localhost:8000/api/logs", &host).is_ok());
        let error = admit(&Method::GET, "http://evil.example/api/logs", &host).unwrap_err();
        assert_eq!(error, "`Host` and the request's target disagree");
    }

    #[test]
    fn only_our_pages_and_listed_ones_may_ask() {
        let from = |origin: &str| {
            admit(&Method::GET, "/api/logs", &[("host", "localhost:8000"), ("origin", origin)])
        };
        for own in [
            "http://localhost:8000",
            "http://127.0.0.1:8000",
            "http://[::1]:8000",
            "https://r3x.local",
        ] {
            assert_eq!(from(own), Ok(Caller::Own), "{own}");
        }
        let listed = "http://localhost:3000";
        assert_eq!(from(listed), Ok(Caller::Listed(HeaderValue::from_static(listed))));
        for foreign in [
            "null",
            "http://127.0.0.1:3000",
            "https://localhost:3000",
            "http://localhost:3000/",
            "http://localhost:3000.evil.example",
            "https://localhost:8000",
            "file://",
            "http://evil.example",
            "",
        ] {
            assert!(from(foreign).is_err(), "{foreign} was admitted");
        }
    }

    #[test]
    fn a_listed_page_may_read_and_poll_but_not_post_elsewhere() {
        let page = [("host", "localhost:8000"), ("origin", "http://localhost:3000")];
        assert!(admit(&Method::POST, "/socket.io/?EIO=4", &page).is_ok());
        assert!(admit(&Method::POST, "/api/logs", &page).is_err());
        assert!(admit(&Method::POST, "/socket.io-admin", &page).is_err());
    }

    #[test]
    fn a_page_of_another_site_may_only_link_to_the_dashboard() {
        let ask_from = |site, target, mode, dest| {
            let lines = [
                ("host", "localhost:8000"),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", dest),
            ];
            admit(&Method::GET, target, &lines)
        };
        let ask = |target, mode, dest| ask_from("cross-site", target, mode, dest);
        assert!(ask_from("same-site", "/api/logs", "no-cors", "image").is_err());
        assert!(ask_from("same-origin", "/api/logs", "cors", "empty").is_ok());
        assert!(ask_from("none", "/api/logs", "navigate", "document").is_ok());
        assert_eq!(ask("/", "navigate", "document"), Ok(Caller::Own));
        assert_eq!(ask("/?level=ERROR", "navigate", "document"), Ok(Caller::Own));
        assert!(ask("/", "navigate", "iframe").is_err());
        assert!(ask("/", "no-cors", "script").is_err());
        assert!(ask("/api/logs", "navigate", "document").is_err());
        assert!(ask("/app.js", "no-cors", "script").is_err());
    }

    #[test]
    fn a_setting_that_can_never_match_is_an_error() {
        let check = |origin: &str, host: &str| {
            let config = Config {
                allowed_origins: vec![origin.into()],
                allowed_hosts: vec![host.into()],
                ..Config::default()
            };
            Access::check(&config).map_err(|error| error.to_string())
        };
        assert_eq!(check("http://localhost:3000", "r3x.local:8000"), Ok(()));
        assert_eq!(
            check("http://localhost:3000/", "r3x").unwrap_err(),
            "`allowed_origins` has `http://localhost:3000/`: expected `http://host:port`, without a path"
        );
        assert!(check("*", "r3x").is_err());
        assert!(check("http://a", "*.local").is_err());
    }

    #[test]
    fn a_body_beyond_the_limit_is_seen_by_its_length() {
        assert!(is_too_large(&headers(&[("content-length", "65537")])));
        assert!(!is_too_large(&headers(&[("content-length", "65536")])));
    }
}
