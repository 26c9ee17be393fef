//! `GET` and `POST /api/v1/verify`: the comparison of source, topic and store, one at a time.

use crate::app::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::http::reply::{Answer, json_body};
use crate::proof::Progress;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use market::UnixNanos;
use serde::Deserialize;
use serde_json::json;
use std::time::Instant;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VerifyParams {
    /// Start of event time, inclusive; all if absent.
    from: Option<String>,
    /// End of event time, exclusive.
    to: Option<String>,
}

/// The result of the last comparison.
#[utoipa::path(get, path = "/api/v1/verify", tag = "proof",
    responses((status = 200, description = "`state` is none, running, done, failed or unavailable")))]
pub(crate) async fn result(State(app): State<App>, headers: HeaderMap) -> Answer {
    let value = match (&*app.verification.lock(), &app.engines.verify) {
        (_, None) => json!({ "state": "unavailable" }),
        (Progress::None, _) => json!({ "state": "none" }),
        (Progress::Running(since), _) => json!({ "state": "running", "since": since.to_string() }),
        (Progress::Done(value), _) => value.clone(),
    };
    Ok(json_body(&headers, &value))
}

/// Starts a comparison.
#[utoipa::path(post, path = "/api/v1/verify", params(VerifyParams), tag = "proof",
    responses((status = 202, description = "Started"), (status = 409, body = Problem, description = "A comparison is already running")))]
pub(crate) async fn start(
    State(app): State<App>,
    Params(params): Params<VerifyParams>,
) -> Result<Response, Problem> {
    let (from, to) = params::range(params.from.as_deref(), params.to.as_deref())?;
    let range = UnixNanos(from.unwrap_or(i64::MIN))..UnixNanos(to.unwrap_or(i64::MAX));
    let Some(verify) = app.engines.verify.clone() else {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "this server cannot compare: run `tapeline verify`",
        ));
    };
    let since = ports::clock::now();
    {
        let mut progress = app.verification.lock();
        if matches!(*progress, Progress::Running(_)) {
            return Err(Problem::new(StatusCode::CONFLICT, "a comparison is running; wait for its result"));
        }
        *progress = Progress::Running(since);
    }
    let (running, begin) = (app.clone(), Instant::now());
    let work = move || {
        let outcome = verify(range, &running.stop);
        let (at, seconds) = (since.to_string(), begin.elapsed().as_secs_f64());
        let value = match outcome {
            Ok(proof) => {
                let equal = proof.lines.iter().all(|line| line.equal);
                json!({ "state": "done", "at": at, "seconds": seconds, "from": params.from, "to": params.to,
                        "equal": equal, "proof": proof })
            }
            Err(error) => {
                json!({ "state": "failed", "at": at, "seconds": seconds, "error": error.to_string() })
            }
        };
        *running.verification.lock() = Progress::Done(value);
    };
    if let Err(error) = std::thread::Builder::new().name("serve-verify".to_owned()).spawn(work) {
        *app.verification.lock() = Progress::None;
        return Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("start the comparison: {error}"),
        ));
    }
    Ok((StatusCode::ACCEPTED, axum::Json(json!({ "state": "running", "since": since.to_string() })))
        .into_response())
}
