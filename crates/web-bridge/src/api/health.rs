//! `/api/health`, `/healthz`, `/readyz` and `/api/stats`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use logging_api::{HealthStatus, Stats};

use super::Json;
use crate::bridge::Bridge;

/// How the service is. Degraded is still an answer: only `?strict=1` makes it a failure.
pub(super) async fn health(State(bridge): State<Arc<Bridge>>, uri: Uri) -> Response {
    let health = bridge.vitals.health();
    let is_strict =
        uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "strict=1"));
    let status = if is_strict && health.status != HealthStatus::Ok {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(health)).into_response()
}

pub(super) async fn stats(State(bridge): State<Arc<Bridge>>) -> Json<Stats> {
    Json(bridge.stats())
}
