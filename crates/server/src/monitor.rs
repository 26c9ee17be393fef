//! `/metrics`, `/health` and `/ready`: what monitoring asks of a process, on a listener of its own or next to the API.

use crate::http::guard::{credentials, is_local, same};
use crate::http::listen;
pub use crate::probe::Probe;
use crate::settings::ServerSettings;
use crate::threads::thread;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ports::metrics::METRICS;
use ports::{CancelToken, Error, Result, metrics};
use serde_json::json;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A listener that serves a process's metrics.
#[derive(Debug)]
pub struct Monitor {
    address: SocketAddr,
    thread: JoinHandle<Result<()>>,
}

impl Monitor {
    /// Binds the address and starts serving. Of `settings` it takes address, token and limits.
    ///
    /// # Errors
    /// The address is taken, or is open to the network while there is no token.
    pub fn start(settings: ServerSettings, probe: Arc<dyn Probe>, stop: &CancelToken) -> Result<Self> {
        let resolved = settings.listen.to_socket_addrs().ok().and_then(|mut found| found.next());
        if resolved.is_some_and(|address| !address.ip().is_loopback()) && settings.token.is_empty() {
            return Err(Error::user(format!(
                "refusing to serve metrics on {} without a token",
                settings.listen
            ))
            .hint("set TAPELINE__METRICS__TOKEN, or `metrics.listen = \"127.0.0.1:9464\"`"));
        }
        let socket = listen::bind(&settings).map_err(|error| {
            Error::user(format!("`metrics.listen`: {}", error.what()))
                .hint("choose another port: TAPELINE__METRICS__LISTEN=127.0.0.1:0 takes a free one")
        })?;
        let address =
            socket.local_addr().map_err(|error| Error::internal(format!("read the address: {error}")))?;
        let token: Arc<str> = settings.token.as_str().into();
        let router: Router = routes::<()>(probe).layer(axum::middleware::from_fn_with_state(token, guard));
        let stop = stop.clone();
        let thread = thread("metrics", move || listen::run(socket, router, &settings, &stop))?;
        Ok(Self { address, thread })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it still serves.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }
}

/// The routes, without access control.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(probe: Arc<dyn Probe>) -> Router<S> {
    Router::new()
        .route("/metrics", get(scrape))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .with_state(probe)
}

async fn guard(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let _counted = METRICS.http_request();
    let response = answer(&token, request, next).await;
    METRICS.http_answered(response.status().as_u16());
    response
}

async fn answer(token: &str, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if token.is_empty() {
        // A page of another site that resolves its name to 127.0.0.1 must not read them.
        if !headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(is_local) {
            return (StatusCode::MISDIRECTED_REQUEST, "the Host header names another machine\n")
                .into_response();
        }
    } else if !credentials(headers).is_some_and(|given| same(given.as_bytes(), token.as_bytes())) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, "a bearer token is required (`metrics.token`)\n")
            .into_response();
    }
    next.run(request).await
}

async fn scrape(State(probe): State<Arc<dyn Probe>>) -> Response {
    match probe.metrics() {
        Ok(text) => {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(metrics::CONTENT_TYPE));
            (headers, text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// The process is alive and answers.
async fn health() -> Response {
    axum::Json(json!({ "healthy": true })).into_response()
}

/// The process can do its work: every port's last check succeeded.
async fn ready(State(probe): State<Arc<dyn Probe>>) -> Response {
    let (ready, ports) = probe.ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(json!({ "ready": ready, "ports": ports }))).into_response()
}
