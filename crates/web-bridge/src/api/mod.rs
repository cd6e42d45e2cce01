//! The routes.

mod health;
mod logs;
mod metrics;
mod sessions;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use socketioxide::layer::SocketIoLayer;

use crate::assets;
use crate::bridge::Bridge;
use crate::problem::Problem;
use crate::security::{Access, guard, is_socket_io};

/// A handler's answer, or what is wrong with the question.
type Answer<T> = Result<T, Problem>;

/// A value as JSON.
struct Json<T>(T);

/// All routes, behind the rules of who may ask.
pub(crate) fn router(bridge: Arc<Bridge>, access: Access, socket_io: SocketIoLayer) -> Router {
    let routes = Router::new()
        .route("/api/health", get(health::health))
        .route("/healthz", get(health::health))
        .route("/readyz", get(health::health))
        .route("/api/stats", get(health::stats))
        .route("/metrics", get(metrics::metrics))
        .route("/api/logs", get(logs::logs))
        .route("/api/logs/stream", get(stream::stream))
        .route("/api/sessions", get(sessions::sessions))
        .route("/api/sessions/{id}", get(sessions::session));
    with_assets(routes)
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(socket_io)
        .layer(middleware::from_fn_with_state(bridge.clone(), admit_dashboard))
        .layer(middleware::from_fn_with_state(Arc::new(access), guard))
        .with_state(bridge)
}

fn with_assets(routes: Router<Arc<Bridge>>) -> Router<Arc<Bridge>> {
    let assets = assets::assets();
    if assets.is_empty() {
        return routes.route("/", get(assets::not_built));
    }
    assets.into_iter().fold(routes, |routes, asset| {
        let path = asset.path.clone();
        routes.route(&path, get(|headers: HeaderMap| async move { asset.respond(&headers) }))
    })
}

/// Gives a new Socket.IO connection its place among the live ones. The place
/// travels with the request, which the connection keeps as long as it lives.
async fn admit_dashboard(
    State(bridge): State<Arc<Bridge>>,
    mut request: Request,
    next: Next,
) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_new = !query.split('&').any(|pair| pair.starts_with("sid="));
    if is_socket_io(request.uri()) && is_new {
        match bridge.hub.place() {
            Some(place) => request.extensions_mut().insert(Arc::new(place)),
            None => return too_many(&bridge).into_response(),
        };
    }
    next.run(request).await
}

/// There is no place for another live connection.
fn too_many(bridge: &Bridge) -> Problem {
    let max = bridge.hub.places_max();
    Problem::full(format!("there are {max} live connections already (`max_clients`)"))
}

async fn no_route(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at `{}`", uri.path().escape_debug()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not take {method}", uri.path().escape_debug());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self.0).expect("our answers have text keys only");
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
    }
}
