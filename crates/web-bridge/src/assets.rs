//! The dashboard's files, embedded.

use std::hash::{DefaultHasher, Hasher};

use axum::response::{Html, IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};

/// An embedded file.
#[derive(Debug, Clone)]
pub(crate) struct Asset {
    /// Where it is served: `/app.js`; the page itself at `/`.
    pub(crate) path: String,
    content_type: &'static str,
    etag: HeaderValue,
    bytes: &'static [u8],
}

/// Names and bytes of the dashboard's build; empty if there was none when this
/// crate was compiled.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

const NOT_BUILT: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>Cantina log</title>
<h1>The dashboard was not built</h1>
<p>This program was compiled without it; everything else works.</p>
<p>To build it, run <code>cargo xtask ui</code> (needs Node.js), then compile again.</p>
<p>Meanwhile: <a href=\"/api/logs\">the latest entries</a>, <a href=\"/api/stats\">the counts</a>,
<a href=\"/api/health\">the health</a>.</p>
</html>
";

/// The dashboard's files; none if it was not built.
pub(crate) fn assets() -> Vec<Asset> {
    FILES.iter().map(|(name, bytes)| Asset::new(name, bytes)).collect()
}

/// The page that stands in for the dashboard.
pub(crate) async fn not_built() -> Response {
    ([(CACHE_CONTROL, "no-cache")], Html(NOT_BUILT)).into_response()
}

// === impl Asset ===

impl Asset {
    fn new(name: &str, bytes: &'static [u8]) -> Self {
        let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        Self { path, content_type: content_type(name), etag: etag(bytes), bytes }
    }

    /// The file, or that the browser has it already.
    pub(crate) fn respond(&self, request: &HeaderMap) -> Response {
        let headers = [
            (ETAG, self.etag.clone()),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (CONTENT_TYPE, HeaderValue::from_static(self.content_type)),
        ];
        if self.is_known(request) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, self.bytes).into_response()
    }

    fn is_known(&self, request: &HeaderMap) -> bool {
        let values = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let etag = self.etag.to_str().expect("a quoted number is text");
        values.flat_map(|list| list.split(',')).any(|known| {
            let known = known.trim();
            known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag
        })
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("json" | "map") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn etag(bytes: &[u8]) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    let etag = format!("\"{:016x}-{:x}\"", hasher.finish(), bytes.len());
    HeaderValue::from_str(&etag).expect("a quoted number can be a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_with(known: &str) -> StatusCode {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, known.parse().unwrap());
        Asset::new("app.js", b"let x").respond(&headers).status()
    }

    #[test]
    fn a_browser_that_has_the_file_is_told_so() {
        let asset = Asset::new("app.js", b"let x");
        let etag = asset.etag.to_str().unwrap();
        for known in [etag, &format!("W/{etag}"), &format!("\"other\", {etag}"), "*"] {
            assert_eq!(asked_with(known), StatusCode::NOT_MODIFIED, "{known}");
        }
        assert_eq!(asked_with("\"other\""), StatusCode::OK);
        assert_ne!(Asset::new("app.js", b"let y").etag, asset.etag);
    }

    #[test]
    fn the_page_itself_is_at_the_root() {
        let page = Asset::new("index.html", b"<p>");
        assert_eq!((page.path.as_str(), page.content_type), ("/", "text/html; charset=utf-8"));
        assert_eq!(Asset::new("app.css", b"").path, "/app.css");
    }
}
