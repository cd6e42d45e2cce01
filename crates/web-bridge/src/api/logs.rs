//! `/api/logs`: entries of any session, page by page.

use std::sync::Arc;

use axum::extract::State;
use http::Uri;
use logging_api::Page;

use super::{Answer, Json};
use crate::bridge::Bridge;
use crate::params::LogsParams;

pub(super) async fn logs(State(bridge): State<Arc<Bridge>>, uri: Uri) -> Answer<Json<Page>> {
    let LogsParams { query, before } = LogsParams::parse(&uri)?;
    let mut page = bridge.entries(query).await?;
    if let Some(before) = before {
        cut(&mut page, before);
    }
    Ok(Json(page))
}

/// Keeps of a page of rising entries those before `before`. If that is not all,
/// there are no more.
fn cut(page: &mut Page, before: u64) {
    let kept = page.entries.partition_point(|entry| entry.seq < before);
    if kept < page.entries.len() || page.next.is_some_and(|next| next + 1 >= before) {
        page.next = None;
    }
    page.entries.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{entry, session};

    fn page(before: u64) -> (Vec<u64>, Option<u64>) {
        let entries = (1..=3).map(entry).collect();
        let mut page = Page { session_id: session(), entries, next: Some(3) };
        cut(&mut page, before);
        (page.entries.iter().map(|entry| entry.seq).collect(), page.next)
    }

    #[test]
    fn a_page_between_two_cursors_ends_at_the_second() {
        assert_eq!(page(1), (vec![], None));
        assert_eq!(page(3), (vec![1, 2], None));
        assert_eq!(page(4), (vec![1, 2, 3], None));
        assert_eq!(page(5), (vec![1, 2, 3], Some(3)));
    }
}
