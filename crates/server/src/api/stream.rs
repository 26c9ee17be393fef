//! `GET /api/v1/stream`: server-sent events.

use crate::app::App;
use crate::http::params::{self, Params};
use crate::http::problem::Problem;
use crate::hub::Subscription;
use crate::hub::frame::{Filter, Frame};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use ports::metrics::{Counted, METRICS};
use serde::Deserialize;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

/// Maximum number of symbols in one watchlist.
const WATCH: usize = 500;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamParams {
    /// Symbol of the trades and bars to send.
    symbol: Option<String>,
    /// Interval of the bars.
    interval: Option<String>,
    /// Symbols of the watchlist, separated by commas; all if absent.
    watch: Option<String>,
    /// Id of the last event received, for a client that cannot send the header `Last-Event-ID`.
    last_event_id: Option<String>,
}

struct Client {
    ready: VecDeque<Event>,
    frames: Receiver<Arc<Frame>>,
    filter: Filter,
    epoch: u64,
    _counted: Counted,
}

impl Client {
    fn event(&self, frame: &Frame) -> Option<Event> {
        let data = frame.data(&self.filter)?;
        Some(Event::default().event("frame").id(format!("{}-{}", self.epoch, frame.number)).data(data))
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.frames.recv().await {
                Ok(frame) if frame.last => return None,
                Ok(frame) => {
                    if let Some(event) = self.event(&frame) {
                        return Some(event);
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    METRICS.http_client_lagged();
                    return Some(
                        Event::default().event("lagged").data(json!({ "missed": missed }).to_string()),
                    );
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Live changes: watchlist rows, trades, bars, gaps, dead letters, state of the pipeline.
#[utoipa::path(get, path = "/api/v1/stream", params(StreamParams), tag = "market",
    responses((status = 200, content_type = "text/event-stream",
        description = "Events `frame` (what changed; the first has the state of the pipeline), `lagged` (frames were missed: fetch everything again), `resync` (the event id is unknown or too old: fetch everything again)")))]
pub(crate) async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<StreamParams>,
) -> Result<Response, Problem> {
    let limit = app.settings.limits.streams;
    if app.hub.streams() >= limit {
        let detail = format!("the limit of {limit} open streams is reached (`serve.streams`)");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(10));
    }
    let symbol = params.symbol.as_deref().map(params::symbol).transpose()?;
    let interval = params.interval.as_deref().map(|text| super::bars::interval(Some(text))).transpose()?;
    let watch: Vec<String> =
        params.watch.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
    if watch.len() > WATCH {
        return Err(Problem::bad(format!("watch: expected at most {WATCH} symbols, found {}", watch.len())));
    }
    let filter = Filter { symbol, interval: interval.map(|interval| interval.to_string()), watch };
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last_seen = header.or(params.last_event_id.as_deref());
    let Subscription { missed, resync, frames, newest } = app.hub.subscribe(last_seen);
    let id = format!("{}-{newest}", app.hub.epoch);
    let mut client = Client {
        ready: VecDeque::new(),
        frames,
        filter,
        epoch: app.hub.epoch,
        _counted: METRICS.http_stream(),
    };
    // First: whether what the client fetches now is what it will find once the topics are read. A client that resumes gets it
    // without an id, as its missed frames are still to come; any other one can resume from here on.
    let status = app.hub.state().status.clone();
    let status = if status.is_empty() { r#"{"live":false}"#.to_owned() } else { status };
    let first = Event::default().event("frame").data(format!("{{\"status\":[{status}]}}"));
    client.ready.push_back(if last_seen.is_none() { first.id(&id) } else { first });
    if resync {
        client.ready.push_back(Event::default().event("resync").id(&id).data("{}"));
    }
    for frame in missed {
        if let Some(event) = client.event(&frame) {
            client.ready.push_back(event);
        }
    }
    let events = stream::unfold(client, |mut client| async {
        let event = client.next().await?;
        Some((Ok::<_, Infallible>(event), client))
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(10));
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}
