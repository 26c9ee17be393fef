//! `GET /v2/FEED`: Alpaca's websocket, so that its clients read the topics live.
//!
//! Every record and bar from the subscription on is sent, in batches as it is read. A client that falls behind is
//! dropped with error 407, one that reads nothing after `serve.io_timeout`.

use super::alpaca;
use super::alpaca_protocol::{
    AUTH_TIMEOUT, AUTHENTICATED, CONNECTED, ClientSession, SLOW_CLIENT, TOO_MANY_MESSAGES, error,
};
use crate::app::App;
use crate::http::guard;
use crate::http::listen::Slot;
use crate::http::problem::Problem;
use crate::hub::SocketCount;
use crate::hub::live::{LiveBatch, LiveItem};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use market::codec::msgpack;
use ports::metrics::METRICS;
use serde_json::Value;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Bytes of a client's message: 500 symbols of each channel.
const MESSAGE: usize = 256 << 10;
/// Bytes of items in one message to a client; clients commonly accept 1 MiB.
const FRAME: usize = 256 << 10;
/// Interval of checks.
const TICK: Duration = Duration::from_millis(250);
/// Interval of pings.
const PING: Duration = Duration::from_secs(10);
/// How long a client may be silent; it responds to pings.
const IDLE: Duration = Duration::from_secs(35);
/// Alpaca's names of feeds: a client must name one of them, and any of them stands for all feeds here.
const FEEDS: [&str; 7] = ["sip", "iex", "delayed_sip", "boats", "overnight", "otc", "test"];

