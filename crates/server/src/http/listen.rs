//! The listener: connections up to a limit, each with deadlines for reading a request and writing a reply.

use super::guard::Peer;
use super::write_timeout::WriteTimeout;
use crate::settings::ServerSettings;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use ports::metrics::METRICS;
use ports::{CancelToken, Error, Result};
use std::convert::Infallible;
use std::future::Future;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Send buffer of a connection: what a client that stops reading can hold.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes of a request's head.
const HEAD: usize = 32 << 10;
/// How long open requests may take after cancellation.
const DRAIN: Duration = Duration::from_millis(500);

/// A client's place among `serve.connections`. A websocket keeps it after the handshake.
#[derive(Debug, Clone)]
pub(crate) struct Slot(#[expect(dead_code, reason = "only held")] Arc<OwnedSemaphorePermit>);

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nretry-after: 5\r\n\
content-length: 51\r\nconnection: close\r\n\r\ntoo many connections (serve.connections); try later";

/// Binds the address of the settings.
///
/// # Errors
/// The address is invalid or in use, or open to the network without a token.
pub(crate) fn bind(settings: &ServerSettings) -> Result<TcpListener> {
    let text = &settings.listen;
    let address = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    let address = address.ok_or_else(|| {
        Error::user(format!("cannot listen on `{text}`: expected HOST:PORT")).hint("--listen 127.0.0.1:8787")
    })?;
    if !address.ip().is_loopback() && settings.token.is_empty() {
        return Err(Error::user(format!(
            "refusing to listen on {address} without a token: anyone on the network could read the store"
        ))
        .hint("set a token in the environment: TAPELINE__SERVE__TOKEN=…, or listen on 127.0.0.1"));
    }
    let fail = |error: std::io::Error| {
        Error::user(format!("cannot listen on {address}: {error}"))
            .hint("another program may use the port; choose a free one: --listen 127.0.0.1:0")
    };
    let listener = TcpListener::bind(address).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    // Accepted connections inherit it.
    rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER)
        .map_err(|error| Error::internal(format!("limit the send buffer: {error}")))?;
    Ok(listener)
}

/// Serves until cancelled.
pub(crate) fn run(
    listener: TcpListener,
    router: Router,
    settings: &ServerSettings,
    stop: &CancelToken,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(settings.limits.queries + 4)
        .thread_name("serve-query")
        .build()
        .map_err(|error| Error::internal(format!("start the runtime: {error}")))?;
    let result = runtime.block_on(accept(listener, router, settings, stop));
    runtime.shutdown_timeout(DRAIN);
    result
}

async fn accept(
    listener: TcpListener,
    router: Router,
    settings: &ServerSettings,
    stop: &CancelToken,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|error| Error::internal(format!("listen: {error}")))?;
    let slots = Arc::new(Semaphore::new(settings.limits.connections));
    let write_timeout = settings.limits.io_timeout;
    while !stop.is_cancelled() {
        let Ok(accepted) = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await else {
            continue;
        };
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&slots).try_acquire_owned() {
                Ok(slot) => {
                    let router = router.clone();
                    tokio::spawn(connection(stream, peer, router, write_timeout, slot));
                }
                Err(_) => {
                    METRICS.http_connection_refused();
                    refuse(&stream);
                }
            },
            Err(error) => {
                // Out of file descriptors, or reset before it was accepted.
                tracing::warn!("accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    tokio::time::sleep(DRAIN).await;
    Ok(())
}

fn refuse(stream: &TcpStream) {
    let _ = stream.try_write(FULL);
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    write_timeout: Duration,
    slot: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(WriteTimeout::new(stream, write_timeout));
    let service = Service { router, peer, slot: Slot(Arc::new(slot)) };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(write_timeout)
        .max_buf_size(HEAD)
        .serve_connection(io, service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, "connection ended: {error}");
    }
}

struct Service {
    router: Router,
    peer: SocketAddr,
    slot: Slot,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Service {
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(self.peer.ip()));
        request.extensions_mut().insert(self.slot.clone());
        let mut router = self.router.clone();
        Box::pin(tower_service::Service::call(&mut router, request))
    }
}
