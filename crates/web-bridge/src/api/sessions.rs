//! `/api/sessions` and `/api/sessions/{id}`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::Uri;
use log_entry::SessionId;
use logging_api::{SessionDetail, SessionSummary};
use serde::Serialize;

use super::{Answer, Json};
use crate::bridge::Bridge;
use crate::problem::Problem;

#[derive(Serialize)]
pub(super) struct Sessions {
    sessions: Vec<SessionSummary>,
}

pub(super) async fn sessions(State(bridge): State<Arc<Bridge>>) -> Answer<Json<Sessions>> {
    let sessions = bridge.reading(bridge.archive.sessions()).await?;
    Ok(Json(Sessions { sessions }))
}

pub(super) async fn session(
    State(bridge): State<Arc<Bridge>>,
    uri: Uri,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Json<SessionDetail>> {
    // What has not the shape of a session's name cannot be one, nor what is no text at all.
    let id = id.map_or_else(|_| last_segment(&uri).to_owned(), |Path(id)| id);
    let id: SessionId = id
        .parse()
        .map_err(|_| Problem::not_found(format!("no session `{}`", id.escape_debug())))?;
    Ok(Json(bridge.reading(bridge.archive.session(&id)).await?))
}

/// What a path ends in, as it was sent.
fn last_segment(uri: &Uri) -> &str {
    uri.path().rsplit_once('/').map_or("", |(_, segment)| segment)
}