/// Opens the stream of one of the topics' feeds, or under a name of Alpaca's of all.
pub(super) async fn stream(
    State(app): State<App>,
    Path(feed): Path<String>,
    mut request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let text = |name: &header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|_| guard::is_websocket(headers) && text(&header::SEC_WEBSOCKET_VERSION) == Some("13"));
    let Some(key) = key else {
        let detail = "expected the handshake of a websocket, version 13";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, detail).hint(
            "Alpaca's data API is at /v2/stocks/bars, /trades and /quotes; its stream at ws://…/v2/sip",
        ));
    };
    let limit = app.settings.limits.streams;
    if app.hub.streams() >= limit {
        let detail = format!("the limit of {limit} open streams is reached (`serve.streams`)");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(10));
    }
    let accept = derive_accept_key(key.as_bytes());
    let has_token = !app.settings.token.is_empty() && guard::has_token(&app, headers);
    let packed = text(&header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/msgpack"));
    let client = Client {
        session: ClientSession::new(&app.settings.token, has_token),
        feed: Some(feed).filter(|feed| !FEEDS.contains(&feed.as_str())),
        packed,
        peer: guard::peer(&request),
        opened: Instant::now(),
        heard: Instant::now(),
        pinged: Instant::now(),
        items: None,
        _slot: request.extensions().get::<Slot>().cloned(),
        _counted: app.hub.count_socket(),
        app,
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => client.run(upgraded).await,
            Err(error) => tracing::debug!("websocket was not opened: {error}"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(&accept).unwrap_or_else(|_| HeaderValue::from_static(""));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// One connection.
struct Client {
    app: App,
    session: ClientSession,
    /// The only feed it gets; `None` for all.
    feed: Option<String>,
    /// MessagePack in place of JSON.
    packed: bool,
    peer: IpAddr,
    opened: Instant,
    heard: Instant,
    pinged: Instant,
    /// From the first subscription on.
    items: Option<Receiver<LiveBatch>>,
    _slot: Option<Slot>,
    _counted: SocketCount,
}

async fn next(items: &mut Option<Receiver<LiveBatch>>) -> Result<LiveBatch, RecvError> {
    match items {
        Some(items) => items.recv().await,
        None => std::future::pending().await,
    }
}

impl Client {
    async fn run(mut self, upgraded: Upgraded) {
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE)).max_frame_size(Some(MESSAGE));
        let io = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        if self.talk(&mut socket).await.is_continue() {
            // Closed in order; the client's response is not awaited.
            let _ = socket.close(None).await;
        }
    }

    /// Until the connection ends: breaks if it is lost, continues if it is to be closed.
    async fn talk(&mut self, socket: &mut Socket) -> ControlFlow<()> {
        self.send(socket, CONNECTED).await?;
        if self.session.is_authenticated {
            self.send(socket, AUTHENTICATED).await?;
        }
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let last = tokio::select! {
                message = socket.next() => self.message(socket, message).await?,
                batch = next(&mut self.items) => self.batch(socket, batch).await?,
                _ = clock.tick() => self.tick(socket).await?,
            };
            if let Some(last) = last {
                return self.send(socket, &last).await;
            }
        }
    }

    /// Handles a client's message; returns what is sent before the connection is closed.
    async fn message(
        &mut self,
        socket: &mut Socket,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    ) -> ControlFlow<(), Option<String>> {
        let Some(Ok(message)) = message else { return ControlFlow::Break(()) };
        self.heard = Instant::now();
        let value: Option<Value> = match &message {
            Message::Text(text) => serde_json::from_str(text).ok(),
            Message::Binary(bytes) => msgpack::unpacked(bytes),
            Message::Close(_) => return ControlFlow::Break(()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return ControlFlow::Continue(None),
        };
        let limits = &self.app.settings.limits;
        let (per_second, burst) = (limits.requests_per_second, limits.burst);
        if !self.app.rates.take(self.peer, per_second, burst, Instant::now()) {
            return ControlFlow::Continue(Some(error(TOO_MANY_MESSAGES)));
        }
        let reply = self.session.receive(value.as_ref());
        if reply.end {
            return ControlFlow::Continue(Some(reply.text));
        }
        // Before the reply: what is published once the client has it must be sent.
        match (self.session.is_subscribed(), &self.items) {
            (true, None) => self.items = Some(self.app.hub.subscribe_live()),
            (false, Some(_)) => self.items = None,
            _ => {}
        }
        self.send(socket, &reply.text).await?;
        ControlFlow::Continue(None)
    }

    /// Sends what the client wants of a batch.
    async fn batch(
        &mut self,
        socket: &mut Socket,
        batch: Result<LiveBatch, RecvError>,
    ) -> ControlFlow<(), Option<String>> {
        let batch = match batch {
            Ok(batch) => batch,
            Err(RecvError::Lagged(_)) => {
                METRICS.http_client_lagged();
                return ControlFlow::Continue(Some(error(SLOW_CLIENT)));
            }
            Err(RecvError::Closed) => return ControlFlow::Break(()),
        };
        let is_wanted = |item: &&LiveItem| {
            self.feed.as_ref().is_none_or(|feed| item.feed() == feed) && self.session.wants(item)
        };
        let (mut parts, mut bytes): (Vec<&[u8]>, usize) = (Vec::new(), 0);
        for item in batch.iter().filter(is_wanted) {
            let part = encoded(item, self.packed);
            if bytes + part.len() > FRAME && !parts.is_empty() {
                self.send_items(socket, &std::mem::take(&mut parts)).await?;
                bytes = 0;
            }
            bytes += part.len();
            parts.push(part);
        }
        if !parts.is_empty() {
            self.send_items(socket, &parts).await?;
        }
        ControlFlow::Continue(None)
    }

    async fn tick(&mut self, socket: &mut Socket) -> ControlFlow<(), Option<String>> {
        if self.app.stop.is_cancelled() || self.heard.elapsed() > IDLE {
            return ControlFlow::Break(());
        }
        if !self.session.is_authenticated && self.opened.elapsed() > self.app.settings.limits.io_timeout {
            return ControlFlow::Continue(Some(error(AUTH_TIMEOUT)));
        }
        if self.pinged.elapsed() > PING {
            self.pinged = Instant::now();
            write(socket, Message::Ping(Bytes::new())).await?;
        }
        ControlFlow::Continue(None)
    }

    async fn send(&self, socket: &mut Socket, text: &str) -> ControlFlow<()> {
        let message = if self.packed { Message::binary(msgpack::packed(text)) } else { Message::text(text) };
        write(socket, message).await
    }

    async fn send_items(&self, socket: &mut Socket, parts: &[&[u8]]) -> ControlFlow<()> {
        let message = if self.packed {
            Message::binary(msgpack::list(parts))
        } else {
            let parts: Vec<_> = parts.iter().map(|part| String::from_utf8_lossy(part)).collect();
            Message::text(format!("[{}]", parts.join(",")))
        };
        write(socket, message).await
    }
}

/// Waits until the message is on its way: while the client reads slowly, its batches wait in the channel.
async fn write(socket: &mut Socket, message: Message) -> ControlFlow<()> {
    match socket.send(message).await {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// An item in the client's format.
fn encoded(item: &LiveItem, packed: bool) -> &[u8] {
    item.encoded[usize::from(packed)].get_or_init(|| {
        let text = alpaca::message(&item.content).unwrap_or_default();
        if packed { msgpack::packed(&text) } else { text.into_bytes() }
    })
}

/// The stream of each feed.
pub(super) fn routes() -> Router<App> {
    Router::new().route("/v2/{feed}", get(stream))
}
