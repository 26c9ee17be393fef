//! Reads of the store: a few at a time, each with a deadline, in pages whose cursor cannot skip a row.

pub(crate) mod page;
pub(crate) mod range;
pub(crate) mod rebuild;

use crate::app::App;
use crate::http::problem::Problem;
use axum::http::StatusCode;
use ports::store::Store;
use std::sync::Arc;
use std::time::Instant;

/// Runs a read on a thread of its own, when one of the few slots is free.
pub(crate) async fn run<T: Send + 'static>(
    app: &App,
    read: impl FnOnce(&dyn Store, Instant) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let limit = app.settings.limits.query_deadline;
    let end = Instant::now() + limit;
    let Ok(Ok(slot)) = tokio::time::timeout(limit, Arc::clone(&app.queries).acquire_owned()).await else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "all query slots are busy").retry_after(2));
    };
    let store = Arc::clone(&app.engines.store);
    let work = tokio::task::spawn_blocking(move || {
        // The slot is held until the store has responded, even if the client is gone.
        let _slot = slot;
        read(&*store, end)
    });
    let left = end.saturating_duration_since(Instant::now());
    match tokio::time::timeout(left, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the query ended unexpectedly")),
        Err(_) => Err(late(limit)),
    }
}

/// The query took too long.
pub(crate) fn late(limit: std::time::Duration) -> Problem {
    let detail = format!("the query took longer than {} s", limit.as_secs_f64());
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
        .hint("request a shorter range, or raise `serve.query_deadline`")
}
