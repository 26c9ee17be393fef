//! Listener, access control, limits and the shapes of replies.

pub(crate) mod guard;
pub(crate) mod listen;
pub(crate) mod params;
pub(crate) mod problem;
pub(crate) mod rates;
pub(crate) mod reply;
pub(crate) mod rows;
mod write_timeout;

use crate::api;
use crate::app::App;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use problem::Problem;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

/// Bytes of a request's body, except where readings are pushed: no other route reads one.
const BODY: usize = 4 << 10;

/// All routes behind the guard.
pub(crate) fn router(app: App) -> Router {
    let monitor: Router<App> = app.engines.probe.clone().map(crate::monitor::routes).unwrap_or_default();
    Router::new()
        .merge(crate::assets::routes())
        .merge(api::routes())
        .merge(crate::compat::routes())
        .merge(monitor)
        .fallback(missing)
        .method_not_allowed_fallback(method)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(CompressionLayer::new().compress_when(
            // Parquet is compressed already.
            DefaultPredicate::new().and(NotForContentType::const_new(rows::PARQUET)),
        ))
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

async fn missing(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    Problem::missing(format!("no page or resource `{path}`"))
        .hint("the API is described in /api/v1/openapi.json")
}

async fn method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource does not support the method")
}
